//! The second look: whether an action that was planned a while ago is still wanted.

use std::fmt;

use super::{Action, ActionKind};
use crate::cluster::{AdminState, Instance, InstanceStatus, PendingJob, Snapshot};

/// Why an action is not wanted any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// luxid does not know the instance any more, or does not describe it in a way that can be read.
    Gone,
    /// Its status is another one now.
    Status(InstanceStatus),
    /// It is not wanted to be running any more.
    AdminState,
    /// Its disks are not in use any more.
    DisksNotActive,
    /// Somebody holds its lock now.
    Locked,
    /// A job is about it now.
    Busy(PendingJob),
}

impl fmt::Display for Changed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => formatter.write_str("it is not there any more"),
            Self::Status(status) => write!(formatter, "its status is now {status}"),
            Self::AdminState => formatter.write_str("it was shut down meanwhile"),
            Self::DisksNotActive => formatter.write_str("its disks are not active any more"),
            Self::Locked => formatter.write_str("it is locked now"),
            Self::Busy(job) => write!(formatter, "{job} is at it"),
        }
    }
}

/// `None` when what called for the action still holds in a newer snapshot.
#[must_use]
pub fn change(action: &Action, now: &Snapshot) -> Option<Changed> {
    let Some(instance) = now.instance(&action.instance) else {
        return Some(Changed::Gone);
    };
    if let Some(job) = now.job_at(&action.instance) {
        return Some(Changed::Busy(job.clone()));
    }
    let status = || Changed::Status(instance.status.clone());
    match &action.kind {
        ActionKind::Restart { .. } if instance.status != InstanceStatus::ErrorDown => Some(status()),
        ActionKind::Restart { .. } => is_unwanted(instance),
        ActionKind::CleanUp if now.locked_instances.contains(&instance.name) => Some(Changed::Locked),
        ActionKind::CleanUp => (!instance.needs_clean_up()).then(status),
        ActionKind::ActivateDisks { .. } if instance.status.is_helpless() => Some(status()),
        ActionKind::ActivateDisks { .. } if instance.disks_active => None,
        ActionKind::ActivateDisks { although_inactive: true } => is_unwanted(instance),
        ActionKind::ActivateDisks { although_inactive: false } => Some(Changed::DisksNotActive),
    }
}

fn is_unwanted(instance: &Instance) -> Option<Changed> {
    (instance.admin_state != AdminState::Up).then_some(Changed::AdminState)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{instance, pending_job, snapshot};

    fn action(kind: ActionKind) -> Action {
        Action { instance: "i".into(), kind }
    }

    #[test]
    fn only_what_is_still_as_planned_is_done() {
        let restart = || action(ActionKind::Restart { attempt: 1 });
        let clean_up = || action(ActionKind::CleanUp);
        let activate = || action(ActionKind::ActivateDisks { although_inactive: false });
        for (action, status, wanted) in [
            (restart(), "ERROR_down", true),
            (restart(), "running", false),
            (restart(), "ADMIN_down", false),
            (restart(), "ERROR_nodedown", false),
            (clean_up(), "USER_down", true),
            (clean_up(), "running", false),
            (activate(), "running", true),
            (activate(), "ERROR_down", true),
            (activate(), "ERROR_nodeoffline", false),
        ] {
            let mut cluster = snapshot([instance("i", status)], []);
            assert_eq!(change(&action, &cluster).is_none(), wanted, "{action:?} {status}");
            cluster.pending_jobs = vec![pending_job(7, "INSTANCE_SHUTDOWN(i)")];
            assert!(matches!(change(&action, &cluster), Some(Changed::Busy(_))));
            assert_eq!(change(&action, &snapshot([], [])), Some(Changed::Gone));
        }
    }

    #[test]
    fn an_instance_that_was_shut_down_a_moment_ago_stays_so() {
        let mut cluster = snapshot([instance("i", "ERROR_down")], []);
        cluster.instances[0].admin_state = AdminState::Down;
        let restart = action(ActionKind::Restart { attempt: 1 });
        assert_eq!(change(&restart, &cluster), Some(Changed::AdminState));
        cluster.instances[0].disks_active = false;
        let activate = |although_inactive| action(ActionKind::ActivateDisks { although_inactive });
        assert_eq!(change(&activate(false), &cluster), Some(Changed::DisksNotActive));
        assert_eq!(change(&activate(true), &cluster), Some(Changed::AdminState));
        cluster.instances[0].admin_state = AdminState::Up;
        assert_eq!(change(&activate(true), &cluster), None);
    }

    #[test]
    fn a_lock_stops_a_clean_up_but_not_a_restart() {
        let mut cluster = snapshot([instance("i", "USER_down")], []);
        cluster.locked_instances.insert("i".into());
        assert_eq!(change(&action(ActionKind::CleanUp), &cluster), Some(Changed::Locked));
        cluster.instances[0].status = InstanceStatus::ErrorDown;
        assert_eq!(change(&action(ActionKind::Restart { attempt: 1 }), &cluster), None);
    }
}
