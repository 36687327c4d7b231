//! The log lines of decisions and outcomes. Where the original has a line for the same event, its greppable words are
//! kept.

use super::instances::MAX_TRIES;
use super::{Action, ActionKind, Note, NoteKind, Outcome};

/// How much a line matters, in Python's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Only with `--debug`.
    Debug,
    /// What a run does.
    Info,
    /// What an administrator should know.
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
    pub(super) fn new(severity: Severity, text: String) -> Self {
        Self { severity, text }
    }
}

impl Note {
    /// The line for the note; `None` for what goes without a word.
    #[must_use]
    pub fn log_line(&self) -> Option<LogLine> {
        use Severity::{Debug, Error, Info, Warning};
        let name = &self.instance;
        let (severity, text) = match &self.kind {
            NoteKind::Busy(job) => (Info, format!("Leaving instance '{name}' alone, {job} is at it")),
            NoteKind::RestartRetriesExhausted => {
                (Warning, format!("Not restarting instance '{name}', retries exhausted"))
            }
            NoteKind::GivenUp => {
                (Error, format!("Could not restart instance '{name}' after {MAX_TRIES} attempts, giving up"))
            }
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
            NoteKind::ActivationHelpless => (
                Info,
                format!("Skipping disk activation for instance '{name}' until its primary node is back"),
            ),
            NoteKind::ActivationDelayed { failures, wait } => (
                Warning,
                format!(
                    "Disks of instance '{name}' could not be activated {failures} times, next try in {:.0} min",
                    (wait / 60.0).ceil()
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
}

impl Action {
    /// The line before the action's job is submitted.
    #[must_use]
    pub fn log_line(&self) -> LogLine {
        let name = &self.instance;
        let text = match self.kind {
            ActionKind::Restart { attempt } => format!("Restarting instance '{name}' (attempt #{attempt})"),
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
        let doing = match self.kind {
            ActionKind::Restart { .. } => "restarting",
            ActionKind::CleanUp => "cleaning up",
            ActionKind::ActivateDisks { .. } => "activating disks for",
        };
        let name = &self.instance;
        match outcome {
            Outcome::Succeeded => {
                LogLine::new(Severity::Debug, format!("Finished {doing} instance '{name}'"))
            }
            Outcome::Failed { job, failure } => LogLine::new(
                Severity::Error,
                format!("Error while {doing} instance '{name}': job {job}: {failure}"),
            ),
            Outcome::Unknown(why) => LogLine::new(
                Severity::Error,
                format!("Error while {doing} instance '{name}': how its job ended is unknown: {why}"),
            ),
            Outcome::NotSubmitted(why) => LogLine::new(
                Severity::Error,
                format!("Error while {doing} instance '{name}': no job, not counted as a try: {why}"),
            ),
            Outcome::LeftAlone(change) => {
                LogLine::new(Severity::Info, format!("Not {doing} instance '{name}': {change}"))
            }
        }
    }
}
