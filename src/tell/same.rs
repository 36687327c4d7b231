//! Instances that have a cause in common, and the clauses about them: why, what happens next, what to do.

use std::collections::BTreeMap;

use super::conditions::{code, subject};
use super::remedy;
use super::shortage::Waiting;
use super::words::{LONGEST_LIST, Times, blocked_by, duration, error, list, silent, tag};
use crate::cluster::Timestamp;
use crate::decide::blame::Blame;
use crate::decide::budget::MAX_TRIES;
use crate::decide::reason::Reason;
use crate::decide::remedy::{Command, Next};
use crate::decide::verdict::{Progress, Verdict};
use crate::memory::recovery::{BlockedBy, FailedMove, LastFailure};

/// Instances about which the same is to be said: at least one.
#[derive(Debug, Clone)]
pub(super) struct Same<'v> {
    first: &'v Verdict,
    others: Vec<&'v Verdict>,
}

impl<'v> Same<'v> {
    pub(super) fn new(verdict: &'v Verdict) -> Self {
        Self { first: verdict, others: Vec::new() }
    }

    /// Those that have a cause in common, in the order of the first of each.
    pub(super) fn groups(verdicts: impl Iterator<Item = &'v Verdict>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        let mut index: BTreeMap<String, usize> = BTreeMap::new();
        for verdict in verdicts {
            let next = groups.len();
            let at = *index.entry(cause(verdict)).or_insert(next);
            match groups.get_mut(at) {
                Some(same) => same.others.push(verdict),
                None => groups.push(Self::new(verdict)),
            }
        }
        groups
    }

    fn iter(&self) -> impl Iterator<Item = &'v Verdict> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }

    pub(super) fn number(&self) -> usize {
        1 + self.others.len()
    }

    pub(super) fn names(&self) -> String {
        list(self.iter().map(|verdict| verdict.instance.as_str()))
    }

    fn is_one(&self) -> bool {
        self.others.is_empty()
    }

    /// Why they are as they are; `None` when nothing is wrong.
    pub(super) fn because(&self, times: &Times) -> Option<String> {
        let primary = &self.first.primary;
        let (it, them, its) = match self.is_one() {
            true => ("it", "it", "its"),
            false => ("they", "them", "their"),
        };
        Some(match self.first.decides()? {
            Reason::PrimarySilent { node, since } => format!("node '{node}' {}", silent(*since, times)),
            Reason::PrimaryOffline { node } => format!("node '{node}' is marked offline"),
            Reason::SecondarySilent { node, since } => {
                format!("{its} secondary node '{node}' {}", silent(*since, times))
            }
            Reason::SharedStorageUnsure { nodes } => format!(
                "{its} storage does not keep {them} from running twice, and no answer comes from {}",
                list(nodes.iter().map(String::as_str))
            ),
            Reason::MoveFailed(FailedMove { job, summary }) => {
                format!("job {job} ({summary}) failed, so {it} may be running on another node")
            }
            Reason::JobRunning(job) => format!("{job} is working on {them}"),
            Reason::Locked => format!("somebody holds {its} lock"),
            Reason::TagNever(on) => format!("{} says never", tag(*on, self.number())),
            Reason::TagHold { until, on } => {
                format!("{} holds {them} until {}", tag(*on, self.number()), times.moment(*until))
            }
            Reason::Tier { behind, .. } => format!("{its} tier waits for instance '{behind}'"),
            Reason::Delay { .. } => format!("{its} delay is not over"),
            Reason::Room => format!("{its} node '{primary}' is busy"),
            Reason::Backoff { by, failures, .. } => {
                let start = if *failures > 1 { "starts" } else { "start" };
                format!("{its} last {start} failed because of {}{}", self.culprit(by), self.last_error())
            }
            Reason::NoMemory { .. } => {
                format!("node '{primary}' does not have enough memory for {them} ({})", self.shortage())
            }
            Reason::OutOfTries { .. }
            | Reason::GivenUp { .. }
            | Reason::StartFailed { tries: MAX_TRIES.. } => {
                let error = match self.last_error() {
                    unknown if unknown.is_empty() => ", and no error is known".to_owned(),
                    error => error,
                };
                format!("{MAX_TRIES} tries have not brought {them} up{error}")
            }
            Reason::CleanUpOutOfTries => format!("the clean-up after {its} user's shutdown failed too often"),
            Reason::StartFailed { tries } => {
                format!("try {tries} of {MAX_TRIES} has not brought {them} up{}", self.last_error())
            }
            Reason::NotSubmitted { why } => format!("luxid did not take {its} job: {}", error(why)),
            Reason::Changed => format!("something about {them} changed during the run"),
            Reason::Flapping { times: often } => {
                format!("{it} came up and went down again {often} times within an hour")
            }
            Reason::Paused => "the watcher is paused".to_owned(),
            Reason::Drained => "the job queue is drained".to_owned(),
            Reason::CutShort => format!("the run ended with an error before {its} turn"),
            Reason::SplitGroups { .. } => format!("{its} nodes are in different node groups"),
            Reason::Unreadable => format!("luxid describes {them} in a way that cannot be read"),
            Reason::StatusUnknown { word } => format!("this version does not know the status '{word}'"),
            Reason::MirrorNotActive => {
                format!(
                    "Ganeti does not consider {its} disks active, and so does not look after their mirror"
                )
            }
            Reason::MirrorDegraded { since } => format!(
                "started without the secondary node at {}, and the mirror is not whole yet",
                times.moment(*since)
            ),
            Reason::MirrorPeerAway { node: Some(node) } => {
                format!("{its} disks have to be activated again, and node '{node}' does not answer")
            }
            Reason::MirrorPeerAway { node: None } => {
                format!("{its} disks have to be activated again, and not all {its} nodes answer")
            }
            Reason::MirrorNotActivated { .. } => format!("{its} disks could not be activated"),
        })
    }

    /// What happens without anybody's help; `None` when that is nothing.
    pub(super) fn next(&self, times: &Times) -> Option<String> {
        if self.first.progress == Progress::Starting {
            return Some("the next run does it".to_owned());
        }
        let reason = self.first.decides()?;
        let until = match reason {
            Reason::GivenUp { .. } | Reason::OutOfTries { .. } => anew,
            _ => tried_again,
        };
        let mut moments: Vec<Timestamp> =
            self.iter().filter_map(Verdict::decides).filter_map(until).collect();
        moments.sort_by(f64::total_cmp);
        if let (Some(first), Some(last)) = (moments.first(), moments.last()) {
            let wait = duration(first - times.now);
            let (first, last) = (times.moment(*first), times.moment(*last));
            return Some(match first == last {
                true => format!("the first run after {first} tries again, in {wait}"),
                false => format!("runs after {first} try again, the first in {wait}"),
            });
        }
        match (reason, reason.next()) {
            (Reason::Flapping { .. }, _) | (_, Next::Never) => None,
            (Reason::MirrorDegraded { .. }, _) => Some("the next run looks at it again".to_owned()),
            (_, next) => Some(remedy::next(&next, times)),
        }
    }

    /// What somebody can do about it, with the commands; `None` when that is nothing.
    pub(super) fn advice(&self) -> Option<String> {
        let commands = self.commands();
        let joined =
            |with: &str| commands.iter().map(|one| format!("'{one}'")).collect::<Vec<_>>().join(with);
        let then = joined(", then ");
        // Not all of them may have a node to go to.
        let elsewhere = match self.iter().filter(|verdict| verdict.can_fail_over).count() {
            0 => String::new(),
            number if number == self.number() => String::new(),
            number => format!(", which starts {number} of them elsewhere"),
        };
        Some(match self.first.decides()? {
            Reason::PrimarySilent { .. } => {
                let then = joined(" and ");
                format!("if it is dead, first make sure that its power is off, then run {then}{elsewhere}")
            }
            Reason::PrimaryOffline { .. } => match (commands.is_empty(), self.is_one()) {
                (true, true) => "it has no other node that answers, so it needs this one".to_owned(),
                (true, false) => "they have no other node that answers, so they need this one".to_owned(),
                (false, true) => format!("{then} starts it elsewhere"),
                (false, false) if elsewhere.is_empty() => format!("{then} starts them elsewhere"),
                (false, false) => format!("{then}{elsewhere}"),
            },
            Reason::SecondarySilent { .. }
            | Reason::SharedStorageUnsure { .. }
            | Reason::MirrorPeerAway { node: Some(_) } => {
                format!("repair it, or make sure that it is off and then run {then}")
            }
            Reason::MoveFailed(_) => format!("find out where it is, then run {}", joined(" or ")),
            Reason::OutOfTries { .. }
            | Reason::GivenUp { .. }
            | Reason::StartFailed { tries: MAX_TRIES.. } => {
                let is_known = self.first.last_failure.is_some();
                format!("{}, then run {then}", if is_known { "fix that" } else { "find out why" })
            }
            Reason::NoMemory { .. } => {
                let some = if self.is_one() { "it" } else { "some of them" };
                format!("free memory there, or move {some}; {then} ends the wait")
            }
            Reason::Backoff { .. } => format!("{then} ends the wait"),
            Reason::CleanUpOutOfTries => format!("to try again: {then}"),
            Reason::MirrorNotActive => format!("{then} repairs that"),
            Reason::MirrorNotActivated { .. } => format!("{then} shows why"),
            Reason::Flapping { .. } => {
                format!("its console and its log on node '{}' may tell why", self.first.primary)
            }
            Reason::Drained => format!("{then} opens it"),
            _ => return None,
        })
    }

    /// What to type for all of them, in order. One command gives several their tries back.
    fn commands(&self) -> Vec<String> {
        let mut retried: Vec<String> = Vec::new();
        let mut commands: Vec<String> = Vec::new();
        for one in self.iter().flat_map(Verdict::commands) {
            match one {
                Command::Retry(instance) => retried.push(instance),
                other => {
                    let other = remedy::command(&other);
                    if !commands.contains(&other) {
                        commands.push(other);
                    }
                }
            }
        }
        if !retried.is_empty() {
            let names = retried.join(" ");
            let names = if names.len() > LONGEST_LIST { "--all".to_owned() } else { names };
            commands.push(remedy::command(&Command::Retry(names)));
        }
        commands
    }

    /// `; the last error, of job 77, was …`, or nothing if none is known.
    fn last_error(&self) -> String {
        let failures = self.iter().filter_map(|verdict| verdict.last_failure.as_ref());
        let last = failures.max_by(|one, other| one.at.total_cmp(&other.at));
        last.map_or_else(String::new, |LastFailure { job, error: text, .. }| {
            format!("; the last error, of job {job}, was {}", error(text))
        })
    }

    fn culprit(&self, by: &BlockedBy) -> String {
        match (by, self.first.secondaries.as_slice()) {
            (BlockedBy::Known(Blame::Node), _) => format!("node '{}'", self.first.primary),
            (BlockedBy::Known(Blame::Peer), [node]) => format!("node '{node}', the secondary"),
            (BlockedBy::Known(Blame::Instance), _) if !self.is_one() => "the instances themselves".to_owned(),
            _ => blocked_by(by),
        }
    }

    fn shortage(&self) -> String {
        let mut waiting = Waiting::default();
        for verdict in self.iter() {
            if let Some(Reason::NoMemory { shortage, .. }) = verdict.decides() {
                waiting.add(*shortage);
            }
        }
        if self.is_one() { waiting.amounts("it needs", "") } else { waiting.amounts("they need", " in all") }
    }
}

/// What instances must have in common.
fn cause(verdict: &Verdict) -> String {
    let Some(reason) = verdict.decides() else { return String::new() };
    // An error often names its instance.
    let last_error = || {
        let error = verdict.last_failure.as_ref().map(|failure| failure.error.as_str());
        error.unwrap_or_default().replace(&verdict.instance, "")
    };
    let about = match reason {
        Reason::OutOfTries { .. } | Reason::GivenUp { .. } => last_error(),
        Reason::StartFailed { tries } => format!("{tries} {}", last_error()),
        Reason::NotSubmitted { why } => why.clone(),
        Reason::Backoff { .. } => {
            format!("{} {}", subject(verdict, reason).unwrap_or_default(), last_error())
        }
        reason => subject(verdict, reason).unwrap_or_default(),
    };
    format!("{} {about}", code(reason))
}

/// When it is given all its tries back.
fn anew(reason: &Reason) -> Option<Timestamp> {
    match reason {
        Reason::GivenUp { until } | Reason::OutOfTries { until } => Some(*until),
        _ => None,
    }
}

fn tried_again(reason: &Reason) -> Option<Timestamp> {
    match reason.next() {
        Next::At(at) => Some(at),
        _ => None,
    }
}
