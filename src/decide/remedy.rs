//! What follows from a reason: who is to blame, what happens next, what somebody can type.

use crate::cluster::{JobId, Timestamp};

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
