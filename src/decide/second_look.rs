//! The second look: whether an action that was planned a while ago is still wanted.

use super::{Action, ActionKind, elsewhere};
use crate::cluster::{AdminState, Instance, InstanceStatus, PendingJob, Snapshot};

/// Why an action is no longer wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// luxid no longer knows the instance, or describes it in a way that cannot be read.
    Gone,
    /// Its status has changed.
    Status(InstanceStatus),
    /// It should no longer be running.
    AdminState,
    /// Its disks are no longer in use.
    DisksNotActive,
    /// Somebody holds its lock now.
    Locked,
    /// Somebody holds the lock of this node of its.
    NodeLocked(String),
    /// Its storage would let it run on one of these nodes too, and they do not answer.
    MayRunOn(Vec<String>),
    /// A job is working on it now.
    Busy(PendingJob),
    /// This secondary node of its no longer answers.
    SecondarySilent(String),
    /// Its secondary node answers again.
    SecondaryAnswers,
    /// Its tags, which may affect its start.
    Tags,
}

impl Changed {
    /// Whether the instance is known to run now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self == Self::Status(InstanceStatus::Running)
    }
}

/// `None` when what called for the action still holds in a newer snapshot. `planned_by` is the tags that its
/// instance had when it was planned.
#[must_use]
pub fn change(action: &Action, planned_by: &[String], now: &Snapshot) -> Option<Changed> {
    let Some(instance) = now.instance(&action.instance) else {
        return Some(Changed::Gone);
    };
    change_of_state(action, instance, now)
        .or_else(|| (action.kind.is_start() && instance.tags != planned_by).then_some(Changed::Tags))
}

fn change_of_state(action: &Action, instance: &Instance, now: &Snapshot) -> Option<Changed> {
    if let Some(job) = now.job_at(&action.instance) {
        return Some(Changed::Busy(job.clone()));
    }
    let status = || Changed::Status(instance.status.clone());
    match &action.kind {
        // A shared lock is held by verify-disks, which would hold up every start in the group.
        _ if now.locked_instances.get(&instance.name).is_some_and(|mode| mode.may_be_exclusive()) => {
            Some(Changed::Locked)
        }
        ActionKind::Restart { .. } | ActionKind::StartDegraded
            if instance.status != InstanceStatus::ErrorDown =>
        {
            Some(status())
        }
        ActionKind::Restart { .. } => is_unwanted(instance)
            .or_else(|| secondary_silent(instance, now))
            .or_else(|| may_run_elsewhere(instance, now)),
        // There must be no doubt that the secondary is silent.
        ActionKind::StartDegraded if !now.knows_secondaries(instance) => secondary_silent(instance, now),
        // With a secondary that answers again there is no reason to do without it.
        ActionKind::StartDegraded if now.silent_secondary(instance).is_none() => {
            Some(Changed::SecondaryAnswers)
        }
        ActionKind::StartDegraded => is_unwanted(instance),
        ActionKind::CleanUp if now.locked_instances.contains_key(&instance.name) => Some(Changed::Locked),
        ActionKind::CleanUp => (!instance.needs_clean_up()).then(status),
        ActionKind::ActivateDisks { .. } if instance.status.is_helpless() => Some(status()),
        ActionKind::ActivateDisks { .. } if now.silent_secondary(instance).is_some() => {
            secondary_silent(instance, now)
        }
        ActionKind::ActivateDisks { .. } if locked_node(instance, now).is_some() => {
            locked_node(instance, now)
        }
        ActionKind::ActivateDisks { .. } if instance.disks_active => None,
        ActionKind::ActivateDisks { although_inactive: true } => is_unwanted(instance),
        ActionKind::ActivateDisks { although_inactive: false } => Some(Changed::DisksNotActive),
    }
}

/// An activation would wait for the node's lock, possibly for hours, and the run would wait with it.
fn locked_node(instance: &Instance, now: &Snapshot) -> Option<Changed> {
    let mut names = instance.secondaries.iter().chain([&instance.primary]);
    let is_locked = |name: &&String| now.node(name).is_some_and(|node| now.locked_nodes.contains(&node.uuid));
    names.find(is_locked).map(|name| Changed::NodeLocked(name.clone()))
}

fn secondary_silent(instance: &Instance, now: &Snapshot) -> Option<Changed> {
    now.silent_secondary(instance).map(|node| Changed::SecondarySilent(node.to_owned()))
}

fn may_run_elsewhere(instance: &Instance, now: &Snapshot) -> Option<Changed> {
    let nodes = elsewhere::may_run_on(instance, now);
    (!nodes.is_empty()).then_some(Changed::MayRunOn(nodes))
}

fn is_unwanted(instance: &Instance) -> Option<Changed> {
    (instance.admin_state != AdminState::Up).then_some(Changed::AdminState)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::LockMode;
    use crate::cluster::testing::{drbd_instance, instance, node, pending_job, snapshot};

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
            assert_eq!(change(&action, &[], &cluster).is_none(), wanted, "{action:?} {status}");
            cluster.pending_jobs = vec![pending_job(7, "INSTANCE_SHUTDOWN(i)")];
            assert!(matches!(change(&action, &[], &cluster), Some(Changed::Busy(_))));
            assert_eq!(change(&action, &[], &snapshot([], [])), Some(Changed::Gone));
        }
    }

    #[test]
    fn an_instance_that_was_shut_down_a_moment_ago_stays_so() {
        let mut cluster = snapshot([instance("i", "ERROR_down")], []);
        cluster.instances[0].admin_state = AdminState::Down;
        let restart = action(ActionKind::Restart { attempt: 1 });
        assert_eq!(change(&restart, &[], &cluster), Some(Changed::AdminState));
        cluster.instances[0].disks_active = false;
        let activate = |although_inactive| action(ActionKind::ActivateDisks { although_inactive });
        assert_eq!(change(&activate(false), &[], &cluster), Some(Changed::DisksNotActive));
        assert_eq!(change(&activate(true), &[], &cluster), Some(Changed::AdminState));
        cluster.instances[0].admin_state = AdminState::Up;
        assert_eq!(change(&activate(true), &[], &cluster), None);
    }

    #[test]
    fn a_lock_stops_what_it_would_hold_up_but_verify_disks_stops_no_restart() {
        let mut cluster = snapshot([instance("i", "USER_down")], []);
        let clean_up = action(ActionKind::CleanUp);
        let restart = action(ActionKind::Restart { attempt: 1 });
        let modes = [(LockMode::Shared, true), (LockMode::Exclusive, false), (LockMode::Unknown, false)];
        for (mode, restarted) in modes {
            cluster.locked_instances.insert("i".into(), mode);
            cluster.instances[0].status = InstanceStatus::UserDown;
            assert_eq!(change(&clean_up, &[], &cluster), Some(Changed::Locked));
            cluster.instances[0].status = InstanceStatus::ErrorDown;
            assert_eq!(change(&restart, &[], &cluster).is_none(), restarted, "{mode:?}");
        }
    }

    #[test]
    fn a_secondary_that_fell_silent_or_answers_again_changes_how_an_instance_is_started() {
        let silent = snapshot([drbd_instance("i", "ERROR_down", "n2")], [node("n2", None)]);
        let whole = snapshot([drbd_instance("i", "ERROR_down", "n2")], [node("n2", Some("b"))]);
        let restart = action(ActionKind::Restart { attempt: 1 });
        let degraded = action(ActionKind::StartDegraded);
        assert_eq!(change(&restart, &[], &silent), Some(Changed::SecondarySilent("n2".into())));
        assert_eq!(change(&restart, &[], &whole), None);
        assert_eq!(change(&degraded, &[], &whole), Some(Changed::SecondaryAnswers));
        assert_eq!(change(&degraded, &[], &silent), None);
    }

    #[test]
    fn a_start_by_tags_that_were_changed_meanwhile_is_left_to_the_next_run() {
        let tag = |name: &str| vec![format!("ganeti:watcher:start:{name}")];
        let restart = action(ActionKind::Restart { attempt: 1 });
        let activate = action(ActionKind::ActivateDisks { although_inactive: false });
        for (before, after) in
            [(vec![], tag("never")), (tag("never"), vec![]), (tag("tier:1"), tag("tier:2"))]
        {
            let mut cluster = snapshot([instance("i", "ERROR_down")], []);
            cluster.instances[0].tags = after.clone();
            assert_eq!(change(&restart, &before, &cluster), Some(Changed::Tags));
            assert_eq!(change(&restart, &after, &cluster), None);
            assert_eq!(change(&activate, &before, &cluster), None, "tags are about starts");
            cluster.instances[0].status = InstanceStatus::Running;
            let running = Changed::Status(InstanceStatus::Running);
            assert_eq!(change(&restart, &before, &cluster), Some(running), "that counts for more");
        }
    }
}
