//! Starting without the mirror: an instance whose secondary node stays silent runs on its primary alone, if
//! somebody asked for that, and is reported until its mirror is whole again.
//!
//! Such a start uses force. That makes Ganeti overlook the secondary, and nothing else: DRBD lets only a disk
//! that is `UpToDate` become primary, and Ganeti does not force that when it assembles disks (`backend.py:
//! _RecursiveAssembleBD`). With an outdated or inconsistent disk the start fails, and does no harm.

use std::time::Duration;

use super::event::Event;
use super::policy::Policies;
use super::reason::Reason;
use super::tags::Degraded;
use super::{Action, ActionKind, Note, NoteKind, Step};
use crate::cluster::{InstanceStatus, Snapshot, Timestamp};
use crate::memory::state::State;

/// Remembers since when nodes have not answered, and forgets those that answer or are marked offline. Returns
/// those that answer again.
pub fn remember_silent(state: &mut State, snapshot: &Snapshot, now: Timestamp) -> Vec<Event> {
    let before = std::mem::take(&mut state.recovery.silent);
    let answering = snapshot.nodes.iter().filter(|node| node.boot_id.is_some());
    let again = answering.filter_map(|node| {
        let silent_since = *before.get(&node.name)?;
        Some(Event::AnswersAgain { node: node.name.clone(), silent_since })
    });
    let again = again.collect();
    let silent = snapshot.nodes.iter().filter(|node| node.is_silent());
    let since = |name: &str| before.get(name).copied().unwrap_or(now).min(now);
    state.recovery.silent = silent.map(|node| (node.name.clone(), since(&node.name))).collect();
    again
}

/// The steps of the instance pass, with degraded starts in place of notes about silent secondaries where they
/// are asked for: by `option` (`--start-degraded`, how long the secondary must have been silent) or by a tag,
/// which takes precedence.
#[must_use]
pub fn allow(
    steps: Vec<Step>,
    state: &State,
    policies: &Policies,
    option: Option<Duration>,
    now: Timestamp,
) -> Vec<Step> {
    let allowed = |instance: &str, node: &str| {
        let after = match policies.of(instance).degraded {
            Some(Degraded::Never) => None,
            Some(Degraded::After(after)) => Some(after),
            None => option,
        };
        let silent_for = state.recovery.silent.get(node).map(|since| now - since);
        matches!((after, silent_for), (Some(after), Some(silent_for)) if silent_for >= after.as_secs_f64())
    };
    let step = |step: Step| match step {
        Step::Note(Note { instance, kind: NoteKind::NotStarted(mut reasons) }) => {
            if matches!(reasons.first(), Some(Reason::SecondarySilent { node, .. }) if allowed(&instance, node))
            {
                reasons.remove(0);
            }
            match reasons.is_empty() {
                true => Step::Act(Action { instance, kind: ActionKind::StartDegraded }),
                false => Step::Note(Note { instance, kind: NoteKind::NotStarted(reasons) }),
            }
        }
        step => step,
    };
    steps.into_iter().map(step).collect()
}

/// The instances that were started without their mirror and still run, and their present condition.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mirrors {
    /// Notes about those whose mirror cannot be whole, because a secondary node is still away.
    pub notes: Vec<Note>,
    /// Names of those whose mirror may be whole again; Ganeti can say whether it is.
    pub to_inspect: Vec<String>,
}

/// Looks at the instances that were started without their mirror, and forgets those that no longer run, or
/// never did: their next start is an ordinary one.
pub fn review(state: &mut State, snapshot: &Snapshot) -> Mirrors {
    let mut mirrors = Mirrors::default();
    let instances = snapshot.instances_by_name();
    state.recovery.degraded.retain(|name, since| {
        let Some(instance) = instances.get(name.as_str()) else {
            return snapshot.has_unreadable_instances();
        };
        if instance.status.is_helpless() || !instance.status.is_known() {
            return true;
        }
        if instance.status != InstanceStatus::Running {
            return false;
        }
        let away = |name: &String| snapshot.node(name).is_none_or(|node| node.boot_id.is_none());
        if instance.secondaries.iter().any(away) {
            mirrors.notes.push(runs_degraded(name, *since));
        } else {
            mirrors.to_inspect.push(name.clone());
        }
        true
    });
    mirrors
}

/// After an inspection: `whole` are those whose mirror is whole. They are forgotten; the others get a note.
pub fn inspected(state: &mut State, inspected: &[String], whole: &[String]) -> Vec<Note> {
    let mut notes = Vec::new();
    for name in inspected {
        if whole.contains(name) {
            state.recovery.degraded.remove(name);
        } else if let Some(since) = state.recovery.degraded.get(name) {
            notes.push(runs_degraded(name, *since));
        }
    }
    notes
}

fn runs_degraded(instance: &str, since: Timestamp) -> Note {
    Note { instance: instance.to_owned(), kind: NoteKind::RunsDegraded { since } }
}

#[cfg(test)]
mod tests;
