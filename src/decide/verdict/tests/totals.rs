//! Which verdicts there are, and how they are counted.

use super::*;

#[test]
fn only_an_instance_that_should_run_is_down_with_its_primary_node() {
    for (status, code, needs_human) in
        [("ERROR_nodedown", "primary_silent", false), ("ERROR_nodeoffline", "primary_offline", true)]
    {
        for admin_state in [AdminState::Up, AdminState::Down, AdminState::Offline] {
            let group = Group::new([Instance { admin_state, ..instance("i", status) }]);
            let verdict = group.get();
            let is_wanted = admin_state == AdminState::Up;
            assert_eq!(verdict.wanted, Some(is_wanted));
            assert_eq!(codes(verdict), if is_wanted { vec![code] } else { vec![] }, "{admin_state:?}");
            assert_eq!(verdict.needs_human(), is_wanted && needs_human);
        }
    }
}

#[test]
fn one_that_should_not_run_never_needs_a_human() {
    for reason in one_of_each() {
        let stopped = Instance { admin_state: AdminState::Down, ..instance("i", "ADMIN_down") };
        let mut group = Group::new([stopped]);
        let verdict = group.noted(NoteKind::NotStarted(vec![reason.clone()]));
        assert_eq!((verdict.decides(), verdict.needs_human()), (Some(&reason), false));
        assert_eq!(group.verdicts.totals(), Totals::default());
    }
    let mut group = Group::new([instance("i", "USER_down")]);
    let verdict = group.noted(NoteKind::NotCleanedUp(vec![Reason::CleanUpOutOfTries]));
    assert_eq!((verdict.wanted, verdict.needs_human()), (Some(false), false), "its user does not want it");
}

#[test]
fn what_is_unclear_needs_a_human_and_is_unclear_about_what_it_should_be() {
    let mut cluster = snapshot([instance("i", "ERROR_new")], []);
    cluster.split.push(SplitInstance {
        name: "split".into(),
        primary_group: "g".into(),
        secondary_groups: vec!["h".into()],
    });
    // The name of one that was seen and whose second row cannot be read, for example.
    cluster.unreadable_instances = vec!["unread".into(), "i".into()];
    let group = Group::of(&cluster, State::default());
    let told: Vec<(&str, Option<bool>, Vec<&str>)> = group
        .verdicts
        .iter()
        .map(|verdict| (verdict.instance.as_str(), verdict.wanted, codes(verdict)))
        .collect();
    let expected = [
        ("i", Some(true), vec!["status_unknown"]),
        ("split", None, vec!["split_groups"]),
        ("unread", None, vec!["unreadable"]),
    ];
    assert_eq!(told, expected);
    assert!(group.verdicts.iter().all(|verdict| verdict.needs_human() && !verdict.runs()));
    assert_eq!(group.verdicts.totals(), Totals { wanted: 1, run: 0, started: 0, wait: 0, need_human: 3 });
    assert_eq!(group.verdicts.get("unknown"), None);
}

#[test]
fn totals_count_each_instance_that_should_run_once() {
    let mut cluster = snapshot(
        [
            instance("runs", "running"),
            instance("elsewhere", "ERROR_wrongnode"),
            Instance { admin_state: AdminState::Down, ..instance("extra", "ERROR_up") },
            instance("shut", "USER_down"),
            Instance { admin_state: AdminState::Down, ..instance("off", "ADMIN_down") },
            instance("i", "ERROR_down"),
            instance("given up", "ERROR_down"),
            Instance { primary: "n2".into(), ..instance("away", "ERROR_nodedown") },
            drbd_instance("alone", "running", "n2"),
        ],
        [node("n1", Some("b1")), node("n2", None)],
    );
    cluster.group_name = "default".into();
    let mut state = State::default();
    (0..MAX_TRIES).for_each(|_| state.record_restart_attempt("given up", NOW));
    let mut group = Group::of(&cluster, state);
    assert_eq!(group.verdicts.group_name, "default");
    let note = Note { instance: "alone".into(), kind: NoteKind::MirrorNotActive };
    group.verdicts.noted(&note, &State::default(), NOW);
    let before = Totals { wanted: 6, run: 3, started: 0, wait: 2, need_human: 2 };
    assert_eq!(group.verdicts.totals(), before);
    group.ended(restart(), &Outcome::Succeeded);
    assert_eq!(group.verdicts.totals(), Totals { run: 4, started: 1, wait: 1, ..before });
}

#[test]
fn one_that_is_well_has_no_reason() {
    let mut state = State::default();
    (0..=FLAPPING).for_each(|_| state.recovery.note_start("i", NOW));
    let failure = LastFailure { job: JobId(1), error: "no kernel".into(), at: NOW };
    state.recovery.last_failures.insert("i".into(), failure);
    let group = Group::of(&snapshot([instance("i", "running")], []), state);
    let verdict = group.get();
    assert_eq!((codes(verdict), verdict.next(), verdict.blame()), (vec![], None, None));
    assert_eq!((verdict.last_failure.as_ref(), verdict.commands()), (None, vec![]));
}
