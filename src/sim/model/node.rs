//! The nodes of the cluster in the box.

use std::time::Duration;

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// What its kernel calls it, if that does not resolve; otherwise its own name.
    pub host_name: Option<String>,
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
    /// Its reachability.
    pub link: Link,
    /// Its CPUs.
    pub cpus: u32,
    /// Its load average apart from the box's own activity there.
    pub load: f64,
    /// Whether its monitoring daemon answers.
    pub monitor: bool,
    /// How long that takes to answer.
    pub monitor_delay: Duration,
    /// Whether starts take longer while there are more of them than CPUs.
    pub slows_down: bool,
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
    /// It is booting, and will be up when the box has been running for this long.
    Booting(Duration),
}

/// A node's reachability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// As it should be.
    Up,
    /// Its network is cut: it runs, but cannot be reached.
    Cut,
    /// Its node daemon accepts connections and never answers; its DRBD links are fine.
    Silent,
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
