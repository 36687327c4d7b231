//! The steps of a plan: what is done, what is left alone and why, and what became of each.

use super::action::Action;
use super::budget::Blamed;
use super::hold::Hold;
use super::second_look::Changed;
use super::tags::Place;
use crate::cluster::{JobFailure, JobId, PendingJob, Timestamp};
use crate::memory::recovery::{BlockedBy, FailedMove};

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

/// What to say about an instance for which nothing is done.
#[derive(Debug, Clone, PartialEq)]
pub enum NoteKind {
    /// Something should be done for it, but a job that has not ended is working on it.
    Busy(PendingJob),
    /// It is down, and was given up earlier.
    RestartRetriesExhausted,
    /// It is down after the last try, and is given up now.
    GivenUp,
    /// It was started earlier and is no longer down.
    Recovered,
    /// It was started earlier, and now its primary node is away: its record is dropped without a log line.
    Helpless,
    /// It needs a clean-up, but somebody holds its lock.
    CleanUpLocked,
    /// It needs a clean-up that failed too often.
    CleanUpRetriesExhausted,
    /// Its secondary node rebooted, but its disks are not in use.
    DisksNotActive,
    /// Its secondary node rebooted, but it was started in this run, which assembled its disks.
    StartedInThisRun,
    /// Its secondary node rebooted, but its primary node is away; it is tried again when that is back.
    ActivationHelpless,
    /// Its secondary node rebooted, and the activation of its disks failed; it is too early to try again.
    ActivationDelayed {
        /// How often the activation has failed.
        failures: u64,
        /// Seconds until it is tried again.
        wait: f64,
    },
    /// It is down, and a tag says that the watcher never starts it.
    NeverStarted(Place),
    /// It is down, and a tag says that it is not to be started yet.
    Held {
        /// Until when.
        until: Timestamp,
        /// The object that has the tag.
        on: Place,
    },
    /// It is down, but it may be running on another node since its last migration or failover failed.
    MoveFailed(FailedMove),
    /// It is down, but its storage would let it run on one of these nodes too, and they do not answer.
    MayRunOn(Vec<String>),
    /// It is down, and cannot be started without force while its secondary node does not answer.
    SecondarySilent {
        /// That node.
        node: String,
    },
    /// It is down, its last start failed for a reason that is not its own, and it is too early to try again.
    Blocked {
        /// What was to blame.
        by: BlockedBy,
        /// How often in a row.
        failures: u64,
        /// Seconds until it is tried again.
        wait: f64,
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
    /// verify-disks names it, but its primary node is away or a secondary is offline.
    VerifyHelpless,
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
