//! Which conditions are news.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Timestamp;
use crate::memory::recovery::Told;
use crate::tell::{LogLine, Severity};

/// What did not change is told again after this many seconds. A little less than an hour: runs are five
/// minutes apart, but not exactly.
const AGAIN_AFTER: f64 = 3600.0 - 30.0;

/// One condition, told in one line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    key: String,
    mark: u32,
    line: LogLine,
}

impl Condition {
    /// `marks` is what makes it another condition when it changes: names, and how often each has failed.
    pub(super) fn new<'m>(key: String, marks: impl Iterator<Item = (&'m str, u64)>, line: LogLine) -> Self {
        // FNV-1a.
        let add = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let mark = marks.fold(0x811c_9dc5, |hash, (name, failures)| {
            name.bytes().chain([0]).chain(failures.to_le_bytes()).fold(hash, add)
        });
        Self { key, mark, line }
    }
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

    /// Lines for those that are new, have changed, or were told an hour ago; the others only with `--debug`.
    /// `told` is brought up to date.
    pub fn news(self, told: &mut BTreeMap<String, Told>, now: Timestamp) -> Vec<LogLine> {
        let line = |Condition { key, mark, line }: Condition| {
            let is_known = told
                .get(&key)
                .is_some_and(|before| before.mark == mark && (0.0..AGAIN_AFTER).contains(&(now - before.at)));
            if is_known {
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
        told.retain(|key, _| keys.contains(key.as_str()));
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
    fn a_condition_that_was_over_is_new_when_it_comes_again() {
        let mut told = BTreeMap::new();
        drop(seen("k", &["a"]).news(&mut told, 0.0));
        drop(seen("other", &["a"]).news(&mut told, 0.0));
        seen("other", &["a"]).forget_others(&mut told);
        assert_eq!(told.keys().collect::<Vec<_>>(), ["other"]);
        assert_eq!(seen("k", &["a"]).news(&mut told, 300.0)[0].severity, Severity::Warning);
    }
}
