//! The cluster in the box: its configuration and its actual condition. Plain data and its transitions,
//! without jobs and without a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::drbd::Drbd;
use super::names::Name;
use super::random::Seed;
use super::timing::Timing;
use crate::cluster::GanetiVersion;

mod instance;
mod instances;
mod node;

pub use instance::{Disk, Habits, Instance, Live, Trouble};
pub use instances::Instances;
pub use node::{Link, Node, Power};

/// A cluster.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Name of the master node.
    pub master: String,
    /// Name of the node on which luxid runs; differs from the master only after a failover that went wrong.
    pub luxid_on: String,
    /// Ganeti's release, such as `3.0.2`.
    pub software_version: String,
    /// At most this many jobs have a process (`max_running_jobs`).
    pub max_running_jobs: usize,
    /// luxid itself watches at most this many jobs (`max_tracked_jobs`).
    pub max_tracked_jobs: usize,
    /// Whether users may shut their instances down from inside (`enabled_user_shutdown`).
    pub user_shutdown: bool,
    /// Whether the job queue accepts no jobs.
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
    pub instances: Instances,
    /// How long things take.
    pub timing: Timing,
    /// The source of all randomness.
    pub seed: Seed,
    /// Which nodes other nodes' DRBD could reach at the last check.
    pub(super) linked: Vec<bool>,
    /// Up to when time has passed, since the box started.
    pub(super) now: Duration,
    /// The instances being started, with their nodes.
    pub(super) starting: BTreeMap<String, String>,
}

/// Something that has tags, by name.
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

impl Model {
    /// The version as numbers; `None` if its form is unknown.
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

    /// The instance with that name, for changes.
    pub fn instance_mut(&mut self, name: &str) -> Option<&mut Instance> {
        self.instances.get_mut(&Name::from(name))
    }

    /// UUID of the group of that node.
    #[must_use]
    pub fn group_of_node(&self, node: &str) -> Option<&str> {
        let group = &self.node(node)?.group;
        self.groups.get(&Name::from(group.as_str())).map(|group| group.uuid.as_str())
    }

    /// The node's primary IP address, made up from its position among the nodes.
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

    /// Free memory on the node, in MiB.
    #[must_use]
    pub fn free_memory(&self, node: &Node) -> u64 {
        let runs_here = |instance: &&Instance| instance.runs_on(&node.name);
        let used: u64 = self.instances.values().filter(runs_here).map(|instance| instance.memory).sum();
        node.memory.saturating_sub(used)
    }

    /// The delay for whoever writes the job queue or the configuration while a master candidate does not
    /// answer.
    #[must_use]
    pub fn wait_for_candidates(&self) -> Duration {
        let is_dead = |node: &Node| self.is_candidate(node) && !node.answers() && !node.offline;
        if self.nodes.values().any(is_dead) { self.timing.dead_candidate.to } else { Duration::ZERO }
    }

    /// How many instances are being started on that node.
    #[must_use]
    pub fn starts_on(&self, name: &str) -> u32 {
        let starts = self.starting.values().filter(|node| *node == name).count();
        u32::try_from(starts).unwrap_or(u32::MAX)
    }

    /// The load average of a node and the number of its CPUs, as its monitoring daemon says; `None` when that
    /// does not answer.
    #[must_use]
    pub fn load(&self, name: &str) -> Option<(f64, u32)> {
        /// What an instance adds just by running.
        const RUNNING: f64 = 0.02;
        let node = self.node(name).filter(|node| node.answers() && node.monitor)?;
        let running = self.instances.values().filter(|instance| instance.runs_on(name)).count();
        let running = u32::try_from(running).unwrap_or(u32::MAX);
        Some((node.load + f64::from(self.starts_on(name)) + RUNNING * f64::from(running), node.cpus))
    }

    /// Cuts the power of a node: everything running there is gone, and so are its DRBD minors.
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

    /// No start is in progress any longer.
    pub(super) fn forget_starts(&mut self) {
        self.starting.clear();
    }

    /// Restores a node's power; it is up at `ready`.
    pub fn power_on(&mut self, name: &str, ready: Duration) {
        if let Some(node) = self.nodes.get_mut(&Name::from(name))
            && node.power == Power::Off
        {
            node.power = Power::Booting(ready);
        }
    }

    /// Lets time pass until `now`: nodes come up, resynchronisations end, links break and recover.
    pub fn settle(&mut self, now: Duration) {
        self.now = now;
        for node in self.nodes.values_mut() {
            if let Power::Booting(ready) = node.power
                && ready <= now
            {
                node.power = Power::On;
                node.boots += 1;
                node.boot_id = self.seed.uuid(&format!("boot {} of {}", node.boots, node.name));
            }
        }
        let linked: Vec<bool> = self.nodes.values().map(Node::is_linked).collect();
        let all = linked != self.linked;
        self.linked = linked;
        let (nodes, length) = (&self.nodes, self.resync_length());
        self.instances.settle(now, all, |instance| {
            let Instance { name, live, disks, .. } = instance;
            let writer = match live {
                Live::Running(node) => Some(node.as_str()),
                _ => None,
            };
            for (index, disk) in disks.iter_mut().enumerate() {
                if let Some(mirror) = &mut disk.mirror {
                    let both = mirror
                        .sides
                        .iter()
                        .all(|side| nodes.get(&Name::from(side.node.as_str())).is_some_and(Node::is_linked));
                    mirror.settle(both, writer, now, || length(name, index));
                }
            }
        });
    }

    /// How long the disk of an instance with that number takes to resynchronise.
    pub(super) fn resync_length(&self) -> impl Fn(&str, usize) -> Duration + use<> {
        let (seed, span) = (self.seed, self.timing.resync);
        move |name, index| seed.duration(span, &format!("resync of disk {index} of {name}"))
    }

    /// When something will next happen on its own, since the box started.
    #[must_use]
    pub fn next_change(&self) -> Option<Duration> {
        let boots = self.nodes.values().filter_map(|node| match node.power {
            Power::Booting(ready) => Some(ready),
            _ => None,
        });
        boots.chain(self.instances.next_resync()).min()
    }
}

/// Whether the network between the nodes of a mirror works.
#[must_use]
pub fn is_linked(model: &Model, mirror: &Drbd) -> bool {
    mirror.sides.iter().all(|side| model.node(&side.node).is_some_and(Node::is_linked))
}
