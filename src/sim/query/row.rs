//! What can be queried, and the results.

use serde_json::{Value, json};

use crate::sim::jobs::Job;
use crate::sim::locks;
use crate::sim::model::{Group, Instance, Node};
use crate::sim::names::Name;

/// One cell of an answer: `[status, value]` on the wire, with the statuses 0 to 4 in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A value.
    Normal(Value),
    /// There is no such field.
    Unknown,
    /// The node did not answer.
    NoData,
    /// The object has no such thing.
    Unavailable,
    /// The node is marked offline.
    Offline,
}

impl Cell {
    pub(super) fn encode(self) -> Value {
        match self {
            Self::Normal(value) => json!([0, value]),
            Self::Unknown => json!([1, null]),
            Self::NoData => json!([2, null]),
            Self::Unavailable => json!([3, null]),
            Self::Offline => json!([4, null]),
        }
    }

    pub(super) fn value(self) -> Option<Value> {
        match self {
            Self::Normal(value) => Some(value),
            _ => None,
        }
    }
}

/// What can be queried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Instances.
    Instance,
    /// Nodes.
    Node,
    /// Node groups.
    Group,
    /// Locks.
    Lock,
    /// Jobs that are not archived.
    Job,
}

impl What {
    /// Reads luxid's word for it, such as `instance`.
    ///
    /// # Errors
    /// When there is no such kind of object in the box.
    pub fn parse(word: &str) -> Result<Self, String> {
        Ok(match word {
            "instance" => Self::Instance,
            "node" => Self::Node,
            "group" => Self::Group,
            "lock" => Self::Lock,
            "job" => Self::Job,
            _ => return Err(format!("Invalid value {word:?} for type QueryTypeOp")),
        })
    }
}

/// An object from which a row is made.
pub(super) enum Row<'a> {
    Instance(&'a Instance),
    Node(&'a Node),
    Group(&'a Name, &'a Group),
    Lock(locks::Row),
    Job(&'a Job),
}
