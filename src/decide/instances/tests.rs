use super::*;
use crate::cluster::testing::{drbd_instance, instance, node, pending_job, snapshot};
use crate::cluster::{JobFailure, JobId, LockMode};
use crate::decide::tags::Place;
use crate::memory::recovery::{FailedMove, LastFailure};

fn state_with(name: &str, attempts: u64) -> State {
    let mut state = State::default();
    for _ in 0..attempts {
        state.record_restart_attempt(name, 1000.0);
    }
    state
}

fn decided(status: &str, attempts: u64) -> Option<Step> {
    let snapshot = snapshot([instance("i", status)], []);
    plan(&snapshot, &state_with("i", attempts)).pop()
}

/// Without any tags.
fn plan(snapshot: &Snapshot, state: &State) -> Vec<Step> {
    let (policies, problems) = Policies::read(snapshot, &[], 1000.0);
    assert_eq!(problems, []);
    super::plan(&Outlook { snapshot, state, policies: &policies, now: 1000.0 })
}

fn failed() -> Outcome {
    let blamed = Blamed { what: Blame::Instance, cause: String::new(), detail: budget::Detail::None };
    Outcome::Failed { job: JobId(7), failure: JobFailure::Text("no reason".into()), blamed }
}

fn act(kind: ActionKind) -> Option<Step> {
    Some(Step::Act(Action { instance: "i".into(), kind }))
}

fn note(kind: NoteKind) -> Option<Step> {
    Some(Step::Note(Note { instance: "i".into(), kind }))
}

#[test]
fn a_down_instance_is_started_five_times_then_given_up_then_only_mentioned() {
    for attempts in 0..5 {
        assert_eq!(decided("ERROR_down", attempts), act(ActionKind::Restart { attempt: attempts + 1 }));
    }
    let not_started = |reason| note(NoteKind::NotStarted(vec![reason]));
    let anew = 1000.0 + RETRY_EXPIRATION;
    assert_eq!(decided("ERROR_down", 5), not_started(Reason::GivenUp { until: anew }));
    for attempts in [6, 60] {
        assert_eq!(decided("ERROR_down", attempts), not_started(Reason::OutOfTries { until: anew }));
    }
}

#[test]
fn an_instance_that_is_not_down_any_more_is_forgotten() {
    for status in ["running", "ADMIN_down", "ADMIN_offline", "ERROR_up", "ERROR_wrongnode"] {
        assert_eq!(decided(status, 0), None);
        assert_eq!(decided(status, 3), note(NoteKind::Recovered));
    }
    for status in ["ERROR_nodedown", "ERROR_nodeoffline"] {
        let mut away = snapshot([instance("i", status)], []);
        let reason = match away.instances[0].status {
            InstanceStatus::NodeDown => Reason::PrimarySilent { node: "n1".into(), since: None },
            _ => Reason::PrimaryOffline { node: "n1".into() },
        };
        let waits = note(NoteKind::NotStarted(vec![reason])).unwrap();
        for attempts in 1..=6 {
            let steps = plan(&away, &state_with("i", attempts));
            assert_eq!(steps, [note(NoteKind::Helpless).unwrap(), waits.clone()], "its tries begin anew");
        }
        assert_eq!(plan(&away, &State::default()), [waits]);
        away.instances[0].admin_state = AdminState::Down;
        assert_eq!(plan(&away, &State::default()), [], "it should not run");
        assert_eq!(plan(&away, &state_with("i", 1)), [note(NoteKind::Helpless).unwrap()]);
    }
}

#[test]
fn an_instance_that_its_user_shut_down_is_cleaned_up_unless_locked_or_failing() {
    let mut down = snapshot([instance("i", "USER_down")], []);
    let mut state = State::default();
    assert_eq!(plan(&down, &state).pop(), act(ActionKind::CleanUp));
    for _ in 0..6 {
        state.record_clean_up_attempt("i", 1000.0);
    }
    let not_cleaned_up = |reasons| note(NoteKind::NotCleanedUp(reasons));
    assert_eq!(plan(&down, &state).pop(), not_cleaned_up(vec![Reason::CleanUpOutOfTries]));
    down.locked_instances.insert("i".into(), LockMode::Shared);
    let reasons = vec![Reason::Locked, Reason::CleanUpOutOfTries];
    assert_eq!(plan(&down, &state).pop(), not_cleaned_up(reasons));
    down.instances[0].admin_state = AdminState::Down;
    assert_eq!(plan(&down, &state).pop(), None);
    assert_eq!(plan(&down, &state_with("i", 1)).pop(), note(NoteKind::Recovered));
}

#[test]
fn a_try_counts_when_a_job_tells_how_it_ended_and_only_then() {
    let restart = Action { instance: "i".into(), kind: ActionKind::Restart { attempt: 1 } };
    for (outcome, counted) in [
        (Outcome::Succeeded, 1),
        (failed(), 1),
        (Outcome::Unknown("connection lost".into()), 0),
        (Outcome::NotSubmitted("queue full".into()), 0),
    ] {
        let mut state = State::default();
        remember_outcome(&mut state, &restart, &outcome, 5.0);
        assert_eq!(state.restart_attempts("i"), counted, "{outcome:?}");
    }
}

#[test]
fn a_clean_up_is_counted_when_it_fails_and_forgotten_when_it_succeeds() {
    let clean_up = Action { instance: "i".into(), kind: ActionKind::CleanUp };
    let mut state = State::default();
    remember_outcome(&mut state, &clean_up, &Outcome::Succeeded, 5.0);
    assert_eq!(state, State::default());
    remember_outcome(&mut state, &clean_up, &failed(), 5.0);
    assert_eq!(state.clean_up_attempts("i"), 1);
    remember_outcome(&mut state, &clean_up, &Outcome::Succeeded, 5.0);
    assert_eq!(state, State::default());
}

#[test]
fn giving_up_is_remembered_as_a_sixth_attempt() {
    let mut state = state_with("i", 5);
    let mut noted = |kind| {
        remember_note(&mut state, &Note { instance: "i".into(), kind }, 2000.0);
        state.clone()
    };
    let given_up = Reason::GivenUp { until: 2000.0 + RETRY_EXPIRATION };
    let state = noted(NoteKind::NotStarted(vec![given_up, Reason::Locked]));
    assert_eq!((state.restart_attempts("i"), state.last_start("i")), (6, 2000.0));
    let again = noted(NoteKind::NotStarted(vec![Reason::OutOfTries { until: 3000.0 }]));
    assert_eq!(again, state, "once");
    assert_eq!(noted(NoteKind::Recovered), State::default());
}

#[test]
fn an_instance_that_a_job_is_at_is_left_to_it() {
    let mut cluster = snapshot([instance("i", "ERROR_down"), instance("j", "USER_down")], []);
    let jobs = [pending_job(7, "INSTANCE_STARTUP(i)"), pending_job(8, "INSTANCE_REBOOT(j)")];
    cluster.pending_jobs = jobs.to_vec();
    let [start, reboot] = jobs;
    let note = |instance: &str, kind| Step::Note(Note { instance: instance.into(), kind });
    let [start, reboot] = [start, reboot].map(Reason::JobRunning);
    assert_eq!(
        plan(&cluster, &State::default()),
        [
            note("i", NoteKind::NotStarted(vec![start.clone()])),
            note("j", NoteKind::NotCleanedUp(vec![reboot]))
        ]
    );
    let reasons = vec![Reason::GivenUp { until: 1000.0 + RETRY_EXPIRATION }, start];
    assert_eq!(plan(&cluster, &state_with("i", 5))[0], note("i", NoteKind::NotStarted(reasons)));
}

#[test]
fn records_go_with_their_instance_and_after_eight_hours() {
    let mut state = State::default();
    let now = 100_000.0;
    state.record_restart_attempt("fresh", now - RETRY_EXPIRATION);
    state.record_restart_attempt("old", now - RETRY_EXPIRATION - 1.0);
    state.record_restart_attempt("gone", now);
    state.record_clean_up_attempt("cleaned", now);
    let cluster = snapshot(["fresh", "old", "cleaned"].map(|name| instance(name, "ERROR_down")), []);
    assert_eq!(drop_stale_records(&cluster, &mut state, now), ["old", "gone", "cleaned"]);
    assert_eq!(state.instances().count(), 1);
}

#[test]
fn records_of_unseen_instances_stay_when_a_row_could_not_be_read() {
    let mut partial = snapshot([instance("i", "running")], []);
    partial.unreadable_instances.push("unread".into());
    let mut state = state_with("unread", 2);
    assert_eq!(drop_stale_records(&partial, &mut state, 1000.0), Vec::<String>::new());
    partial.unreadable_instances.clear();
    assert_eq!(drop_stale_records(&partial, &mut state, 1000.0), ["unread"]);
    assert_eq!(state, State::default());
}

#[test]
fn what_is_remembered_of_starts_goes_when_the_instance_is_well_or_gone() {
    let failure = LastFailure { job: JobId(7), error: "no kernel".into(), at: 900.0 };
    let remembered = |name: &str| {
        let mut state = State::default();
        state.recovery.last_failures.insert(name.into(), failure.clone());
        state.recovery.note_start(name, 900.0);
        state
    };
    for (status, failure_stays) in [
        ("ERROR_down", true),
        ("ERROR_nodedown", true),
        ("ERROR_nodeoffline", true),
        ("strange", true),
        ("running", false),
        ("ADMIN_down", false),
        ("USER_down", false),
    ] {
        let mut state = remembered("i");
        forget_what_is_over(&mut state, &snapshot([instance("i", status)], []));
        assert_eq!(state.recovery.last_failures.contains_key("i"), failure_stays, "{status}");
        assert!(state.recovery.starts.contains_key("i"), "{status}: an hour is not over");
    }
    let mut partial = snapshot([instance("other", "running")], []);
    // Whichever it was.
    partial.unreadable_instances.push("instance row 0: invalid length 3".into());
    let mut state = remembered("i");
    forget_what_is_over(&mut state, &partial);
    assert_eq!(state, remembered("i"));
    partial.unreadable_instances.clear();
    forget_what_is_over(&mut state, &partial);
    assert_eq!(state, State::default());
}

#[test]
fn the_last_failure_is_remembered_shortened_until_a_start_succeeds() {
    let restart = Action { instance: "i".into(), kind: ActionKind::Restart { attempt: 1 } };
    let Outcome::Failed { job, blamed, .. } = failed() else { panic!("it failed") };
    let failure = JobFailure::Text("no kernel ".repeat(200));
    let outcome = Outcome::Failed { job, failure, blamed };
    let mut state = State::default();
    remember_outcome(&mut state, &restart, &outcome, 5.0);
    let LastFailure { job, error, at } = &state.recovery.last_failures["i"];
    assert_eq!((*job, *at), (JobId(7), 5.0));
    assert!(error.starts_with("no kernel") && error.len() < 400, "ten thousand of them fit: {error}");
    remember_outcome(&mut state, &restart, &Outcome::Unknown("lost".into()), 6.0);
    assert_eq!(state.recovery.last_failures["i"].at, 5.0, "nothing newer is known");
    remember_outcome(&mut state, &restart, &Outcome::Succeeded, 7.0);
    assert!(state.recovery.last_failures.is_empty());
    assert_eq!(state.recovery.starts_within_an_hour("i"), 1);
}

/// The reasons why `i` is not started.
fn against(snapshot: &Snapshot, state: &State) -> Vec<Reason> {
    let (policies, _) = Policies::read(snapshot, &[], 1000.0);
    let steps = super::plan(&Outlook { snapshot, state, policies: &policies, now: 1000.0 });
    match steps.last() {
        Some(Step::Note(Note { kind: NoteKind::NotStarted(reasons), .. })) => reasons.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_reasons_that_hold_are_there_and_what_lasts_longest_comes_first() {
    let mut down = drbd_instance("i", "ERROR_down", "n2");
    down.tags = vec!["ganeti:watcher:start:never".into()];
    let mut cluster = snapshot([down], [node("n1", Some("b1")), node("n2", None)]);
    let job = pending_job(7, "INSTANCE_STARTUP(i)");
    cluster.pending_jobs.push(job.clone());
    let moved = FailedMove { job: JobId(5), summary: "INSTANCE_MIGRATE(i)".into() };
    let mut state = state_with("i", 5);
    state.recovery.silent.insert("n2".into(), 400.0);
    state.recovery.failed_moves.insert("i".into(), moved.clone());
    let blamed = Blamed { what: Blame::Queue, cause: String::new(), detail: budget::Detail::None };
    budget::remember_failure(&mut state, "i", &blamed, 1000.0);

    let never = Reason::TagNever(Place::Instance);
    let anew = 1000.0 + RETRY_EXPIRATION;
    let silent = Reason::SecondarySilent { node: "n2".into(), since: Some(400.0) };
    let wait = reason::of_wait(&state, "i", 1000.0).unwrap();
    let [job, moved] = [Reason::JobRunning(job), Reason::MoveFailed(moved)];
    let rest = [job, moved, silent, wait];
    let all = |first: &[Reason]| [first, &rest].concat();
    let tries = Reason::OutOfTries { until: anew };
    assert_eq!(against(&cluster, &state), all(&[never.clone(), tries.clone()]), "a tag gives nothing up");
    cluster.instances[0].tags = vec!["ganeti:watcher:start:hold:5000".into()];
    let hold = Reason::TagHold { until: 5000.0, on: Place::Instance };
    assert_eq!(against(&cluster, &state), all(&[hold, tries.clone()]));
    cluster.instances[0].tags.clear();
    assert_eq!(against(&cluster, &state), all(&[Reason::GivenUp { until: anew }]));
    state.record_restart_attempt("i", 1000.0);
    assert_eq!(against(&cluster, &state), all(&[tries]));

    // What keeps one on a node that is away from being started once that is back.
    for (status, away) in [
        ("ERROR_nodedown", Reason::PrimarySilent { node: "n1".into(), since: Some(500.0) }),
        ("ERROR_nodeoffline", Reason::PrimaryOffline { node: "n1".into() }),
    ] {
        state.recovery.silent.insert("n1".into(), 500.0);
        cluster.instances[0].status = InstanceStatus::from_word(status);
        cluster.instances[0].tags.clear();
        assert_eq!(against(&cluster, &state), all(std::slice::from_ref(&away)));
        cluster.instances[0].tags = vec!["ganeti:watcher:start:never".into()];
        assert_eq!(against(&cluster, &state), all(&[never.clone(), away]), "nor is it started then");
    }
}

#[test]
fn silent_nodes_that_could_run_an_instance_do_not_include_its_own() {
    let mut shared = instance("i", "ERROR_nodedown");
    shared.disk_template = "rbd".into();
    let mut cluster = snapshot([shared], [node("n1", None), node("n2", None)]);
    let own = Reason::PrimarySilent { node: "n1".into(), since: None };
    let other = Reason::SharedStorageUnsure { nodes: vec!["n2".into()] };
    assert_eq!(against(&cluster, &State::default()), [own.clone(), other]);
    cluster.nodes[1].boot_id = Some("b2".into());
    assert_eq!(against(&cluster, &State::default()), [own]);
}
