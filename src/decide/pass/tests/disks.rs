//! Activations of disks, whatever calls for them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::group::{Group, activations_fail, no_kernel, well};
use crate::cluster::testing::{node, pending_job};
use crate::cluster::*;
use crate::decide::pass::*;
use crate::decide::second_look::Changed;

#[test]
fn a_failed_activation_after_a_reboot_holds_the_boot_id_back_and_is_tried_again_alone() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    let only_i1 = |action: &Action| activations_fail(action).filter(|_| action.instance == "i1");
    assert_eq!(group.run(only_i1).did, ["activate i1 fails", "activate i2"]);
    assert_eq!((group.state.boot_id("n2"), group.state.pending_boot_id("n2")), (Some("b2"), Some("b2'")));
    assert!(!group.instance("i1").disks_active, "as Ganeti leaves it");
    let run = group.run(well);
    assert_eq!(run.did, ["activate i1"]);
    assert_eq!((group.state.boot_id("n2"), group.state.pending_boot_id("n2")), (Some("b2'"), None));
}

#[test]
fn a_disk_that_stays_broken_is_tried_ever_more_rarely_and_told_of_meanwhile() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.run(activations_fail);
    let second = group.run(activations_fail);
    let words = "Disks of 2 instances could not be activated, up to 2 times in a row, next try at ";
    assert!(second.says(words), "{second:?}");
    let third = group.run(activations_fail);
    assert_eq!(third.did, ["activate i1 fails", "activate i2 fails"]);
    assert!(!third.says("could not be activated"), "each failure has its line: {third:?}");
    let fourth = group.run(activations_fail);
    assert_eq!(fourth.did, [""; 0]);
    assert!(!fourth.says("could not be activated"), "{fourth:?}");
}

#[test]
fn a_second_reboot_does_not_wait_for_what_failed_before_it() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    for _ in 0..3 {
        group.run(activations_fail);
    }
    assert_eq!(group.run(well).did, [""; 0], "it would have to wait");
    group.boot("n2", Some("b2''"));
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2''"));
}

#[test]
fn where_a_start_fails_the_activation_that_a_reboot_calls_for_is_made_in_the_same_run() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.boot("n2", Some("b2'"));
    let run = group.run(no_kernel);
    assert_eq!(run.did, ["start #1 i1 fails", "activate i2", "activate i1"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
    assert_eq!(group.state.restart_attempts("i1"), 1);
}

#[test]
fn what_verify_disks_names_is_activated_and_a_failure_is_tried_again_without_it() {
    let mut group = Group::healthy();
    group.broken = Some(vec!["i1".into(), "unknown".into()]);
    let run = group.run(activations_fail);
    assert_eq!(run.did, ["activate i1 fails"]);
    assert!(run.says("Can't find instance 'unknown'"), "{run:?}");
    assert_eq!(group.state.recovery.activations["i1"].failures.failures, 1);
    assert_eq!(group.run(well).did, ["activate i1"]);
    assert!(group.state.recovery.activations.is_empty());
}

#[test]
fn verify_disks_after_starts_leaves_alone_what_a_job_is_working_on() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.cluster.pending_jobs.push(pending_job(7, "INSTANCE_REPLACE_DISKS(i2)"));
    group.broken = Some(vec!["i1".into(), "i2".into()]);
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i1", "activate i1"]);
    assert!(run.says("Leaving instance 'i2' alone"), "{run:?}");
}

#[test]
fn what_verify_disks_called_for_is_forgotten_when_the_instance_is_stopped() {
    let mut group = Group::healthy();
    group.broken = Some(vec!["i1".into()]);
    group.run(activations_fail);
    group.set(&["i1"], "ADMIN_down");
    group.instance("i1").admin_state = AdminState::Down;
    assert_eq!(group.run(well).did, [""; 0]);
    assert!(group.state.recovery.activations.is_empty());
}

#[test]
fn what_was_left_alone_keeps_its_tries_and_its_activation() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    let mut pass = Pass::new(std::mem::take(&mut group.state), group.options);
    let (moves, fates) = (BTreeMap::new(), BTreeMap::new());
    let seen = Seen {
        snapshot: &group.cluster,
        cluster_tags: &[],
        master_boot_id: None,
        moves: &moves,
        fates: &fates,
    };
    let plan = pass.plan(&seen, group.now);
    for action in &plan.actions {
        pass.begin(std::slice::from_ref(action), 1);
        pass.ended(action, &Outcome::LeftAlone(Changed::Locked), group.now);
    }
    assert_eq!(pass.to_save().boot_id("n2"), Some("b2"));
    let waiting = &pass.to_save().recovery.activations;
    assert!(waiting.len() == 2 && waiting.values().all(|activation| activation.failures.failures == 0));
}

#[test]
fn what_verify_disks_called_for_outlives_a_reboot_of_a_node_that_is_no_secondary_any_more() {
    let mut group = Group::healthy();
    group.cluster.nodes.push(node("n3", Some("b3")));
    group.state.set_boot_id("n3", "b3");
    group.boot("n2", Some("b2'"));
    group.run(activations_fail);
    group.boot("n2", None);
    for name in ["i1", "i2"] {
        let instance = group.instance(name);
        (instance.secondaries, instance.disks_active) = (vec!["n3".to_owned()], true);
    }
    group.broken = Some(vec!["i1".into()]);
    group.run(activations_fail);
    assert!(!group.instance("i1").disks_active);
    assert_eq!(group.run(well).did, ["activate i1"], "although n2 is away");
}

#[test]
fn a_success_after_verify_disks_leaves_alone_what_another_run_put_on_record_meanwhile() {
    let mut group = Group::healthy();
    group.broken = Some(vec!["i1".into()]);
    group.meanwhile = Some(|state| {
        state.set_pending_boot_id("n2", "b2'");
        let activation = state.recovery.activations.entry("i1".to_owned()).or_default();
        activation.reboots.insert("n2".to_owned());
    });
    assert_eq!(group.run(well).did, ["activate i1"]);
    group.boot("n2", Some("b2'"));
    assert_eq!(group.state.boot_id("n2"), Some("b2"));
    assert_eq!(group.run(well).did, ["activate i1"], "n2 has rebooted since");
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn a_boot_id_that_the_original_stored_in_between_is_never_taken_back() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b3"));
    group.state.set_boot_id("n2", "b3");
    group.state.set_pending_boot_id("n2", "b2'");
    let activation = group.state.recovery.activations.entry("i1".to_owned()).or_default();
    activation.reboots.insert("n2".to_owned());
    assert_eq!(group.run(well).did, [""; 0]);
    assert_eq!((group.state.boot_id("n2"), group.state.pending_boot_id("n2")), (Some("b3"), None));
    assert!(group.state.recovery.activations.is_empty());
}

#[test]
fn a_node_that_one_answer_leaves_out_keeps_what_waits_for_it() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.run(activations_fail);
    let n2 = group.cluster.nodes.pop().unwrap();
    group.cluster.unreadable_nodes.push("node row 1: 'x\\n' is no name".into());
    assert_eq!(group.run(well).did, [""; 0]);
    assert_eq!(group.state.boot_id("n2"), Some("b2"));
    group.cluster.nodes.push(n2);
    group.cluster.unreadable_nodes.clear();
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn what_verify_disks_called_for_outlives_a_run_that_cannot_read_the_instance_while_a_node_reboots() {
    let mut group = Group::healthy();
    group.broken = Some(vec!["i1".into()]);
    group.run(activations_fail);
    let unread = group.cluster.instances.remove(0);
    group.cluster.unreadable_instances.push("i1".into());
    group.boot("n1", Some("b1'"));
    assert_eq!(group.run(well).did, [""; 0]);
    assert_eq!(group.state.boot_id("n1"), Some("b1"), "i1 may have n1 as its secondary");
    group.cluster.unreadable_instances.clear();
    group.cluster.instances.insert(0, unread);
    assert_eq!(group.run(well).did, ["activate i1"]);
    assert_eq!(group.state.boot_id("n1"), Some("b1'"));
}

#[test]
fn a_pending_boot_id_without_anything_on_record_calls_for_all_activations_again() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.state.set_pending_boot_id("n2", "b2'");
    assert_eq!(group.state.boot_id("n2"), Some("b2"));
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn records_of_an_instance_that_is_gone_go_with_it() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.run(activations_fail);
    group.cluster.instances.clear();
    assert_eq!(group.run(well).did, [""; 0]);
    assert!(group.state.recovery.activations.is_empty());
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn one_that_is_gone_does_not_make_the_others_be_activated_again() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.run(|action| activations_fail(action).filter(|_| action.instance == "i1"));
    group.cluster.instances.remove(0);
    assert_eq!(group.run(well).did, [""; 0]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn what_a_node_that_is_away_calls_for_outlives_a_success_without_it() {
    let mut group = Group::healthy();
    group.options.start_degraded = Some(Duration::ZERO);
    group.boot("n2", Some("b2'"));
    group.run(activations_fail);
    group.boot("n2", None);
    group.set(&["i1"], "ERROR_down");
    assert_eq!(group.run(well).did, ["start alone i1"]);
    group.boot("n2", Some("b2'"));
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn a_failed_activation_outlives_a_run_in_which_the_instance_s_primary_does_not_answer() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.run(activations_fail);
    for status in ["ERROR_nodedown", "strange"] {
        group.set(&["i1", "i2"], status);
        assert_eq!(group.run(well).did, [""; 0], "{status}");
        assert_eq!(group.state.boot_id("n2"), Some("b2"), "{status}");
    }
    group.set(&["i1", "i2"], "running");
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
}

#[test]
fn a_secondary_that_reboots_after_the_start_needs_an_activation() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.after_starts = Some(|cluster| cluster.nodes[1].boot_id = Some("b2'".to_owned()));
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i1", "activate i1"]);
    assert_eq!(group.run(well).did, ["activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn a_row_without_a_name_may_have_been_any_instance_s() {
    let mut group = Group::healthy();
    let i1 = group.cluster.instances.remove(0);
    group.cluster.unreadable_instances.push("instance row 0: invalid length 3".into());
    group.boot("n2", Some("b2'"));
    assert_eq!(group.run(well).did, ["activate i2"]);
    group.cluster.unreadable_instances.clear();
    group.cluster.instances.insert(0, i1);
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn a_node_that_may_be_in_a_row_without_a_name_may_be_silent() {
    let mut group = Group::healthy();
    group.broken = Some(vec!["i1".into()]);
    group.run(activations_fail);
    group.cluster.nodes.pop();
    group.cluster.unreadable_nodes.push("node row 1: invalid length 3".into());
    assert_eq!(group.run(well).did, [""; 0]);
}
