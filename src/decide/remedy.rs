//! What follows from a reason: who is to blame, what happens next, what somebody can type.

use super::blame::Blame;
use super::budget::MAX_TRIES;
use super::reason::Reason;
use crate::cluster::{JobId, Timestamp};
use crate::memory::recovery::BlockedBy;

/// What is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Culprit {
    /// The instance itself.
    Instance,
    /// This node.
    Node(String),
    /// This secondary node.
    Peer(String),
    /// One of its secondary nodes.
    Secondary,
    /// The job queue.
    Queue,
    /// The master.
    Master,
    /// Its storage.
    Storage,
    /// Unknown.
    Unknown,
}

/// What happens next, as far as the watcher is concerned.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// It is done in this run.
    Now,
    /// It is tried again in the next run.
    InNextRun,
    /// It is tried again in the first run after this moment.
    At(Timestamp),
    /// It is tried again in the first run after something has changed.
    When(Condition),
    /// Nothing, unless somebody does something.
    Never,
}

/// What has to change.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// This node answers.
    Answers(String),
    /// All these nodes answer.
    AllAnswer(Vec<String>),
    /// This job has ended.
    JobEnds(JobId),
    /// Nobody holds its lock.
    LockIsFree,
    /// The tiers before its own are up.
    TierIsUp {
        /// The instance that is waited for.
        behind: String,
        /// When the wait for it ends.
        until: Timestamp,
    },
    /// Its tag is removed.
    TagIsGone,
    /// The watcher's pause is over.
    PauseIsOver,
    /// The job queue is open.
    QueueIsOpen,
}

/// A command for an administrator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// Marks this node offline, once it is certain that it is off.
    MarkOffline(String),
    /// Starts this node's instances on their secondaries.
    FailOverNode(String),
    /// Finds out where this instance is.
    CleanUpMigration(String),
    /// Starts this instance.
    StartUp(String),
    /// Activates the disks of this instance.
    ActivateDisks(String),
    /// Gives this instance all its tries back.
    Retry(String),
    /// Opens the job queue.
    OpenQueue,
}

impl Reason {
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
            Self::CutShort => Some(Culprit::Master),
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
            | Self::Changed
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
            // It is given up then.
            Self::StartFailed { tries: MAX_TRIES.. } => Next::Never,
            Self::Room
            | Self::StartFailed { .. }
            | Self::NotSubmitted { .. }
            | Self::Changed
            | Self::CutShort
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
            | Self::StartFailed { tries: MAX_TRIES.. }
            | Self::CleanUpOutOfTries => vec![Command::Retry(name())],
            Self::MirrorNotActive | Self::MirrorNotActivated { .. } => vec![Command::ActivateDisks(name())],
            Self::Drained => vec![Command::OpenQueue],
            _ => Vec::new(),
        }
    }
}
