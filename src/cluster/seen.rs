//! Everything that a group part knows before deciding.

use std::collections::BTreeMap;

use super::{EndedOpCode, JobFailure, JobId, Snapshot};

/// What was seen of a node group. All of it is gathered before anything is decided, so that the same value
/// leads to the same decision.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The group, with its tags.
    pub snapshot: &'a Snapshot,
    /// Tags of the cluster.
    pub cluster_tags: &'a [String],
    /// The boot id of this node, the master; `None` when it is unknown.
    pub master_boot_id: Option<&'a str>,
    /// By instance name, the ended jobs that show where it is (`decide::elsewhere::telling_summaries`); only
    /// for instances that may be down and were being moved.
    pub moves: &'a BTreeMap<String, Vec<EndedOpCode>>,
    /// By instance name, what became of the starts that an earlier run left on record.
    pub fates: &'a BTreeMap<String, Fate>,
}

/// What luxid knows about the job of a start that an earlier run left on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It has not ended.
    AtWork(JobId),
    /// It has ended: well, or not.
    Ended(JobId, Result<(), JobFailure>),
    /// There is no such job among the unarchived ones.
    NoJob,
    /// Unknown, because luxid describes a job in a way that cannot be read.
    Unclear,
}
