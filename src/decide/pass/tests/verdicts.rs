//! The verdicts of whole runs, and what is remembered for them.

use super::group::{Group, RUN, Run, no_kernel, no_volume_group, well};
use crate::cluster::testing::{instance, node};
use crate::cluster::*;
use crate::decide::pass::*;
use crate::decide::verdict::Progress;

fn alone(status: &str) -> Group {
    Group::new([instance("i", status)], [node("n1", Some("b1"))])
}

/// It is seen down and started, and in the next run it is seen running.
fn comes_up_and_goes_down_again(group: &mut Group) -> Run {
    group.set(&["i"], "ERROR_down");
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i"]);
    let next = group.run(well);
    assert_eq!(next.codes("i"), [""; 0], "it runs");
    run
}

#[test]
fn an_instance_that_comes_up_and_goes_down_again_six_times_in_an_hour_flaps() {
    let mut group = alone("running");
    let before = group.state.clone();
    for _ in 0..6 {
        assert_eq!(comes_up_and_goes_down_again(&mut group).codes("i"), [""; 0]);
    }
    let run = comes_up_and_goes_down_again(&mut group);
    assert_eq!(run.codes("i"), ["flapping"], "and it is started all the same");
    assert_eq!((&run.verdict("i").progress, run.verdict("i").needs_human()), (&Progress::Started, false));
    assert!(run.says("Instance 'i' came up and went down again 6 times within an hour"), "{run:?}");
    // The other starts are older than an hour.
    group.now += 3600.0 - 2.0 * RUN;
    let run = comes_up_and_goes_down_again(&mut group);
    assert_eq!(run.codes("i"), [""; 0]);
    assert_eq!(group.state.recovery.starts["i"].len(), 1, "{:?}", group.state.recovery.starts);
    group.now += 3600.0;
    group.run(well);
    assert_eq!(group.state, before);
}

#[test]
fn one_that_never_stays_up_is_given_up_before_it_flaps() {
    let mut group = alone("ERROR_down");
    for attempt in 1..=5 {
        group.set(&["i"], "ERROR_down");
        assert_eq!(group.run(well).did, [format!("start #{attempt} i")]);
    }
    group.set(&["i"], "ERROR_down");
    let run = group.run(well);
    assert_eq!((run.did.len(), run.codes("i")), (0, vec!["given_up"]));
    assert_eq!(run.verdict("i").last_failure, None, "none of them failed");
}

#[test]
fn what_a_wrong_clock_noted_in_the_future_is_no_start() {
    let mut group = alone("ERROR_down");
    for ahead in [1.0, 1e9, 1e308, -1e308, f64::INFINITY, f64::NAN] {
        (0..9).for_each(|_| group.state.recovery.note_start("i", group.now + ahead));
    }
    assert_eq!(group.run(well).codes("i"), [""; 0]);
    assert_eq!(group.state.recovery.starts["i"].len(), 1, "the one of this run");
}

#[test]
fn the_last_failure_is_remembered_for_when_the_instance_is_given_up() {
    let mut group = alone("ERROR_down");
    let before = group.state.clone();
    for tries in 1..=5 {
        let run = group.run(no_kernel);
        let verdict = run.verdict("i");
        assert_eq!(verdict.reasons, [Reason::StartFailed { tries }]);
        assert_eq!((verdict.since, verdict.needs_human()), (Some(1_000_000.0), tries == 5));
    }
    let run = group.run(no_kernel);
    let verdict = run.verdict("i");
    assert_eq!((run.codes("i"), verdict.needs_human()), (vec!["given_up"], true));
    let failure = verdict.last_failure.as_ref().unwrap();
    assert_eq!((failure.job, failure.at), (JobId(1), 1_000_000.0 + 4.0 * RUN));
    assert!(failure.error.contains("kernel i not found"), "{failure:?}");
    assert!(
        run.says("giving up for 8 h, until 22:11: at 14:06 job 1 failed: OpExecError: Could not"),
        "{run:?}"
    );
    assert!(run.says("0 of 1 instances run; 1 needs a human: i"), "{run:?}");
    // Somebody starts it.
    group.set(&["i"], "running");
    let run = group.run(well);
    assert_eq!((run.codes("i"), &run.verdict("i").last_failure), (vec![], &None));
    assert_eq!(group.state, before);
}

#[test]
fn what_is_told_once_is_told_again_when_it_changes_and_once_an_hour() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.boot("n2", None);
    let told = |group: &mut Group| {
        let run = group.run(well);
        run.said.into_iter().filter(|line| line.ends_with("[secondary_silent]")).collect::<Vec<_>>()
    };
    let mut numbers = Vec::new();
    for number in 0..26 {
        let lines = told(&mut group);
        assert!(lines.len() <= 1, "{lines:?}");
        numbers.extend(lines.first().map(|_| number));
    }
    assert_eq!(numbers, [0, 12, 24], "every hour");
    group.set(&["i2"], "ERROR_down");
    assert!(told(&mut group)[0].contains("these instances cannot be started: i1, i2;"));
    assert_eq!(told(&mut group), [""; 0]);
    group.set(&["i1"], "running");
    assert!(told(&mut group)[0].contains("this instance cannot be started: i2;"), "one less is news too");
    // It is over, and comes again.
    group.boot("n2", Some("b2"));
    group.set(&["i2"], "running");
    assert_eq!(told(&mut group), [""; 0]);
    assert!(group.state.recovery.told.is_empty());
    group.set(&["i2"], "ERROR_down");
    group.boot("n2", None);
    assert_eq!(told(&mut group).len(), 1);
}

#[test]
fn nothing_is_remembered_of_what_is_over() {
    let mut group = Group::healthy();
    let before = group.state.clone();
    group.set(&["i1", "i2"], "ERROR_down");
    group.run(no_kernel);
    group.boot("n2", None);
    group.run(well);
    let recovery = &group.state.recovery;
    assert_eq!((recovery.last_failures.len(), recovery.told.len(), recovery.starts.len()), (2, 1, 0));
    group.boot("n2", Some("b2"));
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i1", "start #1 i2"]);
    let recovery = &group.state.recovery;
    assert_eq!((recovery.last_failures.len(), recovery.told.len(), recovery.starts.len()), (0, 0, 2));
    group.run(well);
    assert_eq!(group.state.recovery.starts.len(), 2, "an hour is not over");
    group.now += 3600.0;
    group.run(well);
    assert_eq!(group.state, before);
}

#[test]
fn records_of_instances_that_are_gone_go_unless_a_row_cannot_be_read() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.run(no_kernel);
    comes_up(&mut group, "i2");
    let gone = std::mem::take(&mut group.cluster.instances);
    group.cluster.unreadable_instances.push("instance row 0: invalid length 3".into());
    group.run(well);
    let recovery = &group.state.recovery;
    assert!(recovery.last_failures.contains_key("i1") && recovery.starts.contains_key("i2"), "{recovery:?}");
    assert_eq!(recovery.down.get("i1"), Some(&1_000_000.0));
    group.cluster.unreadable_instances.clear();
    group.run(well);
    assert!(group.state.recovery.is_empty(), "{:?}", group.state.recovery);
    group.cluster.instances = gone;
    let run = group.run(no_kernel);
    assert_eq!(run.did, ["start #1 i1 fails"]);
}

fn comes_up(group: &mut Group, name: &str) {
    group.set(&[name], "ERROR_down");
    group.run(|action| no_kernel(action).filter(|_| action.instance != name));
}

#[test]
fn after_a_start_that_failed_the_verdict_says_what_comes_next() {
    let mut group = alone("ERROR_down");
    let run = group.run(no_kernel);
    assert_eq!(run.codes("i"), ["start_failed"]);
    assert!(run.says("0 of 1 instances run; 1 failed and is tried again"), "{run:?}");
    let canceled = |_: &Action| Some(JobFailure::Canceled);
    let run = group.run(canceled);
    assert_eq!(run.codes("i"), ["backoff"]);
    assert_eq!(run.verdict("i").last_failure.as_ref().unwrap().error, "it was canceled");
    // Before the wait is over.
    group.now -= RUN - 1.0;
    let run = group.run(well);
    assert_eq!((run.did.len(), run.codes("i")), (0, vec!["backoff"]));
    assert!(run.verdict("i").last_failure.is_some(), "it is remembered");
    let run = group.run(well);
    assert_eq!((run.did, run.verdicts.totals().started), (vec!["start #2 i".to_owned()], 1));
}

#[test]
fn both_of_two_that_fail_alike_wait_because_of_their_node() {
    let mut group =
        Group::new([instance("i1", "ERROR_down"), instance("i2", "ERROR_down")], [node("n1", Some("b1"))]);
    let run = group.run(no_volume_group);
    for name in ["i1", "i2"] {
        assert_eq!(run.codes(name), ["backoff"]);
        assert!(run.verdict(name).last_failure.is_some());
    }
    assert!(run.says("Not starting 2 instances on node 'n1' until the first run after"), "{run:?}");
}

#[test]
fn what_a_run_does_not_come_to_has_a_reason() {
    let mut group = Group::healthy();
    group.set(&["i1", "i2"], "ERROR_down");
    group.stops_after = 1;
    let run = group.run(well);
    assert_eq!((run.codes("i1"), run.codes("i2")), (vec![], vec!["paused"]));
    assert!(
        run.says("1 of 2 instances run; 1 started by this run; 1 waits for the end of the pause"),
        "{run:?}"
    );
}

#[test]
fn an_instance_on_a_dead_node_is_down_since_then_and_what_else_holds_is_known() {
    let mut group = Group::healthy();
    group.set(&["i1", "i2"], "ERROR_nodedown");
    group.instance("i2").tags = vec!["ganeti:watcher:start:never".into()];
    group.boot("n1", None);
    let run = group.run(well);
    let words = "Node 'n1' does not answer, first seen at 13:46. 1 instance on it is out of reach, and may still be running";
    assert!(run.says(words), "{run:?}");
    assert_eq!(run.codes("i1"), ["primary_silent"]);
    assert_eq!(run.codes("i2"), ["tag_never", "primary_silent"], "it is not started then");
    let run = group.run(well);
    assert!(!run.says("[primary_silent]"), "{run:?}");
    assert_eq!(run.verdict("i1").since, Some(1_000_000.0));
    // Since then it is down, whatever keeps it so.
    group.boot("n1", Some("b1'"));
    group.boot("n2", None);
    group.set(&["i1", "i2"], "ERROR_down");
    let run = group.run(well);
    assert_eq!(run.verdict("i1").since, Some(1_000_000.0));
    assert_eq!(
        (run.codes("i1"), run.codes("i2")),
        (vec!["secondary_silent"], vec!["tag_never", "secondary_silent"])
    );
}
