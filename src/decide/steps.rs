//! The steps of a plan: what is done, what is left alone and why, and what became of each.

use super::action::Action;
use super::budget::Blamed;
use super::hold::Hold;
use super::reason::Reason;
use super::second_look::Changed;
use crate::cluster::{JobFailure, JobId, PendingJob, Timestamp};

/// One entry of a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Something to do.
    Act(Action),
    /// Something left alone, or merely remembered, and why.
    Note(Note),
}

/// What to say and what to do, each in the order of the steps.
#[must_use]
pub fn split(steps: impl IntoIterator<Item = Step>) -> (Vec<Note>, Vec<Action>) {
    let (mut notes, mut actions) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Note(note) => notes.push(note),
            Step::Act(action) => actions.push(action),
        }
    }
    (notes, actions)
}

/// Something about one instance that needs no job.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// Name of the instance.
    pub instance: String,
    /// What it is.
    pub kind: NoteKind,
}

/// Why nothing is done for an instance, or what was seen of it.
#[derive(Debug, Clone, PartialEq)]
pub enum NoteKind {
    /// It is down, and is not started for these reasons; the first one decides.
    NotStarted(Vec<Reason>),
    /// Its user shut it down, and it is not cleaned up for these reasons; the first one decides.
    NotCleanedUp(Vec<Reason>),
    /// Its disks should be activated, but a job that has not ended is working on it.
    Busy(PendingJob),
    /// It was started earlier and is no longer down.
    Recovered,
    /// It was started earlier, and now its primary node is away: its record is dropped.
    Helpless,
    /// Its secondary node rebooted, but its disks are not in use.
    DisksNotActive,
    /// Its secondary node rebooted, but it was started in this run, which assembled its disks.
    StartedInThisRun,
    /// Its secondary node rebooted, but one of its nodes is away; it is tried again when that is back.
    ActivationHelpless,
    /// Its secondary node rebooted, and the activation of its disks failed; it is too early to try again.
    ActivationDelayed {
        /// How often the activation has failed.
        failures: u64,
        /// When it is tried again.
        until: Timestamp,
    },
    /// Its turn did not come in this run.
    LeftForLater(Hold),
    /// It runs, but Ganeti does not consider its mirrored disks active, and so never repairs them.
    MirrorNotActive,
    /// It was started without its secondary node, and its mirror is not whole yet.
    RunsDegraded {
        /// Since when.
        since: Timestamp,
    },
    /// verify-disks names it, but it is unknown or was ignored.
    Unknown,
    /// verify-disks names it, but nothing can be done.
    VerifyHelpless {
        /// Because one of its nodes does not answer, or its primary node is offline: that has its verdict.
        /// Otherwise because a secondary node is marked offline.
        is_out_of_reach: bool,
    },
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The job succeeded.
    Succeeded,
    /// The job failed.
    Failed {
        /// The job.
        job: JobId,
        /// Why.
        failure: JobFailure,
        /// Whose fault that is.
        blamed: Blamed,
    },
    /// There is, or may be, a job, but it could not be found out how it ended; the text says why.
    Unknown(String),
    /// There is no job, because luxid did not take it; the text says why.
    NotSubmitted(String),
    /// It was left alone, because it had changed in the meantime.
    LeftAlone(Changed),
}
