//! The cluster in the box: what is configured, and what is really the case. Plain data and its transitions, without
//! jobs and without a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::drbd::{Drbd, Side};
use super::names::Name;
use super::random::Seed;
use super::timing::Timing;
use crate::cluster::{AdminState, GanetiVersion};

/// A cluster.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Name of the master node.
    pub master: String,
    /// Name of the node on which luxid runs: another one only after a failover that went wrong.
    pub luxid_on: String,
    /// Ganeti's release, such as `3.0.2`.
    pub software_version: String,
    /// At most so many jobs have a process (`max_running_jobs`).
    pub max_running_jobs: usize,
    /// luxid itself watches at most so many jobs (`max_tracked_jobs`).
    pub max_tracked_jobs: usize,
    /// Whether users may shut their instances down from inside (`enabled_user_shutdown`).
    pub user_shutdown: bool,
    /// Whether the job queue takes no jobs.
    pub drained: bool,
    /// Until when the watcher is paused, in seconds since 1970.
    pub paused_until: Option<u64>,
    /// Its tags.
    pub tags: BTreeSet<String>,
    /// The node groups by name.
    pub groups: BTreeMap<Name, Group>,
    /// The nodes by name.
    pub nodes: BTreeMap<Name, Node>,
    /// The instances by name.
    pub instances: BTreeMap<Name, Instance>,
    /// How long things take.
    pub timing: Timing,
    /// Where chance comes from.
    pub seed: Seed,
}

/// Something that has tags, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagged {
    /// The cluster.
    Cluster,
    /// A node group.
    Group(String),
    /// An instance.
    Instance(String),
}

/// A node group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its UUID.
    pub uuid: String,
    /// Its tags.
    pub tags: BTreeSet<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Name of its group.
    pub group: String,
    /// Whether it is marked offline.
    pub offline: bool,
    /// Whether it can host instances.
    pub vm_capable: bool,
    /// Whether it is a master candidate, while it is not marked offline.
    pub candidate: bool,
    /// Its memory, in MiB.
    pub memory: u64,
    /// Whether it runs.
    pub power: Power,
    /// How it is reached.
    pub link: Link,
    /// How often it booted.
    pub boots: u32,
    /// Its kernel's boot id.
    pub boot_id: String,
}

/// Whether a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    On,
    /// It has no power.
    Off,
    /// It boots, and runs when the box has been running for so long.
    Booting(Duration),
}

/// How a node is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// As it should be.
    Up,
    /// Its network is cut: it runs, and nobody knows.
    Cut,
    /// Its node daemon takes connections and never answers; its DRBD links are fine.
    Silent,
}

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
    /// What is really the case.
    pub live: Live,
    /// `kvm`, `xen-pvm`, `fake` and so on.
    pub hypervisor: String,
    /// The hypervisor parameter `user_shutdown`, which KVM needs to notice one.
    pub notices_user_shutdown: bool,
    /// Its memory, in MiB.
    pub memory: u64,
    /// Whether Ganeti considers its disks assembled.
    pub disks_active: bool,
    /// `drbd`, `plain`, `ext`, `diskless` and so on.
    pub disk_template: String,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Whether it is only planned.
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
    /// It dies so long after each start.
    pub dies_after: Option<Duration>,
    /// How many jobs were carried out for it; makes every one last its own time.
    pub jobs: u32,
}

/// Something that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// So many times; `None` for always.
    pub times: Option<u32>,
    /// Class of the error.
    pub class: String,
    /// Text of the error.
    pub message: String,
    /// Code of the error, with the class `OpPrereqError`.
    pub code: Option<String>,
    /// Whether the job's process dies instead, so that the result is a plain text.
    pub kills_job: bool,
}

impl Node {
    /// Whether its node daemon answers.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.power == Power::On && self.link == Link::Up
    }

    /// Whether other nodes' DRBD can reach it.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.power == Power::On && self.link != Link::Cut
    }
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

    /// Whether it runs, wherever.
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

impl Model {
    /// The version as numbers; `None` when it has no known form.
    #[must_use]
    pub fn version(&self) -> Option<GanetiVersion> {
        GanetiVersion::parse(&self.software_version)
    }

    /// The node with that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(&Name::from(name))
    }

    /// The instance with that name.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.get(&Name::from(name))
    }

    /// The instance with that name, to be changed.
    pub fn instance_mut(&mut self, name: &str) -> Option<&mut Instance> {
        self.instances.get_mut(&Name::from(name))
    }

    /// UUID of the group of that node.
    #[must_use]
    pub fn group_of_node(&self, node: &str) -> Option<&str> {
        let group = &self.node(node)?.group;
        self.groups.get(&Name::from(group.as_str())).map(|group| group.uuid.as_str())
    }

    /// The primary IP address of the node, made up from its place among the nodes.
    #[must_use]
    pub fn primary_ip(&self, node: &Node) -> String {
        // The networks that are reserved for documentation.
        const NETWORKS: [&str; 3] = ["192.0.2", "198.51.100", "203.0.113"];
        let place = self.nodes.values().position(|other| other.name == node.name).unwrap_or(0);
        format!("{}.{}", NETWORKS[place / 254 % NETWORKS.len()], place % 254 + 1)
    }

    /// Whether the node is a master candidate, as the master always is.
    #[must_use]
    pub fn is_candidate(&self, node: &Node) -> bool {
        node.name == self.master || (node.candidate && !node.offline)
    }

    /// The tags of that object; `None` when there is none.
    pub fn tags_mut(&mut self, object: &Tagged) -> Option<&mut BTreeSet<String>> {
        match object {
            Tagged::Cluster => Some(&mut self.tags),
            Tagged::Group(name) => {
                self.groups.get_mut(&Name::from(name.as_str())).map(|group| &mut group.tags)
            }
            Tagged::Instance(name) => self.instance_mut(name).map(|instance| &mut instance.tags),
        }
    }

    /// Memory that is free on the node, in MiB.
    #[must_use]
    pub fn free_memory(&self, node: &Node) -> u64 {
        let runs_here = |instance: &&Instance| instance.live == Live::Running(node.name.clone());
        let used: u64 = self.instances.values().filter(runs_here).map(|instance| instance.memory).sum();
        node.memory.saturating_sub(used)
    }

    /// Cuts the power of a node: what ran there is gone, and so are its DRBD minors.
    pub fn power_off(&mut self, name: &str) {
        let Some(node) = self.nodes.get_mut(&Name::from(name)) else { return };
        node.power = Power::Off;
        for instance in self.instances.values_mut() {
            let live_here = match &instance.live {
                Live::Running(node) | Live::Stopped(node) => node == name,
                Live::Absent => false,
            };
            if live_here {
                instance.live = Live::Absent;
            }
            for disk in &mut instance.disks {
                if let Some(mirror) = &mut disk.mirror {
                    mirror.detach(name);
                }
            }
        }
    }

    /// Gives a node its power back; it runs at `ready`.
    pub fn power_on(&mut self, name: &str, ready: Duration) {
        if let Some(node) = self.nodes.get_mut(&Name::from(name))
            && node.power == Power::Off
        {
            node.power = Power::Booting(ready);
        }
    }

    /// Lets time pass until `now`: nodes come up, resynchronisations end, links break and mend.
    pub fn settle(&mut self, now: Duration) {
        for node in self.nodes.values_mut() {
            if let Power::Booting(ready) = node.power
                && ready <= now
            {
                node.power = Power::On;
                node.boots += 1;
                node.boot_id = self.seed.uuid(&format!("boot {} of {}", node.boots, node.name));
            }
        }
        let linked = |nodes: &BTreeMap<Name, Node>, side: &Side| {
            nodes.get(&Name::from(side.node.as_str())).is_some_and(Node::is_linked)
        };
        for instance in self.instances.values_mut() {
            let writer = match &instance.live {
                Live::Running(node) => Some(node.as_str()),
                _ => None,
            };
            for (index, disk) in instance.disks.iter_mut().enumerate() {
                if let Some(mirror) = &mut disk.mirror {
                    let both = mirror.sides.iter().all(|side| linked(&self.nodes, side));
                    let resync = self.seed.duration(
                        self.timing.resync,
                        &format!("resync of disk {index} of {}", instance.name),
                    );
                    mirror.settle(both, writer, now, resync);
                }
            }
        }
    }

    /// When something will happen by itself next, since the box started.
    #[must_use]
    pub fn next_change(&self) -> Option<Duration> {
        let boots = self.nodes.values().filter_map(|node| match node.power {
            Power::Booting(ready) => Some(ready),
            _ => None,
        });
        let mirrors = self.instances.values().flat_map(|instance| &instance.disks);
        let resyncs = mirrors.filter_map(|disk| disk.mirror.as_ref()?.resync_until);
        boots.chain(resyncs).min()
    }
}

/// Whether the network between the nodes of a mirror works.
#[must_use]
pub fn is_linked(model: &Model, mirror: &Drbd) -> bool {
    mirror.sides.iter().all(|side| model.node(&side.node).is_some_and(Node::is_linked))
}
