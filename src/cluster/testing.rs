//! Small clusters for unit tests.

use super::{AdminState, Instance, InstanceStatus, JobId, Node, PendingJob, Snapshot};

pub(crate) fn instance(name: &str, status: &str) -> Instance {
    Instance {
        name: name.into(),
        status: InstanceStatus::from_word(status),
        admin_state: AdminState::Up,
        disks_active: true,
        primary: "n1".into(),
        secondaries: Vec::new(),
        disk_template: "plain".into(),
        memory: Some(1024),
        tags: Vec::new(),
    }
}

pub(crate) fn drbd_instance(name: &str, status: &str, secondary: &str) -> Instance {
    Instance { secondaries: vec![secondary.into()], disk_template: "drbd".into(), ..instance(name, status) }
}

pub(crate) fn node(name: &str, boot_id: Option<&str>) -> Node {
    Node {
        name: name.into(),
        boot_id: boot_id.map(Into::into),
        offline: Some(false),
        vm_capable: Some(true),
        address: "192.0.2.1".into(),
        uuid: format!("uuid of {name}"),
    }
}

pub(crate) fn snapshot<const I: usize, const N: usize>(
    instances: [Instance; I],
    nodes: [Node; N],
) -> Snapshot {
    Snapshot { instances: instances.into(), nodes: nodes.into(), ..Snapshot::default() }
}

pub(crate) fn pending_job(id: u64, summary: &str) -> PendingJob {
    PendingJob { id: JobId(id), summaries: Some(vec![summary.into()]), has_process: true }
}
