use super::*;
use crate::cluster::testing::{instance, node, pending_job, snapshot};
use crate::cluster::{EndedOpCode, Snapshot};
use crate::cluster::{GanetiError, Instance};
use std::collections::BTreeMap;

const NOW: Timestamp = 10_000.0;
const HOURS: u64 = 3600;

fn start() -> Action {
    Action { instance: "i".into(), kind: ActionKind::Restart { attempt: 1 } }
}

/// A state with the intent of a start that was submitted ten minutes ago.
fn intended(state: &mut State) {
    assert!(record(state, &[start()], 9_400_000_000_000, Some("b1")));
}

fn cluster(status: &str) -> Snapshot {
    snapshot([instance("i", status)], [node("n1", Some("b"))])
}

/// Settles with this fate and boot id; returns whether the intent is still there, and what was found out.
fn settled(state: &mut State, cluster: &Snapshot, fate: Fate, boot_id: Option<&str>) -> (bool, Vec<Event>) {
    let fates = BTreeMap::from([("i".to_owned(), fate)]);
    let archived_after = Some(Duration::from_secs(6 * HOURS));
    let events = settle(state, &Evidence { seen: &seen(cluster, &fates, boot_id), archived_after, now: NOW });
    (state.recovery.starting.contains_key("i"), events)
}

fn seen<'a>(snapshot: &'a Snapshot, fates: &'a BTreeMap<String, Fate>, boot_id: Option<&'a str>) -> Seen<'a> {
    static NO_MOVES: BTreeMap<String, Vec<EndedOpCode>> = BTreeMap::new();
    Seen { snapshot, cluster_tags: &[], master_boot_id: boot_id, moves: &NO_MOVES, fates }
}

fn detected_death() -> Fate {
    Fate::Ended(JobId(7), Err(JobFailure::Text("detected death of job 7".into())))
}

fn error(class: &str, message: &str) -> Fate {
    let error = GanetiError { class: class.into(), message: message.into(), code: None };
    Fate::Ended(JobId(7), Err(JobFailure::Error(error)))
}

/// Tries, consecutive starts that the master did not survive, and whether it waits.
fn cost(state: &State) -> (u64, u64, bool) {
    let lost = state.recovery.lost_starts.get("i").map_or(0, |lost| lost.failures);
    (state.restart_attempts("i"), lost, state.recovery.blocked.contains_key("i"))
}

#[test]
fn only_starts_are_put_on_record_and_a_known_outcome_takes_them_off() {
    let mut state = State::default();
    let other = Action { instance: "i".into(), kind: ActionKind::CleanUp };
    assert!(!record(&mut state, &[other], 5, None));
    let blamed = Blamed { what: Blame::Instance, cause: String::new(), detail: Detail::None };
    for (outcome, stays) in [
        (Outcome::Succeeded, false),
        (Outcome::Failed { job: JobId(7), failure: JobFailure::Canceled, blamed }, false),
        (Outcome::NotSubmitted("queue full".into()), false),
        (Outcome::Unknown("connection lost".into()), true),
        (Outcome::LeftAlone(super::super::second_look::Changed::Locked), true),
    ] {
        intended(&mut state);
        forget(&mut state.recovery, &start(), &outcome);
        assert_eq!(state.recovery.starting.contains_key("i"), stays, "{outcome:?}");
    }
}

#[test]
fn an_intent_is_settled_by_what_became_of_its_job() {
    let missing = || error("OpExecError", "Could not start instance 'i': Hypervisor error: no kernel");
    let canceled = || Fate::Ended(JobId(7), Err(JobFailure::Canceled));
    let lost = || Fate::Ended(JobId(7), Err(JobFailure::Lost));
    for (fate, boot_id, stays, costs, found) in [
        (Fate::AtWork(JobId(7)), Some("b1"), true, (0, 0, false), "nothing"),
        (Fate::Ended(JobId(7), Ok(())), Some("b2"), false, (1, 0, false), "job 7 succeeded"),
        (missing(), Some("b2"), false, (1, 0, false), "job 7 failed, Instance"),
        (canceled(), Some("b1"), false, (0, 0, true), "job 7 failed, Queue"),
        // The master died: the first time nobody is to blame.
        (detected_death(), Some("b2"), false, (0, 1, false), "lost, MasterDied"),
        (detected_death(), None, false, (0, 1, false), "lost, MasterDied"),
        (Fate::NoJob, Some("b2"), false, (0, 1, false), "lost, MasterDied"),
        // The run was killed before it had submitted anything.
        (Fate::NoJob, Some("b1"), false, (0, 0, false), "never submitted"),
        // Unknown.
        (Fate::NoJob, None, false, (0, 1, true), "lost, Unknown"),
        (Fate::Unclear, Some("b1"), false, (0, 1, true), "lost, Unknown"),
        (lost(), Some("b1"), false, (0, 1, true), "lost, Unknown"),
    ] {
        let mut state = State::default();
        intended(&mut state);
        let (left, events) = settled(&mut state, &cluster("ERROR_down"), fate.clone(), boot_id);
        assert_eq!((left, cost(&state)), (stays, costs), "{fate:?} {boot_id:?}: {events:?}");
        let words = match &events[..] {
            [] => "nothing".to_owned(),
            [Event::EarlierStartSucceeded { job, .. }] => format!("job {job} succeeded"),
            [Event::Ended(_, Outcome::Failed { job, blamed, .. })] => {
                format!("job {job} failed, {:?}", blamed.what)
            }
            [Event::NeverSubmitted(_)] => "never submitted".to_owned(),
            [Event::StartsLost { how, again: false, .. }] => format!("lost, {how:?}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(words, found, "{fate:?} {boot_id:?}");
        // What a job says is kept for when it is given up.
        let failure = state.recovery.last_failures.get("i");
        assert_eq!(failure.is_some(), found.contains("failed"), "{fate:?} {failure:?}");
    }
}

#[test]
fn from_the_second_death_of_the_master_in_a_row_on_each_costs_a_try() {
    for (fate, boot_ids) in
        [(detected_death(), [Some("b2"); 7]), (Fate::NoJob, [Some("b2"); 7]), (Fate::Unclear, [None; 7])]
    {
        let mut state = State::default();
        for (number, boot_id) in (0..7).zip(boot_ids) {
            intended(&mut state);
            let (_, events) = settled(&mut state, &cluster("ERROR_down"), fate.clone(), boot_id);
            assert_eq!(cost(&state).0, number, "{events:?}");
            let how = if boot_id.is_some() { Lost::MasterDied } else { Lost::Unknown };
            assert_eq!(events, [Event::StartsLost { how, again: number > 0, instances: vec!["i".into()] }]);
        }
    }
}

#[test]
fn a_start_that_ends_otherwise_or_an_instance_that_runs_begins_the_row_anew() {
    let down = cluster("ERROR_down");
    let mut state = State::default();
    let die = |state: &mut State| {
        intended(state);
        settled(state, &down, detected_death(), Some("b2"));
    };
    die(&mut state);
    intended(&mut state);
    settled(&mut state, &down, Fate::Ended(JobId(8), Ok(())), Some("b2"));
    die(&mut state);
    assert_eq!(cost(&state), (1, 1, false), "the start that succeeded is the only try");
    settled(&mut state, &cluster("running"), Fate::NoJob, Some("b2"));
    die(&mut state);
    assert_eq!(cost(&state), (1, 1, false));
    let mut state = State::default();
    for _ in 0..3 {
        intended(&mut state);
        settled(&mut state, &cluster("running"), detected_death(), Some("b2"));
    }
    assert_eq!(cost(&state), (0, 0, false), "what runs costs nothing");
}

#[test]
fn a_job_that_may_be_archived_is_unknown_and_not_absent() {
    let fates = BTreeMap::from([("i".to_owned(), Fate::NoJob)]);
    let cluster = cluster("ERROR_down");
    for (archived_after, lost) in [
        (Some(Duration::from_secs(601)), 0),
        (Some(Duration::from_secs(599)), 1),
        (Some(Duration::ZERO), 1),
        (None, 1),
    ] {
        let mut state = State::default();
        intended(&mut state);
        let seen = seen(&cluster, &fates, Some("b1"));
        settle(&mut state, &Evidence { seen: &seen, archived_after, now: NOW });
        assert_eq!(cost(&state).1, lost, "{archived_after:?}");
    }
}

#[test]
fn a_job_that_ended_after_the_group_was_seen_is_left_to_the_next_run() {
    let mut down = cluster("ERROR_down");
    down.pending_jobs.push(pending_job(7, "INSTANCE_STARTUP(i)"));
    let mut state = State::default();
    intended(&mut state);
    let (stays, events) = settled(&mut state, &down, Fate::Ended(JobId(7), Ok(())), Some("b1"));
    assert!(stays && events.is_empty(), "{events:?}");
    assert_eq!(cost(&state), (0, 0, false));
}

#[test]
fn an_intent_goes_with_its_instance_but_not_with_a_row_that_cannot_be_read() {
    let mut state = State::default();
    intended(&mut state);
    let mut gone = snapshot([] as [Instance; 0], []);
    gone.unreadable_instances.push("i".into());
    assert!(settled(&mut state, &gone, detected_death(), Some("b2")).0);
    gone.unreadable_instances.clear();
    assert!(!settled(&mut state, &gone, detected_death(), Some("b2")).0);
    assert_eq!(state, State::default());
}

#[test]
fn what_is_on_record_survives_the_state_file() {
    let mut state = State::default();
    let degraded = Action { instance: "d".into(), kind: ActionKind::StartDegraded };
    record(&mut state, &[start(), degraded], 1_795_343_883_732_168_711, Some("b1"));
    let read = State::parse(&state.to_text()).unwrap();
    assert_eq!(read, state);
    assert!(state.to_text().contains("\"reason_ns\": 1795343883732168711, \"master_boot_id\": \"b1\"}"));
}
