//! The boot-id pass: a node with a new boot id has rebooted, and the instances that have it as secondary need their
//! disks activated, or their DRBD links stay broken.
//!
//! Source: `watcher/__init__.py: _CheckDisks`. Unlike the original, a boot id is stored only when every activation that
//! it called for has succeeded; the failed ones are remembered and tried again, ever more rarely, and only those.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, ActionKind, Note, NoteKind, Outcome, Step, backoff};
use crate::cluster::{AdminState, Instance, InstanceStatus, Snapshot, Timestamp};
use crate::memory::recovery::Failures;
use crate::memory::state::State;

/// What the boot-id pass is going to do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DiskPlan {
    /// Activations and skips, at most one activation for an instance.
    pub steps: Vec<Step>,
    /// The nodes that rebooted, with what is to be done before their boot ids may be stored.
    pub rebooted: Vec<RebootedNode>,
    /// Names of the nodes that gave no boot id although they are not marked offline.
    pub without_boot_id: Vec<String>,
}

/// A node whose boot id is not the stored one.
#[derive(Debug, Clone, PartialEq)]
pub struct RebootedNode {
    /// Name of the node.
    pub name: String,
    /// Its boot id now.
    pub boot_id: String,
    /// The activations that must succeed before the boot id is stored, by instance.
    pub waiting: BTreeMap<String, Failures>,
}

/// What the instance pass has to do with the disks.
#[derive(Debug, Clone, Default)]
pub struct Starts {
    /// Instances whose start succeeded in this run.
    pub succeeded: BTreeSet<String>,
    /// Instances that are yet to be started in this run: what becomes of them decides.
    pub planned: BTreeSet<String>,
}

/// Plans the pass: activations for the instances with a rebooted secondary, the ones that earlier runs left undone, and
/// what is to be said. Nothing is planned for an instance that `starts` has as planned.
#[must_use]
pub fn plan(snapshot: &Snapshot, state: &State, starts: &Starts, now: Timestamp) -> DiskPlan {
    let by_secondary = snapshot.instances_by_secondary();
    let mut plan = DiskPlan::default();
    let mut planned = BTreeSet::new();
    for node in &snapshot.nodes {
        let Some(boot_id) = &node.boot_id else {
            if !node.is_offline() {
                plan.without_boot_id.push(node.name.clone());
            }
            continue;
        };
        let pending = state.pending_activations(&node.name, boot_id);
        if pending.is_none() && state.boot_id(&node.name) == Some(boot_id) {
            continue;
        }
        // Whether such an instance has this node as secondary is unknown. It stays on the list until it can be read.
        let unreadable = snapshot.unreadable_instances.iter().cloned();
        let mut waiting: BTreeMap<_, _> = unreadable.map(|name| (name, Failures::default())).collect();
        for instance in by_secondary.get(node.name.as_str()).into_iter().flatten() {
            let earlier = match &pending {
                None => None,
                Some(pending) => match pending.get(&instance.name) {
                    Some(earlier) => Some(*earlier),
                    None => continue,
                },
            };
            let step = step(snapshot, instance, earlier, starts, now);
            if step.as_ref().is_none_or(Step::is_waited_for) {
                waiting.insert(instance.name.clone(), earlier.unwrap_or_default());
            }
            if planned.insert(instance.name.clone()) {
                plan.steps.extend(step);
            }
        }
        plan.rebooted.push(RebootedNode { name: node.name.clone(), boot_id: boot_id.clone(), waiting });
    }
    for (name, earlier) in &state.recovery.activations {
        if let Some(instance) = snapshot.instance(name)
            && planned.insert(name.clone())
        {
            plan.steps.extend(step(snapshot, instance, Some(*earlier), starts, now));
        }
    }
    let mirrors = inactive_mirrors(snapshot, &plan.steps);
    plan.steps.extend(mirrors);
    plan
}

/// Instances that run on mirrored disks that Ganeti does not consider active. Neither verify-disks nor the original's
/// passes ever look at those.
fn inactive_mirrors(snapshot: &Snapshot, steps: &[Step]) -> Vec<Step> {
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

/// What is to be done about an instance whose disks need activation; `None` when that depends on its start. `earlier` is
/// set when an earlier run has left the activation undone.
fn step(
    snapshot: &Snapshot,
    instance: &Instance,
    earlier: Option<Failures>,
    starts: &Starts,
    now: Timestamp,
) -> Option<Step> {
    let name = &instance.name;
    let note = |kind| Some(Step::Note(Note { instance: name.clone(), kind }));
    let Failures { failures, last } = earlier.unwrap_or_default();
    // A failed activation makes Ganeti mark the disks as not active: that mark is then our own doing, and no reason
    // to leave a running instance without its mirror. One that is down is the instance pass's business.
    let although_inactive =
        failures > 0 && instance.status == InstanceStatus::Running && instance.admin_state == AdminState::Up;
    // Once at the next run, and only then ever more rarely: it locks two nodes, and a disk that is really broken does
    // not mend itself.
    let wait = backoff::left(failures.saturating_sub(1), last, name, now);
    if starts.planned.contains(name) {
        None
    } else if starts.succeeded.contains(name) {
        note(NoteKind::StartedInThisRun)
    } else if !instance.disks_active && !although_inactive {
        note(NoteKind::DisksNotActive)
    } else if instance.status.is_helpless()
        || !instance.status.is_known()
        || snapshot.silent_secondary(instance).is_some()
    {
        note(NoteKind::ActivationHelpless)
    } else if let Some(job) = snapshot.job_at(name) {
        note(NoteKind::Busy(job.clone()))
    } else if wait > 0.0 {
        note(NoteKind::ActivationDelayed { failures, wait })
    } else {
        let kind = ActionKind::ActivateDisks { although_inactive };
        Some(Step::Act(Action { instance: name.clone(), kind }))
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

/// Remembers how an activation ended that verify-disks called for, or one that was left from such.
pub fn remember_activation(state: &mut State, action: &Action, outcome: &Outcome, now: Timestamp) {
    let ActionKind::ActivateDisks { .. } = action.kind else { return };
    let failed = &mut state.recovery.activations;
    match outcome {
        Outcome::Succeeded => drop(failed.remove(&action.instance)),
        Outcome::Failed { .. } | Outcome::Unknown(_) => {
            let earlier = failed.get(&action.instance).copied().unwrap_or_default();
            failed.insert(action.instance.clone(), earlier.and_one_at(now));
        }
        Outcome::NotSubmitted(_) | Outcome::LeftAlone(_) => {}
    }
}

/// Forgets the failed activations of instances that do not run any more: their next start assembles the disks.
pub fn forget_stopped(state: &mut State, snapshot: &Snapshot) {
    let (instances, unreadable) = (snapshot.instances_by_name(), snapshot.unreadable_names());
    state.recovery.activations.retain(|name, _| match instances.get(name.as_str()) {
        Some(Instance { status, .. }) => {
            *status == InstanceStatus::Running || status.is_helpless() || !status.is_known()
        }
        None => unreadable.contains(name.as_str()),
    });
}

/// Remembers how an activation of the pass ended: what is done is not waited for any more.
pub fn remember_outcome(rebooted: &mut [RebootedNode], action: &Action, outcome: &Outcome, now: Timestamp) {
    for node in rebooted {
        match outcome {
            Outcome::Succeeded => {
                node.waiting.remove(&action.instance);
            }
            Outcome::Failed { .. } | Outcome::Unknown(_) => {
                if let Some(waiting) = node.waiting.get_mut(&action.instance) {
                    *waiting = waiting.and_one_at(now);
                }
            }
            Outcome::NotSubmitted(_) | Outcome::LeftAlone(_) => {}
        }
    }
}

/// Stores the boot ids of the nodes for which nothing is waited for any more, and what is for the others.
pub fn remember(state: &mut State, rebooted: &[RebootedNode]) {
    for node in rebooted {
        if node.waiting.is_empty() {
            state.set_boot_id(&node.name, &node.boot_id);
        } else {
            state.set_pending_activations(&node.name, &node.boot_id, &node.waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{drbd_instance, node, pending_job, snapshot};
    use crate::cluster::{JobFailure, JobId};
    use crate::decide::blame::Blame;
    use crate::decide::budget::Blamed;

    const NOW: Timestamp = 10_000.0;

    fn started(names: &[&str]) -> Starts {
        let succeeded = names.iter().map(|name| (*name).to_owned()).collect();
        Starts { succeeded, ..Starts::default() }
    }

    fn activation(instance: &str, although_inactive: bool) -> Action {
        Action { instance: instance.into(), kind: ActionKind::ActivateDisks { although_inactive } }
    }

    fn activate(instance: &str) -> Step {
        Step::Act(activation(instance, false))
    }

    fn note(instance: &str, kind: NoteKind) -> Step {
        Step::Note(Note { instance: instance.into(), kind })
    }

    fn failed() -> Outcome {
        let blamed =
            Blamed { what: Blame::Queue, cause: String::new(), detail: crate::decide::budget::Detail::None };
        Outcome::Failed { job: JobId(1), failure: JobFailure::Canceled, blamed }
    }

    fn two_nodes() -> Snapshot {
        snapshot(
            [drbd_instance("i1", "running", "n2"), drbd_instance("i2", "running", "n1")],
            [node("n1", Some("b1")), node("n2", Some("b2"))],
        )
    }

    fn all_stored() -> State {
        let mut state = State::default();
        state.set_boot_id("n1", "b1");
        state.set_boot_id("n2", "b2");
        state
    }

    fn pending(instances: &[(&str, u64)]) -> BTreeMap<String, Failures> {
        let entry = |failures| Failures { failures, last: NOW };
        instances.iter().map(|(name, failures)| ((*name).to_owned(), entry(*failures))).collect()
    }

    /// Plans, lets the named activations fail and the others succeed, and remembers.
    fn pass(cluster: &Snapshot, state: &mut State, failing: &[&str], now: Timestamp) -> Vec<Step> {
        let DiskPlan { steps, mut rebooted, .. } = plan(cluster, state, &Starts::default(), now);
        for step in &steps {
            if let Step::Act(action) = step {
                let fails = failing.contains(&action.instance.as_str());
                let outcome = if fails { failed() } else { Outcome::Succeeded };
                remember_outcome(&mut rebooted, action, &outcome, now);
            }
        }
        remember(state, &rebooted);
        steps
    }

    #[test]
    fn without_a_reboot_nothing_is_done() {
        assert_eq!(plan(&two_nodes(), &all_stored(), &Starts::default(), NOW), DiskPlan::default());
    }

    #[test]
    fn a_new_boot_id_or_none_stored_activates_the_instances_with_that_secondary() {
        let mut state = all_stored();
        state.set_boot_id("n2", "earlier");
        assert_eq!(pass(&two_nodes(), &mut state, &[], NOW), [activate("i1")]);
        assert_eq!(state, all_stored());
        let mut state = State::default();
        assert_eq!(pass(&two_nodes(), &mut state, &[], NOW), [activate("i2"), activate("i1")]);
        assert_eq!(state, all_stored());
    }

    #[test]
    fn skips_have_their_reasons_and_do_not_hold_the_boot_id_back() {
        let mut cluster = two_nodes();
        cluster.instances[0].disks_active = false;
        let mut state = State::default();
        let plan = plan(&cluster, &state, &started(&["i2"]), NOW);
        assert_eq!(
            plan.steps,
            [
                note("i2", NoteKind::StartedInThisRun),
                note("i1", NoteKind::DisksNotActive),
                note("i1", NoteKind::MirrorNotActive),
            ]
        );
        remember(&mut state, &plan.rebooted);
        assert_eq!(state, all_stored());
    }

    #[test]
    fn a_failed_activation_is_tried_again_alone_although_its_disks_are_now_marked_inactive() {
        let mut cluster = two_nodes();
        cluster.instances.push(drbd_instance("i3", "running", "n2"));
        let mut state = all_stored();
        state.set_boot_id("n2", "earlier");
        assert_eq!(pass(&cluster, &mut state, &["i1"], NOW), [activate("i1"), activate("i3")]);
        assert_eq!(state.boot_id("n2"), Some("earlier"));

        cluster.instances[0].disks_active = false;
        assert_eq!(pass(&cluster, &mut state, &[], NOW), [Step::Act(activation("i1", true))]);
        assert_eq!(state, all_stored());
    }

    #[test]
    fn a_disk_that_stays_broken_is_tried_ever_more_rarely() {
        let mut state = all_stored();
        state.set_boot_id("n2", "earlier");
        let mut tried_at = Vec::new();
        for run in 0..60_u32 {
            let now = NOW + f64::from(run) * 300.0;
            let steps = pass(&two_nodes(), &mut state, &["i1"], now);
            if steps.iter().any(|step| matches!(step, Step::Act(_))) {
                tried_at.push(run);
            } else {
                assert!(matches!(
                    &steps[..],
                    [Step::Note(Note { kind: NoteKind::ActivationDelayed { .. }, .. })]
                ));
            }
        }
        // Without the jitter: 0, 1, 2, 4, 8, 16, 28, 40, 52.
        assert_eq!(tried_at, [0, 1, 2, 4, 8, 15, 27, 37, 48]);
        assert_eq!(state.boot_id("n2"), Some("earlier"));
    }

    #[test]
    fn a_failed_activation_of_an_instance_that_is_down_is_left_to_its_restart() {
        let mut cluster = two_nodes();
        let mut state = all_stored();
        state.set_pending_activations("n2", "b2", &pending(&[("i1", 1)]));
        cluster.instances[0].disks_active = false;
        cluster.instances[0].status = InstanceStatus::ErrorDown;
        assert_eq!(pass(&cluster, &mut state, &[], NOW), [note("i1", NoteKind::DisksNotActive)]);
        assert_eq!(state, all_stored());
    }

    #[test]
    fn an_instance_that_was_shut_down_meanwhile_is_not_activated_again() {
        let mut cluster = two_nodes();
        let mut state = all_stored();
        state.set_pending_activations("n2", "b2", &pending(&[("i1", 1), ("removed", 1)]));
        cluster.instances[0].disks_active = false;
        cluster.instances[0].admin_state = AdminState::Down;
        cluster.instances[0].status = InstanceStatus::AdminDown;
        assert_eq!(pass(&cluster, &mut state, &[], NOW), [note("i1", NoteKind::DisksNotActive)]);
        assert_eq!(state, all_stored());
    }

    #[test]
    fn an_instance_whose_primary_is_away_or_that_a_job_is_at_waits() {
        let mut cluster = snapshot(
            [drbd_instance("i1", "ERROR_nodedown", "n2"), drbd_instance("i2", "running", "n2")],
            [node("n1", None), node("n2", Some("b2"))],
        );
        let job = pending_job(7, "INSTANCE_ACTIVATE_DISKS(i2)");
        cluster.pending_jobs.push(job.clone());
        let mut state = State::default();
        let plan = plan(&cluster, &state, &Starts::default(), NOW);
        assert_eq!(plan.steps, [note("i1", NoteKind::ActivationHelpless), note("i2", NoteKind::Busy(job))]);
        assert_eq!(plan.without_boot_id, ["n1"]);
        remember(&mut state, &plan.rebooted);
        assert_eq!(state.boot_id("n2"), None);
        let waiting = state.pending_activations("n2", "b2").unwrap();
        assert_eq!(waiting.keys().collect::<Vec<_>>(), ["i1", "i2"]);
    }

    #[test]
    fn what_was_not_reached_is_still_to_be_done() {
        let mut state = all_stored();
        state.set_boot_id("n2", "earlier");
        let plan = plan(&two_nodes(), &state, &Starts::default(), NOW);
        remember(&mut state, &plan.rebooted);
        assert_eq!(pass(&two_nodes(), &mut state, &[], NOW), [activate("i1")]);
        assert_eq!(state, all_stored());
    }

    #[test]
    fn an_instance_that_cannot_be_read_holds_the_boot_id_back_until_it_can() {
        let mut cluster = two_nodes();
        let unread = cluster.instances.remove(0);
        cluster.unreadable_instances.push(unread.name.clone());
        let mut state = all_stored();
        state.set_boot_id("n2", "earlier");
        assert_eq!(pass(&cluster, &mut state, &[], NOW), []);
        assert_eq!(state.boot_id("n2"), Some("earlier"));
        cluster.unreadable_instances.clear();
        cluster.instances.push(unread);
        assert_eq!(pass(&cluster, &mut state, &[], NOW), [activate("i1")]);
        assert_eq!(state, all_stored());
    }

    #[test]
    fn another_reboot_begins_anew() {
        let mut state = State::default();
        state.set_pending_activations("n2", "b-old", &pending(&[("other", 9)]));
        state.set_boot_id("n1", "b1");
        assert_eq!(plan(&two_nodes(), &state, &Starts::default(), NOW).steps, [activate("i1")]);
    }

    #[test]
    fn an_offline_node_has_no_boot_id_and_is_not_mentioned() {
        let mut cluster = two_nodes();
        cluster.nodes[0].boot_id = None;
        cluster.nodes[0].offline = Some(true);
        assert_eq!(plan(&cluster, &all_stored(), &Starts::default(), NOW), DiskPlan::default());
    }
}
