//! The end of a story.

use std::fmt::Write as _;
use std::time::Duration;

use super::conditions;
use super::run::wait;
use super::words::{Times, list};
use crate::decide::verdict::{Verdict, Verdicts};

/// How long a recovery took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// From the first job to the end of the last that succeeded.
    pub took: Duration,
    /// The number of jobs.
    pub jobs: usize,
    /// How long they would have taken one at a time.
    pub one_by_one: Duration,
}

/// How a story ended, as the watcher sees it: what runs, what waits and for what, what needs a human, and
/// why. `really_down` are the instances that should run and do not, whatever the watcher says.
#[must_use]
pub fn end(
    groups: &[Verdicts],
    really_down: &[String],
    recovery: Option<Recovery>,
    runs: usize,
    times: &Times,
) -> String {
    let totals = || groups.iter().map(Verdicts::totals);
    let run: usize = totals().map(|totals| totals.run).sum();
    let wanted: usize = totals().map(|totals| totals.wanted).sum();
    let mut text = format!("\n{run} of {wanted} instances run.\n");
    // Writing to a String does not fail.
    if let Some(Recovery { took, jobs, one_by_one }) = recovery {
        let (took, alone) = (clock(took), clock(one_by_one));
        let _written =
            writeln!(text, "Recovery took {took}; one at a time, the {jobs} jobs would have taken {alone}.");
    }
    for verdicts in groups {
        for cause in wait(verdicts) {
            let _written = writeln!(text, "{cause}.");
        }
        for verdict in verdicts.iter().filter(|verdict| verdict.needs_human()) {
            let why = conditions::why(verdict, verdicts, times);
            let _written = writeln!(text, "{} needs a human: {why}", verdict.instance);
        }
    }
    let runs_not = |name: &&String| groups.iter().any(|group| group.get(name).is_some_and(Verdict::runs));
    let unseen: Vec<&str> = really_down.iter().filter(runs_not).map(String::as_str).collect();
    if !unseen.is_empty() {
        let names = list(unseen);
        let _written =
            writeln!(text, "The watcher takes these instances for running, and they are not: {names}");
    }
    let _written = writeln!(text, "The watcher ran {runs} times.");
    text
}

/// `HH:MM:SS`.
#[must_use]
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
