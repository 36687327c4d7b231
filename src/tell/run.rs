//! What a run says of itself.

use super::line::LogLine;
use super::words::{count, duration, list};
use crate::cluster::Timestamp;
use crate::decide::budget::MAX_TRIES;
use crate::decide::reason::Reason;
use crate::decide::verdict::{Totals, Verdict, Verdicts};
use crate::decide::{Action, ActionKind, Event, Note, NoteKind, Outcome};

/// What a group part has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// Activations of disks that succeeded.
    activated: usize,
    /// Activations of disks that did not.
    not_activated: usize,
    /// Whether there was something else: a start, a clean-up, or a conclusion about an earlier one.
    else_too: bool,
}

impl Done {
    /// It was these notes' turn.
    pub fn noted(&mut self, notes: &[Note]) {
        self.else_too |= notes.iter().any(|note| match &note.kind {
            NoteKind::Recovered => true,
            NoteKind::NotStarted(reasons) => matches!(reasons.first(), Some(Reason::GivenUp { .. })),
            _ => false,
        });
    }

    /// These events were found before anything was done.
    pub fn found(&mut self, events: &[Event]) {
        self.else_too |= events.iter().any(|event| {
            matches!(event, Event::Ended(..) | Event::EarlierStartSucceeded { .. } | Event::StartsLost { .. })
        });
    }

    /// An action has ended.
    pub fn ended(&mut self, action: &Action, outcome: &Outcome) {
        match (&action.kind, outcome) {
            (_, Outcome::LeftAlone(_)) => {}
            (ActionKind::ActivateDisks { .. }, Outcome::Succeeded) => self.activated += 1,
            (ActionKind::ActivateDisks { .. }, _) => self.not_activated += 1,
            _ => self.else_too = true,
        }
    }

    /// Whether it was anything.
    #[must_use]
    pub fn anything(&self) -> bool {
        *self != Self::default()
    }
}

/// The line at the end of a group part that did something: how many instances run, wait and need a human.
#[must_use]
pub fn over(verdicts: &Verdicts, done: &Done, began: Timestamp, now: Timestamp) -> LogLine {
    let Totals { wanted, run, started, wait, need_human } = verdicts.totals();
    let mut parts = vec![match wanted {
        0 => "no instance should run".to_owned(),
        _ => format!("{run} of {wanted} instances run"),
    }];
    if started > 0 {
        parts.push(format!("{started} started by this run"));
    }
    let Done { activated, not_activated, .. } = *done;
    if activated + not_activated > 0 {
        let failed = match not_activated {
            0 => String::new(),
            failed => format!(" ({failed} failed)"),
        };
        parts.push(format!("{} of disks{failed}", count(activated + not_activated, "activation")));
    }
    if wait > 0 {
        parts.push(format!("{wait} {} ({})", if wait == 1 { "waits" } else { "wait" }, waits(verdicts)));
    }
    if need_human > 0 {
        let names = verdicts.iter().filter(|verdict| verdict.needs_human());
        let needs = if need_human == 1 { "needs a human" } else { "need a human" };
        parts.push(format!("{need_human} {needs}: {}", list(names.map(|verdict| verdict.instance.as_str()))));
    }
    let group = &verdicts.group_name;
    LogLine::info(format!("Node group '{group}' after {}: {}", duration(now - began), parts.join("; ")))
}

/// What those that wait are waiting for, with how many wait for it.
fn waits(verdicts: &Verdicts) -> String {
    let mut causes: Vec<(String, usize)> = Vec::new();
    let waiting = verdicts
        .iter()
        .filter(|verdict| verdict.wanted != Some(false) && !verdict.needs_human() && !verdict.runs());
    for verdict in waiting {
        let cause = cause(verdict);
        match causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, number)) => *number += 1,
            None => causes.push((cause, 1)),
        }
    }
    let only_one = causes.len() == 1;
    let words = causes.into_iter().map(|(cause, number)| match only_one {
        true => cause,
        false => format!("{number} {cause}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn cause(verdict: &Verdict) -> String {
    match verdict.decides() {
        Some(Reason::PrimarySilent { node, .. } | Reason::SecondarySilent { node, .. }) => {
            format!("for node '{node}'")
        }
        Some(Reason::SharedStorageUnsure { .. }) => "for silent nodes".to_owned(),
        Some(Reason::StartFailed { tries: MAX_TRIES.. }) => "failed for the last time".to_owned(),
        Some(Reason::StartFailed { .. }) => "failed, tried again in the next run".to_owned(),
        Some(Reason::NotSubmitted { .. }) => "got no job, tried again in the next run".to_owned(),
        Some(Reason::NoMemory { .. }) => format!("for memory on node '{}'", verdict.primary),
        Some(Reason::Backoff { .. }) => "for the next try".to_owned(),
        Some(Reason::TagNever(_) | Reason::TagHold { .. }) => "by their tags".to_owned(),
        Some(Reason::JobRunning(_) | Reason::Locked) => "for other jobs".to_owned(),
        Some(Reason::Tier { .. } | Reason::Delay { .. } | Reason::Room) => "for their turn".to_owned(),
        Some(Reason::Paused) => "for the end of the pause".to_owned(),
        Some(Reason::Drained) => "for the job queue".to_owned(),
        _ => "for the next run".to_owned(),
    }
}
