//! Intents: a start is recorded before its job is submitted, so that a killed run forgets no try. A later run
//! settles the intent by what became of the job.
//!
//! A start may take the master down, and the run with it. luxid then calls the job's end a detected death,
//! which says nothing against the instance; or the job was lost with the master, and it is unknown how it
//! ended, or whether it was submitted at all. The first time this costs the instance nothing, since any start
//! can be in flight when a master dies. From the second time in a row it costs a try: otherwise such a start
//! would be repeated forever. It is then made alone ([`super::agenda`]), which clears those that were merely
//! in flight with it.
//!
//! The master counts as having died when luxid detected the death of a job whose run did not live to see it,
//! or when no such job is known and the master's boot id differs from that at submission. A run that is alive
//! runs on the master, so it can tell when only the job's process has died.

mod record;

use std::time::Duration;

use super::blame::Blame;
pub use record::{forget, record};

use super::budget::{self, Blamed, Detail, RETRY_EXPIRATION};
use super::event::{Event, Lost};
use super::{Action, ActionKind, Outcome, instances};
use crate::cluster::{Fate, JobFailure, JobId, Seen, Timestamp};
use crate::memory::recovery::Intent;
use crate::memory::state::State;

/// What settles an intent.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The group, what luxid knows about the jobs, and the master's boot id now.
    pub seen: &'a Seen<'a>,
    /// Jobs that ended longer ago than this may be archived; `None` when any job may be.
    pub archived_after: Option<Duration>,
    /// What time it is.
    pub now: Timestamp,
}

/// What became of a start, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Settled {
    /// It is still running.
    NotYet,
    /// Its job has ended.
    Ended(JobId, Result<(), JobFailure>),
    /// The master has died.
    WithTheMaster,
    /// It was never submitted.
    Never,
    /// Unknown.
    Unknown,
}

/// Settles what earlier runs left on record, as far as possible. Returns what was found out.
pub fn settle(state: &mut State, evidence: &Evidence<'_>) -> Vec<Event> {
    let Evidence { seen: Seen { snapshot, .. }, now, .. } = *evidence;
    let mut events = Vec::new();
    let mut lost = LostStarts::default();
    for (name, intent) in std::mem::take(&mut state.recovery.starting) {
        let Some(instance) = snapshot.instance(&name) else {
            // It may be one of the instances that cannot be read.
            if snapshot.has_unreadable_instances() {
                state.recovery.starting.insert(name, intent);
            }
            continue;
        };
        let settled = judge(&name, &intent, evidence);
        match settled {
            Settled::NotYet => drop(state.recovery.starting.insert(name, intent)),
            Settled::Ended(job, result) => {
                events.push(take_over(state, &name, &intent, (job, result), evidence));
            }
            Settled::Never => lost.never.push(name),
            // It came up after all, or is no longer wanted.
            _ if !instance.status.may_be_down() => {}
            Settled::WithTheMaster | Settled::Unknown => {
                let again = lose(state, &name, &settled, evidence);
                match (&settled, again) {
                    (Settled::WithTheMaster, false) => lost.died.push(name),
                    (Settled::WithTheMaster, true) => lost.died_again.push(name),
                    (_, false) => lost.unknown.push(name),
                    (_, true) => lost.unknown_again.push(name),
                }
            }
        }
    }
    let may_be_down = |name: &str| match snapshot.instance(name) {
        Some(instance) => instance.status.may_be_down(),
        None => snapshot.has_unreadable_instances(),
    };
    state
        .recovery
        .lost_starts
        .retain(|name, lost| may_be_down(name) && (lost.last - now).abs() <= RETRY_EXPIRATION);
    events.extend(lost.events());
    events
}

fn judge(name: &str, intent: &Intent, evidence: &Evidence<'_>) -> Settled {
    let reboot = match (intent.master_boot_id.as_deref(), evidence.seen.master_boot_id) {
        (Some(then), Some(now)) => Some(then != now),
        _ => None,
    };
    let was_at_work =
        |job: &JobId| evidence.seen.snapshot.pending_jobs.iter().any(|pending| pending.id == *job);
    match evidence.seen.fates.get(name) {
        Some(Fate::AtWork(_)) => Settled::NotYet,
        // It ended after the group was seen: the next run will know better.
        Some(Fate::Ended(job, _)) if was_at_work(job) => Settled::NotYet,
        Some(Fate::Ended(_, Err(failure))) if is_detected_death(failure) => Settled::WithTheMaster,
        Some(Fate::Ended(_, Err(JobFailure::Lost))) => Settled::Unknown,
        Some(Fate::Ended(job, result)) => Settled::Ended(*job, result.clone()),
        Some(Fate::NoJob) if reboot == Some(true) => Settled::WithTheMaster,
        Some(Fate::NoJob) if reboot == Some(false) && !may_be_archived(intent, evidence) => Settled::Never,
        Some(Fate::NoJob | Fate::Unclear) | None => Settled::Unknown,
    }
}

/// `JQScheduler.hs: checkForDeath`.
fn is_detected_death(failure: &JobFailure) -> bool {
    matches!(failure, JobFailure::Text(text) if text.starts_with("detected death of job "))
}

fn may_be_archived(intent: &Intent, evidence: &Evidence<'_>) -> bool {
    // Whole seconds are enough.
    let submitted = Duration::from_nanos(intent.reason_ns).as_secs_f64();
    evidence.archived_after.is_none_or(|after| (evidence.now - submitted).abs() >= after.as_secs_f64())
}

/// Remembers how a job of an earlier run ended, as if this run had followed it.
fn take_over(
    state: &mut State,
    name: &str,
    intent: &Intent,
    (job, result): (JobId, Result<(), JobFailure>),
    evidence: &Evidence<'_>,
) -> Event {
    let kind = match intent.degraded {
        true => ActionKind::StartDegraded,
        false => ActionKind::Restart { attempt: state.restart_attempts(name) + 1 },
    };
    let action = Action { instance: name.to_owned(), kind };
    let outcome = match result {
        Ok(()) => Outcome::Succeeded,
        Err(failure) => {
            let blamed = budget::blame(&failure, &action, evidence.seen.snapshot);
            Outcome::Failed { job, failure, blamed }
        }
    };
    instances::remember_outcome(state, &action, &outcome, evidence.now);
    match outcome {
        Outcome::Succeeded => Event::EarlierStartSucceeded { instance: name.to_owned(), job },
        outcome => Event::Ended(action, outcome),
    }
}

/// Remembers a start that the master did not survive, or whose end is unknown. Returns whether that costs a
/// try, as it does from the second in a row.
fn lose(state: &mut State, name: &str, settled: &Settled, evidence: &Evidence<'_>) -> bool {
    let now = evidence.now;
    let lost = state.recovery.lost_starts.get(name).copied().unwrap_or_default().and_one_at(now);
    state.recovery.lost_starts.insert(name.to_owned(), lost);
    let again = lost.failures > 1;
    let what = if again { Blame::Instance } else { Blame::Master };
    // A master that has booted since is as good as it gets: there is nothing to wait for.
    if again || *settled == Settled::Unknown {
        budget::remember_failure(
            state,
            name,
            &Blamed { what, cause: String::new(), detail: Detail::None },
            now,
        );
    }
    again
}

/// Names of instances by what became of their starts: one event each, however many there are.
#[derive(Default)]
struct LostStarts {
    never: Vec<String>,
    died: Vec<String>,
    died_again: Vec<String>,
    unknown: Vec<String>,
    unknown_again: Vec<String>,
}

impl LostStarts {
    fn events(self) -> impl Iterator<Item = Event> {
        let lost = |how, again| move |instances| Event::StartsLost { how, again, instances };
        let some = |names: Vec<String>| (!names.is_empty()).then_some(names);
        [
            some(self.never).map(Event::NeverSubmitted),
            some(self.died).map(lost(Lost::MasterDied, false)),
            some(self.died_again).map(lost(Lost::MasterDied, true)),
            some(self.unknown).map(lost(Lost::Unknown, false)),
            some(self.unknown_again).map(lost(Lost::Unknown, true)),
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests;
