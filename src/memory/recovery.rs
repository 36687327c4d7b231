//! The part of the state file that is ours alone: what the fair retry budget and the order of starts
//! remember. It is one object, with the fields of [`Recovery`] as keys, below the key `recovery` at the top
//! level; the original does not know that key, keeps it and ignores it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cluster::{JobId, Timestamp};

/// Failures in a row of the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Failures {
    /// Their number.
    pub failures: u64,
    /// When the last one was.
    pub last: Timestamp,
}

impl Failures {
    /// One more.
    #[must_use]
    pub fn and_one_at(self, now: Timestamp) -> Self {
        Self { failures: self.failures.saturating_add(1), last: now }
    }

    /// Reduced so far that they cause no wait. One is left: it explains why Ganeti may mark the disks as not
    /// active.
    #[must_use]
    pub fn without_wait(self) -> Self {
        Self { failures: self.failures.min(1), last: 0.0 }
    }
}

/// An activation of an instance's disks that has not succeeded yet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Activation {
    /// How often it failed in a row, and when last; 0 if it has not had its turn.
    #[serde(flatten)]
    pub failures: Failures,
    /// The nodes whose reboot calls for it: their boot ids are stored once it has succeeded.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reboots: BTreeSet<String>,
    /// Whether an activation that verify-disks called for has failed. True when no reboot calls for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub found_broken: bool,
}

/// What a node without enough memory said about a start, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// What the instance needs; `None` if unknown.
    pub needed: Option<u64>,
    /// What was free; `None` if unknown.
    pub available: Option<u64>,
    /// Whether the node refused this very instance, and not another one to be started there.
    pub asked: bool,
}

/// What is to blame for a failed job; a code in the state file. The aliases are what earlier versions wrote
/// there: their human-readable words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Blame {
    /// The instance: its disks, its parameters, or a site hook that refuses it.
    #[serde(rename = "instance", alias = "the instance itself")]
    Instance,
    /// Its primary node: away, out of memory, without a bridge, or with a node daemon in trouble.
    #[serde(rename = "node", alias = "its primary node")]
    Node,
    /// Its secondary node: it does not answer, or the DRBD handshake with it fails.
    #[serde(rename = "secondary", alias = "its secondary node")]
    Peer,
    /// The job queue: the job was canceled, or its turn never came.
    #[serde(rename = "job-queue", alias = "the job queue")]
    Queue,
    /// The master: the job's process died, or the configuration could not be read or written.
    #[serde(rename = "master", alias = "the master")]
    Master,
    /// Unknown.
    #[serde(rename = "unknown", alias = "an unknown cause")]
    Unknown,
}

/// What a waiting start was blamed on, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text that says what is to blame")]
pub enum BlockedBy {
    /// Something this version has a code for.
    Known(Blame),
    /// Text that another version wrote, or that was damaged; it is written back unchanged.
    Other(String),
}

/// A start that failed for a reason that is not the instance's fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blocked {
    /// What is to blame.
    pub by: BlockedBy,
    /// How often it failed in a row, and when last.
    #[serde(flatten)]
    pub failures: Failures,
    /// What the blamed node looked like then (see [`crate::decide::budget::Blamed`]); when it looks
    /// different, the wait is over.
    pub cause: String,
    /// Set only if instances of one node and storage failed in the same way: what they failed of (see
    /// [`crate::decide::likeness::Likeness`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alike: Option<String>,
    /// The missing memory, if that was the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Shortage>,
}

/// A migration or failover that failed, so that the instance may be running on either node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedMove {
    pub job: JobId,
    /// Its summary, such as `INSTANCE_MIGRATE(name)`.
    pub summary: String,
}

/// A start that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastFailure {
    /// Its job.
    pub job: JobId,
    /// The job's error, in one line.
    pub error: String,
    /// When the run saw it.
    pub at: Timestamp,
}

/// Something that the log was told of a present condition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// A mark of what it was, only for comparison.
    pub mark: u32,
    /// When.
    pub at: Timestamp,
}

/// A start whose job was about to be submitted, and whose outcome is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The time in the job's reason, in nanoseconds since the epoch; with the reason's text it distinguishes
    /// the job from all others.
    pub reason_ns: u64,
    /// The master's boot id at the time, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_boot_id: Option<String>,
    /// Whether it is a forced start, without the secondary node.
    #[serde(default, skip_serializing_if = "is_false")]
    pub degraded: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What is remembered, by names of instances and nodes. Keys that this program does not know are kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Recovery {
    /// Since when instances have been down.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub down: BTreeMap<String, Timestamp>,
    /// Starts that wait because something other than the instance failed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub blocked: BTreeMap<String, Blocked>,
    /// When this was last updated; kept while some time in it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
    /// Since when nodes have not answered.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub silent: BTreeMap<String, Timestamp>,
    /// Instances that may be running elsewhere.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failed_moves: BTreeMap<String, FailedMove>,
    /// Instances that were started without their secondary node, and when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub degraded: BTreeMap<String, Timestamp>,
    /// Activations that are still due, whatever called for them, by instance.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub activations: BTreeMap<String, Activation>,
    /// Starts whose outcome is not known yet; none after a run that saw them all end.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub starting: BTreeMap<String, Intent>,
    /// Starts that the master did not survive, or whose outcome is unknown: how many in a row, by instance.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lost_starts: BTreeMap<String, Failures>,
    /// Instances that are down: their last start, if it failed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub last_failures: BTreeMap<String, LastFailure>,
    /// When the starts of the last hour succeeded, by instance.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub starts: BTreeMap<String, Vec<Timestamp>>,
    /// What the log was told of present conditions, by condition: nothing is said again before it changes or
    /// an hour has passed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, Told>,
    /// What a later version remembers.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The time of the last look is written again only after so many seconds: otherwise the file would change in
/// every run while anything is down.
const SEEN_AGAIN_AFTER: f64 = 540.0;
/// After a longer gap the "since" times mean nothing: nobody has seen what happened in between, another
/// master may have been active, or the clock was set. A quarter of an hour, from a look that may be as old as
/// [`SEEN_AGAIN_AFTER`].
const LONGEST_GAP: f64 = 900.0 + SEEN_AGAIN_AFTER;
/// For how long successful starts are remembered, in seconds.
const STARTS_KEPT: f64 = 3600.0;

impl Recovery {
    /// Forgets the "since" times if the group was not seen for a while, and notes that it is seen now.
    pub fn see(&mut self, now: Timestamp) {
        if !self.seen.is_some_and(|seen| (0.0..=LONGEST_GAP).contains(&(now - seen))) {
            self.down.clear();
            self.silent.clear();
        }
        // A time that is impossible or in the future cannot be when something began.
        self.down.retain(|_, since| (0.0..=now).contains(since));
        self.silent.retain(|_, since| (0.0..=now).contains(since));
        self.look(now);
    }

    fn look(&mut self, now: Timestamp) {
        let is_recent = |seen: &Timestamp| (0.0..SEEN_AGAIN_AFTER).contains(&(now - seen));
        self.seen = Some(self.seen.filter(is_recent).unwrap_or(now));
    }

    /// A start of this instance has succeeded.
    pub fn note_start(&mut self, instance: &str, now: Timestamp) {
        self.starts.entry(instance.to_owned()).or_default().push(now);
    }

    /// Forgets the starts that are older than an hour, or that a wrong clock puts into the future.
    pub fn forget_old_starts(&mut self, now: Timestamp) {
        self.starts.retain(|_, times| {
            times.retain(|time| (0.0..=STARTS_KEPT).contains(&(now - time)));
            !times.is_empty()
        });
    }

    /// How many starts of this instance have succeeded within the last hour.
    #[must_use]
    pub fn starts_within_an_hour(&self, instance: &str) -> usize {
        self.starts.get(instance).map_or(0, Vec::len)
    }

    /// Keeps the time of the last look only where some time depends on it.
    pub fn seen_until(&mut self, now: Timestamp) {
        if self.down.is_empty() && self.silent.is_empty() {
            self.seen = None;
        } else {
            self.look(now);
        }
    }

    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn read(value: Value) -> Result<Self, String> {
        serde_path_to_error::deserialize(value).map_err(|error| error.to_string())
    }

    pub(super) fn write(&self) -> Value {
        // Texts, numbers and maps with text keys can always be written.
        serde_json::to_value(self).unwrap_or_else(|_| Value::Object(Map::new()))
    }
}

#[cfg(test)]
mod tests;
