//! What a run has come to, or would come to.

use std::fmt::Display;

use super::line::LogLine;
use super::words::{count, duration, list};
use crate::cluster::Timestamp;
use crate::decide::reason::Reason;
use crate::decide::verdict::{Progress, Totals, Verdict, Verdicts};
use crate::decide::{Action, ActionKind, Event, Note, NoteKind, Outcome};

/// The run, or a part of it, failed.
#[must_use]
pub fn failed(error: &dyn Display) -> LogLine {
    LogLine::error(format!("{error:#}"))
}

/// The most instances that are named, and not only counted.
const NAMED: usize = 3;

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

/// The line at the end of a group part: how many instances run, wait and need a human.
#[must_use]
pub fn over(verdicts: &Verdicts, done: &Done, began: Timestamp, now: Timestamp) -> LogLine {
    let totals = verdicts.totals();
    let Done { activated, not_activated, .. } = *done;
    let mut parts = Vec::new();
    if totals.started > 0 {
        parts.push(format!("{} started by this run", totals.started));
    }
    if activated > 0 {
        parts.push(format!("disks of {} activated", count(activated, "instance")));
    }
    if not_activated > 0 {
        parts.push(format!("disks of {} not activated", count(not_activated, "instance")));
    }
    let (group, took) = (&verdicts.group_name, duration(now - began));
    let waiting = waiting(verdicts).collect();
    let condition = condition(verdicts, parts, waiting);
    LogLine::info(format!("Node group '{group}': {condition}. The run took {took}"))
}

/// How a group is, without what was done: the same as long as nothing changes. `None` when all is well.
#[must_use]
pub fn still(verdicts: &Verdicts) -> Option<String> {
    let Totals { wait, need_human, .. } = verdicts.totals();
    (wait + need_human > 0).then(|| condition(verdicts, Vec::new(), waiting(verdicts).collect()))
}

/// The last line of a dry run of a group part: what a run would come to.
#[must_use]
pub fn would_be(verdicts: &Verdicts, actions: &[Action]) -> LogLine {
    let is_started = |verdict: &&Verdict| verdict.progress == Progress::Starting;
    let starts = verdicts.iter().filter(is_started).count();
    let activations =
        actions.iter().filter(|action| matches!(action.kind, ActionKind::ActivateDisks { .. })).count();
    let mut parts = Vec::new();
    if starts > 0 {
        parts.push(format!("{starts} would be started"));
    }
    if activations > 0 {
        parts.push(format!("disks of {} would be activated", count(activations, "instance")));
    }
    let group = &verdicts.group_name;
    let waiting = waiting(verdicts).filter(|verdict| !is_started(verdict)).collect();
    let condition = condition(verdicts, parts, waiting);
    LogLine::info(format!("Node group '{group}': {condition}. Nothing was changed"))
}

/// How many run, what else there is, and how many wait and need a human.
fn condition(verdicts: &Verdicts, done: Vec<String>, waiting: Vec<&Verdict>) -> String {
    let Totals { wanted, run, .. } = verdicts.totals();
    let mut parts = vec![match wanted {
        0 => "no instance should run".to_owned(),
        _ => format!("{run} of {wanted} instances run"),
    }];
    parts.extend(done);
    parts.extend(causes(waiting));
    let in_need = |failed_now: bool| -> Vec<&str> {
        let failed_now =
            |verdict: &&Verdict| matches!(verdict.decides(), Some(Reason::StartFailed { .. })) == failed_now;
        let in_need = verdicts.iter().filter(|verdict| verdict.needs_human());
        in_need.filter(failed_now).map(|verdict| verdict.instance.as_str()).collect()
    };
    let (failed, others) = (in_need(true), in_need(false));
    match failed.as_slice() {
        [] => {}
        [name] => parts.push(format!("1 failed for the last time and is given up by the next run: {name}")),
        names => parts.push(format!(
            "{} failed for the last time and are given up by the next run: {}",
            names.len(),
            list(names.iter().copied())
        )),
    }
    match others.as_slice() {
        [] => {}
        [name] => parts.push(format!("1 needs a human: {name}")),
        names => parts.push(format!("{} need a human: {}", names.len(), list(names.iter().copied()))),
    }
    parts.join("; ")
}

/// Those that [`Totals::wait`] counts.
fn waiting(verdicts: &Verdicts) -> impl Iterator<Item = &Verdict> {
    verdicts.iter().filter(|verdict| verdict.waits())
}

/// What they are waiting for, with how many wait for it.
fn causes(waiting: Vec<&Verdict>) -> impl Iterator<Item = String> {
    let mut causes: Vec<([String; 2], Vec<&str>)> = Vec::new();
    for verdict in waiting {
        let cause = cause(verdict);
        match causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, names)) => names.push(&verdict.instance),
            None => causes.push((cause, vec![&verdict.instance])),
        }
    }
    causes.into_iter().map(|([one, many], names)| match names.as_slice() {
        [name] => format!("1 {one} ({name})"),
        few if few.len() <= NAMED => format!("{} {many} ({})", few.len(), few.join(", ")),
        _ => format!("{} {many}", names.len()),
    })
}

/// What one instance does, and what several do.
fn cause(verdict: &Verdict) -> [String; 2] {
    let wait = |what: &str| [format!("waits {what}"), format!("wait {what}")];
    let again = "tried again";
    match verdict.decides() {
        Some(Reason::PrimarySilent { node, .. }) => {
            [format!("is out of reach on node '{node}'"), format!("are out of reach on node '{node}'")]
        }
        Some(Reason::SecondarySilent { node, .. }) => wait(&format!("for node '{node}'")),
        Some(Reason::SharedStorageUnsure { .. }) => wait("for silent nodes"),
        Some(Reason::StartFailed { .. }) => {
            [format!("failed and is {again}"), format!("failed and are {again}")]
        }
        Some(Reason::NotSubmitted { .. }) => {
            [format!("got no job and is {again}"), format!("got no job and are {again}")]
        }
        Some(Reason::NoMemory { .. }) => wait(&format!("for memory on node '{}'", verdict.primary)),
        Some(Reason::Backoff { .. }) => wait("for the next try"),
        Some(Reason::TagNever(_) | Reason::TagHold { .. }) => {
            ["is kept down by a tag".to_owned(), "are kept down by tags".to_owned()]
        }
        Some(Reason::JobRunning(_) | Reason::Locked) => wait("for other jobs"),
        Some(Reason::Tier { .. } | Reason::Delay { .. } | Reason::Room) => wait("for their turn"),
        Some(Reason::Paused) => wait("for the end of the pause"),
        Some(Reason::Drained) => wait("for the job queue"),
        _ => wait("for the next run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Snapshot;
    use crate::cluster::testing::{instance, snapshot};
    use crate::decide::Step;
    use crate::memory::state::State;

    fn verdicts(snapshot: &Snapshot, steps: &[Step]) -> Verdicts {
        let snapshot = Snapshot { group_name: "default".into(), ..snapshot.clone() };
        Verdicts::of(&snapshot, &State::default(), steps, 1000.0)
    }

    #[test]
    fn a_dry_run_ends_with_what_a_run_would_come_to() {
        let cluster = snapshot(
            [
                instance("up", "running"),
                instance("down", "ERROR_down"),
                instance("never", "ERROR_down"),
                instance("away", "ERROR_nodedown"),
                instance("stuck", "ERROR_down"),
            ],
            [],
        );
        let act = |name: &str, kind| Action { instance: name.into(), kind };
        let start = act("down", ActionKind::Restart { attempt: 1 });
        let not = |name: &str, reason| {
            Step::Note(Note { instance: name.into(), kind: NoteKind::NotStarted(vec![reason]) })
        };
        let steps = [
            Step::Act(start.clone()),
            not("never", Reason::TagNever(crate::decide::tags::Place::Instance)),
            not("away", Reason::PrimarySilent { node: "n1".into(), since: None }),
            not("stuck", Reason::OutOfTries { until: 2000.0 }),
        ];
        let actions = [start, act("up", ActionKind::ActivateDisks { although_inactive: false })];
        assert_eq!(
            would_be(&verdicts(&cluster, &steps), &actions).text,
            "Node group 'default': 1 of 5 instances run; 1 would be started; disks of 1 instance would be \
             activated; 1 is kept down by a tag (never); 1 is out of reach on node 'n1' (away); 1 needs a human: stuck. Nothing was changed"
        );
        let nothing = verdicts(&snapshot([], []), &[]);
        let text = "Node group 'default': no instance should run. Nothing was changed";
        assert_eq!(would_be(&nothing, &[]).text, text);
    }
}
