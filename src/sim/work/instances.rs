//! What opcodes about one instance do.
//!
//! Source: `cmdlib/instance_operation.py, instance_storage.py`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::targets::{find_instance, no_answer};
use super::verdict::Verdict;
use crate::cluster::AdminState;
use crate::sim::failure::Failure;
use crate::sim::model::{Live, Model, Node, Trouble, is_linked};

pub(super) fn start(model: &mut Model, name: &str, force: bool) -> Result<Value, Verdict> {
    let instance = find_instance(model, name)?.clone();
    if !model.node(&instance.primary).is_some_and(Node::answers) {
        let text = format!("Could not start instance '{name}': {}", no_answer(&instance.primary));
        return Err(Failure::execution(&text).into());
    }
    if instance.runs_on(&instance.primary) {
        return Ok(Value::Null);
    }
    if !assemble(model, name, force) {
        let answering: Vec<String> =
            model.nodes.values().filter(|node| node.answers()).map(|node| node.name.clone()).collect();
        if let Some(instance) = model.instance_mut(name) {
            let mirrors = instance.disks.iter_mut().filter_map(|disk| disk.mirror.as_mut());
            mirrors.for_each(|mirror| answering.iter().for_each(|node| mirror.detach(node)));
        }
        return Err(Failure::execution("Disk consistency error").into());
    }
    let now = model.now;
    let Some(instance) = model.instance_mut(name) else { return Ok(Value::Null) };
    if let Some(verdict) = failure_by(&mut instance.habits.start, now) {
        if matches!(verdict, Verdict::Failure(_)) {
            instance.detach_disks();
        }
        return Err(verdict);
    }
    instance.live = Live::Running(instance.primary.clone());
    Ok(Value::Null)
}

pub(super) fn shut_down(
    model: &mut Model,
    name: &str,
    by_user: bool,
    no_remember: bool,
) -> Result<Value, Verdict> {
    find_instance(model, name)?;
    let now = model.now;
    let Some(instance) = model.instance_mut(name) else { return Ok(Value::Null) };
    if let Some(verdict) = failure_by(&mut instance.habits.shutdown, now) {
        return Err(verdict);
    }
    if !no_remember {
        instance.admin_state = AdminState::Down;
        instance.set_by_user = by_user;
    }
    instance.live = Live::Absent;
    instance.detach_disks();
    Ok(Value::Null)
}

pub(super) fn activate_disks(model: &mut Model, name: &str) -> Result<Value, Verdict> {
    find_instance(model, name)?;
    let now = model.now;
    let verdict =
        model.instance_mut(name).and_then(|instance| failure_by(&mut instance.habits.activate, now));
    if let Some(verdict) = verdict {
        if let Some(instance) = model.instance_mut(name) {
            instance.disks_active = false;
        }
        return Err(verdict);
    }
    if !assemble(model, name, false) {
        return Err(Failure::execution("Cannot activate block devices").into());
    }
    let instance = find_instance(model, name)?;
    let devices = instance.disks.iter().enumerate().map(|(index, disk)| {
        let minor = disk.mirror.as_ref().and_then(|mirror| mirror.side(&instance.primary));
        let device = minor.map(|side| format!("/dev/drbd{}", side.minor));
        json!([instance.primary, format!("disk/{index}"), device])
    });
    Ok(devices.collect())
}

/// Assembles the disks on all nodes, and makes them primary on the primary node; returns whether that worked.
/// If not, they count as not active.
///
/// Source: `AssembleInstanceDisks`.
fn assemble(model: &mut Model, name: &str, force: bool) -> bool {
    let Some(instance) = model.instance(name).cloned() else { return false };
    let usable: BTreeMap<&str, bool> = instance
        .all_nodes()
        .into_iter()
        .map(|node| (node, model.node(node).is_some_and(|node| node.answers() && !node.offline)))
        .collect();
    let excused = |node: &str| force || model.node(node).is_some_and(|node| node.offline);
    let complete = |node: &str| instance.disks.iter().all(|disk| !disk.missing_on.iter().any(|n| n == node));
    let works = usable
        .iter()
        .all(|(node, usable)| (*usable && complete(node)) || (*node != instance.primary && excused(node)));
    let mut disks = instance.disks.clone();
    let mut primary = true;
    for mirror in disks.iter_mut().filter_map(|disk| disk.mirror.as_mut()) {
        usable.iter().filter(|(_, usable)| **usable).for_each(|(node, _)| mirror.assemble(node));
        // If the primary node is out of reach, there was nothing to ask.
        let linked = is_linked(model, mirror);
        primary &= mirror.can_be_primary(&instance.primary, linked) || !usable[instance.primary.as_str()];
    }
    let Some(changed) = model.instance_mut(name) else { return false };
    changed.disks = disks;
    changed.disks_active = works && primary;
    changed.disks_active
}

pub(super) fn move_to_secondary(model: &mut Model, name: &str) -> Result<Value, Verdict> {
    let instance = find_instance(model, name)?;
    let target = instance.secondaries().first().map(|node| (*node).to_owned());
    let reachable = target.as_deref().and_then(|node| model.node(node)).is_some_and(Node::answers);
    let (Some(target), true) = (target, reachable) else {
        return Err(Failure::execution("Can't reach the target node").into());
    };
    if let Some(instance) = model.instance_mut(name) {
        if instance.is_running() {
            instance.live = Live::Running(target.clone());
        }
        instance.primary = target;
    }
    Ok(Value::Null)
}

/// What goes wrong now, if anything.
fn failure_by(trouble: &mut Option<Trouble>, now: Duration) -> Option<Verdict> {
    let Trouble { times, until, class, message, code, kills_job } = trouble.as_mut()?;
    if until.is_some_and(|until| until <= now) {
        return None;
    }
    match times {
        Some(0) => return None,
        Some(left) => *left -= 1,
        None => {}
    }
    Some(if *kills_job {
        Verdict::Died(message.clone())
    } else {
        let mut arguments = vec![json!(message)];
        arguments.extend(code.as_ref().map(|code| json!(code)));
        Verdict::Failure(Failure { class: class.clone(), arguments })
    })
}
