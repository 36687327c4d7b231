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
    /// Nodes whose boot ids are to be stored when nothing waits for them any more, with these.
    pub rebooted: Vec<(String, String)>,
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

/// Plans and records what reboots call for and what earlier runs left undone. Nothing is planned for an
/// instance that `starts` lists as planned.
pub fn plan(state: &mut State, snapshot: &Snapshot, starts: &Starts, now: Timestamp) -> ActivationPlan {
    let mut plan = ActivationPlan::default();
    note_reboots(state, snapshot, &mut plan);
    let (by_secondary, by_name) = (snapshot.instances_by_secondary(), snapshot.instances_by_name());
    let of_node = |(node, _): &(String, String)| by_secondary.get(node.as_str());
    let of_reboots = plan.rebooted.iter().filter_map(of_node).flatten().copied();
    let found = state.recovery.activations.iter().filter(|(_, activation)| activation.found_broken);
    let found: Vec<&Instance> = found.filter_map(|(name, _)| by_name.get(name.as_str()).copied()).collect();
    let mut planned = HashSet::new();
    for instance in of_reboots.chain(found) {
        let name = &instance.name;
        let Some(activation) = state.recovery.activations.get_mut(name) else { continue };
        if !planned.insert(name.as_str()) {
            continue;
        }
        let step = step(snapshot, instance, activation.failures, starts, now);
        if !step.as_ref().is_none_or(Step::is_waited_for) {
            activation.reboots.clear();
        }
        if !activation.is_called_for() {
            state.recovery.activations.remove(name);
        }
        plan.steps.extend(step);
    }
    plan
}

impl Activation {
    fn is_called_for(&self) -> bool {
        self.found_broken || !self.reboots.is_empty()
    }
}

/// Records what the nodes' boot ids call for, and adds the nodes whose boot ids are not stored yet to the
/// plan.
fn note_reboots(state: &mut State, snapshot: &Snapshot, plan: &mut ActivationPlan) {
    // Before anything is removed: a pending boot id that no record names was not written by us and starts
    // anew; one whose last record is removed below is done.
    let on_record = waited_for(state, |name| !is_text_of_a_row(name, snapshot));
    forget_what_moved(state, snapshot);
    let by_secondary = snapshot.instances_by_secondary();
    for node in &snapshot.nodes {
        let Some(boot_id) = &node.boot_id else {
            if !node.is_offline() {
                plan.without_boot_id.push(node.name.clone());
            }
            continue;
        };
        let is_pending = on_record.contains(&node.name) && state.pending_boot_id(&node.name) == Some(boot_id);
        if !is_pending && state.boot_id(&node.name) == Some(boot_id) {
            // Another program stored it: what an earlier boot called for is done.
            state.drop_pending_boot_id(&node.name);
            if on_record.contains(&node.name) {
                forget_reboot(state, &node.name);
            }
            continue;
        }
        // It is unknown whether an unreadable instance has this node as secondary. It stays until it can be
        // read.
        for name in &snapshot.unreadable_instances {
            let activation = state.recovery.activations.entry(name.clone()).or_default();
            if !is_pending {
                activation.failures = activation.failures.without_wait();
            }
            activation.reboots.insert(node.name.clone());
        }
        let of_node = by_secondary.get(node.name.as_str()).into_iter().flatten();
        for instance in of_node.filter(|_| !is_pending) {
            let activation = state.recovery.activations.entry(instance.name.clone()).or_default();
            // What failed before the reboot says little about what comes after it.
            activation.failures = activation.failures.without_wait();
            activation.reboots.insert(node.name.clone());
        }
        state.set_pending_boot_id(&node.name, boot_id);
        plan.rebooted.push((node.name.clone(), boot_id.clone()));
    }
}

/// The nodes whose boot ids cannot be stored yet because of these records.
fn waited_for(state: &State, counts: impl Fn(&str) -> bool) -> HashSet<String> {
    let records = state.recovery.activations.iter().filter(|(name, _)| counts(name));
    records.flat_map(|(_, activation)| &activation.reboots).cloned().collect()
}

/// Whether the record is that of a row that could not be read and had no name: it may have been any
/// instance's, so once all can be read everything starts anew.
fn is_text_of_a_row(name: &str, snapshot: &Snapshot) -> bool {
    name.contains(char::is_whitespace) && !snapshot.unreadable_instances.iter().any(|other| other == name)
}

/// Removes a reboot from all records.
fn forget_reboot(state: &mut State, node: &str) {
    state.recovery.activations.retain(|_, activation| {
        activation.reboots.remove(node);
        activation.is_called_for()
    });
}

/// Removes the records of instances that are gone, and reboots of nodes that are no longer their secondaries.
/// While any instance cannot be read, none counts as gone.
fn forget_what_moved(state: &mut State, snapshot: &Snapshot) {
    let by_name = snapshot.instances_by_name();
    state.recovery.activations.retain(|name, activation| match by_name.get(name.as_str()) {
        Some(instance) => {
            activation.reboots.retain(|node| instance.secondaries.contains(node));
            activation.is_called_for()
        }
        None => {
            let is_split = || snapshot.split.iter().any(|split| split.name == *name);
            !snapshot.unreadable_instances.is_empty() || is_split()
        }
    });
}

/// What to do about an instance whose activation is on record with these failures; `None` when that depends
/// on its start.
fn step(
    snapshot: &Snapshot,
    instance: &Instance,
    Failures { failures, last }: Failures,
    starts: &Starts,
    now: Timestamp,
) -> Option<Step> {
    let name = &instance.name;
    let note = |kind| Some(Step::Note(Note { instance: name.clone(), kind }));
    // A failed activation makes Ganeti mark the disks as not active: that mark is then our own doing, and not
    // a reason to leave a running instance without its mirror. An instance that is down is left to the
    // instance pass.
    let although_inactive =
        failures > 0 && instance.status == InstanceStatus::Running && instance.admin_state == AdminState::Up;
    // First in the next run, then at growing intervals: it locks two nodes, and a disk that is really broken
    // does not repair itself.
    // Whether it runs is unknown: so is why its disks are not active.
    let is_unclear = failures > 0 && (instance.status.is_helpless() || !instance.status.is_known());
    let wait = wait(failures, last, name, now);
    if starts.planned.contains(name) {
        None
    } else if starts.succeeded.contains(name) {
        note(NoteKind::StartedInThisRun)
    } else if !instance.disks_active && !although_inactive && !is_unclear {
        note(NoteKind::DisksNotActive)
    } else if is_out_of_reach(snapshot, instance) {
        note(NoteKind::ActivationHelpless)
    } else if let Some(job) = snapshot.job_at(name) {
        note(NoteKind::Busy(job.clone()))
    } else if wait > 0.0 {
        note(NoteKind::ActivationDelayed { failures, until: now + wait })
    } else {
        Some(activate(name, although_inactive))
    }
}

/// Seconds until an activation that has failed this often is tried again: first in the next run, then at
/// growing intervals.
#[must_use]
pub fn wait(failures: u64, last: Timestamp, instance: &str, now: Timestamp) -> f64 {
    backoff::left(failures.saturating_sub(1), last, instance, now)
}

/// Plans what verify-disks calls for by naming these instances.
#[must_use]
pub fn plan_found(snapshot: &Snapshot, broken: &[String]) -> Vec<Step> {
    let by_name = snapshot.instances_by_name();
    let step = |name: &String| {
        let note = |kind| Step::Note(Note { instance: name.clone(), kind });
        match by_name.get(name.as_str()) {
            None => note(NoteKind::Unknown),
            Some(instance) if is_out_of_reach(snapshot, instance) => {
                note(NoteKind::VerifyHelpless { is_out_of_reach: true })
            }
            Some(instance) if snapshot.has_offline_secondary(instance) => {
                note(NoteKind::VerifyHelpless { is_out_of_reach: false })
            }
            Some(_) => match snapshot.job_at(name) {
                Some(job) => note(NoteKind::Busy(job.clone())),
                None => activate(name, false),
            },
        }
    };
    broken.iter().map(step).collect()
}

fn activate(instance: &str, although_inactive: bool) -> Step {
    let kind = ActionKind::ActivateDisks { although_inactive };
    Step::Act(Action { instance: instance.to_owned(), kind })
}

/// Whether an activation cannot succeed now. With a silent secondary it would fail, and make Ganeti mark the
/// disks of what may well be running as not active.
fn is_out_of_reach(snapshot: &Snapshot, instance: &Instance) -> bool {
    instance.status.is_helpless()
        || !instance.status.is_known()
        || snapshot.silent_secondary(instance).is_some()
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

/// Remembers how an activation or a start ended: a start assembles the disks too.
/// `rebooted` is what [`plan`] returned: what a node that does not answer calls for is still due.
pub fn remember_outcome(
    state: &mut State,
    rebooted: &[(String, String)],
    action: &Action,
    outcome: &Outcome,
    now: Timestamp,
) {
    let activations = &mut state.recovery.activations;
    let Some(activation) = activations.get_mut(&action.instance) else { return };
    match outcome {
        Outcome::Succeeded => {
            activation.found_broken = false;
            for (node, _) in rebooted {
                activation.reboots.remove(node);
            }
            if !activation.is_called_for() {
                activations.remove(&action.instance);
            }
        }
        Outcome::Failed { .. } | Outcome::Unknown(_) => {
            activation.failures = activation.failures.and_one_at(now);
        }
        Outcome::NotSubmitted(_) | Outcome::LeftAlone(_) => {}
    }
}

/// Remembers how an activation that verify-disks called for ended. What a reboot calls for stays on record:
/// another run may have recorded it in the meantime.
pub fn remember_found(state: &mut State, action: &Action, outcome: &Outcome, now: Timestamp) {
    let activations = &mut state.recovery.activations;
    match outcome {
        Outcome::Succeeded => {
            let Some(activation) = activations.get_mut(&action.instance) else { return };
            activation.found_broken = false;
            if !activation.is_called_for() {
                activations.remove(&action.instance);
            }
        }
        Outcome::Failed { .. } | Outcome::Unknown(_) => {
            let activation = activations.entry(action.instance.clone()).or_default();
            activation.found_broken = true;
            activation.failures = activation.failures.and_one_at(now);
        }
        Outcome::NotSubmitted(_) | Outcome::LeftAlone(_) => {}
    }
}

/// Stores the boot ids of those nodes, of the ones that [`plan`] returned, for which nothing is left to do.
pub fn store_boot_ids(state: &mut State, rebooted: &[(String, String)]) {
    let waiting = waited_for(state, |_| true);
    for (node, boot_id) in rebooted.iter().filter(|(node, _)| !waiting.contains(node)) {
        state.set_boot_id(node, boot_id);
    }
}

/// Forgets what verify-disks called for on instances that no longer run: their next start assembles the
/// disks.
pub fn forget_stopped(state: &mut State, snapshot: &Snapshot) {
    let by_name = snapshot.instances_by_name();
    state.recovery.activations.retain(|name, activation| {
        let is_stopped = by_name.get(name.as_str()).is_some_and(|Instance { status, .. }| {
            *status != InstanceStatus::Running && !status.is_helpless() && status.is_known()
        });
        activation.found_broken &= !is_stopped;
        activation.is_called_for()
    });
}

#[cfg(test)]
mod tests;
