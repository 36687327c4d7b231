//! What can be done for an instance.

/// Something to do for one instance, by one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Name of the instance.
    pub instance: String,
    /// What is done.
    pub kind: ActionKind,
}

/// What is done for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionKind {
    /// It is started.
    Restart {
        /// The number of this try, from 1.
        attempt: u64,
    },
    /// It is started on its primary node alone, with force, because its secondary stays silent.
    StartDegraded,
    /// It was shut down by its user, and is marked as such and cleaned up.
    CleanUp,
    /// Its disks are assembled again on all its nodes.
    ActivateDisks {
        /// Although Ganeti marks them as not active: that mark comes from a failed activation of ours.
        although_inactive: bool,
    },
}

impl ActionKind {
    /// Whether the instance runs afterwards.
    #[must_use]
    pub fn is_start(&self) -> bool {
        matches!(self, Self::Restart { .. } | Self::StartDegraded)
    }
}
