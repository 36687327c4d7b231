use super::*;
use crate::cluster::testing::{drbd_instance, node, snapshot};
use crate::decide::blame::Blame;
use crate::decide::budget;
use crate::decide::instances::{self, Outlook};
use crate::decide::tags::PREFIX;

const NOW: Timestamp = 10_000.0;

fn not_started(instance: &str, reasons: Vec<Reason>) -> Step {
    Step::Note(Note { instance: instance.into(), kind: NoteKind::NotStarted(reasons) })
}

fn secondary_silent() -> Reason {
    Reason::SecondarySilent { node: "n2".into(), since: None }
}

fn waits(instance: &str) -> Step {
    not_started(instance, vec![secondary_silent()])
}

fn starts(instance: &str) -> Step {
    Step::Act(Action { instance: instance.into(), kind: ActionKind::StartDegraded })
}

fn cluster(tags: &[&str]) -> Snapshot {
    let mut cluster =
        snapshot([drbd_instance("i", "ERROR_down", "n2")], [node("n1", Some("b1")), node("n2", None)]);
    cluster.instances[0].tags = tags.iter().map(|tag| format!("{PREFIX}{tag}")).collect();
    cluster
}

#[test]
fn a_node_is_silent_from_the_first_run_that_it_does_not_answer_until_it_does_or_is_marked_offline() {
    let mut state = State::default();
    let mut cluster = cluster(&[]);
    remember_silent(&mut state, &cluster, 100.0);
    remember_silent(&mut state, &cluster, 200.0);
    assert_eq!(state.recovery.silent.clone().into_iter().collect::<Vec<_>>(), [("n2".to_owned(), 100.0)]);
    remember_silent(&mut state, &cluster, 50.0);
    assert_eq!(state.recovery.silent["n2"], 50.0, "the clock was set back");
    let mut offline = state.clone();
    cluster.nodes[1].offline = Some(true);
    remember_silent(&mut offline, &cluster, 300.0);
    assert!(offline.recovery.silent.is_empty());
    cluster.nodes[1] = node("n2", Some("b2"));
    remember_silent(&mut state, &cluster, 300.0);
    assert_eq!(state, State::default());
}

#[test]
fn only_who_asked_for_it_is_started_without_its_mirror_and_not_before_the_time() {
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    for (tags, option, silent_for, allowed) in [
        (&[][..], None, 1e9, false),
        (&[], minutes(10), 599.0, false),
        (&[], minutes(10), 600.0, true),
        (&["degraded:5m"], None, 300.0, true),
        (&["degraded:1h"], minutes(10), 700.0, false),
        (&["degraded:never"], minutes(10), 1e9, false),
    ] {
        let cluster = cluster(tags);
        let (policies, _) = Policies::read(&cluster, &[], NOW);
        let mut state = State::default();
        state.recovery.silent.insert("n2".into(), NOW - silent_for);
        let steps = allow(vec![waits("i")], &state, &policies, option, NOW);
        assert_eq!(
            steps,
            [if allowed { starts("i") } else { waits("i") }],
            "{tags:?} {option:?} {silent_for}"
        );
    }
}

#[test]
fn one_that_failed_waits_before_it_is_forced_again() {
    let cluster = cluster(&["degraded:0"]);
    let (policies, _) = Policies::read(&cluster, &[], NOW);
    let mut state = State::default();
    remember_silent(&mut state, &cluster, NOW);
    let blamed =
        budget::Blamed { what: Blame::Peer, cause: "n2 silent".into(), detail: budget::Detail::None };
    budget::remember_failure(&mut state, "i", &blamed, NOW);
    let steps = |now| {
        let outlook = Outlook { snapshot: &cluster, state: &state, policies: &policies, now };
        allow(instances::plan(&outlook), &state, &policies, None, now)
    };
    let [Step::Note(Note { kind: NoteKind::NotStarted(reasons), .. })] = &steps(NOW)[..] else {
        panic!("{:?}", steps(NOW))
    };
    assert!(matches!(&reasons[..], [Reason::Backoff { failures: 1, .. }]), "{reasons:?}");
    assert_eq!(steps(NOW + 300.0), [starts("i")]);
}

#[test]
fn nothing_else_is_forced() {
    let cluster = cluster(&[]);
    let (policies, _) = Policies::read(&cluster, &[], NOW);
    let mut state = State::default();
    state.recovery.silent.insert("n2".into(), 0.0);
    let others = vec![
        Step::Act(Action { instance: "i".into(), kind: ActionKind::Restart { attempt: 1 } }),
        not_started("i", vec![Reason::GivenUp { until: NOW }]),
        not_started("i", vec![Reason::OutOfTries { until: NOW }, secondary_silent()]),
        not_started("i", vec![Reason::SharedStorageUnsure { nodes: vec!["n2".into()] }, secondary_silent()]),
        Step::Note(Note { instance: "i".into(), kind: NoteKind::NotCleanedUp(vec![Reason::Locked]) }),
    ];
    assert_eq!(allow(others.clone(), &state, &policies, Some(Duration::ZERO), NOW), others);
}

#[test]
fn one_whose_own_node_is_away_is_not_forced_however_long_its_secondary_is_silent() {
    for (status, code) in [("ERROR_nodedown", "primary_silent"), ("ERROR_nodeoffline", "primary_offline")] {
        let mut cluster = cluster(&["degraded:0"]);
        cluster.instances[0].status = InstanceStatus::from_word(status);
        cluster.nodes[0].boot_id = None;
        let (policies, _) = Policies::read(&cluster, &[], NOW);
        let mut state = State::default();
        remember_silent(&mut state, &cluster, 0.0);
        let outlook = Outlook { snapshot: &cluster, state: &state, policies: &policies, now: NOW };
        let steps = instances::plan(&outlook);
        let [Step::Note(Note { kind: NoteKind::NotStarted(reasons), .. })] = &steps[..] else {
            panic!("{steps:?}")
        };
        assert_eq!(reasons.iter().map(Reason::code).collect::<Vec<_>>(), [code, "secondary_silent"]);
        assert_eq!(allow(steps.clone(), &state, &policies, Some(Duration::ZERO), NOW), steps);
    }
}

fn degraded() -> State {
    let mut state = State::default();
    state.recovery.degraded.insert("i".into(), 100.0);
    state
}

#[test]
fn a_mirror_is_told_of_until_it_is_whole() {
    let mut state = degraded();
    let mut cluster = cluster(&[]);
    cluster.instances[0].status = InstanceStatus::Running;
    let told = runs_degraded("i", 100.0);
    assert_eq!(review(&mut state, &cluster), Mirrors { notes: vec![told.clone()], to_inspect: vec![] });
    cluster.nodes[1] = node("n2", Some("b2"));
    let inspect = Mirrors { notes: vec![], to_inspect: vec!["i".into()] };
    assert_eq!(review(&mut state, &cluster), inspect);
    assert_eq!(inspected(&mut state, &inspect.to_inspect, &[]), [told]);
    assert_eq!(inspected(&mut state, &inspect.to_inspect, &["i".into()]), []);
    assert_eq!(state, State::default());
}

#[test]
fn what_does_not_run_any_more_needs_no_report() {
    for (status, kept) in
        [("ERROR_down", false), ("ADMIN_down", false), ("ERROR_nodedown", true), ("ERROR_nodeoffline", true)]
    {
        let mut state = degraded();
        let cluster = snapshot([drbd_instance("i", status, "n2")], []);
        assert_eq!(review(&mut state, &cluster), Mirrors::default());
        assert_eq!(state.recovery.degraded.contains_key("i"), kept, "{status}");
    }
    let mut unread = snapshot([], []);
    // With its name or without.
    for row in ["i", "instance row 0: invalid length 3"] {
        unread.unreadable_instances = vec![row.into()];
        let mut state = degraded();
        review(&mut state, &unread);
        assert_eq!(state, degraded());
    }
    let mut state = degraded();
    review(&mut state, &snapshot([], []));
    assert_eq!(state, State::default());
}
