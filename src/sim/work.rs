//! What opcodes do to the cluster: the locks they take, what they check, what they change and how they fail.
//!
//! Source: `cmdlib/instance_operation.py, instance_storage.py, group.py`.

use std::time::Duration;

use serde_json::Value;

use super::failure::Failure;
use super::locks::{Locks, Mode, Request};
use super::model::{Instance, Link, Model, Node};
use super::opcodes::{Locking, Work};
use super::span::Span;
use super::status;
use crate::cluster::AdminState;

mod instances;
mod query_data;
mod targets;
mod verdict;
mod verify;

use targets::{find_group, find_instance, is_member, no_answer};
pub use verdict::Verdict;

/// The locks of an opcode, level by level, in the order in which they are taken.
///
/// # Errors
/// When its subject does not exist.
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
    if let Work::QueryData { instances, locking } = work {
        let mut levels = vec![everything];
        levels.extend(query_data::locks(model, instances, *locking)?);
        return Ok(levels);
    }
    let instance = find_instance(model, work.instance().unwrap_or_default())?;
    let mut levels = vec![everything, vec![lock("instance", &instance.name, Mode::Exclusive)]];
    if !matches!(work, Work::Startup { .. } | Work::Shutdown { .. }) {
        let nodes = instance.all_nodes().into_iter().filter_map(|node| model.node(node));
        levels.push(nodes.map(|node| lock("node", &node.uuid, Mode::Exclusive)).collect());
    }
    Ok(levels)
}

/// Checks what an opcode needs and makes its first changes. Returns how long it takes to end or to fail.
pub fn begin(model: &mut Model, work: &Work, locks: &Locks, job: u64) -> (Duration, Result<(), Failure>) {
    let checked = check(model, work, locks, job);
    let span = match (&checked, work) {
        (Err(_), _) => model.timing.refusal,
        (Ok(()), Work::Startup { .. }) => model.timing.startup,
        (Ok(()), Work::Shutdown { .. }) => model.timing.shutdown,
        (Ok(()), Work::ActivateDisks { .. }) => model.timing.activate_disks,
        (Ok(()), Work::VerifyDisks { .. }) => model.timing.verify_disks,
        (Ok(()), Work::QueryData { .. }) => model.timing.query_data,
        (Ok(()), Work::Move { .. }) => model.timing.migrate,
        (Ok(()), Work::Occupy { duration, .. }) => Span::exactly(*duration),
    };
    let lap = lap(model, work);
    let takes = model.seed.duration(span, &format!("{work:?} {lap}"));
    let waits = waiting_for_nodes(model, work);
    if checked.is_err() {
        return (takes + waits, checked);
    }
    let takes = match work {
        Work::Startup { instance, .. } => slowed_down(model, instance, takes),
        _ => takes,
    };
    let writes = match work {
        Work::Startup { .. } | Work::ActivateDisks { .. } | Work::Shutdown { .. } => 3,
        _ => 0,
    };
    let takes = takes + waits + model.wait_for_candidates() * writes;
    if let Work::Startup { instance, no_remember, .. } = work
        && let Some(instance) = model.instance_mut(instance)
        && !no_remember
    {
        instance.admin_state = AdminState::Up;
        instance.set_by_user = false;
    }
    (takes, checked)
}

/// Counts a start, and returns how long it takes on an overloaded node.
fn slowed_down(model: &mut Model, instance: &str, takes: Duration) -> Duration {
    let Some(node) = model.instance(instance).map(|instance| instance.primary.clone()) else { return takes };
    model.starting.insert(instance.to_owned(), node.clone());
    match model.node(&node) {
        Some(node) if node.slows_down => {
            let starts = model.starts_on(&node.name);
            takes.mul_f64(f64::from(starts.max(node.cpus)) / f64::from(node.cpus.max(1)))
        }
        _ => takes,
    }
}

/// How many jobs the instance had before this one.
fn lap(model: &mut Model, work: &Work) -> u32 {
    let instance = work.instance().map(str::to_owned);
    instance.and_then(|name| model.instance_mut(&name)).map_or(0, |instance| {
        instance.habits.jobs += 1;
        instance.habits.jobs
    })
}

/// Nodes that do not answer and are not marked offline delay a job.
fn waiting_for_nodes(model: &Model, work: &Work) -> Duration {
    let nodes: Vec<&Node> = match work {
        Work::VerifyDisks { group, .. } => match find_group(model, group) {
            Ok((name, _)) => model.nodes.values().filter(|node| node.group == name).collect(),
            Err(_) => Vec::new(),
        },
        Work::QueryData { instances, locking: Locking::Live } => query_data::asked_nodes(model, instances),
        _ => {
            let instance = work.instance().and_then(|name| model.instance(name));
            let names = instance.map(Instance::all_nodes).unwrap_or_default();
            names.into_iter().filter_map(|name| model.node(name)).collect()
        }
    };
    delay_of(model, &nodes)
}

/// How long it takes to ask these nodes at the same time, because of those that do not answer.
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
    if let Work::QueryData { .. } = work {
        return Ok(());
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

/// Finishes an opcode: changes the cluster, or fails.
pub fn finish(model: &mut Model, work: &Work) -> Verdict {
    let verdict = match work {
        Work::Startup { instance, force, .. } => {
            model.starting.remove(instance);
            instances::start(model, instance, *force)
        }
        Work::Shutdown { instance, by_user, no_remember } => {
            instances::shut_down(model, instance, *by_user, *no_remember)
        }
        Work::ActivateDisks { instance } => instances::activate_disks(model, instance),
        Work::VerifyDisks { group, .. } => verify::verify_disks(model, group),
        Work::QueryData { instances, locking } => query_data::look(model, instances, *locking),
        Work::Move { instance } => instances::move_to_secondary(model, instance),
        Work::Occupy { .. } => Ok(Value::Null),
    };
    verdict.map_or_else(|verdict| verdict, Verdict::Success)
}
