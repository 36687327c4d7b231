//! What holds an action back.

use super::budget::Blamed;
use crate::cluster::Timestamp;

/// Why an action is not begun now.
#[derive(Debug, Clone, PartialEq)]
pub enum Hold {
    /// A lower tier has an instance that is not up yet.
    Tier {
        /// Name of that instance.
        behind: String,
        /// When patience with it runs out and the wait ends.
        until: Timestamp,
    },
    /// Its delay is not over.
    Delay {
        /// When it is.
        until: Timestamp,
    },
    /// Its node, or the whole cluster, is at its limit.
    Busy,
    /// Its node has reported a lack of memory.
    Memory {
        /// Name of the node.
        node: String,
        /// How to remember this.
        blamed: Blamed,
    },
}
