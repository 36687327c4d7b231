//! What `OP_INSTANCE_QUERY_DATA` says about instances and their disks.
//!
//! Source: `cmdlib/instance_query.py: LUInstanceQueryData`, `storage/drbd.py: GetSyncStatus`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::targets::{find_instance, no_answer};
use super::verdict::Verdict;
use crate::cluster::AdminState;
use crate::sim::drbd::{Connection, Drbd, LocalDisk};
use crate::sim::failure::Failure;
use crate::sim::locks::{Mode, Request};
use crate::sim::model::{Disk, Instance, Live, Model, Node, is_linked};
use crate::sim::opcodes::Locking;
use crate::sim::status;

/// The major number of DRBD devices, and one for all others.
const MAJORS: (u32, u32) = (147, 254);

fn wanted<'a>(model: &'a Model, names: &[String]) -> Result<Vec<&'a Instance>, Failure> {
    if names.is_empty() {
        return Ok(model.instances.values().collect());
    }
    names.iter().map(|name| find_instance(model, name)).collect()
}

/// Its locks, all shared: instances, node groups, nodes.
pub(super) fn locks(model: &Model, names: &[String], locking: Locking) -> Result<Vec<Request>, Failure> {
    let instances = wanted(model, names)?;
    if locking == Locking::Static {
        return Ok(Vec::new());
    }
    let nodes = || instances.iter().flat_map(|instance| instance.all_nodes());
    let nodes: BTreeSet<&str> = nodes().collect();
    let groups: BTreeSet<&str> = nodes.iter().filter_map(|node| model.group_of_node(node)).collect();
    let uuids = nodes.iter().filter_map(|node| model.node(node)).map(|node| node.uuid.as_str());
    let level = |kind: &str, names: Vec<&str>| -> Request {
        names.into_iter().map(|name| (format!("{kind}/{name}"), Mode::Shared)).collect()
    };
    Ok(vec![
        level("instance", instances.iter().map(|instance| instance.name.as_str()).collect()),
        level("nodegroup", groups.into_iter().collect()),
        level("node", uuids.collect()),
    ])
}

/// The nodes that it asks.
pub(super) fn asked_nodes<'a>(model: &'a Model, names: &[String]) -> Vec<&'a Node> {
    let instances = wanted(model, names).unwrap_or_default();
    let names: BTreeSet<&str> = instances.iter().flat_map(|instance| instance.all_nodes()).collect();
    names.into_iter().filter_map(|name| model.node(name)).collect()
}

/// `{instance: {…}}`. A single node that should answer and does not makes it all fail.
pub(super) fn look(model: &Model, names: &[String], locking: Locking) -> Result<Value, Verdict> {
    let mut result = Map::new();
    for instance in wanted(model, names)? {
        result.insert(instance.name.clone(), describe(model, instance, locking == Locking::Live)?);
    }
    Ok(Value::Object(result))
}

fn describe(model: &Model, instance: &Instance, live: bool) -> Result<Value, Failure> {
    let secondaries = instance.secondaries();
    let group_uuid = |node: &str| model.group_of_node(node);
    let group_name = |node: &str| model.node(node).map(|node| node.group.as_str());
    let run_state = run_state(model, instance, live)?;
    let disks = instance.disks.iter().enumerate();
    let disks: Vec<Value> =
        disks.map(|(index, _)| disk(model, instance, index, live)).collect::<Result<_, _>>()?;
    Ok(json!({
        "name": instance.name,
        "config_state": match instance.admin_state {
            AdminState::Up => "up",
            AdminState::Down => "down",
            AdminState::Offline => "offline",
        },
        "run_state": run_state,
        "pnode": instance.primary,
        "pnode_group_uuid": group_uuid(&instance.primary),
        "pnode_group_name": group_name(&instance.primary),
        "snodes": secondaries,
        "snodes_group_uuids": secondaries.iter().map(|node| group_uuid(node)).collect::<Vec<_>>(),
        "snodes_group_names": secondaries.iter().map(|node| group_name(node)).collect::<Vec<_>>(),
        "os": "noop",
        "nics": [],
        "disk_template": instance.disk_template,
        "disks": disks,
        "hypervisor": instance.hypervisor,
        "network_port": null,
        "hv_instance": {},
        "hv_actual": {},
        "be_instance": {},
        "be_actual": {"minmem": instance.memory, "maxmem": instance.memory},
        "os_instance": {},
        "os_actual": {},
        "serial_no": 1,
        "mtime": 0.0,
        "ctime": 0.0,
        "uuid": instance.uuid,
    }))
}

fn run_state(model: &Model, instance: &Instance, live: bool) -> Result<Option<&'static str>, Failure> {
    let primary = model.node(&instance.primary).filter(|node| live && !node.offline);
    let Some(primary) = primary else { return Ok(None) };
    if !primary.answers() {
        let text = format!("Error checking node {}: {}", primary.name, no_answer(&primary.name));
        return Err(Failure::execution(&text));
    }
    let by_user = instance.admin_state == AdminState::Down && instance.set_by_user;
    Ok(Some(match &instance.live {
        Live::Running(node) if *node == primary.name => "up",
        Live::Stopped(node) if *node == primary.name && status::is_user_down(model, instance) => "user down",
        Live::Stopped(node) if *node == primary.name => "down",
        _ if instance.admin_state == AdminState::Offline => "offline",
        _ if by_user => "user down",
        _ => "down",
    }))
}

fn disk(model: &Model, instance: &Instance, index: usize, live: bool) -> Result<Value, Failure> {
    let disk = &instance.disks[index];
    let volume = format!("{}.disk{index}", disk.uuid);
    let common = |logical_id: Value, children: Vec<Value>, statuses: [Value; 2]| {
        let [primary, secondary] = statuses;
        let drbd_info = disk.mirror.as_ref().map(|mirror| drbd_info(instance, mirror));
        json!({
            "iv_name": format!("disk/{index}"),
            "dev_type": instance.disk_template,
            "logical_id": logical_id,
            "drbd_info": drbd_info,
            "pstatus": primary,
            "sstatus": secondary,
            "children": children,
            "mode": "rw",
            "size": 1024,
            "spindles": null,
            "name": null,
            "uuid": disk.uuid,
        })
    };
    let Some(mirror) = &disk.mirror else {
        let primary = volume_status(model, instance, disk, &instance.primary, &volume, live)?;
        return Ok(common(json!(["xenvg", volume]), Vec::new(), [primary, Value::Null]));
    };
    let secondary = mirror.sides.iter().map(|side| side.node.as_str()).find(|node| *node != instance.primary);
    let secondary = secondary.unwrap_or_default();
    let statuses = [
        mirror_status(model, instance, index, &instance.primary, live)?,
        mirror_status(model, instance, index, secondary, live)?,
    ];
    let mut children = Vec::new();
    for part in ["data", "meta"] {
        let volume = format!("{volume}_{part}");
        children.push(json!({
            "iv_name": null,
            "dev_type": "plain",
            "logical_id": ["xenvg", volume],
            "drbd_info": null,
            "pstatus": volume_status(model, instance, disk, &instance.primary, &volume, live)?,
            "sstatus": volume_status(model, instance, disk, secondary, &volume, live)?,
            "children": [],
            "mode": "rw",
            "size": if part == "data" { 1024 } else { 128 },
            "spindles": null,
            "name": null,
            "uuid": model.seed.uuid(&format!("volume {volume}")),
        }));
    }
    let [first, second] = &mirror.sides;
    let uuid = |name: &str| model.node(name).map(|node| node.uuid.as_str());
    let logical_id =
        json!([uuid(&first.node), uuid(&second.node), 11_000 + first.minor, first.minor, second.minor, null]);
    Ok(common(logical_id, children, statuses))
}

fn drbd_info(instance: &Instance, mirror: &Drbd) -> Value {
    let [first, second] = &mirror.sides;
    let (primary, secondary) = if first.node == instance.primary { (first, second) } else { (second, first) };
    json!({
        "primary_node": primary.node,
        "primary_minor": primary.minor,
        "secondary_node": secondary.node,
        "secondary_minor": secondary.minor,
        "port": 11_000 + first.minor,
    })
}

/// Whether the node can describe its devices. A node that is marked offline is not asked.
fn can_tell(model: &Model, instance: &Instance, node: &str, live: bool) -> Result<bool, Failure> {
    match model.node(node) {
        Some(node) if live && !node.offline => {
            let text = format!(
                "Can't compute disk status for {}: node {}: {}",
                instance.name,
                node.name,
                no_answer(&node.name)
            );
            if node.answers() { Ok(true) } else { Err(Failure::execution(&text)) }
        }
        _ => Ok(false),
    }
}

/// `[dev_path, major, minor, sync_percent, estimated_time, is_degraded, ldisk_status]`; null for a device
/// that is not assembled.
fn mirror_status(
    model: &Model,
    instance: &Instance,
    index: usize,
    node: &str,
    live: bool,
) -> Result<Value, Failure> {
    let mirror = instance.disks[index].mirror.as_ref();
    let place = mirror.and_then(|mirror| mirror.sides.iter().position(|side| side.node == node));
    let (true, Some(mirror), Some(place)) = (can_tell(model, instance, node, live)?, mirror, place) else {
        return Ok(Value::Null);
    };
    let side = &mirror.sides[place];
    if !side.attached {
        return Ok(Value::Null);
    }
    let linked = is_linked(model, mirror);
    let (local, connection) = (mirror.local_disk(place, linked), mirror.connection(place, linked));
    let status = match local {
        LocalDisk::UpToDate => 1,
        LocalDisk::Inconsistent => 2,
        LocalDisk::Outdated => 3,
        LocalDisk::Diskless => 4,
    };
    let left = mirror.resync_until.map(|until| until.saturating_sub(model.now));
    let length = model.resync_length()(&instance.name, index).as_secs_f64().max(1.0);
    let percent = left.map(|left| (100.0 * (1.0 - left.as_secs_f64() / length)).max(0.0));
    let is_degraded = connection != Connection::Connected || local != LocalDisk::UpToDate;
    let path = format!("/dev/drbd{}", side.minor);
    Ok(json!([path, MAJORS.0, side.minor, percent, left.map(|left| left.as_secs()), is_degraded, status]))
}

/// The status of a volume, which exists whether the instance runs or not.
fn volume_status(
    model: &Model,
    instance: &Instance,
    disk: &Disk,
    node: &str,
    volume: &str,
    live: bool,
) -> Result<Value, Failure> {
    let is_missing = disk.missing_on.iter().any(|missing| missing == node);
    if !can_tell(model, instance, node, live)? || is_missing {
        return Ok(Value::Null);
    }
    Ok(json!([format!("/dev/xenvg/{volume}"), MAJORS.1, 0, null, null, false, 1]))
}
