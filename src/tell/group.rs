//! The group parts of a run.

use std::fmt::Display;
use std::path::Path;

use super::line::LogLine;
use super::words::duration;

/// One begins. The original has the UUID here too.
#[must_use]
pub fn begins(uuid: &str) -> LogLine {
    LogLine::info(format!("Watcher for node group '{uuid}'"))
}

/// What it remembers is in this file.
#[must_use]
pub fn state_file(path: &Path) -> LogLine {
    LogLine::debug(format!("Using state file {}", path.display()))
}

/// It became a process of its own.
#[must_use]
pub fn detached(name: &str, pid: u32) -> LogLine {
    LogLine::debug(format!("Started the watcher for node group '{name}' with PID {pid}"))
}

/// It could not become a process of its own.
#[must_use]
pub fn not_detached(name: &str, error: &dyn Display) -> LogLine {
    LogLine::error(format!("Cannot start the watcher for node group '{name}': {error}"))
}

/// It failed.
#[must_use]
pub fn failed(name: &str, error: &dyn Display) -> LogLine {
    LogLine::error(format!("Watcher for node group '{name}' failed: {error:#}"))
}

/// It failed by a fault of this program, whose place was logged.
#[must_use]
pub fn failed_inside(name: &str) -> LogLine {
    LogLine::error(format!("Watcher for node group '{name}' failed with an internal error"))
}

/// The group could not be looked at, so its status file stays as it is.
#[must_use]
pub fn status_file_not_updated(error: &dyn Display) -> LogLine {
    LogLine::info(format!("Not updating status file due to failure: {error:#}"))
}

/// luxid takes no jobs.
#[must_use]
pub fn queue_is_drained() -> LogLine {
    LogLine::error("Job queue is drained, can't maintain cluster state")
}

/// The queue is drained, and it cannot be found out what waits for it.
#[must_use]
pub fn nobody_knows_what_waits(error: &dyn Display) -> LogLine {
    LogLine::debug(format!("Cannot find out what waits for the job queue: {error}"))
}

/// The watcher was paused during the run.
#[must_use]
pub fn paused() -> LogLine {
    LogLine::info("Pause has been set, leaving the rest to a later run")
}

/// Jobs that ended more than `age` seconds ago would be archived; all that have ended if that is negative.
#[must_use]
pub fn would_archive(age: i64) -> LogLine {
    // More than a century is as good as more than that.
    let age = u32::try_from(age.min(u32::MAX.into())).ok().filter(|age| *age > 0);
    LogLine::info(match age {
        Some(age) => format!("Would archive jobs that ended more than {} ago", duration(f64::from(age))),
        None => "Would archive all jobs that have ended".to_owned(),
    })
}

/// Old jobs were archived, and some were not looked at.
#[must_use]
pub fn archived(archived: u64, left: u64) -> LogLine {
    LogLine::debug(format!("Archived {archived} jobs, left {left}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_jobs_is_told_in_words() {
        let told = [21_600, 1_209_600, 90, 0, -1, i64::MIN].map(|age| would_archive(age).text);
        let ended = |ago: &str| format!("Would archive jobs that ended more than {ago} ago");
        let all = || "Would archive all jobs that have ended".to_owned();
        assert_eq!(told, [ended("6 h"), ended("14 days"), ended("1 min 30 s"), all(), all(), all()]);
        assert!(would_archive(i64::MAX).text.contains(" days"));
    }
}
