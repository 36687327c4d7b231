//! Failures that instances share. When storage comes back long after its node, every start on it fails with
//! the same error, and nothing is wrong with any of the instances.
//!
//! When two or more on one node and one kind of storage fail in the same way, and none there is known to have
//! started since the node booted, the node is charged. This applies only if the cause is unknown or the
//! storage: two guests without a kernel are still two guests without a kernel. The first is charged before
//! the second is seen, and gets its try back.

use std::collections::{BTreeMap, BTreeSet};

use super::blame::Blame;
use super::budget::{self, Blamed, Detail};
use super::event::Event;
use super::likeness::Likeness;
use super::{Action, Outcome};
use crate::cluster::{Instance, Snapshot, Timestamp};
use crate::memory::state::State;

/// A node and a kind of storage.
type Place = (String, String);

/// The failures of a run.
#[derive(Debug, Default)]
pub struct Shared {
    /// Where the instances are.
    places: BTreeMap<String, Place>,
    /// Where a start of this run has succeeded.
    works: BTreeSet<Place>,
    /// Instances that were charged for a failure of this run.
    charged: BTreeMap<Likeness, Vec<String>>,
    /// Where the node is known to be to blame.
    concluded: BTreeSet<Place>,
}

/// Who is to blame after all.
#[derive(Debug)]
pub struct Settled {
    /// The outcome to remember.
    pub outcome: Outcome,
    /// Instances that were charged for earlier failures of this run and are to blame for them no more.
    pub relieved: Vec<String>,
    /// What was concluded, if that is new.
    pub event: Option<Event>,
}

impl Shared {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(snapshot: &Snapshot) -> Self {
        let place = |instance: &Instance| {
            let place = (instance.primary.clone(), instance.disk_template.clone());
            (instance.name.clone(), place)
        };
        Self { places: snapshot.instances.iter().map(place).collect(), ..Self::default() }
    }

    /// Decides who is to blame for an action's outcome, given what else has failed in this run and before.
    /// Tries that were wrongly charged are given back.
    pub fn settle(
        &mut self,
        state: &mut State,
        action: &Action,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Settled {
        let name = &action.instance;
        let same = || Settled { outcome: outcome.clone(), relieved: Vec::new(), event: None };
        let (job, failure, likeness) = match outcome {
            Outcome::Succeeded if action.kind.is_start() => {
                self.works.extend(self.places.get(name).cloned());
                return same();
            }
            Outcome::Failed { job, failure, blamed: Blamed { detail: Detail::Alike(likeness), .. } }
                if action.kind.is_start() =>
            {
                (job, failure, likeness)
            }
            _ => return same(),
        };
        let place = (likeness.node.clone(), likeness.storage.clone());
        if self.works.contains(&place) {
            return same();
        }
        let record = likeness.on_record();
        let mut on_record = state.recovery.blocked.iter().filter(|(other, blocked)| {
            *other != name && blocked.cause == likeness.mark && blocked.alike.as_ref() == Some(&record)
        });
        let before = on_record.next().map(|(other, _)| other.clone());
        let charged = self.charged.entry(likeness.clone()).or_default();
        charged.retain(|other| other != name);
        let Some(other) = charged.first().cloned().or(before) else {
            charged.push(name.clone());
            return same();
        };
        let blamed = Blamed {
            what: Blame::Node,
            cause: likeness.mark.clone(),
            detail: Detail::Alike(likeness.clone()),
        };
        let relieved = std::mem::take(charged);
        for other in &relieved {
            state.give_back_restart_attempt(other);
            budget::remember_failure(state, other, &blamed, now);
        }
        let outcome = Outcome::Failed { job: *job, failure: failure.clone(), blamed };
        let is_new = self.concluded.insert(place);
        let event = || Event::NodeToBlame {
            node: likeness.node.clone(),
            storage: likeness.storage.clone(),
            first: other,
            second: name.clone(),
        };
        Settled { outcome, relieved, event: is_new.then(event) }
    }
}

#[cfg(test)]
mod tests;
