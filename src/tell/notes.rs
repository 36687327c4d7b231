//! What is seen once of an instance. Conditions that last are told by [`super::conditions`].

use super::line::LogLine;
use super::words::lists;
use crate::decide::{Note, NoteKind};

/// So many of a kind have a line each; more have one together.
const EACH: usize = 5;

/// The lines for notes: many that say the same of several instances are one.
#[must_use]
pub fn notes(notes: &[Note]) -> Vec<LogLine> {
    let recovered = || notes.iter().filter(|note| note.kind == NoteKind::Recovered);
    if recovered().count() <= EACH {
        return notes.iter().filter_map(note).collect();
    }
    let names = lists(recovered().map(|note| note.instance.as_str())).into_iter();
    let together = names.map(|names| LogLine::info(format!("Restart of instances succeeded: {names}")));
    let others = notes.iter().filter(|note| note.kind != NoteKind::Recovered);
    together.chain(others.filter_map(note)).collect()
}

/// The line for a note; `None` for what another line tells.
#[must_use]
pub fn note(note: &Note) -> Option<LogLine> {
    let name = &note.instance;
    let text = match &note.kind {
        NoteKind::Busy(job) => format!("Leaving instance '{name}' alone, {job} is working on it"),
        NoteKind::Recovered => format!("Restart of instance '{name}' succeeded"),
        NoteKind::DisksNotActive => {
            format!("Skipping disk activation for instance with not activated disks '{name}'")
        }
        NoteKind::StartedInThisRun => {
            return Some(LogLine::debug(format!(
                "Skipping disk activation for instance '{name}' as it was already started"
            )));
        }
        NoteKind::Unknown => format!("Can't find instance '{name}', maybe it was ignored"),
        NoteKind::VerifyHelpless { is_out_of_reach } => {
            let text = format!(
                "Skipping instance '{name}' because it is in a helpless state or has offline secondaries"
            );
            // The node that does not answer has a line of its own.
            return Some(if *is_out_of_reach { LogLine::debug(text) } else { LogLine::info(text) });
        }
        NoteKind::Helpless
        | NoteKind::NotStarted(_)
        | NoteKind::NotCleanedUp(_)
        | NoteKind::LeftForLater(_)
        | NoteKind::ActivationHelpless
        | NoteKind::ActivationDelayed { .. }
        | NoteKind::MirrorNotActive
        | NoteKind::RunsDegraded { .. } => return None,
    };
    Some(LogLine::info(text))
}
