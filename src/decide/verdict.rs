//! The verdicts: one answer for every instance to why it does not run, what happens next, and what somebody
//! has to do. Log, dry run and summaries are renderings of them ([`crate::tell`]).
//!
//! A pass makes them with its first plan, from the same reasons that its decisions are made of, and keeps
//! them up to date with what becomes of its actions.

mod instance;
mod nodes;

use std::collections::{BTreeMap, HashMap, HashSet};

pub use instance::{Progress, Verdict};
pub use nodes::NodeVerdict;

use super::hold::Hold;
use super::reason::{self, Reason};
use super::steps::{Note, NoteKind, Outcome, Step};
use super::{Action, ActionKind};
use crate::cluster::{InstanceStatus, Snapshot, Timestamp};
use crate::memory::state::State;

/// How many instances are in which condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Those that should run.
    pub wanted: usize,
    /// Those of them that run.
    pub run: usize,
    /// Those that this run started.
    pub started: usize,
    /// Those that are down and come back without anybody's help, as far as the watcher knows.
    pub wait: usize,
    /// Those about which somebody has to do something.
    pub need_human: usize,
}

/// The verdicts of a node group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdicts {
    /// Name of the node group.
    pub group_name: String,
    list: Vec<Verdict>,
    nodes: Vec<NodeVerdict>,
    index: HashMap<String, usize>,
    /// Since when silent nodes have not answered.
    silent: BTreeMap<String, Timestamp>,
}

impl Verdicts {
    /// The verdicts that belong to these steps, which a pass plans from this snapshot and this state.
    #[must_use]
    pub fn of(snapshot: &Snapshot, state: &State, steps: &[Step], now: Timestamp) -> Self {
        let mut verdicts = Self {
            group_name: snapshot.group_name.clone(),
            silent: state.recovery.silent.clone(),
            nodes: nodes::of(snapshot, state),
            ..Self::default()
        };
        let away: Vec<String> = verdicts.nodes.iter().map(|node| node.node.clone()).collect();
        let away: HashSet<&str> = away.iter().map(String::as_str).collect();
        for instance in &snapshot.instances {
            verdicts.push(Verdict::of(instance, state, &away));
        }
        for split in &snapshot.split {
            let reason = Reason::SplitGroups {
                primary: split.primary_group.clone(),
                secondaries: split.secondary_groups.clone(),
            };
            verdicts.push(Verdict::unclear(&split.name, reason));
        }
        for name in &snapshot.unreadable_instances {
            if !verdicts.index.contains_key(name) {
                verdicts.push(Verdict::unclear(name, Reason::Unreadable));
            }
        }
        for step in steps {
            match step {
                Step::Act(action) if action.kind.is_start() => {
                    if let Some(verdict) = verdicts.get_mut(&action.instance) {
                        verdict.progress = Progress::Starting;
                    }
                }
                Step::Act(_) => {}
                Step::Note(note) => verdicts.noted(note, state, now),
            }
        }
        verdicts
    }

    fn push(&mut self, verdict: Verdict) {
        self.index.insert(verdict.instance.clone(), self.list.len());
        self.list.push(verdict);
    }

    fn get_mut(&mut self, instance: &str) -> Option<&mut Verdict> {
        let index = *self.index.get(instance)?;
        self.list.get_mut(index)
    }

    /// The verdict for an instance.
    #[must_use]
    pub fn get(&self, instance: &str) -> Option<&Verdict> {
        let index = *self.index.get(instance)?;
        self.list.get(index)
    }

    /// All of them, in luxid's natural order of names.
    pub fn iter(&self) -> impl Iterator<Item = &Verdict> {
        self.list.iter()
    }

    /// A verdict on every node that is silent or marked offline.
    #[must_use]
    pub fn nodes(&self) -> &[NodeVerdict] {
        &self.nodes
    }

    /// How many are in which condition.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for verdict in self.list.iter().filter(|verdict| verdict.wanted != Some(false)) {
            if verdict.wanted.is_none() {
                // It may be stopped on purpose.
                totals.need_human += usize::from(verdict.needs_human());
                continue;
            }
            totals.wanted += 1;
            totals.run += usize::from(verdict.runs());
            totals.started += usize::from(verdict.progress == Progress::Started);
            totals.need_human += usize::from(verdict.needs_human());
            totals.wait += usize::from(verdict.waits());
        }
        totals
    }

    /// It was this note's turn; `state` is what is remembered after it.
    pub fn noted(&mut self, note: &Note, state: &State, now: Timestamp) {
        let Self { list, index, silent, .. } = self;
        let Some(verdict) = index.get(&note.instance).and_then(|index| list.get_mut(*index)) else { return };
        match &note.kind {
            NoteKind::NotStarted(reasons) | NoteKind::NotCleanedUp(reasons) => {
                for reason in reasons {
                    verdict.add(reason.clone());
                }
            }
            NoteKind::LeftForLater(hold) => {
                let reason = of_hold(hold, &note.instance, state, now);
                if verdict.progress == Progress::Starting {
                    verdict.progress = Progress::None;
                    verdict.decide(reason);
                } else {
                    // A clean-up, or an activation.
                    verdict.add(reason);
                }
            }
            NoteKind::MirrorNotActive => verdict.add(Reason::MirrorNotActive),
            NoteKind::RunsDegraded { since } => verdict.add(Reason::MirrorDegraded { since: *since }),
            NoteKind::ActivationHelpless => {
                let mut nodes = std::iter::once(&verdict.primary).chain(&verdict.secondaries);
                let is_offline = verdict.status == Some(InstanceStatus::NodeOffline);
                let offline = is_offline.then_some(&verdict.primary);
                let away = nodes.find(|node| silent.contains_key(*node)).or(offline).cloned();
                verdict.add(Reason::MirrorPeerAway { node: away });
            }
            NoteKind::ActivationDelayed { failures, until } => {
                verdict.add(Reason::MirrorNotActivated { failures: *failures, until: *until });
            }
            NoteKind::Busy(_)
            | NoteKind::Recovered
            | NoteKind::Helpless
            | NoteKind::DisksNotActive
            | NoteKind::StartedInThisRun
            | NoteKind::Unknown
            | NoteKind::VerifyHelpless { .. } => {}
        }
    }

    /// An action has ended; `state` is what is remembered after it.
    pub fn ended(&mut self, action: &Action, outcome: &Outcome, state: &State, now: Timestamp) {
        let Self { list, index, silent, .. } = self;
        let verdict = index.get(&action.instance).and_then(|index| list.get_mut(*index));
        let Some(verdict) = verdict else { return };
        let is_start = action.kind.is_start();
        if is_start {
            verdict.progress = Progress::None;
        }
        match outcome {
            Outcome::LeftAlone(change) => verdict.left_alone(change, is_start, silent, now),
            _ if matches!(action.kind, ActionKind::ActivateDisks { .. }) => verdict.activated(state, now),
            _ if !is_start => {}
            Outcome::Succeeded => {
                verdict.started();
                if action.kind == ActionKind::StartDegraded {
                    verdict.add(Reason::MirrorDegraded { since: now });
                }
            }
            Outcome::Failed { .. } | Outcome::Unknown(_) => verdict.failed(state, now),
            Outcome::NotSubmitted(why) => verdict.decide(Reason::NotSubmitted { why: why.clone() }),
        }
    }

    /// Something else than these instances is to blame for the failure of their starts after all; `state` is
    /// what is remembered after that.
    pub fn relieved(&mut self, instances: &[String], state: &State, now: Timestamp) {
        for name in instances {
            if let Some(verdict) = self.get_mut(name) {
                verdict.failed(state, now);
            }
        }
    }

    /// The run was stopped for this reason before it had begun these actions.
    pub fn stopped(&mut self, reason: &Reason) {
        for verdict in self.list.iter_mut().filter(|verdict| verdict.progress == Progress::Starting) {
            verdict.progress = Progress::None;
            verdict.decide(reason.clone());
        }
    }

    /// Nothing of the plan is carried out, for this reason: nothing is begun, and nothing given up.
    pub fn called_off(&mut self, reason: &Reason) {
        let gives_up = |verdict: &&mut Verdict| matches!(verdict.decides(), Some(Reason::GivenUp { .. }));
        for verdict in self.list.iter_mut().filter(gives_up) {
            verdict.reasons.remove(0);
            verdict.decide(reason.clone());
        }
        self.stopped(reason);
    }

    /// Its mirror is whole again.
    pub fn mirror_is_whole(&mut self, instance: &str) {
        if let Some(verdict) = self.get_mut(instance) {
            verdict.reasons.retain(|reason| !matches!(reason, Reason::MirrorDegraded { .. }));
        }
    }
}

fn of_hold(hold: &Hold, instance: &str, state: &State, now: Timestamp) -> Reason {
    match hold {
        Hold::Tier { behind, until } => Reason::Tier { behind: behind.clone(), until: *until },
        Hold::Delay { until } => Reason::Delay { until: *until },
        Hold::Busy => Reason::Room,
        Hold::Memory { .. } => reason::of_wait(state, instance, now).unwrap_or(Reason::Room),
    }
}

#[cfg(test)]
mod tests;
