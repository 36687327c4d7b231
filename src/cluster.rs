//! The model: what one node group looks like at one moment, in Ganeti's own words. Pure.
//!
//! Source: `watcher/__init__.py: _GetGroupData`. Names are full ones, with their domain.

mod excerpt;
mod job;
mod name;
mod seen;
mod status;
#[cfg(test)]
pub(crate) mod testing;
pub mod timespec;
mod version;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

pub use excerpt::{LONGEST_NAME, LONGEST_QUOTE, LONGEST_TEXT, excerpt, few, quoted};
pub use job::{EndedOpCode, GanetiError, JobFailure, JobId, OpEnd, PendingJob};
pub use name::Name;
pub use seen::{Fate, Seen};
pub use status::InstanceStatus;
pub use version::GanetiVersion;

/// Seconds since the epoch, as Python's `time.time()` gives them and the state file stores them.
pub type Timestamp = f64;

/// One node group as luxid described it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// UUID of the node group.
    pub group: String,
    /// Its name; empty as long as it is unknown.
    pub group_name: String,
    /// Instances with their primary node in this group, in luxid's natural order of names, without split
    /// ones.
    pub instances: Vec<Instance>,
    /// Instances that are left alone because their nodes are in different groups.
    pub split: Vec<SplitInstance>,
    /// The group's nodes, in luxid's natural order of names.
    pub nodes: Vec<Node>,
    /// Names of the instances whose lock somebody holds, and how.
    pub locked_instances: BTreeMap<String, LockMode>,
    /// UUIDs of the nodes whose lock somebody held exclusively at the last second look; empty before that.
    pub locked_nodes: BTreeSet<String>,
    /// Every job of the cluster that has not ended.
    pub pending_jobs: Vec<PendingJob>,
    /// Names of the instances that luxid described in a way that cannot be read. Nothing is done to them, and
    /// nothing about them is forgotten.
    pub unreadable_instances: Vec<String>,
    /// Names of the nodes that luxid described in a way that cannot be read. Whether they answer is unknown.
    pub unreadable_nodes: Vec<String>,
    /// Tags of the node group.
    pub tags: Vec<String>,
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Others may hold it the same way.
    Shared,
    /// Nobody else holds it.
    Exclusive,
    /// luxid did not say, or used an unknown word.
    Unknown,
}

impl LockMode {
    /// Whether a job that wants the lock may have to wait for it, even if it wants it shared.
    #[must_use]
    pub fn may_be_exclusive(self) -> bool {
        self != Self::Shared
    }
}

/// An instance, with the fields that decisions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Full name.
    pub name: String,
    /// What luxid derived from configuration and live state (`Query/Instance.hs: determineInstanceStatus`).
    pub status: InstanceStatus,
    /// Whether the configuration wants it up, down or offline.
    pub admin_state: AdminState,
    /// Whether Ganeti considers its disks assembled.
    pub disks_active: bool,
    /// Name of its primary node.
    pub primary: String,
    /// Names of its secondary nodes; at most one with DRBD.
    pub secondaries: Vec<String>,
    /// `drbd`, `plain`, `ext`, `diskless`, `mixed` and so on (`constants.DT_*`).
    pub disk_template: String,
    /// The memory that Ganeti requires to start it (`be/minmem`), in MiB; `None` when luxid did not say.
    pub memory: Option<u64>,
    pub tags: Vec<String>,
}

/// What the configuration wants of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminState {
    /// To be running.
    Up,
    /// To be stopped.
    Down,
    /// To be ignored.
    Offline,
}

/// An instance with nodes in more than one node group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitInstance {
    /// Full name.
    pub name: String,
    /// UUID of the primary node's group.
    pub primary_group: String,
    /// UUIDs of the secondary nodes' groups.
    pub secondary_groups: Vec<String>,
}

/// A node of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Full name.
    pub name: String,
    /// The kernel's boot id, a UUID that is new at every boot; `None` when the node did not answer or is
    /// marked offline.
    pub boot_id: Option<String>,
    /// Whether an administrator marked it offline; `None` when luxid did not say.
    pub offline: Option<bool>,
    /// Whether instances may run on it; `None` when luxid did not say.
    pub vm_capable: Option<bool>,
    /// Its primary IP address, of either family.
    pub address: String,
    pub uuid: String,
}

impl Node {
    /// Whether it is known that an administrator marked it offline.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline == Some(true)
    }

    /// Whether it is known that it should answer and does not.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.offline == Some(false) && self.boot_id.is_none()
    }

    /// Whether it does not answer, and is not known to be marked offline.
    #[must_use]
    pub fn may_be_silent(&self) -> bool {
        !self.is_offline() && self.boot_id.is_none()
    }

    /// Whether instances may run on it, as far as is known.
    #[must_use]
    pub fn may_run_instances(&self) -> bool {
        self.vm_capable != Some(false)
    }
}

impl Snapshot {
    /// The instance of that name, unless it is unknown or split.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.name == name)
    }

    /// All of [`Snapshot::instances`] by name, for callers that look up many.
    #[must_use]
    pub fn instances_by_name(&self) -> HashMap<&str, &Instance> {
        self.instances.iter().map(|instance| (instance.name.as_str(), instance)).collect()
    }

    /// Whether an instance that is not among [`Snapshot::instances`] may exist all the same: a row that
    /// cannot be read may be any instance's, as even its name may be missing.
    #[must_use]
    pub fn has_unreadable_instances(&self) -> bool {
        !self.unreadable_instances.is_empty()
    }

    /// The node of that name, if it is in the group.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Name of the first of the instance's secondary nodes that should answer and does not, or about which
    /// luxid did not say enough. The instance then cannot be started without force.
    #[must_use]
    pub fn silent_secondary<'i>(&self, instance: &'i Instance) -> Option<&'i str> {
        let may_be_silent = |name: &&String| match self.node(name) {
            Some(node) => node.may_be_silent(),
            // A row that cannot be read may be that node's, whatever name it has.
            None => !self.unreadable_nodes.is_empty(),
        };
        instance.secondaries.iter().find(may_be_silent).map(String::as_str)
    }

    /// Whether each of the instance's secondary nodes either answers or is known to be silent or marked
    /// offline.
    #[must_use]
    pub fn knows_secondaries(&self, instance: &Instance) -> bool {
        let is_known = |name: &String| match self.node(name) {
            Some(node) => node.offline.is_some() || node.boot_id.is_some(),
            None => self.unreadable_nodes.is_empty(),
        };
        instance.secondaries.iter().all(is_known)
    }

    /// A job that is about this instance and has not ended; the first if there are several.
    #[must_use]
    pub fn job_at(&self, instance: &str) -> Option<&PendingJob> {
        self.pending_jobs.iter().find(|job| job.touches(instance))
    }

    /// The instances by name of their secondary node; one with several is listed for each.
    #[must_use]
    pub fn instances_by_secondary(&self) -> BTreeMap<&str, Vec<&Instance>> {
        let mut by_secondary: BTreeMap<&str, Vec<&Instance>> = BTreeMap::new();
        for instance in &self.instances {
            for node in &instance.secondaries {
                by_secondary.entry(node).or_default().push(instance);
            }
        }
        by_secondary
    }

    /// Whether one of the instance's secondary nodes is marked offline (`watcher/__init__.py:
    /// _CheckForOfflineNodes`).
    #[must_use]
    pub fn has_offline_secondary(&self, instance: &Instance) -> bool {
        self.nodes.iter().any(|node| node.is_offline() && instance.secondaries.contains(&node.name))
    }
}

impl Instance {
    /// Whether its user shut it down from inside while the configuration still wants it up
    /// (`watcher/__init__.py: Instance.NeedsCleanup`).
    #[must_use]
    pub fn needs_clean_up(&self) -> bool {
        self.status == InstanceStatus::UserDown && self.admin_state != AdminState::Down
    }

    /// Whether its disks are mirrored between its nodes by DRBD.
    #[must_use]
    pub fn is_mirrored(&self) -> bool {
        self.disk_template == "drbd"
    }
}
