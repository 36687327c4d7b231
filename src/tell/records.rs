//! What could not be written into the state file.

use std::fmt::Display;

use super::line::LogLine;

/// Starts are not on record before they are submitted.
#[must_use]
pub fn starts_not_recorded(error: &dyn Display) -> LogLine {
    LogLine::warning(format!(
        "Starting instances although their starts cannot be recorded ({error:#}): if this run is killed, \
         these tries are forgotten"
    ))
}

/// Outcomes are not on record before the end of the run.
#[must_use]
pub fn outcomes_not_recorded_yet(error: &dyn Display) -> LogLine {
    LogLine::debug(format!("{error:#}, going on"))
}

/// The activations that verify-disks called for are not on record.
#[must_use]
pub fn activations_not_recorded(error: &dyn Display) -> LogLine {
    LogLine::warning(format!(
        "The failed activations of verify-disks cannot be recorded, so they are not tried again: {error:#}"
    ))
}
