//! How an opcode ended.

use serde_json::Value;

use crate::sim::failure::Failure;

/// How an opcode ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// With this result.
    Success(Value),
    /// With this error.
    Failure(Failure),
    /// With the death of the job's process; luxid then has only a string.
    Died(String),
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}
