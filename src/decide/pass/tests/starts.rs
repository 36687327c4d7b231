//! Starts, clean-ups, and what prevents them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::group::{Group, RUN, Run, error, no_kernel, no_volume_group, well};
use crate::cluster::testing::{drbd_instance, instance, node, pending_job};
use crate::cluster::*;
use crate::decide::pass::*;
use crate::memory::recovery::{FailedMove, Intent};

#[test]
fn a_cluster_that_is_well_is_left_alone_and_nothing_is_remembered_of_it() {
    let mut group = Group::healthy();
    let before = group.state.clone();
    let run = group.run(well);
    assert_eq!((run.did, run.said), (vec![], vec![]));
    assert_eq!(group.state, before);
}

#[test]
fn after_a_power_cut_everything_is_started_and_the_starts_assemble_the_disks() {
    let mut group = Group::healthy();
    group.set(&["i1", "i2"], "ERROR_down");
    group.boot("n1", Some("b1'"));
    group.boot("n2", Some("b2'"));
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i1", "start #1 i2"]);
    assert_eq!((group.state.boot_id("n1"), group.state.boot_id("n2")), (Some("b1'"), Some("b2'")));
    assert!(group.state.recovery.activations.is_empty());
    let run = group.run(well);
    assert_eq!(run.did, [""; 0]);
    assert!(run.says("Restart of instance 'i1' succeeded"), "{run:?}");
    assert_eq!(group.state.restart_attempts("i1"), 0);
}

#[test]
fn an_instance_that_never_comes_up_is_tried_five_times_and_then_given_up() {
    let mut group = Group::new([instance("i", "ERROR_down")], [node("n1", Some("b1"))]);
    let runs: Vec<Run> = (0..19).map(|_| group.run(no_kernel)).collect();
    let tried = runs.iter().filter(|run| !run.did.is_empty()).count();
    assert_eq!(tried, 5, "{runs:?}");
    assert_eq!(runs[4].did, ["start #5 i fails"]);
    assert!(runs[5].says("Could not restart instance 'i' after 5 attempts, giving up for 8 h, until 22:11"));
    assert_eq!(runs[5].codes("i"), ["given_up"]);
    for (number, run) in runs.iter().enumerate().skip(6) {
        // An hour later.
        assert_eq!(run.says("'i', retries exhausted until 22:11"), number == 17, "{number} {run:?}");
        assert_eq!(run.codes("i"), ["out_of_tries"]);
    }
    group.now = 1_000_000.0 + 5.0 * RUN + 8.0 * 3600.0;
    assert_eq!(group.run(well).did, [""; 0], "the last moment");
    assert_eq!(group.run(well).did, ["start #1 i"]);
}

#[test]
fn instances_of_a_dead_node_wait_and_its_secondaries_are_not_reactivated() {
    let mut group = Group::healthy();
    group
        .cluster
        .instances
        .push(Instance { primary: "n2".into(), ..drbd_instance("i3", "ERROR_nodedown", "n1") });
    group.boot("n2", None);
    let run = group.run(well);
    assert_eq!(run.did, [""; 0]);
    assert!(run.says("Node 'n2' missing boot ID"), "{run:?}");
    assert_eq!(group.state.recovery.silent.keys().collect::<Vec<_>>(), ["n2"]);
    group.boot("n2", Some("b2'"));
    group.set(&["i3"], "ERROR_down");
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i3", "activate i1", "activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn what_a_pause_in_the_middle_leaves_undone_is_done_by_the_next_run() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.boot("n2", Some("b2'"));
    group.stops_after = 1;
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i1"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2"), "i2's mirror is still to be activated");
    group.stops_after = usize::MAX;
    assert_eq!(group.run(well).did, ["activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn a_node_without_memory_costs_no_try_and_what_needs_as_much_waits_with_it() {
    let full = |action: &Action| {
        let message = format!(
            "Not enough memory on node n1 for starting instance {}: needed 1024 MiB, available 12 MiB",
            action.instance
        );
        let code = Some("insufficient_resources".to_owned());
        Some(JobFailure::Error(GanetiError { class: "OpPrereqError".into(), message, code }))
    };
    let mut group =
        Group::new([instance("i1", "ERROR_down"), instance("i2", "ERROR_down")], [node("n1", Some("b1"))]);
    let run = group.run(full);
    assert_eq!(run.did.len(), 2, "{run:?}");
    let line = "Not starting 2 instances on node 'n1' until the first run after 13:50: it does not have enough memory (they need \
                2048 MiB in all, and 12 MiB were free)";
    assert!(run.says(line), "{run:?}");
    assert_eq!((group.state.restart_attempts("i1"), group.state.restart_attempts("i2")), (0, 0));
    let memory = group.state.recovery.blocked["i1"].memory.unwrap();
    assert_eq!((memory.needed, memory.available), (Some(1024), Some(12)));
    // Not before the wait is over.
    group.now -= RUN - 10.0;
    assert_eq!(group.run(full).did, [""; 0]);
    group.boot("n1", Some("b1'"));
    assert_eq!(group.run(well).did, ["start #1 i1", "start #1 i2"], "the node has changed");
}

#[test]
fn two_that_fail_alike_on_a_node_where_nothing_runs_lose_no_try() {
    let mut group =
        Group::new([instance("i1", "ERROR_down"), instance("i2", "ERROR_down")], [node("n1", Some("b1"))]);
    let run = group.run(no_volume_group);
    assert!(run.says("the node is to blame"), "{run:?}");
    assert_eq!((group.state.restart_attempts("i1"), group.state.restart_attempts("i2")), (0, 0));
}

#[test]
fn a_silent_secondary_keeps_an_instance_down_until_the_option_s_time_is_over() {
    let mut group = Group::healthy();
    group.options.start_degraded = Some(Duration::from_secs(600));
    group.set(&["i1"], "ERROR_down");
    group.boot("n2", None);
    for is_news in [true, false] {
        let run = group.run(well);
        assert_eq!(run.did, [""; 0]);
        let words = "Node 'n2' does not answer, first seen at 13:46, and without it this instance cannot be started: i1";
        assert_eq!(run.says(words), is_news, "{run:?}");
        assert_eq!(run.codes("i1"), ["secondary_silent"]);
    }
    for (did, is_news) in [(vec!["start alone i1"], true), (vec![], false)] {
        let run = group.run(well);
        assert_eq!(run.did, did);
        let words =
            "Instance 'i1' was started without its secondary node at 13:56, and its mirror is not whole yet";
        assert_eq!(run.says(words), is_news, "{run:?}");
        assert_eq!(run.codes("i1"), ["mirror_degraded"]);
    }
    group.boot("n2", Some("b2'"));
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
    assert!(group.state.recovery.degraded.is_empty(), "its mirror was found whole");
}

#[test]
fn an_instance_that_may_run_elsewhere_since_a_failed_migration_is_not_started() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    let summary = "INSTANCE_MIGRATE(i1)".to_owned();
    group.moves.insert("i1".into(), vec![EndedOpCode { job: JobId(5), summary, end: OpEnd::Failed }]);
    let run = group.run(well);
    assert_eq!(run.did, [""; 0]);
    assert!(run.says("job 5 (INSTANCE_MIGRATE(i1)) failed"), "{run:?}");
    group.moves.clear();
    assert_eq!(group.run(well).did, [""; 0], "the doubt outlives the job");
    group.set(&["i1"], "running");
    group.run(well);
    assert_eq!(group.state.recovery.failed_moves, BTreeMap::<String, FailedMove>::new());
}

#[test]
fn tags_that_say_never_and_hold_are_obeyed_and_tiers_keep_their_order() {
    let mut group = Group::new(
        [instance("held", "ERROR_down"), instance("late", "ERROR_down"), instance("soon", "ERROR_down")],
        [node("n1", Some("b1"))],
    );
    group.instance("held").tags = vec!["ganeti:watcher:start:never".into()];
    group.instance("late").tags = vec!["ganeti:watcher:start:tier:9".into()];
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 soon", "start #1 late"]);
    assert!(run.says("Not starting instance 'held': a tag of"), "{run:?}");
}

#[test]
fn one_that_its_user_shut_down_is_cleaned_up_and_not_started() {
    let mut group = Group::healthy();
    group.set(&["i1"], "USER_down");
    assert_eq!(group.run(well).did, ["clean up i1"]);
    assert_eq!(group.run(well).did, [""; 0]);
    assert_eq!(group.state.clean_up_attempts("i1"), 0);
}

#[test]
fn a_start_that_the_master_did_not_outlive_twice_costs_a_try() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    for (run, tries) in [(1, 0), (2, 1)] {
        let intent = Intent { reason_ns: 1, master_boot_id: Some("earlier".into()), degraded: false };
        group.state.recovery.starting.insert("i1".into(), intent);
        group.fates.insert("i1".into(), Fate::NoJob);
        group.stops_after = 0;
        let run_said = group.run(well);
        assert!(run_said.says("The master died"), "{run_said:?}");
        assert_eq!(group.state.restart_attempts("i1"), tries, "run {run}");
    }
}

#[test]
fn a_job_of_an_earlier_run_that_goes_on_is_waited_for_and_then_taken_over() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    let intent = Intent { reason_ns: 1, master_boot_id: Some("master".into()), degraded: false };
    group.state.recovery.starting.insert("i1".into(), intent);
    group.fates.insert("i1".into(), Fate::AtWork(JobId(9)));
    group.cluster.pending_jobs.push(pending_job(9, "INSTANCE_STARTUP(i1)"));
    assert_eq!(group.run(well).did, [""; 0]);
    assert!(group.state.recovery.starting.contains_key("i1"));
    group.cluster.pending_jobs.clear();
    group.fates.insert("i1".into(), Fate::Ended(JobId(9), Err(error("Disk consistency error"))));
    let run = group.run(well);
    assert!(run.says("Error while restarting instance 'i1': job 9"), "{run:?}");
    assert_eq!(run.did, ["start #2 i1"]);
}

#[test]
fn what_cannot_be_read_is_neither_forgotten_nor_acted_on() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.run(no_kernel);
    group.boot("n2", Some("b2'"));
    let unread = group.cluster.instances.remove(0);
    group.cluster.unreadable_instances.push(unread.name.clone());
    assert_eq!(group.run(well).did, ["activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2"), "i1 may have n2 as its secondary");
    assert_eq!(group.state.restart_attempts("i1"), 1);
    group.cluster.unreadable_instances.clear();
    group.cluster.instances.insert(0, unread);
    assert_eq!(group.run(well).did, ["start #2 i1"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn the_same_input_gives_the_same_plan_again() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.boot("n2", Some("b2'"));
    let text = group.state.to_text();
    let (moves, fates) = (BTreeMap::new(), BTreeMap::new());
    let seen = Seen {
        snapshot: &group.cluster,
        cluster_tags: &[],
        master_boot_id: None,
        moves: &moves,
        fates: &fates,
    };
    let plan = || {
        let mut pass = Pass::new(State::parse(&text).unwrap(), group.options);
        let plan = pass.plan(&seen, group.now);
        (plan.actions, plan.notes, plan.events, pass.verdicts().clone(), pass.to_save().to_text())
    };
    assert_eq!(plan(), plan());
}
