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

/// Plans, lets the named activations fail and the others succeed, and remembers.
fn pass(cluster: &Snapshot, state: &mut State, failing: &[&str], now: Timestamp) -> Vec<Step> {
    let ActivationPlan { steps, rebooted, .. } = plan(state, cluster, &Starts::default(), now);
    for step in &steps {
        if let Step::Act(action) = step {
            let fails = failing.contains(&action.instance.as_str());
            let outcome = if fails { failed() } else { Outcome::Succeeded };
            remember_outcome(state, &rebooted, action, &outcome, now);
        }
    }
    store_boot_ids(state, &rebooted);
    steps
}

/// An activation of each is on record, for that node's boot.
fn pending(state: &mut State, node: &str, boot_id: &str, instances: &[(&str, u64)]) {
    state.set_pending_boot_id(node, boot_id);
    for (name, failures) in instances {
        let failures = Failures { failures: *failures, last: NOW };
        let activation =
            Activation { failures, reboots: BTreeSet::from([node.to_owned()]), found_broken: false };
        state.recovery.activations.insert((*name).to_owned(), activation);
    }
}

#[test]
fn without_a_reboot_nothing_is_done() {
    assert_eq!(plan(&mut all_stored(), &two_nodes(), &Starts::default(), NOW), ActivationPlan::default());
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
    let plan = plan(&mut state, &cluster, &started(&["i2"]), NOW);
    assert_eq!(plan.steps, [note("i2", NoteKind::StartedInThisRun), note("i1", NoteKind::DisksNotActive),]);
    store_boot_ids(&mut state, &plan.rebooted);
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
    pending(&mut state, "n2", "b2", &[("i1", 1)]);
    cluster.instances[0].disks_active = false;
    cluster.instances[0].status = InstanceStatus::ErrorDown;
    assert_eq!(pass(&cluster, &mut state, &[], NOW), [note("i1", NoteKind::DisksNotActive)]);
    assert_eq!(state, all_stored());
}

#[test]
fn an_instance_that_was_shut_down_meanwhile_is_not_activated_again() {
    let mut cluster = two_nodes();
    let mut state = all_stored();
    pending(&mut state, "n2", "b2", &[("i1", 1), ("removed", 1)]);
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
    let plan = plan(&mut state, &cluster, &Starts::default(), NOW);
    assert_eq!(plan.steps, [note("i1", NoteKind::ActivationHelpless), note("i2", NoteKind::Busy(job))]);
    assert_eq!(plan.without_boot_id, ["n1"]);
    store_boot_ids(&mut state, &plan.rebooted);
    assert_eq!(state.boot_id("n2"), None);
    assert_eq!(state.recovery.activations.keys().collect::<Vec<_>>(), ["i1", "i2"]);
}

#[test]
fn what_was_not_reached_is_still_to_be_done() {
    let mut state = all_stored();
    state.set_boot_id("n2", "earlier");
    let plan = plan(&mut state, &two_nodes(), &Starts::default(), NOW);
    store_boot_ids(&mut state, &plan.rebooted);
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
    pending(&mut state, "n2", "b-old", &[("other", 9)]);
    state.set_boot_id("n1", "b1");
    assert_eq!(plan(&mut state, &two_nodes(), &Starts::default(), NOW).steps, [activate("i1")]);
}

#[test]
fn an_offline_node_has_no_boot_id_and_is_not_mentioned() {
    let mut cluster = two_nodes();
    cluster.nodes[0].boot_id = None;
    cluster.nodes[0].offline = Some(true);
    assert_eq!(plan(&mut all_stored(), &cluster, &Starts::default(), NOW), ActivationPlan::default());
}

#[test]
fn findings_are_acted_on_unless_nothing_can_be_done() {
    let mut offline = node("n3", None);
    offline.offline = Some(true);
    let mut cluster = snapshot(
        [
            drbd_instance("busy", "running", "n1"),
            drbd_instance("broken", "running", "n2"),
            drbd_instance("alone", "running", "n3"),
            drbd_instance("away", "ERROR_nodedown", "n1"),
            drbd_instance("peerless", "running", "n4"),
        ],
        [node("n1", Some("b")), node("n2", Some("c")), offline, node("n4", None)],
    );
    let job = pending_job(7, "INSTANCE_REPLACE_DISKS(busy)");
    cluster.pending_jobs.push(job.clone());
    let broken = ["broken", "busy", "alone", "away", "peerless", "split"].map(str::to_owned);
    assert_eq!(
        plan_found(&cluster, &broken),
        [
            Step::Act(Action {
                instance: "broken".into(),
                kind: ActionKind::ActivateDisks { although_inactive: false }
            }),
            note("busy", NoteKind::Busy(job)),
            note("alone", NoteKind::VerifyHelpless { is_out_of_reach: false }),
            note("away", NoteKind::VerifyHelpless { is_out_of_reach: true }),
            note("peerless", NoteKind::VerifyHelpless { is_out_of_reach: true }),
            note("split", NoteKind::Unknown),
        ]
    );
}
