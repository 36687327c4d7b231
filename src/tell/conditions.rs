//! Conditions that last: what keeps instances from running or from being whole. One line for each cause,
//! however many instances it concerns, when it changes and then once an hour.

mod told;

use std::collections::BTreeMap;

use told::Condition;
pub use told::Conditions;

use super::line::LogLine;
use super::words::{Times, blocked_by, count, duration, list, place};
use crate::cluster::{Timestamp, excerpt};
use crate::decide::blame::Blame;
use crate::decide::budget::{MAX_TRIES, RETRY_EXPIRATION};
use crate::decide::reason::{NODE_SILENT, Reason};
use crate::decide::tags::Place;
use crate::decide::verdict::{NodeVerdict, Verdict, Verdicts};
use crate::memory::recovery::{BlockedBy, FailedMove, LastFailure, Shortage};

/// The longest part of a job's error that a line repeats, in bytes.
const LONGEST_ERROR: usize = 300;

/// Instances that are in the same condition for the same cause.
struct Cause<'v> {
    /// A code, and what distinguishes this cause from others with the same code.
    key: String,
    of: Vec<(&'v Verdict, &'v Reason)>,
}

/// The conditions of a group.
#[must_use]
pub fn conditions(verdicts: &Verdicts, times: &Times) -> Conditions {
    let mut causes: Vec<Cause<'_>> = Vec::new();
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    for verdict in verdicts.iter() {
        let decides = verdict.decides().filter(|reason| !reason.is_about_a_mirror());
        // What never keeps an instance from being started is told besides.
        let besides = verdict.reasons.iter().skip(usize::from(decides.is_some()));
        let besides = besides.filter(|reason| !reason.prevents_start());
        for reason in decides.into_iter().chain(besides) {
            let Some(about) = subject(verdict, reason) else { continue };
            let key = format!("{} {about}", code(reason));
            let at = *index.entry(key.clone()).or_insert_with(|| {
                causes.push(Cause { key, of: Vec::new() });
                causes.len() - 1
            });
            if let Some(cause) = causes.get_mut(at) {
                cause.of.push((verdict, reason));
            }
        }
    }
    let silent = verdicts.nodes().iter().filter(|node| !node.is_offline && node.primaries.is_empty());
    let told_with_instances =
        |node: &NodeVerdict| index.contains_key(&format!("secondary_silent {}", node.node));
    let silent = silent.filter(|node| !told_with_instances(node)).map(|node| node_silent(node, times));
    Conditions::new(silent.chain(causes.iter().filter_map(|cause| cause.condition(times))).collect())
}

/// Why one instance is as it is, as a sentence of its own; empty when nothing is wrong.
#[must_use]
pub(super) fn why(verdict: &Verdict, times: &Times) -> String {
    let Some(reason) = verdict.decides() else { return String::new() };
    match reason {
        Reason::GivenUp { until } | Reason::OutOfTries { until } => format!(
            "given up until {}{}; mend that, then run 'ganeti-watcher retry {}'",
            times.moment(*until),
            last_failure(verdict, times),
            verdict.instance
        ),
        reason => {
            let cause = Cause { key: String::new(), of: vec![(verdict, reason)] };
            cause.line(times).map_or_else(|| reason.code().to_owned(), |line| line.text)
        }
    }
}

/// A node that no instance is down with.
fn node_silent(verdict: &NodeVerdict, times: &Times) -> Condition {
    let NodeVerdict { node, since, secondaries, .. } = verdict;
    let names = || secondaries.iter().map(String::as_str);
    let mirrors = match secondaries.len() {
        0 => "no instance that should run has a disk there".to_owned(),
        1 => format!("1 instance runs without its mirror there: {}", list(names())),
        number => format!("{number} instances run without their mirrors there: {}", list(names())),
    };
    let line = LogLine::warning(format!(
        "Node '{node}' has not answered{}; {mirrors}; repair the node, or make sure it is off and then run \
         'gnt-node modify --offline yes {node}' [{NODE_SILENT}]",
        times.since(*since)
    ));
    Condition::new(format!("{NODE_SILENT} {node}"), names().map(|name| (name, 0)), line)
}

/// An instance that is given up stays out of tries: one condition.
fn code(reason: &Reason) -> &'static str {
    match reason {
        Reason::GivenUp { .. } => Reason::OutOfTries { until: 0.0 }.code(),
        reason => reason.code(),
    }
}

/// What instances must have in common to be in one line; `None` when another line says it all.
fn subject(verdict: &Verdict, reason: &Reason) -> Option<String> {
    let primary = || verdict.primary.clone();
    let own = || verdict.instance.clone();
    Some(match reason {
        Reason::PrimarySilent { node, .. }
        | Reason::PrimaryOffline { node }
        | Reason::SecondarySilent { node, .. } => node.clone(),
        Reason::SharedStorageUnsure { nodes } => nodes.join(","),
        Reason::JobRunning(job) => job.id.to_string(),
        Reason::TagNever(on) => place(*on).to_owned(),
        Reason::TagHold { until, on } => format!("{} {until}", place(*on)),
        Reason::Tier { behind, .. } => behind.clone(),
        Reason::Room | Reason::NoMemory { .. } => primary(),
        Reason::Backoff { by, .. } => match by {
            BlockedBy::Known(Blame::Node) => primary(),
            BlockedBy::Known(Blame::Queue | Blame::Master) => blocked_by(by),
            BlockedBy::Known(Blame::Peer) => verdict.secondaries.join(","),
            _ => own(),
        },
        Reason::MirrorPeerAway { node } => node.clone().unwrap_or_else(own),
        Reason::Delay { .. } | Reason::Paused | Reason::Drained => String::new(),
        Reason::Locked
        | Reason::MoveFailed(_)
        | Reason::OutOfTries { .. }
        | Reason::GivenUp { .. }
        | Reason::CleanUpOutOfTries
        | Reason::Flapping { .. }
        | Reason::SplitGroups { .. }
        | Reason::StatusUnknown { .. }
        | Reason::MirrorNotActive
        | Reason::MirrorDegraded { .. }
        | Reason::MirrorNotActivated { .. } => own(),
        // The errors of jobs and of rows are told as they come.
        Reason::StartFailed { .. } | Reason::NotSubmitted { .. } | Reason::Unreadable => return None,
    })
}

impl Cause<'_> {
    fn condition(&self, times: &Times) -> Option<Condition> {
        let (_, first) = self.of.first()?;
        let mut line = self.line(times)?;
        // The same word that the manual page explains.
        line.text = format!("{} [{}]", line.text, first.code());
        let marks = self.of.iter().map(|(verdict, reason)| (verdict.instance.as_str(), failures(reason)));
        Some(Condition::new(self.key.clone(), marks, line))
    }

    fn names(&self) -> String {
        list(self.of.iter().map(|(verdict, _)| verdict.instance.as_str()))
    }

    /// `instance 'a'`, or `instances a, b`.
    fn instances(&self) -> String {
        match self.of.as_slice() {
            [(verdict, _)] => format!("instance '{}'", verdict.instance),
            _ => format!("instances {}", self.names()),
        }
    }

    fn soonest(&self, until: impl Fn(&Reason) -> Option<Timestamp>) -> Timestamp {
        self.of.iter().filter_map(|(_, reason)| until(reason)).reduce(f64::min).unwrap_or_default()
    }

    fn line(&self, times: &Times) -> Option<LogLine> {
        let (verdict, reason) = self.of.first()?;
        let (number, instances) = (self.of.len(), self.instances());
        let name = &verdict.instance;
        let (its, it) = if number == 1 { ("its", "it") } else { ("their", "them") };
        Some(match reason {
            Reason::PrimarySilent { node, since } => LogLine::warning(format!(
                "Node '{node}' {}, and {} on it {} out of reach: {}; {} started in the \
                 first run after the node answers. If it is off for good: 'gnt-node modify --offline yes \
                 {node}'{}",
                silent(*since, times),
                count(number, "instance"),
                if number == 1 { "is" } else { "are" },
                self.names(),
                if number == 1 { "if it is down, it is" } else { "those that are down are" },
                self.then_fail_over(node),
            )),
            Reason::PrimaryOffline { node } => LogLine::warning(format!(
                "Node '{node}' is marked offline, and {} on it {} down: {}; the watcher does not start \
                 {it}{}",
                count(number, "instance"),
                if number == 1 { "is" } else { "are" },
                self.names(),
                self.fail_over(node),
            )),
            Reason::SecondarySilent { node, since } => LogLine::warning(format!(
                "Node '{node}' {}, and without it these instances cannot be started: {}; repair the node, or \
                 make sure it is off and then run 'gnt-node modify --offline yes {node}'",
                silent(*since, times),
                self.names(),
            )),
            Reason::SharedStorageUnsure { nodes } => LogLine::warning(format!(
                "Not starting {instances}: {its} storage does not keep {it} from running twice, and no \
                 answer comes from {}; repair that, or make sure it is off and then run 'gnt-node modify \
                 --offline yes' with its name",
                list(nodes.iter().map(String::as_str)),
            )),
            Reason::MoveFailed(FailedMove { job, summary }) => LogLine::warning(format!(
                "Not starting {instances}: job {job} ({summary}) failed, so it may be running on another \
                 node; find out where it is, then run 'gnt-instance migrate --cleanup {name}' or \
                 'gnt-instance startup {name}'",
            )),
            Reason::JobRunning(job) => {
                LogLine::info(format!("Leaving {instances} alone, {job} is working on {it}"))
            }
            Reason::Locked => LogLine::info(format!("Not cleaning up {instances}, instance is locked")),
            Reason::TagNever(on) => {
                LogLine::info(format!("Not starting {instances}: {} says never", self.tag(*on)))
            }
            Reason::TagHold { until, on } => LogLine::info(format!(
                "Not starting {instances}: {} holds {it} until {}",
                self.tag(*on),
                times.moment(*until)
            )),
            Reason::Tier { behind, until } => LogLine::info(format!(
                "Leaving {instances} to a later run: {its} tier waits for instance '{behind}', until {} at \
                 most",
                times.moment(*until)
            )),
            Reason::Delay { .. } => {
                let until = self.soonest(|reason| match reason {
                    Reason::Delay { until } => Some(*until),
                    _ => None,
                });
                LogLine::info(format!(
                    "Leaving {instances} to a later run: {its} delay is not over, {} at the earliest",
                    times.moment(until)
                ))
            }
            Reason::Room => LogLine::info(format!(
                "Leaving {instances} to a later run: {} node '{}' is busy",
                its, verdict.primary
            )),
            Reason::Backoff { by, failures, .. } => self.backoff(by, *failures, times),
            Reason::NoMemory { .. } => self.no_memory(times),
            Reason::OutOfTries { until } => LogLine::warning(format!(
                "Not restarting instance '{name}', retries exhausted until {}{}; to try again now: \
                 'ganeti-watcher retry {name}'",
                times.moment(*until),
                last_failure(verdict, times)
            )),
            Reason::GivenUp { until } => LogLine::error(format!(
                "Could not restart instance '{name}' after {MAX_TRIES} attempts, giving up for {}, until \
                 {}{}; {}, then run 'ganeti-watcher retry {name}'",
                duration(RETRY_EXPIRATION),
                times.moment(*until),
                last_failure(verdict, times),
                if verdict.last_failure.is_some() { "mend that" } else { "find out why it is down" },
            )),
            Reason::CleanUpOutOfTries => LogLine::warning(format!(
                "Not cleaning up instance '{name}', retries exhausted; to try again: 'ganeti-watcher retry \
                 {name}'"
            )),
            Reason::Flapping { times: often } => LogLine::warning(format!(
                "Instance '{name}' came up and went down again {often} times within an hour; its console and \
                 its log on node '{}' may tell why",
                verdict.primary
            )),
            Reason::Paused => LogLine::info(format!(
                "Leaving {instances} to a later run: the watcher was paused before {its} turn"
            )),
            Reason::Drained => LogLine::warning(format!(
                "Not starting {instances}: the job queue is drained; 'gnt-cluster queue undrain' opens it"
            )),
            Reason::SplitGroups { primary, secondaries } => LogLine::error(format!(
                "Ignoring split instance '{name}', primary group {primary}, secondary groups {}",
                secondaries.join(", ")
            )),
            Reason::StatusUnknown { word } => LogLine::warning(format!(
                "Leaving {instances} alone: this version does not know the status '{word}'"
            )),
            Reason::MirrorNotActive => LogLine::warning(format!(
                "Instance '{name}' runs, but Ganeti does not consider its disks active and so does not look \
                 after their mirror; 'gnt-instance activate-disks {name}' repairs that"
            )),
            Reason::MirrorDegraded { since } => LogLine::warning(format!(
                "Instance '{name}' was started without its secondary node at {}, and its mirror is not whole \
                 yet",
                times.moment(*since)
            )),
            Reason::MirrorPeerAway { node: Some(node) } => {
                LogLine::info(format!("Skipping disk activation for {instances} until node '{node}' answers"))
            }
            Reason::MirrorPeerAway { node: None } => LogLine::info(format!(
                "Skipping disk activation for {instances} until all {its} nodes answer"
            )),
            Reason::MirrorNotActivated { failures, until } => LogLine::warning(format!(
                "Disks of instance '{name}' could not be activated {failures} times, next try at {}; \
                 'gnt-instance activate-disks {name}' shows why",
                times.moment(*until)
            )),
            Reason::StartFailed { .. } | Reason::NotSubmitted { .. } | Reason::Unreadable => return None,
        })
    }

    /// Whether Ganeti could start one of them on another node.
    fn has_secondary(&self) -> bool {
        self.of.iter().any(|(verdict, _)| !verdict.secondaries.is_empty())
    }

    fn then_fail_over(&self, node: &str) -> String {
        if self.has_secondary() { format!(", then 'gnt-node failover {node}'") } else { String::new() }
    }

    fn fail_over(&self, node: &str) -> String {
        if self.has_secondary() {
            format!("; 'gnt-node failover {node}' starts those with a secondary node there")
        } else {
            let (they_have, they_wait) =
                if self.of.len() == 1 { ("it has", "it waits") } else { ("they have", "they wait") };
            format!("; {they_have} no secondary node, so {they_wait} for this one")
        }
    }

    fn tag(&self, on: Place) -> String {
        match (on, self.of.len()) {
            (Place::Instance, 2..) => "a tag of each".to_owned(),
            (Place::Group, 2..) => "a tag of their node group".to_owned(),
            _ => format!("a tag of {}", place(on)),
        }
    }

    fn backoff(&self, by: &BlockedBy, failures: u64, times: &Times) -> LogLine {
        let until = times.moment(self.soonest(|reason| match reason {
            Reason::Backoff { until, .. } => Some(*until),
            _ => None,
        }));
        LogLine::warning(match self.of.as_slice() {
            [(Verdict { instance: name, .. }, _)] => format!(
                "Not starting instance '{name}' before {until}: its last starts failed because of {} \
                 ({failures} in a row), which costs no try; 'ganeti-watcher retry {name}' ends the wait",
                blocked_by(by)
            ),
            [(verdict, _), ..] => {
                let (number, names) = (self.of.len(), self.names());
                let of_node = match by {
                    BlockedBy::Known(Blame::Node) => {
                        format!(
                            " on node '{0}' before {until}: their last starts failed because of that node",
                            verdict.primary
                        )
                    }
                    by => format!(" before {until}: their last starts failed because of {}", blocked_by(by)),
                };
                format!(
                    "Not starting {number} instances{of_node}, which costs no try: {names}; 'ganeti-watcher \
                     retry' with a name ends the wait"
                )
            }
            [] => String::new(),
        })
    }

    fn no_memory(&self, times: &Times) -> LogLine {
        let until = times.moment(self.soonest(|reason| match reason {
            Reason::NoMemory { until, .. } => Some(*until),
            _ => None,
        }));
        let mut waiting = Waiting::default();
        for (_, reason) in &self.of {
            if let Reason::NoMemory { shortage, .. } = reason {
                waiting.add(*shortage);
            }
        }
        let node = self.of.first().map_or("", |(verdict, _)| verdict.primary.as_str());
        LogLine::warning(match self.of.as_slice() {
            [(Verdict { instance: name, .. }, _)] => format!(
                "Not starting instance '{name}' before {until}: node '{node}' does not have enough memory \
                 ({}), which costs no try; free memory there, or move it; 'ganeti-watcher retry {name}' ends \
                 the wait",
                waiting.amounts("it needs", "")
            ),
            _ => format!(
                "Not starting {} instances on node '{node}' before {until}: it does not have enough memory \
                 ({}), which costs no try; free memory there, or move some of them: {}; 'ganeti-watcher \
                 retry' with a name ends the wait",
                self.of.len(),
                waiting.amounts("they need", " in all"),
                self.names()
            ),
        })
    }
}

/// How often something failed counts as a change; `0` where that does not matter.
fn failures(reason: &Reason) -> u64 {
    match reason {
        Reason::Backoff { failures, .. }
        | Reason::NoMemory { failures, .. }
        | Reason::MirrorNotActivated { failures, .. } => *failures,
        _ => 0,
    }
}

fn silent(since: Option<Timestamp>, times: &Times) -> String {
    match since {
        Some(_) => format!("has not answered{}", times.since(since)),
        None => "does not answer".to_owned(),
    }
}

fn last_failure(verdict: &Verdict, times: &Times) -> String {
    let Some(LastFailure { job, error, at }) = &verdict.last_failure else { return String::new() };
    format!(": at {} job {job} said {}", times.moment(*at), excerpt(error, LONGEST_ERROR))
}

/// What waits for the memory of a node.
#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    /// In total, in MiB; `None` when one amount is unknown.
    needed: Option<u64>,
    /// The lowest amount the node reported, in MiB.
    available: Option<u64>,
}

impl Waiting {
    fn add(&mut self, shortage: Shortage) {
        let before = if self.count == 0 { Some(0) } else { self.needed };
        self.needed = before.zip(shortage.needed).map(|(before, needed)| before.saturating_add(needed));
        self.available = self.available.into_iter().chain(shortage.available).min();
        self.count += 1;
    }

    fn amounts(&self, need: &str, in_all: &str) -> String {
        match (self.needed, self.available) {
            (Some(needed), Some(available)) => {
                format!("{need} {needed} MiB{in_all}, and {available} MiB were free")
            }
            (Some(needed), None) => format!("{need} {needed} MiB{in_all}, which was not free"),
            (None, _) => "how much is needed is unknown".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
