//! The LUXI client: what luxid is asked, how it answers, and what to do when it does not.
//!
//! [`wire`] cuts messages out of bytes, [`messages`] gives them types, [`client`] talks, [`opcodes`] writes jobs,
//! [`jobs`] submits and follows them.

pub mod client;
pub mod jobs;
pub mod messages;
pub mod opcodes;
pub mod wire;

pub use client::{Client, Connector, UnixSocket};
pub use messages::LuxiError;
