//! Turns the world into a value: luxid's answers as [`Snapshot`](crate::cluster::Snapshot) and other plain
//! facts.
//!
//! Source: `watcher/__init__.py: _GetGroupData, _CheckMaster, _StartGroupChildren`.

mod cluster;
mod groups;
mod instances;
mod jobs;
mod locks;
mod nodes;
mod rows;
pub mod starts;

pub use cluster::{ClusterFacts, ClusterSetup, cluster_facts, cluster_setup};
pub use groups::{Group, group, group_tags, groups};
pub use instances::{InstanceConfig, wanted_states};
pub use jobs::{ended_jobs, failed_jobs, pending_jobs};
pub use locks::{Locks, locks};
