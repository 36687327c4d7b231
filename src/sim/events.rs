//! What happens to the cluster from outside: accidents, and an administrator at work.

use std::time::Duration;

use serde_json::Value;

use super::failure::Failure;
use super::faults::Fault;
use super::model::{Link, Tagged};

/// Something that happens. Nodes and instances go by their full names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A node loses its power.
    PowerOff(String),
    /// A node gets its power back, and boots.
    PowerOn(String),
    /// A node's reachability changes.
    Link(String, Link),
    /// A node is marked offline, or online again.
    Offline(String, bool),
    /// An instance dies.
    Crash(String),
    /// An instance is shut down by its user, from inside.
    UserShutdown(String),
    /// An administrator stops an instance.
    Stop(String),
    /// An administrator starts an instance.
    Start(String),
    /// An administrator marks an instance offline.
    TakeOut(String),
    /// An instance fails over or migrates to its secondary node.
    Move(String),
    /// An instance is removed.
    Remove(String),
    /// An instance behaves properly from now on.
    Repair(String),
    /// An administrator's long job holds an instance and its nodes.
    Occupy(String, Duration),
    /// Somebody submits a job with one opcode, in the form that luxid accepts.
    Submit(Value),
    /// A job with one opcode that ended before anybody looked: successfully, or with that error.
    EndedJob(Value, Option<Failure>),
    /// The links of an instance's disks give up.
    StandAlone(String),
    /// An instance's disks lose their local part on that node because of an error.
    LoseDisk(String, String),
    /// An instance's disks have writes on both sides that the other side has not.
    SplitBrain(String),
    /// An object gets a tag, or loses it.
    Tag {
        /// What it concerns.
        object: Tagged,
        /// The tag.
        tag: String,
        /// Whether it has the tag from now on.
        present: bool,
    },
    /// The job queue is drained, or accepts jobs again.
    Drain(bool),
    /// The watcher is paused for this long, or no longer paused.
    Pause(Option<Duration>),
    /// Jobs with this summary that have not begun are canceled.
    Cancel(String),
    /// Jobs with this summary that have ended are archived.
    Archive(String),
    /// luxid misbehaves.
    Fault(Fault),
    /// luxid dies. It can be started again, or cannot.
    StopLuxid {
        /// Whether `daemon-util` can start it again.
        can_start: bool,
    },
    /// Somebody else starts luxid.
    StartLuxid,
    /// The master is another node now.
    MasterFailover(String),
    /// The current watcher run is killed.
    KillWatcher,
    /// The master node dies and boots again; the current watcher run and every job with a process die with
    /// it.
    CrashMaster,
}

/// When something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// When the box has been running for this long.
    At(Duration),
    /// As soon as an opcode with this summary is running.
    OnStart(String),
    /// As soon as an opcode with this summary has ended.
    OnEnd(String),
    /// As soon as a job whose first opcode has this summary is submitted.
    OnSubmit(String),
}
