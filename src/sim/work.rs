//! What opcodes do to the cluster: the locks that they take, what they check, what they change and how they fail.
//!
//! Source: `cmdlib/instance_operation.py, instance_storage.py, group.py` (contract 4.3 to 4.7).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::failure::Failure;
use super::locks::{Locks, Mode, Request};
use super::model::{Instance, Link, Live, Model, Node, Trouble};
use super::opcodes::Work;
use super::span::Span;
use super::status;
use crate::cluster::AdminState;

/// How an opcode ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// With this result.
    Success(Value),
    /// With this error.
    Failure(Failure),
    /// With the death of the job's process; luxid then has only a text.
    Died(String),
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// The locks of an opcode, level by level, in the order in which they are taken.
///
/// # Errors
/// When what it is about does not exist.
pub fn locks(model: &Model, work: &Work, locks: &Locks, job: u64) -> Result<Vec<Request>, Failure> {
    let everything = vec![("cluster/BGL".to_owned(), Mode::Shared)];
    let lock = |kind: &str, name: &str, mode| (format!("{kind}/{name}"), mode);
    if let Work::VerifyDisks { group, is_strict } = work {
        let (name, group) = find_group(model, group)?;
        let members = || model.instances.values().filter(|instance| is_member(model, instance, name));
        let nodes = || model.nodes.values().filter(|node| node.group == name);
        let free = |request: &(String, Mode)| *is_strict || !locks.is_exclusive(&request.0, job);
        let instances = members().map(|instance| lock("instance", &instance.name, Mode::Shared)).filter(free);
        let nodes = nodes().map(|node| lock("node", &node.uuid, Mode::Shared)).filter(free);
        let group = vec![lock("nodegroup", &group, Mode::Shared)];
        return Ok(vec![everything, instances.collect(), group, nodes.collect()]);
    }
    let instance = find_instance(model, work.instance().unwrap_or_default())?;
    let mut levels = vec![everything, vec![lock("instance", &instance.name, Mode::Exclusive)]];
    if !matches!(work, Work::Startup { .. } | Work::Shutdown { .. }) {
        let nodes = instance.all_nodes().into_iter().filter_map(|node| model.node(node));
        levels.push(nodes.map(|node| lock("node", &node.uuid, Mode::Exclusive)).collect());
    }
    Ok(levels)
}

/// Checks what an opcode needs and makes its first changes. Says how long it takes to its end, or to its failure.
pub fn begin(model: &mut Model, work: &Work, locks: &Locks, job: u64) -> (Duration, Result<(), Failure>) {
    let checked = check(model, work, locks, job);
    let span = match (&checked, work) {
        (Err(_), _) => model.timing.refusal,
        (Ok(()), Work::Startup { .. }) => model.timing.startup,
        (Ok(()), Work::Shutdown { .. }) => model.timing.shutdown,
        (Ok(()), Work::ActivateDisks { .. }) => model.timing.activate_disks,
        (Ok(()), Work::VerifyDisks { .. }) => model.timing.verify_disks,
        (Ok(()), Work::Move { .. }) => model.timing.migrate,
        (Ok(()), Work::Occupy { duration, .. }) => Span::exactly(*duration),
    };
    let lap = lap(model, work);
    let takes = model.seed.duration(span, &format!("{work:?} {lap}"));
    let takes = takes + waiting_for_nodes(model, work);
    if let (Ok(()), Work::Startup { instance, no_remember, .. }) = (&checked, work)
        && let Some(instance) = model.instance_mut(instance)
        && !no_remember
    {
        instance.admin_state = AdminState::Up;
        instance.set_by_user = false;
    }
    (takes, checked)
}

/// How many jobs the instance had before this one.
fn lap(model: &mut Model, work: &Work) -> u32 {
    let instance = work.instance().map(str::to_owned);
    instance.and_then(|name| model.instance_mut(&name)).map_or(0, |instance| {
        instance.habits.jobs += 1;
        instance.habits.jobs
    })
}

/// Nodes that do not answer and are not marked offline hold a job up.
fn waiting_for_nodes(model: &Model, work: &Work) -> Duration {
    let nodes: Vec<&Node> = match work {
        Work::VerifyDisks { group, .. } => match find_group(model, group) {
            Ok((name, _)) => model.nodes.values().filter(|node| node.group == name).collect(),
            Err(_) => Vec::new(),
        },
        _ => {
            let instance = work.instance().and_then(|name| model.instance(name));
            let names = instance.map(Instance::all_nodes).unwrap_or_default();
            names.into_iter().filter_map(|name| model.node(name)).collect()
        }
    };
    delay_of(model, &nodes)
}

/// What curl says of a node that is away, as Ganeti hands it on (`http/client.py: _ProcessCurlRequests`).
fn no_answer(node: &str) -> String {
    format!("Error 7: Failed to connect to {node} port 1811: No route to host")
}

/// How long asking these nodes at the same time takes because of those that do not answer.
pub fn delay_of(model: &Model, nodes: &[&Node]) -> Duration {
    let delay = |node: &&Node| match (node.answers() || node.offline, node.link) {
        (true, _) => Duration::ZERO,
        (false, Link::Silent) => model.timing.silent_node.to,
        (false, _) => model.timing.dead_node.to,
    };
    nodes.iter().map(delay).max().unwrap_or_default()
}

fn check(model: &Model, work: &Work, locks: &Locks, job: u64) -> Result<(), Failure> {
    if let Work::VerifyDisks { group, is_strict } = work {
        let (name, _) = find_group(model, group)?;
        let busy =
            |node: &&Node| node.group == name && locks.is_exclusive(&format!("node/{}", node.uuid), job);
        return match model.nodes.values().find(busy) {
            Some(node) if !is_strict => Err(Failure::execution(&format!(
                "Internal assertion error: node {}: nodes changed while we kept the lock",
                node.name
            ))),
            _ => Ok(()),
        };
    }
    let instance = find_instance(model, work.instance().unwrap_or_default())?;
    let name = &instance.name;
    if instance.admin_state == AdminState::Offline && !matches!(work, Work::ActivateDisks { .. }) {
        let text = format!("Instance '{name}' is marked to be offline, cannot be started or stopped");
        return Err(Failure::prerequisite(&text, "wrong_state"));
    }
    let Some(primary) = model.node(&instance.primary) else {
        return Err(Failure::prerequisite(&format!("Unknown node {}", instance.primary), "unknown_entity"));
    };
    if primary.offline {
        return Err(Failure::prerequisite(
            &format!("Can't use offline node {}", primary.name),
            "wrong_state",
        ));
    }
    match work {
        Work::Startup { .. } | Work::Shutdown { by_user: true, .. } if !primary.answers() => {
            let text = format!("Error checking node {}: {}", primary.name, no_answer(&primary.name));
            Err(Failure::prerequisite(&text, "environment_error"))
        }
        Work::Startup { .. } if !instance.is_running() && model.free_memory(primary) < instance.memory => {
            let text = format!(
                "Not enough memory on node {} for starting instance {name}: needed {} MiB, available {} MiB",
                primary.name,
                instance.memory,
                model.free_memory(primary)
            );
            Err(Failure::prerequisite(&text, "insufficient_resources"))
        }
        Work::Shutdown { by_user: true, .. } if !status::is_user_down(model, instance) => {
            let text = format!("Instance '{name}' was not shutdown by the user");
            Err(Failure::new("OpPrereqError", &text))
        }
        Work::Move { .. } if instance.secondaries().is_empty() => {
            Err(Failure::prerequisite(&format!("Instance '{name}' has no secondary node"), "wrong_state"))
        }
        _ => Ok(()),
    }
}

/// Brings an opcode to its end: changes the cluster, or fails.
pub fn finish(model: &mut Model, work: &Work) -> Verdict {
    let verdict = match work {
        Work::Startup { instance, force, .. } => start(model, instance, *force),
        Work::Shutdown { instance, by_user, no_remember } => {
            shut_down(model, instance, *by_user, *no_remember)
        }
        Work::ActivateDisks { instance } => activate_disks(model, instance),
        Work::VerifyDisks { group, .. } => verify_disks(model, group),
        Work::Move { instance } => move_to_secondary(model, instance),
        Work::Occupy { .. } => Ok(Value::Null),
    };
    verdict.map_or_else(|verdict| verdict, Verdict::Success)
}

fn start(model: &mut Model, name: &str, force: bool) -> Result<Value, Verdict> {
    let instance = find_instance(model, name)?.clone();
    if !model.node(&instance.primary).is_some_and(Node::answers) {
        let text = format!("Could not start instance '{name}': {}", no_answer(&instance.primary));
        return Err(Failure::execution(&text).into());
    }
    if instance.runs_on(&instance.primary) {
        return Ok(Value::Null);
    }
    if !assemble(model, name, force) {
        return Err(Failure::execution("Disk consistency error").into());
    }
    let Some(instance) = model.instance_mut(name) else { return Ok(Value::Null) };
    if let Some(verdict) = failure_by(&mut instance.habits.start) {
        if matches!(verdict, Verdict::Failure(_)) {
            instance.detach_disks();
        }
        return Err(verdict);
    }
    instance.live = Live::Running(instance.primary.clone());
    Ok(Value::Null)
}

fn shut_down(model: &mut Model, name: &str, by_user: bool, no_remember: bool) -> Result<Value, Verdict> {
    find_instance(model, name)?;
    let Some(instance) = model.instance_mut(name) else { return Ok(Value::Null) };
    if let Some(verdict) = failure_by(&mut instance.habits.shutdown) {
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

fn activate_disks(model: &mut Model, name: &str) -> Result<Value, Verdict> {
    find_instance(model, name)?;
    let verdict = model.instance_mut(name).and_then(|instance| failure_by(&mut instance.habits.activate));
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

/// Assembles the disks on all nodes; whether that worked. When it did not, they count as not active.
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
    let Some(changed) = model.instance_mut(name) else { return false };
    changed.disks_active = works;
    for disk in &mut changed.disks {
        for (node, _) in usable.iter().filter(|(_, usable)| **usable) {
            if let Some(mirror) = &mut disk.mirror {
                mirror.assemble(node);
            }
        }
    }
    works
}

fn move_to_secondary(model: &mut Model, name: &str) -> Result<Value, Verdict> {
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

/// `[{node: error}, [instances to activate], {instance: [[node, volume]]}]`.
fn verify_disks(model: &Model, group: &str) -> Result<Value, Verdict> {
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

fn needs_activation(model: &Model, instance: &Instance, disk: &super::model::Disk) -> bool {
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

fn failure_by(trouble: &mut Option<Trouble>) -> Option<Verdict> {
    let Trouble { times, class, message, code, kills_job } = trouble.as_mut()?;
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

fn find_instance<'a>(model: &'a Model, name: &str) -> Result<&'a Instance, Failure> {
    let unknown = || Failure::prerequisite(&format!("Instance '{name}' not known"), "unknown_entity");
    model.instance(name).ok_or_else(unknown)
}

/// The name and the UUID of the group with this name or UUID.
fn find_group<'a>(model: &'a Model, wanted: &str) -> Result<(&'a str, String), Failure> {
    let unknown = || Failure::prerequisite(&format!("Node group '{wanted}' not known"), "unknown_entity");
    let found = model.groups.iter().find(|(name, group)| name.as_str() == wanted || group.uuid == wanted);
    found.map(|(name, group)| (name.as_str(), group.uuid.clone())).ok_or_else(unknown)
}

fn is_member(model: &Model, instance: &Instance, group: &str) -> bool {
    instance.all_nodes().iter().any(|node| model.node(node).is_some_and(|node| node.group == group))
}
