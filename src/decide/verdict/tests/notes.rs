//! What notes and the end of a run make of a verdict.

use super::*;

#[test]
fn one_that_is_to_be_started_has_no_reason_and_one_that_is_not_has_all_of_them() {
    let group = Group::starting();
    let verdict = group.get();
    assert_eq!(
        (&verdict.progress, verdict.next(), codes(verdict)),
        (&Progress::Starting, Some(Next::Now), vec![])
    );
    assert_eq!((verdict.since, verdict.wanted), (Some(9_000.0), Some(true)));

    let mut down = drbd_instance("i", "ERROR_down", "n2");
    down.tags = vec!["ganeti:watcher:start:never".into()];
    let mut cluster = snapshot([down], [node("n1", Some("b1")), node("n2", None)]);
    cluster.pending_jobs.push(pending_job(7, "INSTANCE_REBOOT(i)"));
    let mut state = State::default();
    for _ in 0..=MAX_TRIES {
        state.record_restart_attempt("i", NOW);
    }
    for _ in 0..=FLAPPING {
        state.recovery.note_start("i", NOW - 60.0);
    }
    let mut group = Group::of(&cluster, state);
    // What is noted in addition keeps its place behind them, and nothing is there twice.
    group.noted(NoteKind::ActivationHelpless);
    group.noted(NoteKind::NotStarted(vec![
        Reason::TagNever(crate::decide::tags::Place::Instance),
        Reason::Locked,
    ]));
    let verdict = group.get();
    let all = [
        "tag_never",
        "out_of_tries",
        "job_running",
        "secondary_silent",
        "locked",
        "flapping",
        "mirror_peer_away",
    ];
    assert_eq!(codes(verdict), all);
    assert_eq!(verdict.decides().map(Reason::code), Some("tag_never"));
    assert!(!verdict.needs_human(), "somebody decided that, whatever else holds");
    assert_eq!((verdict.progress.clone(), verdict.commands()), (Progress::None, vec![]));
}

#[test]
fn one_whose_turn_does_not_come_has_what_held_it_back() {
    let shortage = Shortage { needed: Some(1024), available: Some(12), asked: false };
    let blamed = Blamed { what: Blame::Node, cause: "n1 b1".into(), detail: Detail::Memory(shortage) };
    for (hold, code) in [
        (Hold::Tier { behind: "dns".into(), until: NOW + 60.0 }, "tier"),
        (Hold::Delay { until: NOW + 60.0 }, "delay"),
        (Hold::Busy, "room"),
        (Hold::Memory { node: "n1".into(), blamed }, "no_memory"),
    ] {
        let mut group = Group::starting();
        let verdict = group.noted(NoteKind::LeftForLater(hold.clone()));
        assert_eq!((codes(verdict), &verdict.progress), (vec![code], &Progress::None));
        match (&hold, verdict.decides().unwrap()) {
            (Hold::Tier { .. }, reason) => {
                assert_eq!(*reason, Reason::Tier { behind: "dns".into(), until: NOW + 60.0 });
            }
            (Hold::Delay { .. }, reason) => assert_eq!(*reason, Reason::Delay { until: NOW + 60.0 }),
            _ => {}
        }
    }
}

#[test]
fn an_activation_whose_turn_does_not_come_does_not_make_a_started_instance_one_that_was_not() {
    let mut group = Group::starting();
    group.ended(restart(), &Outcome::Succeeded);
    let verdict = group.noted(NoteKind::LeftForLater(Hold::Busy));
    assert_eq!((&verdict.progress, verdict.runs(), codes(verdict)), (&Progress::Started, true, vec!["room"]));
    assert_eq!(group.verdicts.totals(), Totals { wanted: 1, run: 1, started: 1, wait: 0, need_human: 0 });
}

#[test]
fn what_is_noted_of_mirrors_is_a_reason_too() {
    let mut cluster =
        snapshot([drbd_instance("i", "running", "n2")], [node("n1", Some("b1")), node("n2", None)]);
    let mut state = State::default();
    state.recovery.silent.insert("n2".into(), 9_000.0);
    for (kind, reason) in [
        (NoteKind::MirrorNotActive, Reason::MirrorNotActive),
        (NoteKind::RunsDegraded { since: 5.0 }, Reason::MirrorDegraded { since: 5.0 }),
        (NoteKind::ActivationHelpless, Reason::MirrorPeerAway { node: Some("n2".into()) }),
        (
            NoteKind::ActivationDelayed { failures: 3, until: NOW + 60.0 },
            Reason::MirrorNotActivated { failures: 3, until: NOW + 60.0 },
        ),
    ] {
        let mut group = Group::of(&cluster, state.clone());
        let verdict = group.noted(kind);
        assert_eq!((&verdict.reasons[..], verdict.runs()), (&[reason][..], true));
    }
    state.recovery.silent.clear();
    let mut group = Group::of(&cluster, state.clone());
    group.noted(NoteKind::ActivationHelpless);
    assert_eq!(group.get().reasons, [Reason::MirrorPeerAway { node: None }], "it is unknown which");
    state.recovery.silent.insert("n1".into(), 9_000.0);
    cluster.instances[0].status = InstanceStatus::NodeDown;
    let mut group = Group::of(&cluster, state);
    group.noted(NoteKind::ActivationHelpless);
    assert_eq!(codes(group.get()), ["primary_silent", "secondary_silent", "mirror_peer_away"]);
    for kind in [
        NoteKind::Recovered,
        NoteKind::Helpless,
        NoteKind::Unknown,
        NoteKind::VerifyHelpless { is_out_of_reach: true },
        NoteKind::DisksNotActive,
        NoteKind::StartedInThisRun,
        NoteKind::Busy(pending_job(7, "INSTANCE_REPLACE_DISKS(i)")),
    ] {
        let before = group.get().clone();
        assert_eq!(group.noted(kind), &before);
    }
}

#[test]
fn a_run_that_is_stopped_leaves_what_it_had_not_begun_with_a_reason() {
    for reason in [Reason::Paused, Reason::Drained, Reason::CutShort] {
        let mut group = Group::new(["i", "j", "k"].map(|name| instance(name, "ERROR_down")));
        group.ended(restart(), &Outcome::Succeeded);
        group.verdicts.noted(
            &Note { instance: "j".into(), kind: NoteKind::LeftForLater(Hold::Busy) },
            &State::default(),
            NOW,
        );
        group.verdicts.stopped(&reason);
        let all: Vec<Vec<&str>> = group.verdicts.iter().map(codes).collect();
        assert_eq!(all, [vec![], vec!["room"], vec![reason.code()]]);
        assert!(group.verdicts.iter().all(|verdict| verdict.progress != Progress::Starting));
        assert_eq!(group.verdicts.totals(), Totals { wanted: 3, run: 1, started: 1, wait: 2, need_human: 0 });
    }
}

#[test]
fn an_activation_that_an_offline_primary_prevents_waits_for_that_node() {
    let mut group = Group::new([drbd_instance("i", "ERROR_nodeoffline", "n2")]);
    let verdict = group.noted(NoteKind::ActivationHelpless);
    assert_eq!(verdict.reasons.last(), Some(&Reason::MirrorPeerAway { node: Some("n1".into()) }));
}
