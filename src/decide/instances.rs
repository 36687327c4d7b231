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
use crate::cluster::{AdminState, Instance, InstanceStatus, Snapshot, Timestamp};
use crate::memory::state::State;

/// Drops the records of instances that are gone, or that were last started more than eight hours ago. Returns
/// their names. No instance counts as gone when luxid described one in a way that cannot be read.
pub fn drop_stale_records(snapshot: &Snapshot, state: &mut State, now: Timestamp) -> Vec<String> {
    let names: HashSet<&str> = snapshot.instances.iter().map(|instance| instance.name.as_str()).collect();
    let exists = |name: &str| snapshot.has_unreadable_instances() || names.contains(name);
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

/// What to do about each instance, and why nothing is done for those that are down, in the snapshot's order.
#[must_use]
pub fn plan(outlook: &Outlook<'_>) -> Vec<Step> {
    outlook.snapshot.instances.iter().flat_map(|instance| steps(outlook, instance)).flatten().collect()
}

fn steps(outlook: &Outlook<'_>, instance: &Instance) -> [Option<Step>; 2] {
    let Outlook { state, .. } = outlook;
    let note = |kind| Some(Step::Note(Note { instance: instance.name.clone(), kind }));
    let act = |kind| Some(Step::Act(Action { instance: instance.name.clone(), kind }));
    if instance.needs_clean_up() {
        let step = match against_clean_up(outlook, instance) {
            reasons if reasons.is_empty() => act(ActionKind::CleanUp),
            reasons => note(NoteKind::NotCleanedUp(reasons)),
        };
        return [step, None];
    }
    let attempts = state.restart_attempts(&instance.name);
    let step = match (&instance.status, attempts) {
        (InstanceStatus::ErrorDown, attempts) => match against_start(outlook, instance, attempts) {
            reasons if reasons.is_empty() => act(ActionKind::Restart { attempt: attempts + 1 }),
            reasons => note(NoteKind::NotStarted(reasons)),
        },
        (status, attempts) if status.is_helpless() => {
            let is_wanted = instance.admin_state == AdminState::Up;
            // Its tries begin anew.
            let not_started = || note(NoteKind::NotStarted(against_start(outlook, instance, 0)));
            let forgotten = if attempts > 0 { note(NoteKind::Helpless) } else { None };
            return [forgotten, if is_wanted { not_started() } else { None }];
        }
        (_, 0) => None,
        // It is unknown whether it came back.
        (InstanceStatus::Other(_), _) => None,
        _ => note(NoteKind::Recovered),
    };
    [step, None]
}

/// Everything that keeps an instance that is down from being started: first what somebody decided, then what
/// lasts longest.
fn against_start(outlook: &Outlook<'_>, instance: &Instance, attempts: u64) -> Vec<Reason> {
    let Outlook { snapshot, state, policies, now } = *outlook;
    let Instance { name, primary, status, .. } = instance;
    let since = |node: &str| state.recovery.silent.get(node).copied();
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
    match status {
        InstanceStatus::NodeDown => {
            reasons.push(Reason::PrimarySilent { node: primary.clone(), since: since(primary) });
        }
        InstanceStatus::NodeOffline => reasons.push(Reason::PrimaryOffline { node: primary.clone() }),
        _ => {}
    }
    if let Some(job) = snapshot.job_at(name) {
        reasons.push(Reason::JobRunning(job.clone()));
    }
    if let Some(failed) = state.recovery.failed_moves.get(name) {
        reasons.push(Reason::MoveFailed(failed.clone()));
    }
    let mut nodes = elsewhere::may_run_on(instance, snapshot);
    // That one has its own reason.
    nodes.retain(|node| !(status.is_helpless() && node == primary));
    if !nodes.is_empty() {
        reasons.push(Reason::SharedStorageUnsure { nodes });
    }
    if let Some(node) = snapshot.silent_secondary(instance) {
        reasons.push(Reason::SecondarySilent { node: node.to_owned(), since: since(node) });
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

/// Forgets how the last start of those failed that are not down any more, and the starts of those that are
/// gone. No instance counts as gone while one cannot be read.
pub fn forget_what_is_over(state: &mut State, snapshot: &Snapshot) {
    let instances = snapshot.instances_by_name();
    let may_be_any = snapshot.has_unreadable_instances();
    let status = |name: &str| instances.get(name).map(|instance| &instance.status);
    let recovery = &mut state.recovery;
    recovery.last_failures.retain(|name, _| status(name).map_or(may_be_any, InstanceStatus::may_be_down));
    recovery.starts.retain(|name, _| may_be_any || status(name).is_some());
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
                state.recovery.last_failures.remove(name);
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
mod tests;
