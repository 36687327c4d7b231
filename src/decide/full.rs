//! Nodes without memory for what should be started on them. When a node says so, everything else that needs
//! as much would fail in the same way: it is not even tried in this run.

use std::collections::BTreeSet;

use super::budget::{Blamed, Detail};
use super::hold::Hold;
use crate::cluster::{Instance, Snapshot};
use crate::memory::recovery::Shortage;
use crate::memory::state::State;

/// How to remember that the instance was not started because another one on its node failed that way.
#[must_use]
pub fn held(failed: &Blamed, instance: Option<&Instance>) -> Option<Hold> {
    let (Detail::Memory(shortage), Some(instance)) = (&failed.detail, instance) else { return None };
    let shortage = Shortage { needed: instance.memory, available: shortage.available, asked: false };
    let blamed = Blamed { detail: Detail::Memory(shortage), ..failed.clone() };
    Some(Hold::Memory { node: instance.primary.clone(), blamed })
}

/// What is on record about memory.
#[derive(Debug, Default)]
pub struct Record {
    /// The nodes that were short of memory when last asked, as far as an instance still waits for it.
    pub nodes: BTreeSet<String>,
    /// The instances for which that was found out.
    pub found_by: BTreeSet<String>,
}

impl Record {
    /// Reads it from the state.
    #[must_use]
    pub fn of(state: &State, snapshot: &Snapshot) -> Self {
        let mut record = Self::default();
        for (name, blocked) in &state.recovery.blocked {
            let (Some(shortage), Some(instance)) = (blocked.memory, snapshot.instance(name)) else {
                continue;
            };
            record.nodes.insert(instance.primary.clone());
            if shortage.asked {
                record.found_by.insert(name.clone());
            }
        }
        record
    }
}

#[cfg(test)]
mod tests;
