//! luxid's answers: what of them could not be understood, and what was asked again.

use std::fmt::Display;

use super::line::LogLine;

fn ignored(what: &dyn Display) -> LogLine {
    LogLine::error(format!("Ignoring a part of luxid's answer that cannot be understood: {what}"))
}

/// A row that is unreadable.
#[must_use]
pub fn row(problem: &dyn Display) -> LogLine {
    ignored(problem)
}

/// More such rows than are told one by one.
#[must_use]
pub fn more_rows(number: usize) -> LogLine {
    ignored(&format_args!("{number} more rows of the same answer"))
}

/// An instance or a node that is listed more than once.
#[must_use]
pub fn more_than_one_row(name: &str) -> LogLine {
    ignored(&format_args!("more than one row about '{name}'"))
}

/// Locks without a name.
#[must_use]
pub fn nameless_locks(number: usize) -> LogLine {
    ignored(&format_args!("{number} locks without a name"))
}

/// An instance in the result of verify-disks whose name is none.
#[must_use]
pub fn name_from_verify_disks(problem: &dyn Display) -> LogLine {
    ignored(&format_args!("verify-disks names an instance, {problem}"))
}

/// More such names than are told one by one.
#[must_use]
pub fn more_names_from_verify_disks(number: usize) -> LogLine {
    ignored(&format_args!("{number} more names from verify-disks"))
}

/// A part of the result of verify-disks that no repair depends on.
#[must_use]
pub fn part_from_verify_disks(what: &str, error: &dyn Display) -> LogLine {
    LogLine::debug(format!("verify-disks reported {what} in a form that cannot be read: {error}"))
}

/// A version of unknown form.
#[must_use]
pub fn version_is_unknown(found: &str) -> LogLine {
    LogLine::warning(format!(
        "Ganeti's version is unknown, using no optional features: {}",
        found.escape_debug()
    ))
}

/// Jobs are asked about once more.
#[must_use]
pub fn asked_again(error: &dyn Display) -> LogLine {
    LogLine::debug(format!("{error}, asking again"))
}

/// Instances are looked at once more before something is done to them.
#[must_use]
pub fn looked_again(error: &dyn Display) -> LogLine {
    LogLine::debug(format!("{error}, looking again"))
}

/// The group cannot be looked at again to see what a job failed of.
#[must_use]
pub fn not_looked_at_for_blame(error: &dyn Display) -> LogLine {
    LogLine::debug(format!("{error}: what is to blame for a failure is judged by what was seen earlier"))
}
