//! The answers of `retry`.
