//! The answer for one instance.

use std::collections::{BTreeMap, HashSet};

use crate::cluster::{AdminState, Instance, InstanceStatus, Timestamp};
use crate::decide::reason::{self, Reason};
use crate::decide::remedy::{Command, Culprit, Next};
use crate::decide::second_look::Changed;
use crate::decide::{activations, budget};
use crate::memory::recovery::{Failures, LastFailure};
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
    /// Whether it could be started on another node: a secondary is neither silent nor marked offline.
    pub can_fail_over: bool,
    /// Its status when the run began, or when it was looked at again; `None` if unknown.
    pub status: Option<InstanceStatus>,
    /// Whether it should run; not if its user shut it down. `None` if unknown.
    pub wanted: Option<bool>,
    /// When it was first seen down, if it is.
    pub since: Option<Timestamp>,
    /// Everything that keeps it from running or from being whole; the first one decides.
    pub reasons: Vec<Reason>,
    /// What this run does for it.
    pub progress: Progress,
    /// Its last start, if that failed and it is down.
    pub last_failure: Option<LastFailure>,
}

impl Verdict {
    /// Whether it runs, as far as this run knows.
    #[must_use]
    pub fn runs(&self) -> bool {
        use InstanceStatus::{ErrorUp, Running, WrongNode};
        self.progress == Progress::Started || matches!(self.status, Some(Running | ErrorUp | WrongNode))
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

    /// Whether it should run, does not, and comes back without anybody's help, as far as the watcher knows.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.wanted == Some(true) && !self.runs() && !self.needs_human()
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
        let mut commands = self.decides().map(|reason| reason.commands(&self.instance)).unwrap_or_default();
        commands.retain(|one| self.can_fail_over || !matches!(one, Command::FailOverNode(_)));
        commands
    }

    /// `away` are the nodes that are silent or marked offline.
    pub(super) fn of(instance: &Instance, state: &State, away: &HashSet<&str>) -> Self {
        let Instance { name, primary, secondaries, status, admin_state, .. } = instance;
        let recovery = &state.recovery;
        let is_wanted = *admin_state == AdminState::Up && is_wanted(status) != Some(false);
        let failure = recovery.last_failures.get(name).filter(|_| status.may_be_down());
        let mut reasons = Vec::new();
        if let InstanceStatus::Other(word) = status {
            reasons.push(Reason::StatusUnknown { word: word.clone() });
        }
        let starts = recovery.starts_within_an_hour(name);
        let went_down = match status {
            InstanceStatus::ErrorDown => starts,
            // Not yet since its last start.
            InstanceStatus::Running => starts.saturating_sub(1),
            _ => 0,
        };
        if went_down > budget::FLAPPING {
            reasons.push(Reason::Flapping { times: went_down });
        }
        Self {
            instance: name.clone(),
            primary: primary.clone(),
            secondaries: secondaries.clone(),
            can_fail_over: secondaries.iter().any(|node| !away.contains(node.as_str())),
            status: Some(status.clone()),
            wanted: Some(is_wanted),
            since: recovery.down.get(name).copied(),
            reasons,
            progress: Progress::None,
            last_failure: failure.cloned(),
        }
    }

    /// The verdict for an instance of which only the name is known.
    pub(super) fn unclear(name: &str, reason: Reason) -> Self {
        Self {
            instance: name.to_owned(),
            primary: String::new(),
            secondaries: Vec::new(),
            can_fail_over: false,
            status: None,
            wanted: None,
            since: None,
            reasons: vec![reason],
            progress: Progress::None,
            last_failure: None,
        }
    }

    /// Puts this reason in front of what holds already.
    pub(super) fn decide(&mut self, reason: Reason) {
        self.reasons.retain(|known| known.code() != reason.code());
        self.reasons.insert(0, reason);
    }

    /// Adds this reason to what holds already: what keeps it from being started comes before what does not.
    pub(super) fn add(&mut self, reason: Reason) {
        if self.reasons.iter().any(|known| known.code() == reason.code()) {
            return;
        }
        let weight = |reason: &Reason| (!reason.prevents_start(), reason.is_about_a_mirror());
        let is_lighter = |known: &Reason| weight(known) > weight(&reason);
        let at = self.reasons.iter().position(is_lighter).unwrap_or(self.reasons.len());
        self.reasons.insert(at, reason);
    }

    /// Its start has succeeded.
    pub(super) fn started(&mut self) {
        self.progress = Progress::Started;
        self.is_not_down();
    }

    /// Its start has failed, or its outcome is unknown; `state` is what is remembered after that.
    pub(super) fn failed(&mut self, state: &State, now: Timestamp) {
        let name = &self.instance;
        self.last_failure = state.recovery.last_failures.get(name).cloned();
        let failed = || Reason::StartFailed { tries: state.restart_attempts(name) };
        let reason = reason::of_wait(state, name, now).unwrap_or_else(failed);
        self.reasons.retain(|known| !known.prevents_start());
        self.decide(reason);
    }

    /// The activation of its disks has ended; `state` is what is remembered after that.
    pub(super) fn activated(&mut self, state: &State, now: Timestamp) {
        self.reasons.retain(|known| !matches!(known, Reason::MirrorNotActivated { .. }));
        let name = &self.instance;
        let Some(Failures { failures, last }) = state.recovery.activations.get(name).map(|one| one.failures)
        else {
            return;
        };
        if failures > 0 {
            let until = now + activations::wait(failures, last, name, now);
            self.add(Reason::MirrorNotActivated { failures, until });
        }
    }

    /// An action on it was left alone because of this change.
    pub(super) fn left_alone(
        &mut self,
        change: &Changed,
        is_start: bool,
        silent: &BTreeMap<String, Timestamp>,
        now: Timestamp,
    ) {
        match change {
            Changed::Gone => (self.status, self.wanted) = (None, Some(false)),
            Changed::AdminState => self.wanted = Some(false),
            Changed::Status(status) => {
                self.status = Some(status.clone());
                self.wanted = is_wanted(status).or(self.wanted);
                if !status.may_be_down() {
                    self.is_not_down();
                }
            }
            _ if !is_start => return,
            _ => {}
        }
        if self.wanted == Some(false) {
            self.is_not_down();
            self.reasons.clear();
        } else if !self.runs() {
            self.since.get_or_insert(now);
            self.decide(self.of_change(change, silent));
        }
    }

    fn of_change(&self, change: &Changed, silent: &BTreeMap<String, Timestamp>) -> Reason {
        let since = |node: &String| silent.get(node).copied();
        match change {
            Changed::Locked => Reason::Locked,
            Changed::MayRunOn(nodes) => Reason::SharedStorageUnsure { nodes: nodes.clone() },
            Changed::Busy(job) => Reason::JobRunning(job.clone()),
            Changed::SecondarySilent(node) => {
                Reason::SecondarySilent { node: node.clone(), since: since(node) }
            }
            Changed::Status(InstanceStatus::NodeDown) => {
                Reason::PrimarySilent { node: self.primary.clone(), since: since(&self.primary) }
            }
            Changed::Status(InstanceStatus::NodeOffline) => {
                Reason::PrimaryOffline { node: self.primary.clone() }
            }
            Changed::Status(InstanceStatus::Other(word)) => Reason::StatusUnknown { word: word.clone() },
            Changed::Gone
            | Changed::Status(_)
            | Changed::AdminState
            | Changed::DisksNotActive
            | Changed::NodeLocked(_)
            | Changed::SecondaryAnswers
            | Changed::Tags => Reason::Changed,
        }
    }

    fn is_not_down(&mut self) {
        (self.since, self.last_failure) = (None, None);
        self.reasons.retain(|reason| !reason.prevents_start());
    }
}

/// Whether an instance of this status should run, as far as the status tells.
fn is_wanted(status: &InstanceStatus) -> Option<bool> {
    match status {
        InstanceStatus::Running | InstanceStatus::ErrorDown => Some(true),
        InstanceStatus::ErrorUp
        | InstanceStatus::UserDown
        | InstanceStatus::AdminDown
        | InstanceStatus::AdminOffline => Some(false),
        InstanceStatus::NodeDown
        | InstanceStatus::NodeOffline
        | InstanceStatus::WrongNode
        | InstanceStatus::Other(_) => None,
    }
}
