//! The fair budget of tries: only failures that are the instance's own, or have no known cause, use one up.
//! All others wait, for longer each time, and are forgiven as soon as whatever was to blame has changed.
//!
//! The original counts every failure (`watcher/__init__.py: _CheckInstances`), so that a drained queue or a
//! switch that boots slowly leaves instances down for eight hours.

use super::blame::Blame;
use super::likeness::{self, Likeness};
use super::{Action, backoff, shortage};
use crate::cluster::{Instance, InstanceStatus, JobFailure, Node, Snapshot, Timestamp};
use crate::memory::recovery::{Blocked, BlockedBy, Failures, Shortage};
use crate::memory::state::State;

/// How many times an instance is started, or cleaned up, before the watcher gives up (`watcher/__init__.py:
/// MAXTRIES`).
pub const MAX_TRIES: u64 = 5;
/// Records older than this, in seconds, are dropped (`state.py: RETRY_EXPIRATION`).
pub const RETRY_EXPIRATION: f64 = 8.0 * 3600.0;

/// An instance that came up and went down again more often than this within an hour flaps.
pub const FLAPPING: usize = 5;

/// What is to blame for a failure, and what it looked like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blamed {
    /// What is to blame.
    pub what: Blame,
    /// A mark of its present condition, only for comparison: a different one means that it has changed. Empty
    /// if its condition cannot be seen.
    pub cause: String,
    /// What else matters.
    pub detail: Detail,
}

/// What matters about a failure besides the blame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// Others on the same node and storage may fail in the same way, and then the node is to blame.
    Alike(Likeness),
    /// Its node did not have enough memory.
    Memory(Shortage),
}

/// Why a start has to wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// What was to blame.
    pub by: BlockedBy,
    /// How often in a row.
    pub failures: u64,
    /// Seconds left to wait.
    pub seconds: f64,
}

/// What is to blame for the failure of the action's job. The snapshot has to be newer than the failure.
#[must_use]
pub fn blame(failure: &JobFailure, action: &Action, snapshot: &Snapshot) -> Blamed {
    let Some(instance) = snapshot.instance(&action.instance) else {
        return Blamed { what: Blame::Unknown, cause: String::new(), detail: Detail::None };
    };
    let primary_answers = match snapshot.node(&instance.primary) {
        Some(node) => node.boot_id.is_some(),
        None => !snapshot.unreadable_nodes.contains(&instance.primary),
    };
    // Also for a start with force: when its own disks are not good enough, those on the other side are what
    // is missing.
    let misses_secondary = snapshot.silent_secondary(instance).is_some();
    let what = Blame::of(failure, primary_answers, misses_secondary);
    let detail = if what.uses_up_a_try() {
        let mark = cause(Blame::Node, instance, snapshot);
        Likeness::of(failure, instance, &mark, snapshot).map_or(Detail::None, Detail::Alike)
    } else if what == Blame::Node && primary_answers {
        shortage::shortage(failure, instance).map_or(Detail::None, Detail::Memory)
    } else {
        Detail::None
    };
    Blamed { what, cause: cause(what, instance, snapshot), detail }
}

/// What the nodes that may be to blame look like: a new boot id, an answer after silence, or a mark as
/// offline all change it.
fn cause(what: Blame, instance: &Instance, snapshot: &Snapshot) -> String {
    let look = |name: &String| match snapshot.node(name) {
        Some(Node { offline: Some(true), .. }) => format!("{name} offline"),
        Some(Node { boot_id: Some(boot_id), .. }) => format!("{name} {boot_id}"),
        Some(_) | None => format!("{name} silent"),
    };
    match what {
        Blame::Node => look(&instance.primary),
        Blame::Peer => instance.secondaries.iter().map(look).collect::<Vec<_>>().join(", "),
        Blame::Instance | Blame::Queue | Blame::Master | Blame::Unknown => String::new(),
    }
}

/// Remembers a failed start: as a used-up try, or as a start that waits until whatever was to blame has
/// changed.
pub fn remember_failure(state: &mut State, instance: &str, blamed: &Blamed, now: Timestamp) {
    if blamed.what.uses_up_a_try() {
        state.recovery.blocked.remove(instance);
        state.record_restart_attempt(instance, now);
        return;
    }
    let by = BlockedBy::Known(blamed.what);
    let before = state.recovery.blocked.get(instance).filter(|blocked| blocked.by == by);
    let failures = before.map_or_else(Failures::default, |blocked| blocked.failures).and_one_at(now);
    let (alike, memory) = match &blamed.detail {
        Detail::Alike(likeness) => (Some(likeness.on_record()), None),
        Detail::Memory(shortage) => (None, Some(*shortage)),
        Detail::None => (None, None),
    };
    let blocked = Blocked { by, failures, cause: blamed.cause.clone(), alike, memory };
    state.recovery.blocked.insert(instance.to_owned(), blocked);
}

/// Forgives what has changed since, and instances that are no longer down. Returns the names of those that
/// are down and need not wait any longer.
pub fn forgive(state: &mut State, snapshot: &Snapshot) -> Vec<String> {
    let mut forgiven = Vec::new();
    let instances = snapshot.instances_by_name();
    state.recovery.blocked.retain(|name, blocked| {
        let Some(instance) = instances.get(name.as_str()) else {
            return snapshot.has_unreadable_instances();
        };
        if instance.status.is_helpless() {
            // The blamed node is away now, so its return is a change, even with the same boot id.
            if blocked.by == BlockedBy::Known(Blame::Node) {
                blocked.cause = cause(Blame::Node, instance, snapshot);
            }
            return true;
        }
        if instance.status != InstanceStatus::ErrorDown {
            return false;
        }
        // If its storage is back, another instance is already running on it.
        let is_back = blocked.alike.is_some() && likeness::works(instance, snapshot);
        let has_changed = match blocked.by {
            BlockedBy::Known(blame) => cause(blame, instance, snapshot) != blocked.cause,
            // This version does not know what that looked like, so the wait runs its full length.
            BlockedBy::Other(_) => false,
        };
        let is_over = is_back || has_changed;
        if is_over {
            forgiven.push(name.clone());
        }
        !is_over
    });
    forgiven
}

/// What the instance is still waiting for, if anything.
#[must_use]
pub fn wait(state: &State, instance: &str, now: Timestamp) -> Option<Wait> {
    let Blocked { by, failures: Failures { failures, last }, .. } = state.recovery.blocked.get(instance)?;
    let seconds = backoff::left(*failures, *last, instance, now);
    (seconds > 0.0).then(|| Wait { by: by.clone(), failures: *failures, seconds })
}

#[cfg(test)]
mod tests;
