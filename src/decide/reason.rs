//! The reasons: why an instance does not run or is not whole, each with its facts and a code that never
//! changes its meaning.

use super::blame::Blame;
use super::budget::{self, MAX_TRIES};
use super::remedy::{Command, Condition, Culprit, Next};
use super::tags::Place;
use crate::cluster::{JobFailure, JobId, PendingJob, Timestamp};
use crate::memory::recovery::{BlockedBy, FailedMove, LastFailure, Shortage};
use crate::memory::state::State;

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
    /// It came up and went down again this many times within an hour. This alone keeps it from nothing.
    Flapping {
        /// How many times.
        times: usize,
    },
    /// The watcher was paused before its turn.
    Paused,
    /// The job queue is drained.
    Drained,
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
pub const CODES: [&str; 29] = [
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
    "flapping",
    "paused",
    "drained",
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
            Self::Flapping { .. } => "flapping",
            Self::Paused => "paused",
            Self::Drained => "drained",
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

    /// Whether somebody has to do something, because it does not pass by itself.
    #[must_use]
    pub fn needs_human(&self) -> bool {
        matches!(self.next(), Next::Never)
    }

    /// What is to blame; `None` where somebody decided it, or nothing went wrong. `primary` is the instance's
    /// primary node.
    #[must_use]
    pub fn blame(&self, primary: &str) -> Option<Culprit> {
        let node = |name: &str| Some(Culprit::Node(name.to_owned()));
        match self {
            Self::PrimarySilent { node: name, .. } => node(name),
            Self::SecondarySilent { node: name, .. } => Some(Culprit::Peer(name.clone())),
            Self::SharedStorageUnsure { nodes } => nodes.first().map(|name| Culprit::Node(name.clone())),
            Self::NoMemory { .. } => node(primary),
            Self::Backoff { by: BlockedBy::Known(blame), .. } => Some(match blame {
                Blame::Instance => Culprit::Instance,
                Blame::Node => Culprit::Node(primary.to_owned()),
                Blame::Peer => Culprit::Secondary,
                Blame::Queue => Culprit::Queue,
                Blame::Master => Culprit::Master,
                Blame::Unknown => Culprit::Unknown,
            }),
            Self::OutOfTries { .. }
            | Self::GivenUp { .. }
            | Self::StartFailed { .. }
            | Self::CleanUpOutOfTries
            | Self::Flapping { .. } => Some(Culprit::Instance),
            Self::NotSubmitted { .. } | Self::Drained => Some(Culprit::Queue),
            Self::MirrorPeerAway { node: Some(name) } => Some(Culprit::Peer(name.clone())),
            Self::MirrorDegraded { .. } | Self::MirrorNotActive => Some(Culprit::Storage),
            Self::Backoff { .. }
            | Self::MoveFailed(_)
            | Self::Unreadable
            | Self::StatusUnknown { .. }
            | Self::MirrorPeerAway { node: None }
            | Self::MirrorNotActivated { .. } => Some(Culprit::Unknown),
            Self::PrimaryOffline { .. }
            | Self::JobRunning(_)
            | Self::Locked
            | Self::TagNever(_)
            | Self::TagHold { .. }
            | Self::Tier { .. }
            | Self::Delay { .. }
            | Self::Room
            | Self::Paused
            | Self::SplitGroups { .. } => None,
        }
    }

    /// What has to happen before the watcher goes on.
    #[must_use]
    pub fn next(&self) -> Next {
        let answers = |node: &String| Next::When(Condition::Answers(node.clone()));
        match self {
            Self::PrimarySilent { node, .. }
            | Self::SecondarySilent { node, .. }
            | Self::MirrorPeerAway { node: Some(node) } => answers(node),
            Self::SharedStorageUnsure { nodes } => Next::When(Condition::AllAnswer(nodes.clone())),
            Self::JobRunning(job) => Next::When(Condition::JobEnds(job.id)),
            Self::Locked => Next::When(Condition::LockIsFree),
            Self::Tier { behind, until } => {
                Next::When(Condition::TierIsUp { behind: behind.clone(), until: *until })
            }
            Self::TagHold { until, .. }
            | Self::Delay { until }
            | Self::Backoff { until, .. }
            | Self::NoMemory { until, .. }
            | Self::MirrorNotActivated { until, .. } => Next::At(*until),
            Self::Paused => Next::When(Condition::PauseIsOver),
            Self::Drained => Next::When(Condition::QueueIsOpen),
            Self::Room
            | Self::StartFailed { .. }
            | Self::NotSubmitted { .. }
            | Self::Flapping { .. }
            | Self::MirrorDegraded { .. }
            | Self::MirrorPeerAway { node: None } => Next::InNextRun,
            Self::TagNever(_) => Next::When(Condition::TagIsGone),
            Self::PrimaryOffline { .. }
            | Self::MoveFailed(_)
            | Self::OutOfTries { .. }
            | Self::GivenUp { .. }
            | Self::CleanUpOutOfTries
            | Self::SplitGroups { .. }
            | Self::Unreadable
            | Self::StatusUnknown { .. }
            | Self::MirrorNotActive => Next::Never,
        }
    }

    /// What an administrator can type, in order.
    #[must_use]
    pub fn commands(&self, instance: &str) -> Vec<Command> {
        let name = || instance.to_owned();
        match self {
            Self::PrimarySilent { node, .. } => {
                vec![Command::MarkOffline(node.clone()), Command::FailOverNode(node.clone())]
            }
            Self::PrimaryOffline { node } => vec![Command::FailOverNode(node.clone())],
            Self::SecondarySilent { node, .. } | Self::MirrorPeerAway { node: Some(node) } => {
                vec![Command::MarkOffline(node.clone())]
            }
            Self::SharedStorageUnsure { nodes } => nodes.iter().cloned().map(Command::MarkOffline).collect(),
            Self::MoveFailed(_) => vec![Command::CleanUpMigration(name()), Command::StartUp(name())],
            Self::Backoff { .. }
            | Self::NoMemory { .. }
            | Self::OutOfTries { .. }
            | Self::GivenUp { .. }
            | Self::CleanUpOutOfTries => vec![Command::Retry(name())],
            Self::MirrorNotActive | Self::MirrorNotActivated { .. } => vec![Command::ActivateDisks(name())],
            Self::Drained => vec![Command::OpenQueue],
            _ => Vec::new(),
        }
    }

    pub(super) fn of_last_failure(tries: u64) -> Option<Self> {
        (1..=MAX_TRIES).contains(&tries).then_some(Self::StartFailed { tries })
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

/// What is remembered of a job that failed.
#[must_use]
pub fn last_failure(job: JobId, failure: &JobFailure, now: Timestamp) -> LastFailure {
    LastFailure { job, error: failure.to_string(), at: now }
}
