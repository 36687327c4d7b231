//! The sentence for one cause.

use super::told::Condition;
use crate::cluster::{InstanceStatus, Timestamp};
use crate::decide::budget::{MAX_TRIES, RETRY_EXPIRATION};
use crate::decide::reason::Reason;
use crate::decide::verdict::Verdict;
use crate::memory::recovery::{FailedMove, LastFailure};
use crate::tell::line::LogLine;
use crate::tell::words::{Times, count, duration, error, list, silent, tag};

/// Instances that are in the same condition for the same cause.
pub(super) struct Cause<'v> {
    /// A code, and what distinguishes this cause from others with the same code.
    pub(super) key: String,
    pub(super) of: Vec<(&'v Verdict, &'v Reason)>,
}

impl Cause<'_> {
    pub(super) fn condition(&self, times: &Times) -> Option<Condition> {
        let (_, first) = self.of.first()?;
        let mut line = self.line(times)?;
        // The same word that the manual page explains.
        line.text = format!("{} [{}]", line.text, first.code());
        // Several are tried again at different times, and each try that fails has its own line.
        let often = |reason: &Reason| if self.of.len() == 1 { failures(reason) } else { 0 };
        let marks = self.of.iter().map(|(verdict, reason)| (verdict.instance.as_str(), often(reason)));
        Some(Condition::new(self.key.clone(), marks, line).waiting(failures(first) > 0))
    }

    pub(super) fn names(&self) -> String {
        list(self.of.iter().map(|(verdict, _)| verdict.instance.as_str()))
    }

    /// `instance 'a'`, or `instances a, b`.
    fn instances(&self) -> String {
        match self.of.as_slice() {
            [(verdict, _)] => format!("instance '{}'", verdict.instance),
            _ => format!("instances {}", self.names()),
        }
    }

    pub(super) fn soonest(&self, until: impl Fn(&Reason) -> Option<Timestamp>) -> Timestamp {
        self.of.iter().filter_map(|(_, reason)| until(reason)).reduce(f64::min).unwrap_or_default()
    }

    fn line(&self, times: &Times) -> Option<LogLine> {
        let (verdict, reason) = self.of.first()?;
        let (number, instances) = (self.of.len(), self.instances());
        let name = &verdict.instance;
        let (its, it) = if number == 1 { ("its", "it") } else { ("their", "them") };
        Some(match reason {
            Reason::PrimarySilent { node, since } => LogLine::warning(format!(
                "Node '{node}' {}. {} out of reach, and may still be running. The first run after the node \
                 answers starts what is down{}. If it is dead, first make sure that its power is off, then run \
                 'gnt-node modify --offline yes {node}'{}. Out of reach: {}",
                silent(*since, times),
                if number == 1 {
                    "1 instance on it is".to_owned()
                } else {
                    format!("{number} instances on it are")
                },
                if self.is_held_back_otherwise() { ", unless something else keeps it down" } else { "" },
                self.then_fail_over(node),
                self.names(),
            )),
            Reason::PrimaryOffline { node } => LogLine::warning(format!(
                "Node '{node}' is marked offline, and {} on it {} down; the watcher {}{}: {}",
                count(number, "instance"),
                if number == 1 { "is" } else { "are" },
                if number == 1 { "does not start it" } else { "starts none of them" },
                self.fail_over(node),
                self.names(),
            )),
            Reason::SecondarySilent { node, since } => LogLine::warning(format!(
                "Node '{node}' {}, and without it {} cannot be started: {}; repair the node, or \
                 make sure it is off and then run 'gnt-node modify --offline yes {node}'",
                silent(*since, times),
                if number == 1 { "this instance" } else { "these instances" },
                self.names(),
            )),
            Reason::SharedStorageUnsure { nodes } => LogLine::warning(format!(
                "Not starting {instances}: {its} storage does not keep {it} from running twice, and no \
                 answer comes from {}; repair that, or make sure that what is silent is off and \
                 then run 'gnt-node modify --offline yes' with its name",
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
            Reason::Locked if verdict.status == Some(InstanceStatus::UserDown) => {
                LogLine::info(format!("Not cleaning up {instances}, instance is locked"))
            }
            Reason::Locked => LogLine::info(format!("Not starting {instances}, instance is locked")),
            Reason::TagNever(on) => {
                LogLine::info(format!("Not starting {instances}: {} says never", tag(*on, self.of.len())))
            }
            Reason::TagHold { until, on } => LogLine::info(format!(
                "Not starting {instances}: {} holds {it} until {}",
                tag(*on, self.of.len()),
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
                "Leaving {instances} to a later run: {} node '{}' or the job queue had no room",
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
                if verdict.last_failure.is_some() { "fix that" } else { "find out why it is down" },
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
            Reason::MirrorNotActivated { .. } if number > 1 => LogLine::warning(format!(
                "Disks of {number} instances could not be activated, up to {} times in a row, next try at {}: \
                 {}; 'gnt-instance activate-disks' with a name shows why",
                self.of.iter().map(|(_, reason)| failures(reason)).max().unwrap_or_default(),
                times.moment(self.soonest(|reason| match reason {
                    Reason::MirrorNotActivated { until, .. } => Some(*until),
                    _ => None,
                })),
                self.names(),
            )),
            Reason::MirrorNotActivated { failures, until } => LogLine::warning(format!(
                "Disks of instance '{name}' could not be activated {failures} times, next try at {}; \
                 'gnt-instance activate-disks {name}' shows why",
                times.moment(*until)
            )),
            Reason::CutShort => LogLine::info(format!(
                "Leaving {instances} to a later run: this one ended with an error before {its} turn"
            )),
            Reason::StartFailed { .. }
            | Reason::NotSubmitted { .. }
            | Reason::Changed
            | Reason::Unreadable => {
                return None;
            }
        })
    }

    /// Whether one of them has another reason not to be started.
    fn is_held_back_otherwise(&self) -> bool {
        let others = |verdict: &Verdict| verdict.reasons.iter().skip(1).any(Reason::prevents_start);
        self.of.iter().any(|(verdict, _)| others(verdict))
    }

    /// How many of them Ganeti could start on another node.
    fn can_fail_over(&self) -> usize {
        self.of.iter().filter(|(verdict, _)| verdict.can_fail_over).count()
    }

    fn then_fail_over(&self, node: &str) -> String {
        match self.can_fail_over() {
            0 => String::new(),
            number if number == self.of.len() => format!(" and 'gnt-node failover {node}'"),
            number => format!(" and 'gnt-node failover {node}', which starts {number} of them elsewhere"),
        }
    }

    fn fail_over(&self, node: &str) -> String {
        match (self.can_fail_over(), self.of.len()) {
            (0, 1) => "; it has no other node that answers, so it waits for this one".to_owned(),
            (0, _) => "; they have no other node that answers, so they wait for this one".to_owned(),
            (number, all) if number == all => format!("; 'gnt-node failover {node}' starts them elsewhere"),
            (number, _) => format!("; 'gnt-node failover {node}' starts {number} of them elsewhere"),
        }
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

fn last_failure(verdict: &Verdict, times: &Times) -> String {
    let Some(LastFailure { job, error: text, at }) = &verdict.last_failure else { return String::new() };
    format!(": at {} job {job} failed: {}", times.moment(*at), error(text))
}
