//! Which conditions are news.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Timestamp;
use crate::memory::recovery::Told;
use crate::tell::{LogLine, Severity};

/// What did not change is told again after this many seconds. A little less than an hour: runs are five
/// minutes apart, but not exactly.
const AGAIN_AFTER: f64 = 3600.0 - 30.0;

/// The key of how the group is as a whole.
const GROUP: &str = "group";

/// One condition, told in one line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    key: String,
    mark: u32,
    line: LogLine,
    is_wait: bool,
}

impl Condition {
    /// `marks` is what makes it another condition when it changes: names, and how often each has failed.
    pub(super) fn new<'m>(key: String, marks: impl Iterator<Item = (&'m str, u64)>, line: LogLine) -> Self {
        let bytes = |(name, failures): (&'m str, u64)| {
            name.bytes().chain([0]).chain(failures.to_le_bytes()).collect::<Vec<u8>>()
        };
        Self { key, mark: mark(marks.flat_map(bytes)), line, is_wait: false }
    }

    /// Whether it is one of a wait after failures, which ends for some of its instances before others.
    pub(super) fn waiting(self, is_wait: bool) -> Self {
        Self { is_wait, ..self }
    }
}

/// FNV-1a.
fn mark(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn is_known(told: &BTreeMap<String, Told>, key: &str, mark: u32, now: Timestamp) -> bool {
    told.get(key).is_some_and(|before| before.mark == mark && (0.0..AGAIN_AFTER).contains(&(now - before.at)))
}

/// Whether how the group is as a whole is worth a line: when it has changed, once an hour, and when all is
/// well again (`None`). `told` is brought up to date.
pub fn is_news(still: Option<String>, told: &mut BTreeMap<String, Told>, now: Timestamp) -> bool {
    let Some(still) = still else { return told.remove(GROUP).is_some() };
    let mark = mark(still.bytes());
    if is_known(told, GROUP, mark, now) {
        return false;
    }
    told.insert(GROUP.to_owned(), Told { mark, at: now });
    true
}

/// The conditions of a group, each told in one line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions(Vec<Condition>);

impl Conditions {
    pub(super) fn new(list: Vec<Condition>) -> Self {
        Self(list)
    }

    /// A line for each.
    pub fn lines(self) -> impl Iterator<Item = LogLine> {
        self.0.into_iter().map(|condition| condition.line)
    }

    /// Without the waits after failures: while some of their instances are tried again, the others alone are
    /// no news, and when that has failed all of them wait as before.
    #[must_use]
    pub fn without_waits(mut self) -> Self {
        self.0.retain(|condition| !condition.is_wait);
        self
    }

    /// Lines for those that are new, have changed, or were told an hour ago; the others only with `--debug`.
    /// `told` is brought up to date.
    pub fn news(self, told: &mut BTreeMap<String, Told>, now: Timestamp) -> Vec<LogLine> {
        let line = |Condition { key, mark, line, .. }: Condition| {
            if is_known(told, &key, mark, now) {
                return LogLine { severity: Severity::Debug, ..line };
            }
            told.insert(key, Told { mark, at: now });
            line
        };
        self.0.into_iter().map(line).collect()
    }

    /// Forgets the conditions that are over: should they come again, they are new.
    pub fn forget_others(&self, told: &mut BTreeMap<String, Told>) {
        let keys: BTreeSet<&str> = self.0.iter().map(|condition| condition.key.as_str()).collect();
        told.retain(|key, _| key == GROUP || keys.contains(key.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(key: &str, names: &[&str]) -> Conditions {
        let marks = names.iter().map(|name| (*name, 0));
        let line = LogLine::warning(names.join(" "));
        Conditions(vec![Condition::new(key.to_owned(), marks, line)])
    }

    #[test]
    fn a_condition_is_told_when_it_changes_and_then_once_an_hour() {
        let mut told = BTreeMap::new();
        let mut is_told = |names: &[&str], now: f64| {
            let lines = seen("k", names).news(&mut told, now);
            lines[0].severity == Severity::Warning
        };
        assert!(is_told(&["a"], 0.0));
        assert!(!is_told(&["a"], 300.0));
        assert!(is_told(&["a", "b"], 600.0));
        let again: Vec<f64> = (1..=24).map(|run| 600.0 + 300.0 * f64::from(run)).collect();
        let times = again.into_iter().filter(|now| is_told(&["a", "b"], *now)).count();
        assert_eq!(times, 2, "two hours");
        assert!(is_told(&["a", "b"], 100.0), "the clock was set back");
    }

    #[test]
    fn waits_are_told_when_what_is_tried_again_has_ended() {
        let all = || {
            let Conditions(mut list) = seen("k", &["a"]);
            list.extend(seen("wait", &["b"]).0.into_iter().map(|condition| condition.waiting(true)));
            Conditions(list)
        };
        let mut told = BTreeMap::new();
        assert_eq!(all().without_waits().news(&mut told, 0.0).len(), 1);
        let severities: Vec<Severity> =
            all().news(&mut told, 60.0).into_iter().map(|line| line.severity).collect();
        assert_eq!(severities, [Severity::Debug, Severity::Warning]);
    }

    #[test]
    fn a_condition_that_was_over_is_new_when_it_comes_again() {
        let mut told = BTreeMap::new();
        drop(seen("k", &["a"]).news(&mut told, 0.0));
        drop(seen("other", &["a"]).news(&mut told, 0.0));
        seen("other", &["a"]).forget_others(&mut told);
        assert_eq!(told.keys().collect::<Vec<_>>(), ["other"]);
        assert_eq!(seen("k", &["a"]).news(&mut told, 300.0)[0].severity, Severity::Warning);
    }
}
