//! What holds an action back.

use super::budget::Blamed;
use crate::cluster::Timestamp;

/// Why an action is not begun now.
#[derive(Debug, Clone, PartialEq)]
pub enum Hold {
    /// A lower tier has an instance that is not up.
    Tier {
        /// Name of that instance.
        behind: String,
        /// When its patience has run out, and it is not waited for any more.
        until: Timestamp,
    },
    /// Its delay is not over.
    Delay {
        /// When it is.
        until: Timestamp,
    },
    /// Its node, or the whole cluster, has as much to do as it may.
    Busy,
    /// Its node has said that it has not enough memory.
    Memory {
        /// Name of the node.
        node: String,
        /// What this is to be remembered as.
        blamed: Blamed,
    },
}
