//! Mirrors that nothing looks after.

use super::{Note, NoteKind, Step};
use crate::cluster::{Instance, InstanceStatus, Snapshot};

/// Instances that run on mirrored disks that Ganeti does not consider active: neither verify-disks nor the
/// original's passes ever look at those. `steps` is what is being done about disks now.
#[must_use]
pub fn not_active(snapshot: &Snapshot, steps: &[Step]) -> Vec<Step> {
    let is_looked_after = |name: &str| {
        steps.iter().any(|step| match step {
            Step::Act(action) => action.instance == name,
            Step::Note(note) => {
                note.instance == name
                    && matches!(note.kind, NoteKind::Busy(_) | NoteKind::ActivationDelayed { .. })
            }
        })
    };
    let runs = |instance: &&Instance| {
        matches!(instance.status, InstanceStatus::Running | InstanceStatus::ErrorUp) && !instance.disks_active
    };
    let unseen = |instance: &&Instance| {
        instance.is_mirrored()
            && !is_looked_after(&instance.name)
            && snapshot.job_at(&instance.name).is_none()
    };
    let note =
        |instance: &Instance| Note { instance: instance.name.clone(), kind: NoteKind::MirrorNotActive };
    snapshot.instances.iter().filter(runs).filter(unseen).map(note).map(Step::Note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{drbd_instance, instance, pending_job, snapshot};
    use crate::decide::{Action, ActionKind};

    #[test]
    fn a_running_instance_with_an_inactive_mirror_is_told_of_unless_something_is_under_way() {
        let mut cluster = snapshot(
            [
                drbd_instance("i1", "running", "n2"),
                drbd_instance("i2", "running", "n2"),
                instance("i3", "running"),
            ],
            [],
        );
        let told = |cluster: &Snapshot, steps: &[Step]| -> Vec<String> {
            let name = |step: Step| match step {
                Step::Note(Note { instance, kind: NoteKind::MirrorNotActive }) => instance,
                step => panic!("{step:?}"),
            };
            not_active(cluster, steps).into_iter().map(name).collect()
        };
        assert_eq!(told(&cluster, &[]), [""; 0]);
        cluster.instances.iter_mut().for_each(|instance| instance.disks_active = false);
        assert_eq!(told(&cluster, &[]), ["i1", "i2"]);
        let kind = ActionKind::ActivateDisks { although_inactive: true };
        assert_eq!(told(&cluster, &[Step::Act(Action { instance: "i1".into(), kind })]), ["i2"]);
        cluster.pending_jobs.push(pending_job(7, "INSTANCE_ACTIVATE_DISKS(i2)"));
        assert_eq!(told(&cluster, &[]), ["i1"]);
        cluster.instances[0].status = InstanceStatus::AdminDown;
        assert_eq!(told(&cluster, &[]), [""; 0]);
    }
}
