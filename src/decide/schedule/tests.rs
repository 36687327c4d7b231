use super::*;
use crate::cluster::testing::{instance, snapshot};

fn tagged(name: &str, status: &str, tags: &[&str]) -> Instance {
    let tags = tags.iter().map(|tag| format!("ganeti:watcher:start:{tag}")).collect();
    Instance { tags, ..instance(name, status) }
}

fn policies(cluster: &Snapshot, now: Timestamp) -> Policies {
    let (policies, problems) = Policies::read(cluster, &[], now);
    assert_eq!(problems, []);
    policies
}

fn schedule(state: &State, cluster: &Snapshot, now: Timestamp) -> Schedule {
    Schedule::of(cluster, state, &policies(cluster, now), now)
}

#[test]
fn without_tags_it_is_remembered_who_is_down_but_nothing_waits() {
    let cluster = snapshot([instance("i", "ERROR_down"), instance("up", "running")], []);
    let mut state = State::default();
    remember_down(&mut state, &cluster, 100.0);
    assert_eq!(state.recovery.down, BTreeMap::from([("i".to_owned(), 100.0)]));
    let schedule = schedule(&state, &cluster, 100.0);
    assert_eq!(schedule.turn("i"), Turn { tier: 5, not_before: 0.0 });
    assert_eq!(schedule.gate(99, 100.0), None);
}

#[test]
fn the_time_of_being_down_counts_from_the_first_sight_of_it() {
    let mut cluster = snapshot([tagged("i", "ERROR_down", &["delay:60s"])], []);
    let mut state = State::default();
    remember_down(&mut state, &cluster, 100.0);
    remember_down(&mut state, &cluster, 130.0);
    assert_eq!(schedule(&state, &cluster, 130.0).turn("i").not_before, 160.0);
    // Its node went down too: the instance is still down.
    cluster.instances[0].status = InstanceStatus::NodeDown;
    remember_down(&mut state, &cluster, 140.0);
    assert_eq!(state.recovery.down["i"], 100.0);
    for status in [InstanceStatus::Running, InstanceStatus::AdminDown, InstanceStatus::NodeOffline] {
        let mut state = state.clone();
        cluster.instances[0].status = status;
        remember_down(&mut state, &cluster, 150.0);
        assert_eq!(state.recovery.down.get("i"), None);
    }
    cluster.instances[0].status = InstanceStatus::ErrorDown;
    remember_down(&mut state, &cluster, 50.0);
    assert_eq!(state.recovery.down["i"], 50.0, "the clock was set back");
}

#[test]
fn an_instance_that_cannot_be_read_keeps_its_time() {
    let mut cluster =
        snapshot([tagged("i", "ERROR_down", &["tier:1"]), tagged("j", "running", &["tier:1"])], []);
    let mut state = State::default();
    remember_down(&mut state, &cluster, 100.0);
    let unread = cluster.instances.remove(0);
    cluster.unreadable_instances.push(unread.name);
    remember_down(&mut state, &cluster, 200.0);
    assert_eq!(state.recovery.down, BTreeMap::from([("i".to_owned(), 100.0)]));
    // Not even its name.
    cluster.unreadable_instances = vec!["instance row 0: invalid length 3".into()];
    remember_down(&mut state, &cluster, 300.0);
    assert_eq!(state.recovery.down, BTreeMap::from([("i".to_owned(), 100.0)]));
    cluster.unreadable_instances.clear();
    remember_down(&mut state, &cluster, 400.0);
    assert!(state.recovery.down.is_empty(), "it is gone");
}

#[test]
fn a_tier_waits_for_lower_ones_until_their_patience_has_run_out() {
    let cluster = snapshot(
        [tagged("dns", "ERROR_down", &["tier:0"]), instance("i", "ERROR_down"), instance("up", "running")],
        [],
    );
    let mut state = State::default();
    remember_down(&mut state, &cluster, 100.0);
    let mut schedule = schedule(&state, &cluster, 130.0);
    assert_eq!(schedule.gate(5, 130.0), Some(("dns", 100.0 + TIER_PATIENCE)));
    assert_eq!(schedule.gate(0, 130.0), None, "a tier does not wait for itself");
    assert_eq!(schedule.gate(9, 130.0).map(|(_, until)| until), Some(100.0 + TIER_PATIENCE));
    assert_eq!(schedule.gate(5, 100.0 + TIER_PATIENCE), None);
    schedule.stop_waiting_for("dns");
    assert_eq!(schedule.gate(5, 130.0), None);
    schedule.stop_waiting_for("unknown");
}

#[test]
fn nobody_waits_for_what_must_not_be_started_or_needs_no_start() {
    for (status, tags) in [
        ("ERROR_down", &["tier:0", "never"][..]),
        ("ERROR_down", &["tier:0", "hold:9999999999"]),
        ("running", &["tier:0"]),
        ("ERROR_nodeoffline", &["tier:0"]),
    ] {
        let cluster = snapshot([tagged("dns", status, tags), instance("i", "ERROR_down")], []);
        let mut state = State::default();
        remember_down(&mut state, &cluster, 100.0);
        assert_eq!(schedule(&state, &cluster, 100.0).gate(5, 100.0), None, "{status} {tags:?}");
    }
}
