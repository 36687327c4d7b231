use super::*;
use crate::cluster::testing::{drbd_instance, instance, node, snapshot};
use crate::cluster::{Instance, InstanceStatus};
use crate::decide::blame::Blame;
use crate::decide::full::Record;
use crate::decide::policy::Policies;
use crate::decide::schedule::{TIER_PATIENCE, remember_down};
use crate::memory::recovery::Failures;
use crate::memory::state::State;

const NOW: Timestamp = 1_000.0;

fn start(instance: &str) -> Action {
    Action { instance: instance.into(), kind: ActionKind::Restart { attempt: 1 } }
}

fn activate(instance: &str) -> Action {
    Action { instance: instance.into(), kind: ActionKind::ActivateDisks { although_inactive: false } }
}

fn down(name: &str, primary: &str, tags: &[&str]) -> Instance {
    let tags = tags.iter().map(|tag| format!("ganeti:watcher:start:{tag}")).collect();
    Instance { primary: primary.into(), tags, ..instance(name, "ERROR_down") }
}

fn mirrored(name: &str, primary: &str, secondary: &str) -> Instance {
    Instance { primary: primary.into(), ..drbd_instance(name, "running", secondary) }
}

fn cluster(instances: Vec<Instance>) -> Snapshot {
    Snapshot { instances, ..snapshot([], [node("n1", Some("b1")), node("n2", Some("b2"))]) }
}

/// The agenda of starting everything that is down and activating the disks of everything else.
fn agenda(cluster: &Snapshot) -> Agenda {
    agenda_with(cluster, State::default())
}

fn agenda_with(cluster: &Snapshot, mut state: State) -> Agenda {
    let (policies, problems) = Policies::read(cluster, &[], NOW);
    assert_eq!(problems, []);
    remember_down(&mut state, cluster, NOW);
    let schedule = Schedule::of(cluster, &state, &policies, NOW);
    let action = |instance: &Instance| match instance.status {
        InstanceStatus::ErrorDown => start(&instance.name),
        _ => activate(&instance.name),
    };
    Agenda::new(cluster.instances.iter().map(action).collect(), cluster, schedule)
}

fn names(actions: &[Action]) -> Vec<&str> {
    actions.iter().map(|action| action.instance.as_str()).collect()
}

fn two(_node: &str) -> usize {
    2
}

#[test]
fn a_node_is_given_as_many_starts_as_it_bears_and_the_next_when_one_has_ended() {
    let cluster = cluster(["i1", "i2", "i3", "i4"].map(|name| down(name, "n1", &[])).into());
    let mut agenda = agenda(&cluster);
    assert_eq!(names(&agenda.take(NOW, 9, &two)), ["i1", "i2"]);
    assert_eq!(names(&agenda.take(NOW, 9, &two)), Vec::<&str>::new());
    assert_eq!(agenda.next_moment(NOW, &two), None, "it waits for a job, not for time");
    agenda.ended("i2", true);
    assert_eq!(names(&agenda.take(NOW, 9, &two)), ["i3"]);
    assert_eq!(agenda.nodes_waited_for(), ["n1"]);
    assert_eq!(names(&agenda.take(NOW, 9, &|_| 9)), ["i4"], "the governor allows more now");
    assert!(agenda.is_empty());
}

#[test]
fn a_full_node_holds_no_other_back() {
    let nodes = [("i1", "n1"), ("i2", "n1"), ("i3", "n1"), ("i4", "n2")];
    let cluster = cluster(nodes.map(|(name, node)| down(name, node, &[])).into());
    assert_eq!(names(&agenda(&cluster).take(NOW, 9, &two)), ["i1", "i2", "i4"]);
    assert_eq!(names(&agenda(&cluster).take(NOW, 1, &two)), ["i1"], "there is room for one");
    assert_eq!(names(&agenda(&cluster).take(NOW, 0, &two)), Vec::<&str>::new());
    let closed = |node: &str| if node == "n1" { 0 } else { 2 };
    assert_eq!(names(&agenda(&cluster).take(NOW, 9, &closed)), ["i4"], "n1 has too much load");
}

#[test]
fn activations_share_no_node_and_take_nothing_from_starts() {
    let cluster = cluster(vec![
        mirrored("a1", "n1", "n2"),
        mirrored("a2", "n2", "n3"),
        mirrored("a3", "n3", "n4"),
        down("i1", "n1", &[]),
        down("i2", "n1", &[]),
    ]);
    let mut agenda = agenda(&cluster);
    assert_eq!(names(&agenda.take(NOW, 9, &two)), ["a1", "a3", "i1", "i2"]);
    agenda.ended("a1", false);
    assert_eq!(names(&agenda.take(NOW, 9, &two)), Vec::<&str>::new(), "n3 is locked");
    agenda.ended("a3", false);
    assert_eq!(names(&agenda.take(NOW, 9, &two)), ["a2"]);
}

#[test]
fn lower_tiers_come_first_and_have_to_be_up() {
    let cluster = cluster(vec![
        down("batch", "n1", &["tier:9"]),
        down("i1", "n1", &[]),
        down("dns1", "n1", &["tier:0"]),
        down("dns2", "n1", &["tier:0"]),
    ]);
    let mut agenda = agenda(&cluster);
    assert_eq!(names(&agenda.take(NOW, 9, &|_| 9)), ["dns1", "dns2"]);
    agenda.ended("dns1", true);
    assert_eq!(names(&agenda.take(NOW, 9, &|_| 9)), Vec::<&str>::new());
    // One that failed is waited for: a later run may bring it up.
    agenda.ended("dns2", false);
    assert_eq!(names(&agenda.take(NOW, 9, &|_| 9)), Vec::<&str>::new());
    assert_eq!(agenda.next_moment(NOW, &|_| 9), Some(NOW + TIER_PATIENCE));
    assert_eq!(names(&agenda.take(NOW + TIER_PATIENCE - 1.0, 9, &|_| 9)), Vec::<&str>::new());
    // Patience with all of them runs out at the same moment here: they were seen down together.
    assert_eq!(names(&agenda.take(NOW + TIER_PATIENCE, 9, &|_| 9)), ["i1", "batch"]);
}

#[test]
fn two_actions_of_one_instance_are_never_in_flight_together() {
    let cluster = cluster(vec![mirrored("i", "n1", "n2")]);
    let clean_up = Action { instance: "i".into(), kind: ActionKind::CleanUp };
    let mut agenda = Agenda::new(vec![clean_up.clone(), activate("i")], &cluster, Schedule::default());
    assert_eq!(agenda.take(NOW, 9, &two), [clean_up]);
    assert_eq!(agenda.take(NOW, 9, &two), []);
    agenda.ended("i", false);
    assert_eq!(agenda.take(NOW, 9, &two), [activate("i")]);
}

#[test]
fn activations_wait_for_no_tier() {
    let cluster = cluster(vec![down("dns", "n1", &["tier:0"]), mirrored("a1", "n1", "n2")]);
    assert_eq!(names(&agenda(&cluster).take(NOW, 9, &|_| 0)), ["a1"]);
}

#[test]
fn what_waits_for_time_alone_says_until_when() {
    let cluster = cluster(vec![down("i1", "n1", &["delay:40s"]), down("i2", "n1", &["delay:90s"])]);
    let mut agenda = agenda(&cluster);
    assert_eq!(agenda.next_moment(NOW, &two), Some(NOW + 40.0));
    assert_eq!(names(&agenda.take(NOW + 39.9, 9, &two)), Vec::<&str>::new());
    assert_eq!(names(&agenda.take(NOW + 40.0, 9, &two)), ["i1"]);
    assert_eq!(agenda.next_moment(NOW + 40.0, &two), Some(NOW + 90.0));
    assert_eq!(agenda.next_moment(NOW + 90.0, &two), None, "it may begin");
}

#[test]
fn what_is_given_up_says_what_held_it_back() {
    let cluster = cluster(vec![
        down("dns", "n1", &["tier:0"]),
        down("late", "n1", &["tier:0", "delay:10m"]),
        down("inst", "n1", &[]),
    ]);
    let mut agenda = agenda(&cluster);
    let held = agenda.give_up(NOW, &|_| 0);
    let holds: Vec<(&str, &Hold)> =
        held.iter().map(|(action, hold)| (action.instance.as_str(), hold)).collect();
    let behind = |hold: &Hold| matches!(hold, Hold::Tier { until, .. } if *until == NOW + TIER_PATIENCE);
    assert_eq!(holds[0], ("dns", &Hold::Busy));
    assert_eq!(holds[1], ("late", &Hold::Delay { until: NOW + 600.0 }));
    assert_eq!(holds[2].0, "inst");
    assert!(behind(holds[2].1), "{:?}", holds[2].1);
    assert!(agenda.is_empty());
    assert_eq!(agenda.give_up(NOW, &|_| 0), []);
}

#[test]
fn what_needs_more_than_a_full_node_has_is_not_begun_there_and_what_needs_less_is() {
    let mut big = down("big", "n1", &[]);
    let mut small = down("small", "n1", &[]);
    let mut unknown = down("unknown", "n1", &[]);
    let elsewhere = down("elsewhere", "n2", &[]);
    (big.memory, small.memory, unknown.memory) = (Some(4096), Some(128), None);
    let cluster = cluster(vec![big, small, unknown, elsewhere, mirrored("disks", "n1", "n2")]);
    let mut agenda = agenda(&cluster);
    let shortage = Shortage { needed: Some(1024), available: Some(200), asked: true };
    let blamed = Blamed { what: Blame::Node, cause: "n1 b1".into(), detail: Detail::Memory(shortage) };
    let other = Blamed { detail: Detail::None, ..blamed.clone() };
    assert_eq!(agenda.take_out_what_would_fail_alike(&start("gone"), &blamed, &cluster), []);
    assert_eq!(agenda.take_out_what_would_fail_alike(&start("small"), &other, &cluster), []);
    let notes = agenda.take_out_what_would_fail_alike(&start("small"), &blamed, &cluster);
    let told: Vec<&str> = notes.iter().map(|note| note.instance.as_str()).collect();
    assert_eq!(told, ["big", "unknown"]);
    let needs = Shortage { needed: Some(4096), available: Some(200), asked: false };
    let held = Hold::Memory { node: "n1".into(), blamed: Blamed { detail: Detail::Memory(needs), ..blamed } };
    assert_eq!(notes[0].kind, NoteKind::LeftForLater(held), "remembered with what it needs itself");
    assert_eq!(names(&agenda.take(NOW, 9, &two)), ["small", "elsewhere", "disks"]);
}

#[test]
fn a_node_that_was_full_is_asked_for_one_start_until_one_succeeds() {
    let cluster = cluster(["i1", "i2", "i3"].map(|name| down(name, "n1", &[])).into());
    let mut agenda = agenda(&cluster);
    agenda.go_carefully(Record { nodes: ["n1".to_owned()].into(), found_by: ["i1".to_owned()].into() });
    assert_eq!(names(&agenda.take(NOW, 9, &two)), ["i2"], "the one that found it out comes last");
    assert_eq!(names(&agenda.take(NOW, 9, &two)), Vec::<&str>::new());
    agenda.ended("i2", true);
    assert_eq!(names(&agenda.take(NOW, 9, &two)), ["i3", "i1"]);
}

#[test]
fn starts_that_the_master_did_not_outlive_twice_are_made_last_and_alone() {
    let cluster = cluster(["i1", "i2", "i3", "i4"].map(|name| down(name, "n1", &[])).into());
    let mut state = State::default();
    for (name, failures) in [("i1", 3), ("i2", 2), ("i3", 1)] {
        state.recovery.lost_starts.insert(name.into(), Failures { failures, last: NOW });
    }
    let mut agenda = agenda_with(&cluster, state);
    assert_eq!(names(&agenda.take(NOW, 9, &|_| 9)), ["i3", "i4"], "once may be anybody");
    agenda.ended("i3", true);
    assert_eq!(names(&agenda.take(NOW, 9, &|_| 9)), Vec::<&str>::new());
    agenda.ended("i4", true);
    assert_eq!(names(&agenda.take(NOW, 9, &|_| 9)), ["i2"], "the one that is less suspect");
    assert!(!agenda.is_ready(NOW, &|_| 9));
    agenda.ended("i2", true);
    assert_eq!(names(&agenda.take(NOW, 9, &|_| 9)), ["i1"]);
    agenda.ended("i1", false);
    assert!(agenda.is_empty());
}
