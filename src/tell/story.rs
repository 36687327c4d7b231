//! The end of a story.

use std::fmt::Write as _;
use std::time::Duration;

use super::same::Same;
use super::words::{Times, list};
use crate::cluster::InstanceStatus;
use crate::decide::reason::Reason;
use crate::decide::verdict::{Verdict, Verdicts};

/// How a story ended.
#[derive(Debug, Clone)]
pub struct End<'a> {
    /// The watcher's verdicts for every node group, or why there are none.
    pub verdicts: Result<&'a [Verdicts], String>,
    /// The instances that should run and do, whatever the watcher says.
    pub up: &'a [String],
    /// Those that should run and do not.
    pub down: &'a [String],
    /// None when no job succeeded.
    pub recovery: Option<Recovery>,
    /// How often the watcher ran.
    pub runs: usize,
}

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

/// What the watcher says at the end of a story: which instances need a human and which wait, why, what
/// happens next, and what to type. Where that is not how they are, it is said as well.
#[must_use]
pub fn end(end: &End<'_>, times: &Times) -> String {
    let (run, wanted) = match &end.verdicts {
        Ok(groups) => groups
            .iter()
            .map(Verdicts::totals)
            .fold((0, 0), |(run, wanted), totals| (run + totals.run, wanted + totals.wanted)),
        Err(_) => (end.up.len(), end.up.len() + end.down.len()),
    };
    let mut text = format!("\n{run} of {wanted} instances run.\n");
    // Writing to a String does not fail.
    if let Some(Recovery { took, jobs, one_by_one }) = end.recovery {
        let (took, alone) = (clock(took), clock(one_by_one));
        let _written = match jobs {
            1 => writeln!(text, "Recovery took {took}, with one job."),
            _ => writeln!(
                text,
                "Recovery took {took}; one at a time, the {jobs} jobs would have taken {alone}."
            ),
        };
    }
    match &end.verdicts {
        Ok(groups) => {
            text.push_str(&causes(groups, times));
            text.push_str(&contradictions(groups, end));
        }
        Err(problem) => {
            let _written =
                writeln!(text, "ATTENTION: The watcher cannot say how the instances are: {problem}");
            if !end.down.is_empty() {
                let names = list(end.down.iter().map(String::as_str));
                let _written = writeln!(text, "Down: {names}");
            }
        }
    }
    let _written = match end.runs {
        1 => writeln!(text, "The watcher ran once."),
        runs => writeln!(text, "The watcher ran {runs} times."),
    };
    text
}

/// What needs a human, what waits, and what runs but not as it should.
fn causes(groups: &[Verdicts], times: &Times) -> String {
    let all = || groups.iter().flat_map(Verdicts::iter);
    let runs = |verdict: &&Verdict| verdict.wanted != Some(false) && verdict.runs() && !verdict.needs_human();
    let is_not_well = |verdict: &&Verdict| runs(verdict) && verdict.decides().is_some();
    let is_away = |verdict: &Verdict| matches!(verdict.decides(), Some(Reason::PrimarySilent { .. }));
    let mut text = String::new();
    for (what, same) in [
        ("needs a human", Same::groups(all().filter(|verdict| verdict.needs_human()))),
        ("is out of reach", Same::groups(all().filter(|verdict| verdict.waits() && is_away(verdict)))),
        ("waits", Same::groups(all().filter(|verdict| verdict.waits() && !is_away(verdict)))),
        ("runs, but not as it should", Same::groups(all().filter(is_not_well))),
    ] {
        same.iter().for_each(|same| cause(&mut text, what, same, times));
    }
    text
}

fn cause(text: &mut String, what: &str, same: &Same<'_>, times: &Times) {
    let why = same.because(times).unwrap_or_else(|| "a start is due".to_owned());
    let names = same.names();
    // Writing to a String does not fail.
    let _written = match same.number() {
        1 => writeln!(text, "{names} {what}: {why}"),
        number => writeln!(text, "Each of these {number} {what}: {names}\n  why:  {why}"),
    };
    if let Some(next) = same.next(times) {
        let _written = writeln!(text, "  next: {next}");
    }
    if let Some(advice) = same.advice() {
        let _written = writeln!(text, "  you:  {advice}");
    }
}

/// Where the verdicts are not true. A node that does not answer says nothing about what runs on it.
fn contradictions(groups: &[Verdicts], end: &End<'_>) -> String {
    let verdict = |name: &str| groups.iter().find_map(|group| group.get(name));
    let status = |name: &str| verdict(name).and_then(|verdict| verdict.status.as_ref());
    let is_up =
        |name: &str| verdict(name).is_some_and(|verdict| verdict.wanted != Some(false) && verdict.runs());
    let is_away = |name: &str| status(name).is_some_and(InstanceStatus::is_helpless);
    let is_down = |name: &str| {
        verdict(name).is_some_and(|verdict| !verdict.runs())
            && status(name).is_some_and(InstanceStatus::is_known)
            && !is_away(name)
    };
    let is_unknown = |name: &str| verdict(name).is_none();
    let among = |names: &[String], wrong: &dyn Fn(&str) -> bool| {
        list(names.iter().map(String::as_str).filter(|name| wrong(name)))
    };
    let (up, down) = (end.up, end.down);
    let mut text = String::new();
    for (what, names) in [
        ("Out of reach, these run all the same", among(up, &is_away)),
        ("ATTENTION: The watcher takes these for running, but they are down", among(down, &is_up)),
        ("ATTENTION: The watcher takes these for down, but they run", among(up, &is_down)),
        ("ATTENTION: The watcher does not know these, and they are down", among(down, &is_unknown)),
    ] {
        if !names.is_empty() {
            // Writing to a String does not fail.
            let _written = writeln!(text, "{what}: {names}");
        }
    }
    text
}

/// `HH:MM:SS`.
#[must_use]
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{instance, node, snapshot};
    use crate::cluster::{Snapshot, Timestamp};
    use crate::decide::{Note, NoteKind, Step};
    use crate::memory::state::State;

    /// 2026-11-25 03:00:00 UTC.
    const NOW: Timestamp = 1_795_575_600.0;

    fn verdicts(cluster: &Snapshot, reasons: &[(&str, Reason)]) -> Verdicts {
        let step = |(name, reason): &(&str, Reason)| {
            let kind = NoteKind::NotStarted(vec![reason.clone()]);
            Step::Note(Note { instance: (*name).into(), kind })
        };
        let steps: Vec<Step> = reasons.iter().map(step).collect();
        Verdicts::of(cluster, &State::default(), &steps, NOW)
    }

    fn told(verdicts: Result<&[Verdicts], String>, up: &[&str], down: &[&str]) -> String {
        let [up, down] =
            [up, down].map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        end(&End { verdicts, up: &up, down: &down, recovery: None, runs: 2 }, &Times::utc(NOW))
    }

    #[test]
    fn what_needs_a_human_comes_first_and_a_cause_is_told_once() {
        let first = snapshot(["a", "b", "c"].map(|name| instance(name, "ERROR_down")), []);
        let second = snapshot([instance("d", "ERROR_nodedown"), instance("e", "running")], []);
        let gone = Reason::PrimarySilent { node: "n4".into(), since: Some(NOW - 60.0) };
        let given_up = || Reason::OutOfTries { until: NOW + 3600.0 };
        let groups = [
            verdicts(&first, &[("a", given_up()), ("b", Reason::Paused), ("c", given_up())]),
            verdicts(&second, &[("d", gone)]),
        ];
        assert_eq!(
            told(Ok(&groups), &["e"], &["a", "b", "c", "d"]),
            "
1 of 5 instances run.
Each of these 2 needs a human: a, c
  why:  5 tries have not brought them up, and no error is known
  next: the first run after 04:00 tries again, in 1 h
  you:  find out why, then run 'ganeti-watcher retry a c'
d is out of reach: node 'n4' does not answer, first seen at 02:59
  next: when node 'n4' answers
  you:  if it is dead, first make sure that its power is off, then run 'gnt-node modify --offline yes n4'
b waits: the watcher is paused
  next: when the pause is over
The watcher ran 2 times.
"
        );
    }

    #[test]
    fn verdicts_that_are_not_true_are_told() {
        let instances = [
            instance("right", "running"),
            instance("dead", "running"),
            instance("alive", "ERROR_down"),
            instance("away", "ERROR_nodedown"),
            instance("user", "USER_down"),
            instance("strange", "ERROR_strange"),
        ];
        let groups = [verdicts(&snapshot(instances, [node("n1", None)]), &[])];
        let up = ["right", "alive", "away", "strange"];
        let text = told(Ok(&groups), &up, &["dead", "user", "unheard"]);
        let is_about_it = |line: &&str| line.contains("ATTENTION") || line.contains("all the same");
        assert_eq!(
            text.lines().filter(is_about_it).collect::<Vec<_>>(),
            [
                "Out of reach, these run all the same: away",
                "ATTENTION: The watcher takes these for running, but they are down: dead",
                "ATTENTION: The watcher takes these for down, but they run: alive",
                "ATTENTION: The watcher does not know these, and they are down: unheard",
            ]
        );
    }

    #[test]
    fn a_story_has_an_end_when_the_watcher_cannot_say_anything() {
        let text = told(Err("luxid is down".into()), &["a"], &["b"]);
        assert_eq!(
            text,
            "
1 of 2 instances run.
ATTENTION: The watcher cannot say how the instances are: luxid is down
Down: b
The watcher ran 2 times.
"
        );
    }
}
