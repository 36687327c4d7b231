use super::*;
use crate::cluster::GanetiError;
use crate::cluster::testing::{drbd_instance, instance, node, snapshot};
use crate::decide::ActionKind;

const NOW: Timestamp = 10_000.0;

fn blamed(what: Blame, cluster: &Snapshot) -> Blamed {
    Blamed { what, cause: cause(what, &cluster.instances[0], cluster), detail: Detail::None }
}

fn cluster() -> Snapshot {
    snapshot([drbd_instance("i", "ERROR_down", "n2")], [node("n1", Some("b1")), node("n2", Some("b2"))])
}

fn failed(what: Blame, cluster: &Snapshot) -> State {
    let mut state = State::default();
    remember_failure(&mut state, "i", &blamed(what, cluster), NOW);
    state
}

#[test]
fn the_instance_and_the_unknown_use_up_a_try_and_end_a_wait() {
    let cluster = cluster();
    for what in [Blame::Instance, Blame::Node, Blame::Peer, Blame::Queue, Blame::Master, Blame::Unknown] {
        let state = failed(what, &cluster);
        let counted = matches!(what, Blame::Instance | Blame::Unknown);
        assert_eq!(state.restart_attempts("i"), u64::from(counted), "{what:?}");
        assert_eq!(wait(&state, "i", NOW).is_none(), counted, "{what:?}");
    }
    let mut state = failed(Blame::Node, &cluster);
    remember_failure(&mut state, "i", &blamed(Blame::Instance, &cluster), NOW + 300.0);
    assert_eq!((state.restart_attempts("i"), state.recovery.blocked.len()), (1, 0));
}

#[test]
fn waits_grow_with_failures_in_a_row_of_the_same_kind() {
    let cluster = cluster();
    let mut state = failed(Blame::Node, &cluster);
    let first = wait(&state, "i", NOW).unwrap();
    assert_eq!((first.by, first.failures), (BlockedBy::Known(Blame::Node), 1));
    remember_failure(&mut state, "i", &blamed(Blame::Node, &cluster), NOW + 300.0);
    let second = wait(&state, "i", NOW + 300.0).unwrap();
    assert_eq!(second.failures, 2);
    assert!(second.seconds > first.seconds);
    remember_failure(&mut state, "i", &blamed(Blame::Queue, &cluster), NOW + 900.0);
    assert_eq!(wait(&state, "i", NOW + 900.0).unwrap().failures, 1, "another cause starts over");
    assert_eq!(wait(&state, "i", NOW + 1200.0), None);
    assert_eq!(wait(&state, "other", NOW), None);
}

#[test]
fn what_was_to_blame_is_forgiven_when_it_has_changed() {
    type Change = fn(&mut Snapshot);
    let rebooted: Change = |cluster| cluster.nodes[0].boot_id = Some("b1-new".into());
    let peer_rebooted: Change = |cluster| cluster.nodes[1].boot_id = Some("b2-new".into());
    let peer_offline: Change =
        |cluster| (cluster.nodes[1].boot_id, cluster.nodes[1].offline) = (None, Some(true));
    let peer_silent: Change = |cluster| cluster.nodes[1].boot_id = None;
    let moved: Change = |cluster| cluster.instances[0].primary = "n2".into();
    let nothing: Change = |_| {};
    for (what, change, forgiven) in [
        (Blame::Node, nothing, false),
        (Blame::Node, rebooted, true),
        (Blame::Node, moved, true),
        (Blame::Node, peer_rebooted, false),
        (Blame::Peer, nothing, false),
        (Blame::Peer, peer_rebooted, true),
        (Blame::Peer, peer_offline, true),
        (Blame::Peer, peer_silent, true),
        (Blame::Peer, rebooted, false),
        (Blame::Queue, rebooted, false),
        (Blame::Master, peer_offline, false),
    ] {
        let mut cluster = cluster();
        let mut state = failed(what, &cluster);
        change(&mut cluster);
        let names: &[&str] = if forgiven { &["i"] } else { &[] };
        assert_eq!(forgive(&mut state, &cluster), names, "{what:?}");
        assert_eq!(state.recovery.blocked.is_empty(), forgiven, "{what:?}");
    }
}

#[test]
fn a_blamed_node_that_was_seen_to_be_away_is_forgiven_when_it_returns() {
    let mut cluster = cluster();
    let mut state = failed(Blame::Node, &cluster);
    let boot_id = cluster.nodes[0].boot_id.take();
    cluster.instances[0].status = InstanceStatus::NodeDown;
    assert_eq!(forgive(&mut state, &cluster), Vec::<String>::new());
    assert!(!state.recovery.blocked.is_empty());
    cluster.nodes[0].boot_id = boot_id;
    cluster.instances[0].status = InstanceStatus::ErrorDown;
    assert_eq!(forgive(&mut state, &cluster), ["i"]);
}

#[test]
fn what_is_not_down_any_more_is_forgotten_and_what_cannot_be_read_is_not() {
    for status in ["running", "ADMIN_down", "ERROR_wrongnode"] {
        let mut state = failed(Blame::Queue, &cluster());
        let up = snapshot([instance("i", status)], []);
        assert_eq!(forgive(&mut state, &up), Vec::<String>::new());
        assert!(state.recovery.blocked.is_empty(), "{status}");
    }
    let mut state = failed(Blame::Queue, &cluster());
    let mut unread = snapshot([], []);
    // With its name or without.
    for row in ["i", "instance row 0: invalid length 3"] {
        unread.unreadable_instances = vec![row.into()];
        forgive(&mut state, &unread);
        assert!(!state.recovery.blocked.is_empty(), "{row}");
    }
    forgive(&mut state, &snapshot([], []));
    assert!(state.recovery.blocked.is_empty());
}

/// A state in which `i` waits because of something unknown to this version.
fn failed_because_of_the_weather(cluster: &Snapshot) -> State {
    let mut state = failed(Blame::Node, cluster);
    state.recovery.blocked.get_mut("i").unwrap().by = BlockedBy::Other("the-weather".into());
    state
}

#[test]
fn what_this_version_does_not_know_is_waited_for_and_not_compared() {
    let mut cluster = cluster();
    let mut state = failed_because_of_the_weather(&cluster);
    let before = state.clone();
    // For a node this would be a change.
    cluster.nodes[0].boot_id = Some("b1-new".into());
    assert_eq!(forgive(&mut state, &cluster), Vec::<String>::new());
    cluster.instances[0].status = InstanceStatus::NodeDown;
    assert_eq!(forgive(&mut state, &cluster), Vec::<String>::new());
    assert_eq!(state, before, "not even the mark of the node");
    let first = wait(&state, "i", NOW).unwrap();
    assert_eq!((first.by, first.failures), (BlockedBy::Other("the-weather".into()), 1));
    assert_eq!(wait(&state, "i", NOW + 300.0), None, "a wait like any other");
    remember_failure(&mut state, "i", &blamed(Blame::Node, &cluster), NOW + 300.0);
    assert_eq!(wait(&state, "i", NOW + 300.0).unwrap().failures, 1, "another cause starts over");
}

#[test]
fn what_this_version_does_not_know_ends_as_other_waits_do() {
    let cluster = cluster();
    for status in ["running", "ADMIN_down", "ERROR_wrongnode"] {
        let mut state = failed_because_of_the_weather(&cluster);
        assert_eq!(forgive(&mut state, &snapshot([instance("i", status)], [])), Vec::<String>::new());
        assert!(state.recovery.blocked.is_empty(), "{status}");
    }
    let mut state = failed_because_of_the_weather(&cluster);
    forgive(&mut state, &snapshot([], []));
    assert!(state.recovery.blocked.is_empty(), "it is gone");
}

/// The instances that wait in the state file of f6ee7af, all down, as they would be right after it was
/// written.
fn cluster_of_f6ee7af() -> Snapshot {
    let boot_id = Some("4ffab6ca-0000-4000-8000-000000000001");
    let names = ["instance", "master", "node", "queue", "secondary", "unknown"];
    let down = names.map(|name| {
        let name = format!("{name}.example.com");
        let instance = drbd_instance(&name, "ERROR_down", "node4.example.com");
        Instance { primary: "node1.example.com".into(), ..instance }
    });
    snapshot(down, [node("node1.example.com", boot_id), node("node4.example.com", None)])
}

#[test]
fn waits_that_f6ee7af_put_on_record_end_as_those_of_today_do() {
    let old = include_str!("../../memory/recovery/f6ee7af.json");
    let new = State::parse(old).unwrap().to_text();
    assert!(old.contains("its primary node") && !new.contains("its primary node"), "{new}");
    type Change = fn(&mut Snapshot);
    let nothing: Change = |_| {};
    let rebooted: Change = |cluster| cluster.nodes[0].boot_id = Some("another".into());
    let answers: Change = |cluster| cluster.nodes[1].boot_id = Some("another".into());
    let started: Change = |cluster| {
        cluster.instances.iter_mut().for_each(|instance| instance.status = InstanceStatus::Running);
    };
    let all: &[&str] = &["instance", "master", "node", "queue", "secondary", "unknown"];
    let but_node: &[&str] = &["instance", "master", "queue", "secondary", "unknown"];
    let but_secondary: &[&str] = &["instance", "master", "node", "queue", "unknown"];
    for (change, ended, left) in [
        (nothing, &[][..], all),
        (rebooted, &["node.example.com"], but_node),
        (answers, &["secondary.example.com"], but_secondary),
        (started, &[], &[]),
    ] {
        let mut cluster = cluster_of_f6ee7af();
        change(&mut cluster);
        for text in [old, &new] {
            let mut state = State::parse(text).unwrap();
            assert_eq!(forgive(&mut state, &cluster), ended);
            let names: Vec<String> = left.iter().map(|name| format!("{name}.example.com")).collect();
            assert_eq!(state.recovery.blocked.keys().cloned().collect::<Vec<_>>(), names);
        }
    }
}

#[test]
fn a_silent_secondary_is_to_blame_for_disks_that_will_not_do_with_force_too() {
    let mut cluster = cluster();
    cluster.nodes[1].boot_id = None;
    let error =
        GanetiError { class: "OpExecError".into(), message: "Disk consistency error".into(), code: None };
    let failure = JobFailure::Error(error);
    for kind in [ActionKind::Restart { attempt: 1 }, ActionKind::StartDegraded] {
        let action = Action { instance: "i".into(), kind };
        let found = blame(&failure, &action, &cluster);
        assert_eq!((found.what, found.cause.as_str()), (Blame::Peer, "n2 silent"));
    }
    let gone = Action { instance: "gone".into(), kind: ActionKind::StartDegraded };
    assert_eq!(blame(&failure, &gone, &cluster).what, Blame::Unknown);
}
