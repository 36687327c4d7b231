//! The boot-id pass: a node with a new boot id has rebooted, and the instances that have it as secondary need their
//! disks activated, or their DRBD links stay broken.
//!
//! Source: `watcher/__init__.py: _CheckDisks`. Unlike the original, a boot id is stored only when every activation that
//! it called for has succeeded; the failed ones are remembered and tried again, and only those.

use std::collections::BTreeSet;

use super::{Action, ActionKind, Note, NoteKind, Step};
use crate::cluster::{AdminState, Instance, Snapshot};
use crate::memory::State;

/// What the boot-id pass is going to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskPlan {
    /// Activations and skips, at most one activation for an instance.
    pub steps: Vec<Step>,
    /// The nodes that rebooted.
    pub rebooted: Vec<RebootedNode>,
    /// Nodes that gave no boot id although they are not marked offline.
    pub without_boot_id: Vec<String>,
}

/// A node whose boot id is not the stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebootedNode {
    /// Name of the node.
    pub name: String,
    /// Its boot id now.
    pub boot_id: String,
    /// Instances whose activation must succeed before the boot id is stored.
    pub waiting: Vec<String>,
}

/// Plans the pass. `started` are the instances whose start succeeded in this run.
#[must_use]
pub fn plan(snapshot: &Snapshot, state: &State, started: &BTreeSet<String>) -> DiskPlan {
    let by_secondary = snapshot.instances_by_secondary();
    let mut plan = DiskPlan::default();
    let mut planned = BTreeSet::new();
    for node in &snapshot.nodes {
        let Some(boot_id) = &node.boot_id else {
            if !node.offline {
                plan.without_boot_id.push(node.name.clone());
            }
            continue;
        };
        let pending = state.pending_activations(&node.name, boot_id);
        if pending.is_none() && state.boot_id(&node.name) == Some(boot_id) {
            continue;
        }
        let mut waiting = Vec::new();
        for instance in by_secondary.get(node.name.as_str()).into_iter().flatten() {
            let candidate = match &pending {
                None => Candidate::First,
                Some(names) if names.contains(&instance.name.as_str()) => Candidate::Again,
                Some(_) => continue,
            };
            let step = step(instance, candidate, started.contains(&instance.name));
            if step.is_waited_for() {
                waiting.push(instance.name.clone());
            }
            if planned.insert(instance.name.clone()) {
                plan.steps.push(step);
            }
        }
        plan.rebooted.push(RebootedNode { name: node.name.clone(), boot_id: boot_id.clone(), waiting });
    }
    plan
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Candidate {
    /// The first pass since the node booted.
    First,
    /// An earlier run failed to activate its disks since then.
    Again,
}

fn step(instance: &Instance, candidate: Candidate, started: bool) -> Step {
    let note = |kind| Step::Note(Note { instance: instance.name.clone(), kind });
    // A failed activation makes Ganeti mark the disks as not active: that mark is then our own doing, and no reason
    // to leave the instance without its mirror. An administrator's shutdown shows in the admin state.
    let ours = candidate == Candidate::Again && instance.admin_state == AdminState::Up;
    if started {
        note(NoteKind::StartedInThisRun)
    } else if !instance.disks_active && !ours {
        note(NoteKind::DisksNotActive)
    } else if instance.status.is_helpless() {
        note(NoteKind::ActivationHelpless)
    } else {
        Step::Act(Action { instance: instance.name.clone(), kind: ActionKind::ActivateDisks })
    }
}

impl Step {
    fn is_waited_for(&self) -> bool {
        matches!(self, Self::Act(_) | Self::Note(Note { kind: NoteKind::ActivationHelpless, .. }))
    }
}

/// Stores the boot ids of the nodes for which everything was `activated`, and what is still missing for the others.
pub fn remember(state: &mut State, rebooted: &[RebootedNode], activated: &BTreeSet<String>) {
    for node in rebooted {
        let missing: Vec<String> =
            node.waiting.iter().filter(|instance| !activated.contains(*instance)).cloned().collect();
        if missing.is_empty() {
            state.set_boot_id(&node.name, &node.boot_id);
        } else {
            state.set_pending_activations(&node.name, &node.boot_id, &missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{drbd_instance, node, snapshot};

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn activate(instance: &str) -> Step {
        Step::Act(Action { instance: instance.into(), kind: ActionKind::ActivateDisks })
    }

    fn note(instance: &str, kind: NoteKind) -> Step {
        Step::Note(Note { instance: instance.into(), kind })
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

    #[test]
    fn without_a_reboot_nothing_is_done() {
        assert_eq!(plan(&two_nodes(), &all_stored(), &names(&[])), DiskPlan::default());
    }

    #[test]
    fn a_new_boot_id_or_none_stored_activates_the_instances_with_that_secondary() {
        let mut state = all_stored();
        state.set_boot_id("n2", "earlier");
        let reboot = plan(&two_nodes(), &state, &names(&[]));
        assert_eq!(reboot.steps, [activate("i1")]);
        assert_eq!(
            plan(&two_nodes(), &State::default(), &names(&[])).steps,
            [activate("i2"), activate("i1")]
        );
        remember(&mut state, &reboot.rebooted, &names(&["i1"]));
        assert_eq!(state, all_stored());
    }

    #[test]
    fn skips_have_their_reasons_and_do_not_hold_the_boot_id_back() {
        let mut cluster = two_nodes();
        cluster.instances[0].disks_active = false;
        let mut state = State::default();
        let plan = plan(&cluster, &state, &names(&["i2"]));
        assert_eq!(
            plan.steps,
            [note("i2", NoteKind::StartedInThisRun), note("i1", NoteKind::DisksNotActive)]
        );
        remember(&mut state, &plan.rebooted, &names(&[]));
        assert_eq!(state, all_stored());
    }

    #[test]
    fn a_failed_activation_is_tried_again_alone_although_its_disks_are_now_marked_inactive() {
        let mut cluster = two_nodes();
        cluster.instances.push(drbd_instance("i3", "running", "n2"));
        let mut state = all_stored();
        state.set_boot_id("n2", "earlier");
        let first = plan(&cluster, &state, &names(&[]));
        assert_eq!(first.steps, [activate("i1"), activate("i3")]);
        remember(&mut state, &first.rebooted, &names(&["i3"]));
        assert_eq!(state.boot_id("n2"), Some("earlier"));

        cluster.instances[0].disks_active = false;
        let second = plan(&cluster, &state, &names(&[]));
        assert_eq!(second.steps, [activate("i1")]);
        remember(&mut state, &second.rebooted, &names(&["i1"]));
        assert_eq!(state, all_stored());
    }

    #[test]
    fn an_instance_that_was_shut_down_meanwhile_is_not_activated_again() {
        let mut cluster = two_nodes();
        let mut state = all_stored();
        state.set_pending_activations("n2", "b2", &["i1".to_owned(), "removed".to_owned()]);
        cluster.instances[0].disks_active = false;
        cluster.instances[0].admin_state = AdminState::Down;
        let plan = plan(&cluster, &state, &names(&[]));
        assert_eq!(plan.steps, [note("i1", NoteKind::DisksNotActive)]);
        remember(&mut state, &plan.rebooted, &names(&[]));
        assert_eq!(state, all_stored());
    }

    #[test]
    fn an_instance_whose_primary_is_away_waits_for_it() {
        let cluster = snapshot(
            [drbd_instance("i1", "ERROR_nodedown", "n2")],
            [node("n1", None), node("n2", Some("b2"))],
        );
        let mut state = State::default();
        let plan = plan(&cluster, &state, &names(&[]));
        assert_eq!(plan.steps, [note("i1", NoteKind::ActivationHelpless)]);
        assert_eq!(plan.without_boot_id, ["n1"]);
        remember(&mut state, &plan.rebooted, &names(&[]));
        assert_eq!(state.boot_id("n2"), None);
        assert_eq!(state.pending_activations("n2", "b2"), Some(vec!["i1"]));
    }

    #[test]
    fn another_reboot_begins_anew() {
        let mut state = State::default();
        state.set_pending_activations("n2", "b-old", &["other".to_owned()]);
        state.set_boot_id("n1", "b1");
        assert_eq!(plan(&two_nodes(), &state, &names(&[])).steps, [activate("i1")]);
    }

    #[test]
    fn an_offline_node_has_no_boot_id_and_is_not_mentioned() {
        let mut cluster = two_nodes();
        cluster.nodes[0].boot_id = None;
        cluster.nodes[0].offline = true;
        let plan = plan(&cluster, &all_stored(), &names(&[]));
        assert_eq!(plan, DiskPlan::default());
    }
}
