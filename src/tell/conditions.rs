//! Conditions that last: what keeps instances from running or from being whole. One line for each cause,
//! however many instances it concerns, when it changes and then once an hour.

mod cause;
mod told;
mod waits;

use std::collections::BTreeMap;

use cause::Cause;
use told::Condition;
pub use told::{Conditions, is_news};

use super::line::LogLine;
use super::words::{Times, blocked_by, list, place, silent};
use crate::decide::blame::Blame;
use crate::decide::reason::{NODE_SILENT, Reason};
use crate::decide::verdict::{NodeVerdict, Verdict, Verdicts};
use crate::memory::recovery::BlockedBy;

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
    let is_told = |node: &NodeVerdict| {
        let of_node = |code| index.contains_key(&format!("{code} {}", node.node));
        of_node("primary_silent") || of_node("secondary_silent")
    };
    let silent = verdicts.nodes().iter().filter(|node| !node.is_offline);
    let silent = silent.filter_map(|node| node_silent(node, is_told(node), verdicts, times));
    Conditions::new(causes.iter().filter_map(|cause| cause.condition(times)).chain(silent).collect())
}

/// A node that does not answer: what runs without its mirror there. `None` when another line tells of the
/// node and nothing does.
fn node_silent(
    verdict: &NodeVerdict,
    is_told: bool,
    verdicts: &Verdicts,
    times: &Times,
) -> Option<Condition> {
    let NodeVerdict { node, since, primaries, secondaries, .. } = verdict;
    let runs = |name: &&String| verdicts.get(name).is_some_and(Verdict::runs);
    let names: Vec<&str> = secondaries.iter().filter(runs).map(String::as_str).collect();
    let run = match names.as_slice() {
        [_] => "1 instance runs without its mirror".to_owned(),
        names => format!("{} instances run without their mirrors", names.len()),
    };
    let text = match (is_told, names.is_empty()) {
        (true, true) => return None,
        (true, false) => format!("{run} on node '{node}', which does not answer: {}", list(names.clone())),
        (false, is_empty) => {
            let (run, list) = match is_empty {
                true if primaries.is_empty() && secondaries.is_empty() => {
                    ("no instance that should run has a disk there".to_owned(), String::new())
                }
                // What is down with it for another reason is told of with that reason.
                true => ("no instance is known to run without its mirror there".to_owned(), String::new()),
                false => (run, format!(": {}", list(names.clone()))),
            };
            format!(
                "Node '{node}' {}; repair it, or make sure that it is off and then run 'gnt-node modify \
                 --offline yes {node}'; {run}{list}",
                silent(*since, times)
            )
        }
    };
    let line = LogLine::warning(format!("{text} [{NODE_SILENT}]"));
    Some(Condition::new(format!("{NODE_SILENT} {node}"), names.into_iter().map(|name| (name, 0)), line))
}

/// An instance that is given up stays out of tries: one condition.
pub(super) fn code(reason: &Reason) -> &'static str {
    match reason {
        Reason::GivenUp { .. } => Reason::OutOfTries { until: 0.0 }.code(),
        reason => reason.code(),
    }
}

/// What instances must have in common to be in one line; `None` when another line says it all.
pub(super) fn subject(verdict: &Verdict, reason: &Reason) -> Option<String> {
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
        Reason::Delay { .. } | Reason::Paused | Reason::Drained | Reason::CutShort => String::new(),
        Reason::Locked
        | Reason::MoveFailed(_)
        | Reason::OutOfTries { .. }
        | Reason::GivenUp { .. }
        | Reason::CleanUpOutOfTries
        | Reason::Flapping { .. }
        | Reason::SplitGroups { .. }
        | Reason::StatusUnknown { .. }
        | Reason::MirrorNotActive
        | Reason::MirrorDegraded { .. } => own(),
        Reason::MirrorNotActivated { failures: 2.., .. } => verdict.secondaries.join(","),
        // It is tried again in the next run.
        Reason::MirrorNotActivated { .. } => return None,
        // The errors of jobs and of rows, and what has changed, are told as they come.
        Reason::StartFailed { .. } | Reason::NotSubmitted { .. } | Reason::Changed | Reason::Unreadable => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests;
