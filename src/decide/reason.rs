//! The reasons: why an instance does not run or is not whole, each with its facts and a code that never
//! changes its meaning.

use super::budget;
use super::tags::Place;
use crate::cluster::{JobFailure, JobId, PendingJob, Timestamp, excerpt};
use crate::memory::recovery::{BlockedBy, FailedMove, LastFailure, Shortage};
use crate::memory::state::State;

/// The most that is remembered of a job's error, in bytes.
const LONGEST_ERROR: usize = 300;

/// Why an instance does not run, or runs without all that it should have.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// Its primary node does not answer.
    PrimarySilent {
        /// That node.
        node: String,
        /// Since when, if known.
        since: Option<Timestamp>,
    },
    /// Its primary node is marked offline.
    PrimaryOffline {
        /// That node.
        node: String,
    },
    /// It cannot be started without force while its secondary node does not answer.
    SecondarySilent {
        /// That node.
        node: String,
        /// Since when, if known.
        since: Option<Timestamp>,
    },
    /// Its storage would let it run on these nodes too, and they do not answer.
    SharedStorageUnsure {
        /// Names of the nodes.
        nodes: Vec<String>,
    },
    /// It may be running on another node since its last migration or failover failed.
    MoveFailed(FailedMove),
    /// A job that has not ended is working on it.
    JobRunning(PendingJob),
    /// Somebody holds its lock.
    Locked,
    /// A tag says that the watcher never starts it.
    TagNever(Place),
    /// A tag says that it is not to be started yet.
    TagHold {
        /// Until when.
        until: Timestamp,
        /// What has the tag.
        on: Place,
    },
    /// An instance of a lower tier is not up yet.
    Tier {
        /// Name of that instance.
        behind: String,
        /// When the wait for it ends.
        until: Timestamp,
    },
    /// Its delay is not over.
    Delay {
        /// When it is.
        until: Timestamp,
    },
    /// Its node, or the whole cluster, had no room for its job in this run.
    Room,
    /// Its last start failed for a reason that is not its own, and it is too early to try again.
    Backoff {
        /// What was to blame.
        by: BlockedBy,
        /// How often in a row.
        failures: u64,
        /// When it is tried again.
        until: Timestamp,
    },
    /// Its primary node does not have enough memory for it.
    NoMemory {
        /// How often in a row its start failed of that.
        failures: u64,
        /// What it needs, and what there was.
        shortage: Shortage,
        /// When it is tried again.
        until: Timestamp,
    },
    /// It was given up in an earlier run.
    OutOfTries {
        /// When all begins anew.
        until: Timestamp,
    },
    /// It is given up in this run, after its last try.
    GivenUp {
        /// When all begins anew.
        until: Timestamp,
    },
    /// Its user shut it down, and cleaning it up failed too often.
    CleanUpOutOfTries,
    /// Its last start failed, and it has tries left.
    StartFailed {
        /// How many tries it has used up.
        tries: u64,
    },
    /// luxid did not take its job.
    NotSubmitted {
        /// Why.
        why: String,
    },
    /// It, or what its start depends on, has changed since this run planned its start.
    Changed,
    /// It came up and went down again this many times within an hour. This alone keeps it from nothing.
    Flapping {
        /// How many times.
        times: usize,
    },
    /// The watcher was paused before its turn.
    Paused,
    /// The job queue is drained.
    Drained,
    /// The run ended with an error before its turn.
    CutShort,
    /// Its nodes are in different node groups, so the watcher leaves it alone.
    SplitGroups {
        /// UUID of the primary node's group.
        primary: String,
        /// UUIDs of the secondary nodes' groups.
        secondaries: Vec<String>,
    },
    /// luxid describes it in a way that cannot be read.
    Unreadable,
    /// Its status is a word that this version does not know.
    StatusUnknown {
        /// The word.
        word: String,
    },
    /// It runs, but Ganeti does not consider its mirrored disks active, and so never repairs them.
    MirrorNotActive,
    /// It was started without its secondary node, and its mirror is not whole yet.
    MirrorDegraded {
        /// When it was started.
        since: Timestamp,
    },
    /// A node rebooted and its disks must be activated again, but one of its nodes does not answer.
    MirrorPeerAway {
        /// That node; none if it is unknown which.
        node: Option<String>,
    },
    /// The activation of its disks failed; it is too early to try again.
    MirrorNotActivated {
        /// How often in a row.
        failures: u64,
        /// When it is tried again.
        until: Timestamp,
    },
}

/// The codes, in the order of [`Reason`]'s variants. A code that exists keeps its meaning for ever.
pub const CODES: [&str; 31] = [
    "primary_silent",
    "primary_offline",
    "secondary_silent",
    "shared_storage_unsure",
    "move_failed",
    "job_running",
    "locked",
    "tag_never",
    "tag_hold",
    "tier",
    "delay",
    "room",
    "backoff",
    "no_memory",
    "out_of_tries",
    "given_up",
    "clean_up_out_of_tries",
    "start_failed",
    "not_submitted",
    "changed",
    "flapping",
    "paused",
    "drained",
    "cut_short",
    "split_groups",
    "unreadable",
    "status_unknown",
    "mirror_not_active",
    "mirror_degraded",
    "mirror_peer_away",
    "mirror_not_activated",
];

/// The code of a node that does not answer and that no instance is down with.
pub const NODE_SILENT: &str = "node_silent";

impl Reason {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::PrimarySilent { .. } => "primary_silent",
            Self::PrimaryOffline { .. } => "primary_offline",
            Self::SecondarySilent { .. } => "secondary_silent",
            Self::SharedStorageUnsure { .. } => "shared_storage_unsure",
            Self::MoveFailed(_) => "move_failed",
            Self::JobRunning(_) => "job_running",
            Self::Locked => "locked",
            Self::TagNever(_) => "tag_never",
            Self::TagHold { .. } => "tag_hold",
            Self::Tier { .. } => "tier",
            Self::Delay { .. } => "delay",
            Self::Room => "room",
            Self::Backoff { .. } => "backoff",
            Self::NoMemory { .. } => "no_memory",
            Self::OutOfTries { .. } => "out_of_tries",
            Self::GivenUp { .. } => "given_up",
            Self::CleanUpOutOfTries => "clean_up_out_of_tries",
            Self::StartFailed { .. } => "start_failed",
            Self::NotSubmitted { .. } => "not_submitted",
            Self::Changed => "changed",
            Self::Flapping { .. } => "flapping",
            Self::Paused => "paused",
            Self::Drained => "drained",
            Self::CutShort => "cut_short",
            Self::SplitGroups { .. } => "split_groups",
            Self::Unreadable => "unreadable",
            Self::StatusUnknown { .. } => "status_unknown",
            Self::MirrorNotActive => "mirror_not_active",
            Self::MirrorDegraded { .. } => "mirror_degraded",
            Self::MirrorPeerAway { .. } => "mirror_peer_away",
            Self::MirrorNotActivated { .. } => "mirror_not_activated",
        }
    }

    /// Whether it keeps an instance that should run from being started.
    #[must_use]
    pub fn prevents_start(&self) -> bool {
        !matches!(self, Self::Flapping { .. }) && !self.is_about_a_mirror()
    }

    /// Whether it is about an instance's mirror, not about whether it runs.
    #[must_use]
    pub fn is_about_a_mirror(&self) -> bool {
        matches!(
            self,
            Self::MirrorNotActive
                | Self::MirrorDegraded { .. }
                | Self::MirrorPeerAway { .. }
                | Self::MirrorNotActivated { .. }
        )
    }
}

/// What the instance waits for after a failure that is not its own.
#[must_use]
pub fn of_wait(state: &State, instance: &str, now: Timestamp) -> Option<Reason> {
    let wait = budget::wait(state, instance, now)?;
    let until = now + wait.seconds;
    let failures = wait.failures;
    Some(match state.recovery.blocked.get(instance).and_then(|blocked| blocked.memory) {
        Some(shortage) => Reason::NoMemory { failures, shortage, until },
        None => Reason::Backoff { by: wait.by, failures, until },
    })
}

/// What is remembered of a job that failed. The state file is written often, and thousands may fail.
#[must_use]
pub fn last_failure(job: JobId, failure: &JobFailure, now: Timestamp) -> LastFailure {
    LastFailure { job, error: excerpt(&failure.to_string(), LONGEST_ERROR), at: now }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
