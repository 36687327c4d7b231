//! How a run begins, or why it does not.

use std::fmt::Display;
use std::path::Path;

use super::line::LogLine;
use super::words::Times;
use crate::cluster::Timestamp;

/// The events go to stderr alone.
#[must_use]
pub fn no_log_file(path: &Path, error: &dyn Display) -> LogLine {
    LogLine::error(format!("Cannot open the log file '{}', logging to stderr only: {error}", path.display()))
}

/// The timer leaves the run to cron, which this file makes call the watcher.
#[must_use]
pub fn left_to_cron(file: &Path) -> LogLine {
    LogLine::error(format!(
        "'{}' makes cron call the watcher, so the timer does nothing: comment out every line that does so, \
         or disable ganeti-watcher.timer",
        file.display()
    ))
}

/// The timer calls the watcher, and cron may do so as well.
#[must_use]
pub fn cron_is_unclear(why: &dyn Display) -> LogLine {
    LogLine::warning(format!("Cannot tell whether cron calls the watcher as well, going on: {why}"))
}

/// A dry run begins.
#[must_use]
pub fn dry_run() -> LogLine {
    LogLine::info("Dry run: looking and deciding, changing nothing")
}

/// The watcher is paused.
#[must_use]
pub fn paused(is_dry_run: bool) -> LogLine {
    match is_dry_run {
        true => LogLine::info(
            "Pause has been set: a run would do nothing at all (--ignore-pause shows what it would do)",
        ),
        false => LogLine::debug("Pause has been set, exiting"),
    }
}

/// The watcher lock cannot be taken.
#[must_use]
pub fn no_lock(path: &Path, error: &dyn Display) -> LogLine {
    LogLine::error(format!("Can't acquire lock on {}: {error}", path.display()))
}

/// The watcher lock has kept out this many runs in a row, this one included. `holder` is the process that
/// holds it, if that is known.
#[must_use]
pub fn kept_out(
    runs: u64,
    since: Timestamp,
    lock: &Path,
    holder: Option<&dyn Display>,
    times: &Times,
) -> LogLine {
    let holder = holder.map_or("a process that is not visible from here".to_owned(), ToString::to_string);
    LogLine::error(format!(
        "No run has done anything{} ({runs} in a row), because {holder} holds the lock '{}'; if that process \
         is not doing Ganeti maintenance, end it",
        times.since(Some(since)),
        lock.display()
    ))
}

/// It is unknown how many runs the lock has kept out.
#[must_use]
pub fn kept_out_uncounted(error: &dyn Display) -> LogLine {
    LogLine::warning(format!("Cannot tell how many runs the lock has kept out: {error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_runs_out_is_told_with_the_time_on_the_clock() {
        // 2026-11-25 03:04:05 UTC.
        let times = Times::utc(1_795_575_845.0);
        let lock = Path::new("/LOCK");
        let line = kept_out(3, times.now - 600.0, lock, Some(&"process 7"), &times).text;
        assert_eq!(
            line,
            "No run has done anything since 02:54 (3 in a row), because process 7 holds the lock '/LOCK'; if \
             that process is not doing Ganeti maintenance, end it"
        );
        let line = kept_out(900, times.now - 86_400.0, lock, None, &times).text;
        assert!(
            line.contains(" since 24 Nov 03:04 (900 in a row), because a process that is not "),
            "{line}"
        );
    }
}
