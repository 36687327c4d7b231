//! Why a part of a run ended early.

use anyhow::Error;
use thiserror::Error;

use crate::luxi::LuxiError;
use crate::memory::state_file::{OpenError, StateBusy};
use crate::node::own_name::Nameless;

/// This node is not the master, so the run has no business with the cluster.
#[derive(Debug, Error)]
pub(super) enum NotMaster {
    /// Another node is.
    #[error("Not on master node (the master is '{0}')")]
    Is(String),
    /// This machine has no cluster.
    #[error("Not on master node (this machine is not part of a cluster)")]
    NoNode,
}

/// Why a part of a run ended early.
#[derive(Debug, Error)]
#[error(transparent)]
pub(super) enum CutShort {
    NotMaster(#[from] NotMaster),
    /// It is unknown whether this node is the master.
    Nameless(#[from] Nameless),
    StateBusy(#[from] StateBusy),
    Failed(#[from] Error),
}

impl From<LuxiError> for CutShort {
    fn from(error: LuxiError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<OpenError> for CutShort {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Busy(busy) => busy.into(),
            OpenError::Failed(error) => error.into(),
        }
    }
}
