//! Whether this node is the master, and whether its luxid answers.

use std::fmt::Display;

use super::line::LogLine;

/// luxid does not listen.
#[must_use]
pub fn luxid_is_down(error: &dyn Display) -> LogLine {
    LogLine::warning(format!("Luxi daemon seems to be down ({error}), trying to restart"))
}

/// ssconf does not say who the master is.
#[must_use]
pub fn unknown_to_ssconf(why: &dyn Display) -> LogLine {
    LogLine::warning(format!("Cannot tell from ssconf who the master is, asking luxid: {why}"))
}

/// luxid did not say who the master is, and is asked once more.
#[must_use]
pub fn asked_again(error: &dyn Display) -> LogLine {
    LogLine::debug(format!("{error:#}, asking again"))
}

/// Another node is the master, so the run is over.
#[must_use]
pub fn elsewhere(why: &dyn Display) -> LogLine {
    LogLine::debug(format!("{why}, nothing more to do here"))
}

/// Another node is the master, so a run would be over.
#[must_use]
pub fn elsewhere_for_a_dry_run(why: &dyn Display) -> LogLine {
    LogLine::info(format!("{why}: a run would do nothing more here"))
}

/// Another node is the master, which was found out late. The original says so only with `--debug`, and exits
/// with 11 without a message.
#[must_use]
pub fn elsewhere_after_all(why: &dyn Display) -> LogLine {
    LogLine::info(format!("Not master, exiting: {why}"))
}

/// Another node became the master during the run.
#[must_use]
pub fn moved(why: &dyn Display) -> LogLine {
    LogLine::debug(format!("No longer the master: {why}"))
}
