//! The instance pass: which instances are started, cleaned up, given up or forgotten.
//!
//! Source: `watcher/__init__.py: _CheckInstances, _CleanupInstance`, `watcher/state.py:
//! MaintainInstanceList`.

use std::collections::HashSet;

use super::blame::Blame;
use super::budget::{Blamed, MAX_TRIES, RETRY_EXPIRATION};
use super::hold::Hold;
use super::policy::Policies;
use super::reason::{self, Reason};
use super::tags::Consent;
use super::{Action, ActionKind, Note, NoteKind, Outcome, Step, budget, elsewhere, intent};
use crate::cluster::{Instance, InstanceStatus, Snapshot, Timestamp};
use crate::memory::state::State;

/// Drops the records of instances that are gone, or that were last started more than eight hours ago. Returns
/// their names. No instance counts as gone when luxid described one in a way that cannot be read.
pub fn drop_stale_records(snapshot: &Snapshot, state: &mut State, now: Timestamp) -> Vec<String> {
    let names: HashSet<&str> = snapshot.instances.iter().map(|instance| instance.name.as_str()).collect();
    let exists = |name: &str| !snapshot.unreadable_instances.is_empty() || names.contains(name);
    // A time that far in the future comes from a wrong clock, and the record would stay just as long.
    state.retain_instances(|name, started| exists(name) && (started - now).abs() <= RETRY_EXPIRATION)
}

/// Everything that the pass bases its decisions on.
#[derive(Debug, Clone, Copy)]
pub struct Outlook<'a> {
    /// The group.
    pub snapshot: &'a Snapshot,
    /// What earlier runs left behind.
    pub state: &'a State,
    /// What tags say.
    pub policies: &'a Policies,
    /// What time it is.
    pub now: Timestamp,
}

/// What to do about each instance, in the snapshot's order.
#[must_use]
pub fn plan(outlook: &Outlook<'_>) -> Vec<Step> {
    outlook.snapshot.instances.iter().filter_map(|instance| step(outlook, instance)).collect()
}

fn step(outlook: &Outlook<'_>, instance: &Instance) -> Option<Step> {
    let Outlook { state, .. } = outlook;
    let note = |kind| Some(Step::Note(Note { instance: instance.name.clone(), kind }));
    let act = |kind| Some(Step::Act(Action { instance: instance.name.clone(), kind }));
    if instance.needs_clean_up() {
        return match against_clean_up(outlook, instance) {
            reasons if reasons.is_empty() => act(ActionKind::CleanUp),
            reasons => note(NoteKind::NotCleanedUp(reasons)),
        };
    }
    let attempts = state.restart_attempts(&instance.name);
    match (&instance.status, attempts) {
        (InstanceStatus::ErrorDown, attempts) => match against_start(outlook, instance, attempts) {
            reasons if reasons.is_empty() => act(ActionKind::Restart { attempt: attempts + 1 }),
            reasons => note(NoteKind::NotStarted(reasons)),
        },
        (_, 0) => None,
        // It is unknown whether it came back.
        (InstanceStatus::Other(_), _) => None,
        (status, _) if status.is_helpless() => note(NoteKind::Helpless),
        _ => note(NoteKind::Recovered),
    }
}

/// Everything that keeps an instance that is down from being started; what lasts longest comes first.
fn against_start(outlook: &Outlook<'_>, instance: &Instance, attempts: u64) -> Vec<Reason> {
    let Outlook { snapshot, state, policies, now } = *outlook;
    let name = &instance.name;
    let mut reasons = Vec::new();
    match policies.of(name).consent {
        Consent::Given => {}
        Consent::Never { on } => reasons.push(Reason::TagNever(on)),
        Consent::HeldUntil { when, on } => reasons.push(Reason::TagHold { until: when, on }),
    }
    if attempts == MAX_TRIES && reasons.is_empty() {
        reasons.push(Reason::GivenUp { until: now + RETRY_EXPIRATION });
    } else if attempts >= MAX_TRIES {
        reasons.push(Reason::OutOfTries { until: state.last_start(name) + RETRY_EXPIRATION });
    }
    if let Some(job) = snapshot.job_at(name) {
        reasons.push(Reason::JobRunning(job.clone()));
    }
    if let Some(failed) = state.recovery.failed_moves.get(name) {
        reasons.push(Reason::MoveFailed(failed.clone()));
    }
    let nodes = elsewhere::may_run_on(instance, snapshot);
    if !nodes.is_empty() {
        reasons.push(Reason::SharedStorageUnsure { nodes });
    }
    if let Some(node) = snapshot.silent_secondary(instance) {
        let since = state.recovery.silent.get(node).copied();
        reasons.push(Reason::SecondarySilent { node: node.to_owned(), since });
    }
    reasons.extend(reason::of_wait(state, name, now));
    reasons
}

fn against_clean_up(outlook: &Outlook<'_>, instance: &Instance) -> Vec<Reason> {
    let Outlook { snapshot, state, .. } = outlook;
    let name = &instance.name;
    let mut reasons = Vec::new();
    if snapshot.locked_instances.contains_key(name) {
        reasons.push(Reason::Locked);
    }
    if state.clean_up_attempts(name) > MAX_TRIES {
        reasons.push(Reason::CleanUpOutOfTries);
    }
    if let Some(job) = snapshot.job_at(name) {
        reasons.push(Reason::JobRunning(job.clone()));
    }
    reasons
}

/// Forgets how the last start failed of those that are not down any more.
pub fn forget_what_runs(state: &mut State, snapshot: &Snapshot) {
    let (instances, unreadable) = (snapshot.instances_by_name(), snapshot.unreadable_names());
    let may_be_down = |name: &str| match instances.get(name) {
        Some(instance) => instance.status.may_be_down(),
        None => unreadable.contains(name),
    };
    state.recovery.last_failures.retain(|name, _| may_be_down(name));
}

/// Remembers what a note of the pass means for later runs.
pub fn remember_note(state: &mut State, note: &Note, now: Timestamp) {
    match &note.kind {
        // It would have failed like the other one on its node.
        NoteKind::LeftForLater(Hold::Memory { blamed, .. }) => {
            budget::remember_failure(state, &note.instance, blamed, now);
        }
        // The attempt that marks it as given up; the eight hours count from here.
        NoteKind::NotStarted(reasons) if matches!(reasons.first(), Some(Reason::GivenUp { .. })) => {
            state.record_restart_attempt(&note.instance, now);
        }
        NoteKind::Recovered | NoteKind::Helpless => state.forget_instance(&note.instance),
        _ => {}
    }
}

/// Remembers how an action of the pass ended. A start that succeeded counts as a try too, because only a
/// later run can see whether the instance stays up. An action that certainly never became a job does not
/// count.
pub fn remember_outcome(state: &mut State, action: &Action, outcome: &Outcome, now: Timestamp) {
    let name = &action.instance;
    let is_degraded = action.kind == ActionKind::StartDegraded;
    intent::forget(&mut state.recovery, action, outcome);
    match (&action.kind, outcome) {
        (kind, Outcome::Succeeded | Outcome::Unknown(_)) if kind.is_start() => {
            if *outcome == Outcome::Succeeded {
                state.recovery.blocked.remove(name);
                state.record_restart_attempt(name, now);
                state.recovery.note_start(name, now);
            } else {
                // luxid was lost; that says nothing about the instance.
                let blamed =
                    Blamed { what: Blame::Master, cause: String::new(), detail: budget::Detail::None };
                budget::remember_failure(state, name, &blamed, now);
            }
            if is_degraded {
                state.recovery.degraded.insert(name.clone(), now);
            }
        }
        (kind, Outcome::Failed { job, failure, blamed }) if kind.is_start() => {
            budget::remember_failure(state, name, blamed, now);
            let failure = reason::last_failure(*job, failure, now);
            state.recovery.last_failures.insert(name.clone(), failure);
        }
        (ActionKind::CleanUp, Outcome::Succeeded) if state.clean_up_attempts(name) > 0 => {
            state.forget_instance(name);
        }
        (ActionKind::CleanUp, Outcome::Failed { .. } | Outcome::Unknown(_)) => {
            state.record_clean_up_attempt(name, now);
        }
        // Activations belong to the boot-id pass. What never became a job does not count.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::AdminState;
    use crate::cluster::testing::{instance, pending_job, snapshot};
    use crate::cluster::{JobFailure, JobId, LockMode};

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
        assert_eq!(decided("ERROR_down", 5), note(NoteKind::GivenUp));
        assert_eq!(decided("ERROR_down", 6), note(NoteKind::RestartRetriesExhausted));
        assert_eq!(decided("ERROR_down", 60), note(NoteKind::RestartRetriesExhausted));
    }

    #[test]
    fn an_instance_that_is_not_down_any_more_is_forgotten() {
        for status in ["running", "ADMIN_down", "ADMIN_offline", "ERROR_up", "ERROR_wrongnode"] {
            assert_eq!(decided(status, 0), None);
            assert_eq!(decided(status, 3), note(NoteKind::Recovered));
        }
        for status in ["ERROR_nodedown", "ERROR_nodeoffline"] {
            assert_eq!(decided(status, 0), None);
            assert_eq!(decided(status, 3), note(NoteKind::Helpless));
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
        assert_eq!(plan(&down, &state).pop(), note(NoteKind::CleanUpRetriesExhausted));
        down.locked_instances.insert("i".into(), LockMode::Shared);
        assert_eq!(plan(&down, &state).pop(), note(NoteKind::CleanUpLocked));
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
        remember_note(&mut state, &Note { instance: "i".into(), kind: NoteKind::GivenUp }, 2000.0);
        assert_eq!(state.restart_attempts("i"), 6);
        remember_note(&mut state, &Note { instance: "i".into(), kind: NoteKind::Recovered }, 2000.0);
        assert_eq!(state, State::default());
    }

    #[test]
    fn an_instance_that_a_job_is_at_is_left_to_it() {
        let mut cluster = snapshot([instance("i", "ERROR_down"), instance("j", "USER_down")], []);
        let jobs = [pending_job(7, "INSTANCE_STARTUP(i)"), pending_job(8, "INSTANCE_REBOOT(j)")];
        cluster.pending_jobs = jobs.to_vec();
        let [start, reboot] = jobs;
        let note = |instance: &str, kind| Step::Note(Note { instance: instance.into(), kind });
        assert_eq!(
            plan(&cluster, &State::default()),
            [note("i", NoteKind::Busy(start)), note("j", NoteKind::Busy(reboot))]
        );
        assert_eq!(plan(&cluster, &state_with("i", 5))[0], note("i", NoteKind::GivenUp));
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
}
