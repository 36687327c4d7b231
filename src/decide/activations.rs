//! Activations of disks: one planner and one record, whatever calls for them.
//!
//! A node with a new boot id has rebooted, and the instances that have it as secondary need their disks
//! activated, or their DRBD links stay broken (`watcher/__init__.py: _CheckDisks`). verify-disks names
//! instances with broken disks (`_VerifyDisks`). A failed activation makes Ganeti mark the disks as not
//! active, and from then on neither Ganeti nor verify-disks looks at them. So, unlike the original, failures
//! are remembered and tried again at growing intervals, and a boot id is stored only when every activation
//! that it called for has succeeded.

use std::collections::{BTreeSet, HashSet};

use super::{Action, ActionKind, Note, NoteKind, Outcome, Step, backoff};
use crate::cluster::{AdminState, Instance, InstanceStatus, Snapshot, Timestamp};
use crate::memory::recovery::{Activation, Failures};
use crate::memory::state::State;

/// What to do about disks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActivationPlan {
    /// Activations and skips, at most one for an instance.
    pub steps: Vec<Step>,
    /// Names of the nodes that gave no boot id although they are not marked offline.
    pub without_boot_id: Vec<String>,
}

/// What the instance pass means for the disks.
#[derive(Debug, Clone, Default)]
pub struct Starts {
    /// Instances whose start succeeded in this run.
    pub succeeded: BTreeSet<String>,
    /// Instances still to be started in this run: their outcome decides.
    pub planned: BTreeSet<String>,
}

/// What calls for an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    /// A node that has the instance as secondary rebooted, or an activation failed earlier, this often and at
    /// this time.
    OnRecord(Failures),
    /// verify-disks has just named the instance.
    Verification,
}

/// Plans and records what reboots call for and what earlier runs left undone. Nothing is planned for an
/// instance that `starts` lists as planned.
pub fn plan(state: &mut State, snapshot: &Snapshot, starts: &Starts, now: Timestamp) -> ActivationPlan {
    let mut plan = ActivationPlan::default();
    let rebooted = note_reboots(state, snapshot, &mut plan.without_boot_id);
    let (by_secondary, by_name) = (snapshot.instances_by_secondary(), snapshot.instances_by_name());
    let of_reboots = rebooted.iter().flat_map(|node| by_secondary.get(node.as_str())).flatten().copied();
    let found = state.recovery.activations.iter().filter(|(_, activation)| activation.reboots.is_empty());
    let found: Vec<&Instance> = found.filter_map(|(name, _)| by_name.get(name.as_str()).copied()).collect();
    let mut planned = HashSet::new();
    for instance in of_reboots.chain(found) {
        let name = &instance.name;
        let Some(Activation { failures, reboots }) = state.recovery.activations.get(name) else { continue };
        if !planned.insert(name.as_str()) {
            continue;
        }
        let is_for_reboot = !reboots.is_empty();
        let step = step(snapshot, instance, Call::OnRecord(*failures), starts, now);
        if is_for_reboot && !step.as_ref().is_none_or(Step::is_waited_for) {
            state.recovery.activations.remove(name);
        }
        plan.steps.extend(step);
    }
    plan
}

/// Plans what verify-disks called for by naming these instances.
#[must_use]
pub fn plan_found(snapshot: &Snapshot, broken: &[String], now: Timestamp) -> Vec<Step> {
    let by_name = snapshot.instances_by_name();
    let step = |name: &String| match by_name.get(name.as_str()) {
        Some(instance) => step(snapshot, instance, Call::Verification, &Starts::default(), now),
        None => Some(Step::Note(Note { instance: name.clone(), kind: NoteKind::Unknown })),
    };
    broken.iter().filter_map(step).collect()
}

/// Records what the nodes' boot ids call for. Returns the nodes whose boot ids are not stored yet.
fn note_reboots(state: &mut State, snapshot: &Snapshot, without_boot_id: &mut Vec<String>) -> Vec<String> {
    forget_nodes_that_are_gone(state, snapshot);
    let by_secondary = snapshot.instances_by_secondary();
    let mut rebooted = Vec::new();
    for node in &snapshot.nodes {
        let Some(boot_id) = &node.boot_id else {
            if !node.is_offline() {
                without_boot_id.push(node.name.clone());
            }
            continue;
        };
        let is_pending = state.pending_boot_id(&node.name) == Some(boot_id);
        if !is_pending && state.boot_id(&node.name) == Some(boot_id) {
            continue;
        }
        // It is unknown whether an unreadable instance has this node as secondary. It stays until it can be
        // read.
        let unreadable = snapshot.unreadable_names();
        let of_node = by_secondary.get(node.name.as_str()).into_iter().flatten();
        let of_node: HashSet<&str> =
            of_node.map(|instance| instance.name.as_str()).chain(unreadable.iter().copied()).collect();
        let activations = &mut state.recovery.activations;
        activations.retain(|name, activation| {
            let is_moved = !of_node.contains(name.as_str()) && activation.reboots.remove(&node.name);
            !(is_moved && activation.reboots.is_empty())
        });
        for name in if is_pending { unreadable } else { of_node } {
            let activation = activations.entry(name.to_owned()).or_default();
            if !is_pending {
                // What failed before the reboot says little about what comes after it.
                activation.failures = activation.failures.without_wait();
            }
            activation.reboots.insert(node.name.clone());
        }
        state.set_pending_boot_id(&node.name, boot_id);
        rebooted.push(node.name.clone());
    }
    rebooted
}

fn forget_nodes_that_are_gone(state: &mut State, snapshot: &Snapshot) {
    let nodes = snapshot.nodes.iter().map(|node| &node.name).chain(&snapshot.unreadable_nodes);
    let nodes: HashSet<&String> = nodes.collect();
    state.recovery.activations.retain(|_, activation| {
        let was_for_reboot = !activation.reboots.is_empty();
        activation.reboots.retain(|node| nodes.contains(node));
        !(was_for_reboot && activation.reboots.is_empty())
    });
}

/// What to do about an instance whose disks need activation; `None` when that depends on its start.
fn step(
    snapshot: &Snapshot,
    instance: &Instance,
    call: Call,
    starts: &Starts,
    now: Timestamp,
) -> Option<Step> {
    let name = &instance.name;
    let note = |kind| Some(Step::Note(Note { instance: name.clone(), kind }));
    let act = |although_inactive| {
        let kind = ActionKind::ActivateDisks { although_inactive };
        Some(Step::Act(Action { instance: name.clone(), kind }))
    };
    // With a silent secondary it would fail, and make Ganeti mark the disks of an instance that may well be
    // running as not active.
    let is_out_of_reach = instance.status.is_helpless()
        || !instance.status.is_known()
        || snapshot.silent_secondary(instance).is_some();
    let Call::OnRecord(Failures { failures, last }) = call else {
        return if is_out_of_reach || snapshot.has_offline_secondary(instance) {
            note(NoteKind::VerifyHelpless)
        } else if let Some(job) = snapshot.job_at(name) {
            note(NoteKind::Busy(job.clone()))
        } else {
            act(false)
        };
    };
    // A failed activation makes Ganeti mark the disks as not active: that mark is then our own doing, and not
    // a reason to leave a running instance without its mirror. An instance that is down is left to the
    // instance pass.
    let although_inactive =
        failures > 0 && instance.status == InstanceStatus::Running && instance.admin_state == AdminState::Up;
    // First in the next run, then at growing intervals: it locks two nodes, and a disk that is really broken
    // does not repair itself.
    let wait = backoff::left(failures.saturating_sub(1), last, name, now);
    if starts.planned.contains(name) {
        None
    } else if starts.succeeded.contains(name) {
        note(NoteKind::StartedInThisRun)
    } else if !instance.disks_active && !although_inactive {
        note(NoteKind::DisksNotActive)
    } else if is_out_of_reach {
        note(NoteKind::ActivationHelpless)
    } else if let Some(job) = snapshot.job_at(name) {
        note(NoteKind::Busy(job.clone()))
    } else if wait > 0.0 {
        note(NoteKind::ActivationDelayed { failures, wait })
    } else {
        act(although_inactive)
    }
}

impl Step {
    fn is_waited_for(&self) -> bool {
        match self {
            Self::Act(_) => true,
            Self::Note(note) => matches!(
                note.kind,
                NoteKind::ActivationHelpless | NoteKind::ActivationDelayed { .. } | NoteKind::Busy(_)
            ),
        }
    }
}

/// Remembers how an action that involves disks ended: a start assembles them too.
pub fn remember_outcome(state: &mut State, action: &Action, outcome: &Outcome, now: Timestamp) {
    let activations = &mut state.recovery.activations;
    match outcome {
        Outcome::Succeeded => drop(activations.remove(&action.instance)),
        Outcome::Failed { .. } | Outcome::Unknown(_) => {
            let is_activation = matches!(action.kind, ActionKind::ActivateDisks { .. });
            if is_activation || activations.contains_key(&action.instance) {
                let activation = activations.entry(action.instance.clone()).or_default();
                activation.failures = activation.failures.and_one_at(now);
            }
        }
        Outcome::NotSubmitted(_) | Outcome::LeftAlone(_) => {}
    }
}

/// Stores the boot ids of the nodes for which nothing is left to do.
pub fn store_boot_ids(state: &mut State) {
    let waiting = state.recovery.activations.values().flat_map(|activation| &activation.reboots);
    let waiting: BTreeSet<String> = waiting.cloned().collect();
    for (node, boot_id) in state.pending_boot_ids() {
        if !waiting.contains(&node) {
            state.set_boot_id(&node, &boot_id);
        }
    }
}

/// Forgets what verify-disks called for on instances that no longer run: their next start assembles the
/// disks.
pub fn forget_stopped(state: &mut State, snapshot: &Snapshot) {
    let (instances, unreadable) = (snapshot.instances_by_name(), snapshot.unreadable_names());
    state.recovery.activations.retain(|name, activation| match instances.get(name.as_str()) {
        _ if !activation.reboots.is_empty() => true,
        Some(Instance { status, .. }) => {
            *status == InstanceStatus::Running || status.is_helpless() || !status.is_known()
        }
        None => unreadable.contains(name.as_str()),
    });
}

#[cfg(test)]
mod tests;
