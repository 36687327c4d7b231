//! Whether mirrors are whole again, of instances that were started without them.

use super::line::LogLine;
use super::words::list;

/// An instance has its mirror again.
#[must_use]
pub fn whole(instance: &str) -> LogLine {
    LogLine::info(format!("The mirror of instance '{instance}' is whole again"))
}

/// An earlier run's job is still looking.
#[must_use]
pub fn still_being_checked() -> LogLine {
    LogLine::debug("An earlier check of the mirrors has not ended")
}

/// It cannot be found out now.
#[must_use]
pub fn unchecked(instances: &[String], problem: &str) -> LogLine {
    let names = list(instances.iter().map(String::as_str));
    LogLine::warning(format!("Cannot check the mirrors of {names}: {problem}"))
}
