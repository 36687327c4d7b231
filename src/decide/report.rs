//! The log lines of decisions and outcomes. Where the original has a line for the same event, its greppable
//! words are kept.

use std::collections::BTreeMap;
use std::fmt;

use super::blame::Blame;
use super::budget::{MAX_TRIES, RETRY_EXPIRATION};
use super::hold::Hold;
use super::{Action, ActionKind, Note, NoteKind, Outcome, Step};
use crate::memory::recovery::{BlockedBy, FailedMove};

/// How much a line matters, in Python's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Only with `--debug`.
    Debug,
    /// What a run does.
    Info,
    /// What the administrator should know.
    Warning,
    /// What did not work.
    Error,
}

/// One line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub severity: Severity,
    /// What it says.
    pub text: String,
}

impl LogLine {
    /// A line that only `--debug` shows.
    #[must_use]
    pub fn debug(text: String) -> Self {
        Self { severity: Severity::Debug, text }
    }

    pub(super) fn new(severity: Severity, text: String) -> Self {
        Self { severity, text }
    }
}

/// A duration in words, in whole minutes and never less than one.
pub(super) fn minutes(seconds: f64) -> String {
    format!("{:.0} min", (seconds / 60.0).ceil().max(1.0))
}

/// The lines for instances that wait for a secondary node that does not answer: one for each node, with what
/// an administrator can do.
#[must_use]
pub fn silent_secondaries(steps: &[Step]) -> Vec<LogLine> {
    let mut by_node: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for step in steps {
        if let Step::Note(Note { instance, kind: NoteKind::SecondarySilent { node } }) = step {
            by_node.entry(node).or_default().push(instance);
        }
    }
    let line = |(node, instances): (&str, Vec<&str>)| {
        let text = format!(
            "Node '{node}' does not answer, and without it these instances cannot be started: {}; repair \
             the node, or make sure it is off and then run 'gnt-node modify --offline yes {node}'",
            instances.join(", ")
        );
        LogLine::new(Severity::Warning, text)
    };
    by_node.into_iter().map(line).collect()
}

impl fmt::Display for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tier { behind, .. } => write!(formatter, "its tier waits for instance '{behind}'"),
            Self::Delay { .. } => formatter.write_str("its delay is not over"),
            Self::Busy => formatter.write_str("its node is busy"),
            Self::Memory { node, .. } => write!(formatter, "node '{node}' does not have enough memory"),
        }
    }
}

impl Note {
    /// The line for the note; `None` for what is not logged.
    #[must_use]
    pub fn log_line(&self) -> Option<LogLine> {
        use Severity::{Debug, Error, Info, Warning};
        let name = &self.instance;
        let (severity, text) = match &self.kind {
            NoteKind::Busy(job) => (Info, format!("Leaving instance '{name}' alone, {job} is working on it")),
            NoteKind::RestartRetriesExhausted => {
                (Warning, format!("Not restarting instance '{name}', retries exhausted"))
            }
            NoteKind::GivenUp => (
                Error,
                format!(
                    "Could not restart instance '{name}' after {MAX_TRIES} attempts, giving up: the next try is in {:.0} \
                     hours, or in the next run after 'ganeti-watcher retry {name}'",
                    RETRY_EXPIRATION / 3600.0
                ),
            ),
            NoteKind::Recovered => (Info, format!("Restart of instance '{name}' succeeded")),
            NoteKind::Helpless => return None,
            NoteKind::CleanUpLocked => {
                (Info, format!("Not cleaning up instance '{name}', instance is locked"))
            }
            NoteKind::CleanUpRetriesExhausted => {
                (Warning, format!("Not cleaning up instance '{name}', retries exhausted"))
            }
            NoteKind::DisksNotActive => {
                (Info, format!("Skipping disk activation for instance with not activated disks '{name}'"))
            }
            NoteKind::StartedInThisRun => {
                (Debug, format!("Skipping disk activation for instance '{name}' as it was already started"))
            }
            NoteKind::ActivationHelpless => {
                (Info, format!("Skipping disk activation for instance '{name}' until all its nodes answer"))
            }
            NoteKind::ActivationDelayed { failures, wait } => (
                Warning,
                format!(
                    "Disks of instance '{name}' could not be activated {failures} times, next try in {}",
                    minutes(*wait)
                ),
            ),
            NoteKind::NeverStarted(on) => {
                (Info, format!("Not starting instance '{name}': a tag of {on} says never"))
            }
            NoteKind::Held { until, on } => (
                Info,
                format!(
                    "Not starting instance '{name}': a tag of {on} holds it until {until:.0} (Unix time)"
                ),
            ),
            NoteKind::MoveFailed(FailedMove { job, summary }) => (
                Warning,
                format!(
                    "Not starting instance '{name}': job {job} ({summary}) failed, so it may be running on another node; \
                     find out where it is, then run 'gnt-instance migrate --cleanup {name}' or \
                     'gnt-instance startup {name}'"
                ),
            ),
            NoteKind::MayRunOn(nodes) => (
                Warning,
                format!(
                    "Not starting instance '{name}': its storage does not keep it from running twice, and no answer \
                     comes from {}; repair that, or make sure it is off and then run 'gnt-node modify \
                     --offline yes' with its name",
                    nodes.join(", ")
                ),
            ),
            // One line for all instances of the node, see `silent_secondaries`.
            NoteKind::SecondarySilent { node } => (
                Debug,
                format!("Not starting instance '{name}': its secondary node '{node}' does not answer"),
            ),
            // One line for all instances of the node, see `full::blocked_by_nodes`.
            NoteKind::Blocked { by: by @ BlockedBy::Known(Blame::Node), .. } => {
                (Debug, format!("Not starting instance '{name}' now: its last starts failed because of {by}"))
            }
            NoteKind::Blocked { .. } => return self.blocked_line(),
            // One line for all of them, see `full::FullNodes`.
            NoteKind::LeftForLater(hold @ Hold::Memory { .. }) => {
                (Debug, format!("Leaving instance '{name}' to a later run: {hold}"))
            }
            NoteKind::LeftForLater(hold) => {
                (Info, format!("Leaving instance '{name}' to a later run: {hold}"))
            }
            NoteKind::MirrorNotActive => (
                Warning,
                format!(
                    "Instance '{name}' runs, but Ganeti does not consider its disks active and so does not look after \
                     their mirror; 'gnt-instance activate-disks {name}' repairs that"
                ),
            ),
            NoteKind::RunsDegraded { .. } => (
                Warning,
                format!(
                    "Instance '{name}' was started without its secondary node, and its mirror is not whole yet"
                ),
            ),
            NoteKind::Unknown => (Info, format!("Can't find instance '{name}', maybe it was ignored")),
            NoteKind::VerifyHelpless => (
                Info,
                format!(
                    "Skipping instance '{name}' because it is in a helpless state or has offline secondaries"
                ),
            ),
        };
        Some(LogLine::new(severity, text))
    }

    /// The line for an instance that waits, whoever is to blame.
    pub(super) fn blocked_line(&self) -> Option<LogLine> {
        let Self { instance: name, kind: NoteKind::Blocked { by, failures, wait } } = self else {
            return None;
        };
        let text = format!(
            "Not starting instance '{name}' for another {}: its last starts failed because of {by} ({failures} in a row), which \
             costs no try; 'ganeti-watcher retry {name}' ends the wait",
            minutes(*wait)
        );
        Some(LogLine::new(Severity::Warning, text))
    }
}

impl Action {
    /// The line logged before the action's job is submitted.
    #[must_use]
    pub fn log_line(&self) -> LogLine {
        let name = &self.instance;
        let text = match self.kind {
            ActionKind::Restart { attempt } => format!("Restarting instance '{name}' (attempt #{attempt})"),
            ActionKind::StartDegraded => {
                let text =
                    format!("Starting instance '{name}' on its primary node alone, without its mirror");
                return LogLine::new(Severity::Warning, text);
            }
            ActionKind::CleanUp => {
                format!("Instance '{name}' was shutdown by the user, cleaning up instance")
            }
            ActionKind::ActivateDisks { .. } => format!("Activating disks for instance '{name}'"),
        };
        LogLine::new(Severity::Info, text)
    }

    /// The line for what became of the action.
    #[must_use]
    pub fn outcome_line(&self, outcome: &Outcome) -> LogLine {
        let (doing, how) = match self.kind {
            ActionKind::Restart { .. } => ("restarting", ""),
            ActionKind::StartDegraded => ("starting", " without its mirror"),
            ActionKind::CleanUp => ("cleaning up", ""),
            ActionKind::ActivateDisks { .. } => ("activating disks for", ""),
        };
        let name = &self.instance;
        match outcome {
            Outcome::Succeeded => {
                LogLine::new(Severity::Debug, format!("Finished {doing} instance '{name}'{how}"))
            }
            Outcome::Failed { job, failure, blamed } => {
                let is_start = matches!(self.kind, ActionKind::Restart { .. } | ActionKind::StartDegraded);
                let uncounted = match blamed.what {
                    what if is_start && !what.uses_up_a_try() => {
                        format!(" (not counted as a try: {what} is to blame)")
                    }
                    _ => String::new(),
                };
                LogLine::new(
                    Severity::Error,
                    format!("Error while {doing} instance '{name}'{how}: job {job}: {failure}{uncounted}"),
                )
            }
            Outcome::Unknown(why) => LogLine::new(
                Severity::Error,
                format!("Error while {doing} instance '{name}'{how}: how its job ended is unknown: {why}"),
            ),
            Outcome::NotSubmitted(why) => LogLine::new(
                Severity::Error,
                format!("Error while {doing} instance '{name}'{how}: no job, not counted as a try: {why}"),
            ),
            Outcome::LeftAlone(change) => {
                LogLine::new(Severity::Info, format!("Not {doing} instance '{name}'{how}: {change}"))
            }
        }
    }
}
