//! How much memory is missing on a node.

use crate::memory::recovery::Shortage;

/// What waits for the memory of a node.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    count: usize,
    /// In total, in MiB; `None` when one amount is unknown.
    needed: Option<u64>,
    /// The lowest amount the node reported, in MiB.
    available: Option<u64>,
}

impl Waiting {
    pub(super) fn add(&mut self, shortage: Shortage) {
        let before = if self.count == 0 { Some(0) } else { self.needed };
        self.needed = before.zip(shortage.needed).map(|(before, needed)| before.saturating_add(needed));
        self.available = self.available.into_iter().chain(shortage.available).min();
        self.count += 1;
    }

    pub(super) fn amounts(&self, need: &str, in_all: &str) -> String {
        match (self.needed, self.available) {
            (Some(needed), Some(available)) => {
                format!("{need} {needed} MiB{in_all}, and {available} MiB were free")
            }
            (Some(needed), None) => format!("{need} {needed} MiB{in_all}, which was not free"),
            (None, _) => "how much is needed is unknown".to_owned(),
        }
    }
}
