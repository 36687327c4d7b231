//! The agenda of a pass: what is still to be begun, in order, and what holds each of it back.
//!
//! Ganeti itself would take any number of starts for one node: they lock nothing but their instance
//! (`cmdlib/instance_operation.py: LUInstanceStartup`). An activation holds the locks of its nodes alone, so a second one
//! on one of them would only occupy a slot (`cmdlib/instance_storage.py: LUInstanceActivateDisks`).

use std::collections::BTreeMap;

use super::schedule::{Schedule, Turn};
use super::{Action, ActionKind};
use crate::cluster::{Snapshot, Timestamp};

/// What an action occupies while its job is in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Claim {
    /// One of the starts that its primary node bears at once.
    Start {
        /// Name of the node.
        on: String,
    },
    /// The locks of its nodes.
    Nodes(Vec<String>),
}

impl Claim {
    fn of(action: &Action, snapshot: &Snapshot) -> Self {
        let instance = snapshot.instance(&action.instance);
        let primary = instance.map(|instance| instance.primary.clone()).unwrap_or_default();
        match action.kind {
            ActionKind::Restart { .. } | ActionKind::StartDegraded | ActionKind::CleanUp => {
                Self::Start { on: primary }
            }
            ActionKind::ActivateDisks { .. } => {
                let secondaries = instance.into_iter().flat_map(|instance| instance.secondaries.clone());
                Self::Nodes(std::iter::once(primary).chain(secondaries).collect())
            }
        }
    }
}

#[derive(Debug)]
struct Entry {
    action: Action,
    claim: Claim,
    turn: Turn,
    /// Whether it is a start that may take the master down. It is made alone, so that no other one is lost with it and
    /// comes under the same suspicion.
    is_suspect: bool,
}

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
}

/// Actions in order, those that wait and those that are in flight.
#[derive(Debug, Default)]
pub struct Agenda {
    waiting: Vec<Entry>,
    in_flight: BTreeMap<String, Claim>,
    /// The one in flight that is made alone.
    suspect: Option<String>,
    schedule: Schedule,
}

impl Agenda {
    /// An agenda of these actions, lower tiers first and starts under suspicion last, otherwise in the order given.
    #[must_use]
    pub fn new(actions: Vec<Action>, snapshot: &Snapshot, schedule: Schedule) -> Self {
        let entry = |action: Action| Entry {
            claim: Claim::of(&action, snapshot),
            turn: schedule.turn(&action.instance),
            is_suspect: action.kind.is_start() && schedule.suspicion(&action.instance) > 0,
            action,
        };
        let mut waiting: Vec<Entry> = actions.into_iter().map(entry).collect();
        waiting.sort_by_key(|entry| {
            let suspicion = if entry.is_suspect { schedule.suspicion(&entry.action.instance) } else { 0 };
            (entry.turn.tier, suspicion)
        });
        Self { waiting, in_flight: BTreeMap::new(), suspect: None, schedule }
    }

    /// Takes out the next actions that may be begun now: at most `room` altogether, and so many starts at once on a node
    /// as `width` says of its name. Each is in flight until [`Agenda::ended`]. None when nothing may be begun now.
    pub fn take(&mut self, now: Timestamp, room: usize, width: &dyn Fn(&str) -> usize) -> Vec<Action> {
        let mut taken = Vec::new();
        let mut at = 0;
        while at < self.waiting.len() && taken.len() < room {
            if self.hold(&self.waiting[at], now, width).is_some() {
                at += 1;
                continue;
            }
            let Entry { action, claim, is_suspect, .. } = self.waiting.remove(at);
            if is_suspect {
                self.suspect = Some(action.instance.clone());
            }
            self.in_flight.insert(action.instance.clone(), claim);
            taken.push(action);
        }
        taken
    }

    /// An action has ended; `is_up` says whether its instance is known to run now.
    pub fn ended(&mut self, instance: &str, is_up: bool) {
        self.in_flight.remove(instance);
        self.suspect.take_if(|suspect| suspect == instance);
        if is_up {
            self.schedule.is_up(instance);
        }
    }

    /// Whether something could be begun now if there were room.
    #[must_use]
    pub fn is_ready(&self, now: Timestamp, width: &dyn Fn(&str) -> usize) -> bool {
        self.waiting.iter().any(|entry| self.hold(entry, now, width).is_none())
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Names of the nodes on which starts wait.
    #[must_use]
    pub fn nodes_waited_for(&self) -> Vec<&str> {
        let mut nodes: Vec<&str> = Vec::new();
        for entry in &self.waiting {
            if let Claim::Start { on } = &entry.claim
                && !nodes.contains(&on.as_str())
            {
                nodes.push(on);
            }
        }
        nodes
    }

    /// When the first action that only waits for time may be begun; `None` when one waits for something else.
    #[must_use]
    pub fn next_moment(&self, now: Timestamp, width: &dyn Fn(&str) -> usize) -> Option<Timestamp> {
        let moments = self.waiting.iter().map(|entry| match self.hold(entry, now, width) {
            Some(Hold::Tier { until, .. } | Hold::Delay { until }) => Some(until),
            Some(Hold::Busy) | None => None,
        });
        moments.collect::<Option<Vec<_>>>()?.into_iter().reduce(f64::min)
    }

    /// Everything that was not begun, each with what holds it back.
    pub fn give_up(&mut self, now: Timestamp, width: &dyn Fn(&str) -> usize) -> Vec<(Action, Hold)> {
        let waiting = std::mem::take(&mut self.waiting);
        let held = waiting.into_iter().map(|entry| {
            let hold = self.hold(&entry, now, width).unwrap_or(Hold::Busy);
            (entry.action, hold)
        });
        held.collect()
    }

    fn hold(&self, entry: &Entry, now: Timestamp, width: &dyn Fn(&str) -> usize) -> Option<Hold> {
        // Tags are about starts. What else there is to repair has no reason to wait for them.
        if entry.action.kind.is_start() {
            if let Some((behind, until)) = self.schedule.gate(entry.turn.tier, now) {
                return Some(Hold::Tier { behind: behind.to_owned(), until });
            }
            if entry.turn.not_before > now {
                return Some(Hold::Delay { until: entry.turn.not_before });
            }
        }
        if self.suspect.is_some() || (entry.is_suspect && !self.in_flight.is_empty()) {
            return Some(Hold::Busy);
        }
        // A clean-up and an activation of the same instance, for example: the second look comes after the first's end.
        if self.in_flight.contains_key(&entry.action.instance) {
            return Some(Hold::Busy);
        }
        let mut others = self.in_flight.values();
        let is_busy = match &entry.claim {
            Claim::Start { on } => {
                others.filter(|other| matches!(other, Claim::Start { on: node } if node == on)).count()
                    >= width(on)
            }
            Claim::Nodes(nodes) => others.any(|other| match other {
                Claim::Nodes(locked) => locked.iter().any(|node| nodes.contains(node)),
                Claim::Start { .. } => false,
            }),
        };
        is_busy.then_some(Hold::Busy)
    }
}

#[cfg(test)]
mod tests;
