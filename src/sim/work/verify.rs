//! What the verification of a group's disks finds.
//!
//! Source: `cmdlib/group.py: LUGroupVerifyDisks`, `backend.py: DrbdNeedsActivation`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::targets::{find_group, is_member, no_answer};
use super::verdict::Verdict;
use crate::sim::model::{Disk, Instance, Live, Model};

/// `[{node: error}, [instances to activate], {instance: [[node, volume]]}]`.
pub(super) fn verify_disks(model: &Model, group: &str) -> Result<Value, Verdict> {
    let (name, _) = find_group(model, group)?;
    let mut errors = BTreeMap::new();
    for node in model.nodes.values().filter(|node| node.group == name && !node.offline && !node.answers()) {
        errors.insert(node.uuid.clone(), format!("Error enumerating LVs: {}", no_answer(&node.name)));
    }
    let mut offline = Vec::new();
    let mut missing = serde_json::Map::new();
    for instance in model.instances.values() {
        if !is_member(model, instance, name) || !instance.disks_active {
            continue;
        }
        if instance.disks.iter().any(|disk| needs_activation(model, instance, disk)) {
            offline.push(instance.name.clone());
        }
        let volumes: Vec<Value> = missing_volumes(model, instance);
        if !volumes.is_empty() {
            missing.insert(instance.name.clone(), Value::Array(volumes));
        }
    }
    Ok(json!([errors, offline, missing]))
}

fn needs_activation(model: &Model, instance: &Instance, disk: &Disk) -> bool {
    let asked = |node: &str| {
        let reachable = model.node(node).is_some_and(|node| node.answers() && !node.offline);
        reachable && !disk.missing_on.iter().any(|missing| missing == node)
    };
    match &disk.mirror {
        Some(mirror) => mirror.sides.iter().any(|side| asked(&side.node) && side.needs_activation()),
        // A volume counts as online while somebody has it open.
        None => {
            instance.disk_template == "plain" && asked(&instance.primary) && instance.live == Live::Absent
        }
    }
}

fn missing_volumes(model: &Model, instance: &Instance) -> Vec<Value> {
    let reachable = |node: &&str| model.node(node).is_some_and(|node| node.answers() && !node.offline);
    let mut volumes = Vec::new();
    for (index, disk) in instance.disks.iter().enumerate() {
        for node in disk.missing_on.iter().map(String::as_str).filter(reachable) {
            let uuid = model.node(node).map(|node| node.uuid.as_str());
            volumes.push(json!([uuid, format!("xenvg/{}.disk{index}", disk.uuid)]));
        }
    }
    volumes
}
