//! The verdicts: one answer for every instance to why it does not run, what happens next, and what somebody
//! has to do. Log, dry run and summaries are renderings of them ([`crate::tell`]).
//!
//! A pass makes them with its first plan, from the same reasons that its decisions are made of, and keeps
//! them up to date with what becomes of its actions.

mod nodes;

use std::collections::{BTreeMap, HashMap};

pub use nodes::NodeVerdict;

use super::hold::Hold;
use super::reason::{self, Reason};
use super::remedy::{Command, Culprit, Next};
use super::second_look::Changed;
use super::steps::{Note, NoteKind, Outcome, Step};
use super::{Action, budget};
use crate::cluster::{AdminState, Instance, InstanceStatus, Snapshot, Timestamp};
use crate::memory::recovery::LastFailure;
use crate::memory::state::State;

/// What became of an instance in this run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Progress {
    /// Nothing is done for it.
    #[default]
    None,
    /// It is to be started, or is being started.
    Starting,
    /// It was started.
    Started,
}

/// The answer for one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Its name.
    pub instance: String,
    /// Its primary node; empty if unknown.
    pub primary: String,
    /// Its secondary nodes.
    pub secondaries: Vec<String>,
    /// Its status when the run began; `None` if unknown.
    pub status: Option<InstanceStatus>,
    /// Whether it should run; `None` if unknown.
    pub wanted: Option<bool>,
    /// When it was first seen down, if it is.
    pub since: Option<Timestamp>,
    /// Everything that keeps it from running or from being whole; the first one decides.
    pub reasons: Vec<Reason>,
    /// What this run does for it.
    pub progress: Progress,
    /// Its last start that failed, while it is down.
    pub last_failure: Option<LastFailure>,
}

impl Verdict {
    /// Whether it runs, as far as this run knows.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.progress == Progress::Started
            || matches!(self.status, Some(InstanceStatus::Running | InstanceStatus::ErrorUp))
    }

    /// The reason that decides.
    #[must_use]
    pub fn decides(&self) -> Option<&Reason> {
        self.reasons.first()
    }

    /// Whether somebody has to do something about it.
    #[must_use]
    pub fn needs_human(&self) -> bool {
        let is_wanted = self.wanted != Some(false);
        is_wanted && self.decides().is_some_and(Reason::needs_human)
    }

    /// What happens next.
    #[must_use]
    pub fn next(&self) -> Option<Next> {
        match (&self.progress, self.decides()) {
            (Progress::Starting, _) => Some(Next::Now),
            (_, Some(reason)) => Some(reason.next()),
            (_, None) => None,
        }
    }

    /// What is to blame.
    #[must_use]
    pub fn blame(&self) -> Option<Culprit> {
        self.decides().and_then(|reason| reason.blame(&self.primary))
    }

    /// What an administrator can type, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<Command> {
        self.decides().map(|reason| reason.commands(&self.instance)).unwrap_or_default()
    }

    /// Puts this reason in front of what holds already.
    fn decide(&mut self, reason: Reason) {
        self.reasons.retain(|known| known.code() != reason.code());
        self.reasons.insert(0, reason);
    }

    fn add(&mut self, reason: Reason) {
        if !self.reasons.iter().any(|known| known.code() == reason.code()) {
            self.reasons.push(reason);
        }
    }
}

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
        for instance in &snapshot.instances {
            verdicts.push(of_instance(instance, state));
        }
        for split in &snapshot.split {
            let reason = Reason::SplitGroups {
                primary: split.primary_group.clone(),
                secondaries: split.secondary_groups.clone(),
            };
            verdicts.push(unclear(&split.name, reason));
        }
        for name in &snapshot.unreadable_instances {
            if !verdicts.index.contains_key(name) {
                verdicts.push(unclear(name, Reason::Unreadable));
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
            totals.wanted += 1;
            totals.run += usize::from(verdict.runs());
            totals.started += usize::from(verdict.progress == Progress::Started);
            let needs_human = verdict.needs_human();
            totals.need_human += usize::from(needs_human);
            totals.wait += usize::from(!needs_human && !verdict.runs());
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
                verdict.progress = Progress::None;
                verdict.decide(of_hold(hold, &note.instance, state, now));
            }
            NoteKind::MirrorNotActive => verdict.add(Reason::MirrorNotActive),
            NoteKind::RunsDegraded { since } => verdict.add(Reason::MirrorDegraded { since: *since }),
            NoteKind::ActivationHelpless => {
                let mut nodes = std::iter::once(&verdict.primary).chain(&verdict.secondaries);
                let away = nodes.find(|node| silent.contains_key(*node)).cloned();
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
        let Some(verdict) = index.get(&action.instance).and_then(|index| list.get_mut(*index)) else {
            return;
        };
        if !action.kind.is_start() {
            return;
        }
        verdict.progress = Progress::None;
        let name = &action.instance;
        match outcome {
            Outcome::Succeeded => {
                verdict.progress = Progress::Started;
                verdict.last_failure = None;
                verdict.reasons.retain(|reason| !reason.prevents_start());
                if action.kind == super::ActionKind::StartDegraded {
                    verdict.add(Reason::MirrorDegraded { since: now });
                }
            }
            Outcome::Failed { .. } | Outcome::Unknown(_) => {
                verdict.last_failure = state.recovery.last_failures.get(name).cloned();
                let waits = reason::of_wait(state, name, now);
                let failed = || Reason::of_last_failure(state.restart_attempts(name));
                waits.or_else(failed).into_iter().for_each(|reason| verdict.decide(reason));
            }
            Outcome::NotSubmitted(why) => verdict.decide(Reason::NotSubmitted { why: why.clone() }),
            Outcome::LeftAlone(change) => {
                if let Changed::Status(status) = change {
                    verdict.status = Some(status.clone());
                }
                if *change == Changed::AdminState {
                    verdict.wanted = Some(false);
                }
                of_change(change, silent).into_iter().for_each(|reason| verdict.decide(reason));
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

    /// Its mirror is whole again.
    pub fn mirror_is_whole(&mut self, instance: &str) {
        if let Some(verdict) = self.get_mut(instance) {
            verdict.reasons.retain(|reason| !matches!(reason, Reason::MirrorDegraded { .. }));
        }
    }
}

fn of_instance(instance: &Instance, state: &State) -> Verdict {
    let Instance { name, primary, secondaries, status, admin_state, .. } = instance;
    let since = state.recovery.down.get(name).copied();
    let mut reasons = Vec::new();
    let silent_since = |node: &String| state.recovery.silent.get(node).copied();
    let is_wanted = *admin_state == AdminState::Up;
    match status {
        InstanceStatus::NodeDown if is_wanted => {
            reasons.push(Reason::PrimarySilent { node: primary.clone(), since: silent_since(primary) });
        }
        InstanceStatus::NodeOffline if is_wanted => {
            reasons.push(Reason::PrimaryOffline { node: primary.clone() });
        }
        InstanceStatus::Other(word) => reasons.push(Reason::StatusUnknown { word: word.clone() }),
        _ => {}
    }
    let starts = state.recovery.starts_within_an_hour(name);
    if *status == InstanceStatus::ErrorDown && starts > budget::FLAPPING {
        reasons.push(Reason::Flapping { times: starts });
    }
    let failure =
        if *status == InstanceStatus::Running { None } else { state.recovery.last_failures.get(name) };
    Verdict {
        instance: name.clone(),
        primary: primary.clone(),
        secondaries: secondaries.clone(),
        status: Some(status.clone()),
        wanted: Some(is_wanted),
        since,
        reasons,
        progress: Progress::None,
        last_failure: failure.cloned(),
    }
}

/// The verdict for an instance of which only the name is known.
fn unclear(name: &str, reason: Reason) -> Verdict {
    Verdict {
        instance: name.to_owned(),
        primary: String::new(),
        secondaries: Vec::new(),
        status: None,
        wanted: None,
        since: None,
        reasons: vec![reason],
        progress: Progress::None,
        last_failure: None,
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

fn of_change(change: &Changed, silent: &BTreeMap<String, Timestamp>) -> Option<Reason> {
    match change {
        Changed::Locked => Some(Reason::Locked),
        Changed::MayRunOn(nodes) => Some(Reason::SharedStorageUnsure { nodes: nodes.clone() }),
        Changed::Busy(job) => Some(Reason::JobRunning(job.clone())),
        Changed::SecondarySilent(node) => {
            Some(Reason::SecondarySilent { node: node.clone(), since: silent.get(node).copied() })
        }
        Changed::Gone
        | Changed::Status(_)
        | Changed::AdminState
        | Changed::DisksNotActive
        | Changed::NodeLocked(_)
        | Changed::SecondaryAnswers
        | Changed::Tags => None,
    }
}
