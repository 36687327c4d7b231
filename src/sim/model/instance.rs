//! The instances of the cluster in the box, and how they misbehave.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::AdminState;
use crate::sim::drbd::Drbd;

/// An instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Name of its primary node.
    pub primary: String,
    /// Its tags.
    pub tags: BTreeSet<String>,
    /// What the configuration wants of it.
    pub admin_state: AdminState,
    /// Whether its user, and not an administrator, set that.
    pub set_by_user: bool,
    /// Its actual condition.
    pub live: Live,
    /// `kvm`, `xen-pvm`, `fake` and so on.
    pub hypervisor: String,
    /// The hypervisor parameter `user_shutdown`, which KVM needs to notice a user's shutdown.
    pub notices_user_shutdown: bool,
    /// Its memory, in MiB.
    pub memory: u64,
    /// Whether Ganeti considers its disks assembled.
    pub disks_active: bool,
    /// `drbd`, `plain`, `ext`, `diskless` and so on.
    pub disk_template: String,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Whether it is only planned (forthcoming).
    pub forthcoming: bool,
    /// How it misbehaves.
    pub habits: Habits,
}

/// What an instance is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// Its hypervisor does not know it.
    Absent,
    /// It runs on that node.
    Running(String),
    /// Its user stopped it; the hypervisor on that node still has its remains.
    Stopped(String),
}

/// A disk of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its UUID.
    pub uuid: String,
    /// The mirror, with the template `drbd`.
    pub mirror: Option<Drbd>,
    /// Nodes on which its logical volume is gone.
    pub missing_on: Vec<String>,
}

/// How an instance misbehaves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Habits {
    /// Its starts fail.
    pub start: Option<Trouble>,
    /// Its activations fail.
    pub activate: Option<Trouble>,
    /// Its shutdowns fail.
    pub shutdown: Option<Trouble>,
    /// It dies this long after each start.
    pub dies_after: Option<Duration>,
    /// How many jobs were carried out for it; gives each one its own duration.
    pub jobs: u32,
}

/// Something that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// This many times; `None` for always.
    pub times: Option<u32>,
    /// Only until the box has been running for this long.
    pub until: Option<Duration>,
    /// Class of the error.
    pub class: String,
    /// Text of the error.
    pub message: String,
    /// Code of the error, with the class `OpPrereqError`.
    pub code: Option<String>,
    /// Whether the job's process dies instead, so that the result is a plain text.
    pub kills_job: bool,
}

impl Instance {
    /// The other nodes that have its disks.
    #[must_use]
    pub fn secondaries(&self) -> Vec<&str> {
        let sides = self.disks.first().and_then(|disk| disk.mirror.as_ref()).map(|mirror| &mirror.sides);
        sides
            .into_iter()
            .flatten()
            .map(|side| side.node.as_str())
            .filter(|node| *node != self.primary)
            .collect()
    }

    /// All its nodes, the primary first.
    #[must_use]
    pub fn all_nodes(&self) -> Vec<&str> {
        let mut nodes = vec![self.primary.as_str()];
        nodes.extend(self.secondaries());
        nodes
    }

    /// Everything that fails with it.
    pub fn troubles_mut(&mut self) -> impl Iterator<Item = &mut Trouble> {
        let Habits { start, activate, shutdown, .. } = &mut self.habits;
        start.iter_mut().chain(activate).chain(shutdown)
    }

    /// Whether it runs on that node.
    #[must_use]
    pub fn runs_on(&self, name: &str) -> bool {
        matches!(&self.live, Live::Running(node) if node == name)
    }

    /// Whether it runs anywhere.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.live, Live::Running(_))
    }

    /// Takes its disks down on all its nodes.
    pub fn detach_disks(&mut self) {
        self.disks_active = false;
        for disk in &mut self.disks {
            for side in disk.mirror.iter_mut().flat_map(|mirror| &mut mirror.sides) {
                side.attached = false;
                side.stand_alone = false;
            }
        }
    }
}
