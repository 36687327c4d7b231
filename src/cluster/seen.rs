//! Everything that a group part knows before it decides.

use std::collections::BTreeMap;

use super::{EndedOpCode, JobFailure, JobId, Snapshot};

/// What was seen of a node group. All of it is gathered before anything is decided, so that the same value
/// gives the same decision again.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The group, with its tags.
    pub snapshot: &'a Snapshot,
    /// Tags of the cluster.
    pub cluster_tags: &'a [String],
    /// The boot id of this node, the master; `None` when it is unknown.
    pub master_boot_id: Option<&'a str>,
    /// By name of the instance, the ended jobs that tell where it is
    /// (`decide::elsewhere::telling_summaries`); only of instances that may be down and were to be moved.
    pub moves: &'a BTreeMap<String, Vec<EndedOpCode>>,
    /// By name of the instance, what became of the starts that an earlier run left on record.
    pub fates: &'a BTreeMap<String, Fate>,
}

/// What luxid knows of the job of a start that an earlier run left on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It has not ended.
    AtWork(JobId),
    /// It has ended: well, or not.
    Ended(JobId, Result<(), JobFailure>),
    /// There is no such job among those that are not archived.
    NoJob,
    /// It cannot be told, because luxid describes a job in a way that cannot be read.
    Unclear,
}
