//! The agenda of a pass: what is still to be started, in order, and what holds each item back.
//!
//! Ganeti itself would accept any number of starts for one node: each locks only its instance
//! (`cmdlib/instance_operation.py: LUInstanceStartup`). An activation holds its nodes' locks exclusively, so
//! a second one on either node would only occupy a slot (`cmdlib/instance_storage.py:
//! LUInstanceActivateDisks`).

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, ActionKind};
use super::budget::{Blamed, Detail};
use super::hold::Hold;
use super::schedule::{Schedule, Turn};
use super::steps::{Note, NoteKind};
use super::{full, shortage};
use crate::cluster::{Snapshot, Timestamp};
use crate::memory::recovery::Shortage;

/// What an action occupies while its job is in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Claim {
    /// One of the starts that its primary node can take at once.
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
    /// What its instance needs, in MiB.
    memory: Option<u64>,
    /// Whether this start may take the master down. It is made alone, so that no other start is lost with it
    /// and falls under the same suspicion.
    is_suspect: bool,
}

/// Actions in order: those waiting and those in flight.
#[derive(Debug, Default)]
pub struct Agenda {
    waiting: Vec<Entry>,
    in_flight: BTreeMap<String, Claim>,
    /// The action in flight that is made alone.
    suspect: Option<String>,
    schedule: Schedule,
    /// Nodes that get one start at a time until one has succeeded there.
    careful: BTreeSet<String>,
}

impl Agenda {
    /// An agenda of these actions: lower tiers first, starts under suspicion last, otherwise in the given
    /// order.
    #[must_use]
    pub fn new(actions: Vec<Action>, snapshot: &Snapshot, schedule: Schedule) -> Self {
        let entry = |action: Action| Entry {
            claim: Claim::of(&action, snapshot),
            turn: schedule.turn(&action.instance),
            memory: snapshot.instance(&action.instance).and_then(|instance| instance.memory),
            is_suspect: action.kind.is_start() && schedule.suspicion(&action.instance) > 0,
            action,
        };
        let waiting = actions.into_iter().map(entry).collect();
        let mut agenda = Self { waiting, schedule, ..Self::default() };
        agenda.put_in_order(&BTreeSet::new());
        agenda
    }

    /// On nodes that were short of memory, starts are made one at a time until one has succeeded: one answer
    /// is enough to know whether they still are. The instances that were refused come last in their tiers, so
    /// that one which never gets its memory keeps no other down.
    pub fn go_carefully(&mut self, record: full::Record) {
        self.put_in_order(&record.found_by);
        self.careful = record.nodes;
    }

    /// By tier; within a tier, those that may take the master down come last, and those that are `late` just
    /// before them.
    fn put_in_order(&mut self, late: &BTreeSet<String>) {
        let schedule = &self.schedule;
        self.waiting.sort_by_key(|Entry { action, turn, is_suspect, .. }| {
            let suspicion = if *is_suspect { schedule.suspicion(&action.instance) } else { 0 };
            (turn.tier, suspicion, action.kind.is_start() && late.contains(&action.instance))
        });
    }

    /// Takes out the next actions that can begin now: at most `room` in total, and on each node as many
    /// starts at once as `width` says for its name. Each is in flight until [`Agenda::ended`]. Empty when
    /// nothing can begin now.
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
        let claim = self.in_flight.remove(instance);
        self.suspect.take_if(|suspect| suspect == instance);
        if is_up {
            if let Some(Claim::Start { on }) = &claim {
                self.careful.remove(on);
            }
            self.schedule.stop_waiting_for(instance);
        }
    }

    /// An action has failed. When its node was short of memory, the starts there that would fail in the same
    /// way are taken out; returns notes about them. None when it failed for another reason.
    pub fn take_out_what_would_fail_alike(
        &mut self,
        failed: &Action,
        blamed: &Blamed,
        snapshot: &Snapshot,
    ) -> Vec<Note> {
        let (Detail::Memory(shortage), Some(instance)) =
            (&blamed.detail, snapshot.instance(&failed.instance))
        else {
            return Vec::new();
        };
        let in_vain = self.take_out_what_has_no_room(&instance.primary, *shortage).into_iter();
        let note = |action: Action| {
            let hold = full::held(blamed, snapshot.instance(&action.instance))?;
            Some(Note { instance: action.instance, kind: NoteKind::LeftForLater(hold) })
        };
        in_vain.filter_map(note).collect()
    }

    /// The starts on this node that need more memory than it has.
    fn take_out_what_has_no_room(&mut self, node: &str, shortage: Shortage) -> Vec<Action> {
        let is_in_vain = |entry: &Entry| {
            let is_there = matches!(&entry.claim, Claim::Start { on } if on == node);
            is_there && entry.action.kind.is_start() && !shortage::may_fit(shortage, entry.memory)
        };
        let (in_vain, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(is_in_vain);
        self.waiting = waiting;
        let in_vain: Vec<Entry> = in_vain;
        in_vain.into_iter().map(|entry| entry.action).collect()
    }

    /// Whether something could begin now if there were room.
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

    /// Whether a start on that node waits for its turn.
    #[must_use]
    pub fn waits_for(&self, node: &str) -> bool {
        self.waiting.iter().any(|entry| matches!(&entry.claim, Claim::Start { on } if on == node))
    }

    /// When the first action that only waits for time can begin; `None` when one waits for something else.
    #[must_use]
    pub fn next_moment(&self, now: Timestamp, width: &dyn Fn(&str) -> usize) -> Option<Timestamp> {
        let moments = self.waiting.iter().map(|entry| match self.hold(entry, now, width) {
            Some(Hold::Tier { until, .. } | Hold::Delay { until }) => Some(until),
            Some(Hold::Busy | Hold::Memory { .. }) | None => None,
        });
        moments.collect::<Option<Vec<_>>>()?.into_iter().reduce(f64::min)
    }

    /// Everything that was not begun, with what holds it back.
    pub fn give_up(&mut self, now: Timestamp, width: &dyn Fn(&str) -> usize) -> Vec<(Action, Hold)> {
        let waiting = std::mem::take(&mut self.waiting);
        let held = waiting.into_iter().map(|entry| {
            let hold = self.hold(&entry, now, width).unwrap_or(Hold::Busy);
            (entry.action, hold)
        });
        held.collect()
    }

    fn hold(&self, entry: &Entry, now: Timestamp, width: &dyn Fn(&str) -> usize) -> Option<Hold> {
        // Tags concern starts. Other repairs have no reason to wait for them.
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
        // A clean-up and an activation of the same instance, for example: the second look comes after the
        // first's end.
        if self.in_flight.contains_key(&entry.action.instance) {
            return Some(Hold::Busy);
        }
        let mut others = self.in_flight.values();
        let is_busy = match &entry.claim {
            Claim::Start { on } => {
                let begun = others.filter(|other| matches!(other, Claim::Start { on: node } if node == on));
                let width = if self.careful.contains(on) { width(on).min(1) } else { width(on) };
                begun.count() >= width
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
