//! Names, times and causes in words.

use std::fmt::Write as _;

use jiff::civil::DateTime;

use crate::clock;
use crate::cluster::{LONGEST_NAME, LONGEST_QUOTE, Timestamp, excerpt, quoted};
use crate::decide::blame::Blame;
use crate::decide::tags::{Holder, Place};
use crate::memory::recovery::BlockedBy;

/// The names in one line take no more than this, in bytes: people grep for an instance, so all of them are
/// there wherever that is possible.
pub(super) const LONGEST_LIST: usize = 4096;

/// The longest part of a job's error that a line repeats, in bytes: a little more than what is remembered of
/// it, so that it is not shortened twice.
const LONGEST_ERROR: usize = 400;

/// Turns moments into words.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// What time it is.
    pub now: Timestamp,
    local: fn(Timestamp) -> DateTime,
}

impl Times {
    /// In local time.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now, local: clock::local_time }
    }

    /// In UTC, for tests.
    #[cfg(test)]
    pub(crate) fn utc(now: Timestamp) -> Self {
        Self { now, local: clock::utc_time }
    }

    /// A moment: `03:04` on the same day, otherwise `21 Nov 03:04`, with the year if that is another one.
    pub(super) fn moment(&self, at: Timestamp) -> String {
        let (at, now) = ((self.local)(at), (self.local)(self.now));
        let form = match () {
            () if at.date() == now.date() => "%H:%M",
            () if at.year() == now.year() => "%-d %b %H:%M",
            () => "%-d %b %Y %H:%M",
        };
        at.strftime(form).to_string()
    }

    /// ` since 03:04`, or nothing if that is unknown.
    pub(super) fn since(&self, since: Option<Timestamp>) -> String {
        since.map_or_else(String::new, |since| format!(" since {}", self.moment(since)))
    }
}

/// A duration, to the second below an hour: `41 s`, `2 min 8 s`, `8 h 5 min`, `14 days`.
pub(super) fn duration(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and cut off")]
    let seconds = seconds.max(0.0).round() as u64;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (48.., ..) if hours % 24 == 0 => format!("{} days", hours / 24),
        (48.., ..) => format!("{} days {} h", hours / 24, hours % 24),
        (0, 0, rest) => format!("{rest} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, rest) => format!("{minutes} min {rest} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// `1 instance`, `2 instances`.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// The names, as many as fit into a line, and how many more there are.
pub(super) fn list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut text = String::new();
    let mut names = names.into_iter();
    for name in names.by_ref() {
        let name = excerpt(name, LONGEST_NAME);
        // Writing to a String does not fail.
        let _written = write!(text, "{}{name}", if text.is_empty() { "" } else { ", " });
        if text.len() > LONGEST_LIST {
            break;
        }
    }
    match names.count() {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// A job's error, as much of it as fits into a line.
pub(super) fn error(text: &str) -> String {
    excerpt(text, LONGEST_ERROR)
}

/// `does not answer, first seen at 03:04`.
pub(super) fn silent(since: Option<Timestamp>, times: &Times) -> String {
    match since {
        Some(since) => format!("does not answer, first seen at {}", times.moment(since)),
        None => "does not answer".to_owned(),
    }
}

/// The names in as many lists as they need; see [`list`].
pub(super) fn lists<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let mut lists: Vec<String> = Vec::new();
    for name in names {
        let name = excerpt(name, LONGEST_NAME);
        match lists.last_mut() {
            Some(list) if list.len() + name.len() < LONGEST_LIST => {
                let _written = write!(list, ", {name}");
            }
            _ => lists.push(name),
        }
    }
    lists
}

pub(super) fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Instance => "the instance itself",
        Blame::Node => "its primary node",
        Blame::Peer => "its secondary node",
        Blame::Queue => "the job queue",
        Blame::Master => "the master",
        Blame::Unknown => "an unknown cause",
    }
}

pub(super) fn blocked_by(by: &BlockedBy) -> String {
    match by {
        BlockedBy::Known(known) => blame(*known).to_owned(),
        BlockedBy::Other(text) => {
            format!("something unknown to this version, {}", quoted(text, LONGEST_QUOTE))
        }
    }
}

pub(super) fn place(place: Place) -> &'static str {
    match place {
        Place::Instance => "the instance",
        Place::Group => "its node group",
        Place::Cluster => "the cluster",
    }
}

/// The tag that so many instances have in common, and what has it.
pub(super) fn tag(on: Place, number: usize) -> String {
    match (on, number) {
        (Place::Instance, 2..) => "a tag of each".to_owned(),
        (Place::Group, 2..) => "a tag of their node group".to_owned(),
        _ => format!("a tag of {}", place(on)),
    }
}

pub(super) fn holder(holder: &Holder) -> String {
    match holder {
        Holder::Instance(name) => format!("instance '{name}'"),
        Holder::Group(name) => format!("node group '{name}'"),
        Holder::Cluster => "the cluster".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_as_short_as_is_clear() {
        // 2026-11-25 03:04:05 UTC.
        let now = 1_795_575_845.0;
        let times = Times::utc(now);
        assert_eq!(times.moment(now), "03:04");
        assert_eq!(times.moment(now - 86_400.0), "24 Nov 03:04");
        assert_eq!(times.moment(now + 86_400.0 * 60.0), "24 Jan 2027 03:04");
        assert_eq!((times.since(None).as_str(), times.since(Some(now)).as_str()), ("", " since 03:04"));
        for impossible in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert!(times.moment(impossible).ends_with(|last: char| last.is_ascii_digit()));
        }
    }

    #[test]
    fn causes_places_and_holders_have_their_words() {
        use Blame::{Instance, Master, Node, Peer, Queue, Unknown};
        let words = [Instance, Node, Peer, Queue, Master, Unknown].map(blame);
        let expected = [
            "the instance itself",
            "its primary node",
            "its secondary node",
            "the job queue",
            "the master",
            "an unknown cause",
        ];
        assert_eq!(words, expected);
        assert_eq!(blocked_by(&BlockedBy::Known(Node)), "its primary node");
        let other = blocked_by(&BlockedBy::Other("the\nweather".into()));
        assert_eq!(other, "something unknown to this version, 'the\\nweather'");
        let places = [Place::Instance, Place::Group, Place::Cluster].map(place);
        assert_eq!(places, ["the instance", "its node group", "the cluster"]);
        let holders = [Holder::Instance("i".into()), Holder::Group("g".into()), Holder::Cluster];
        assert_eq!(holders.map(|object| holder(&object)), ["instance 'i'", "node group 'g'", "the cluster"]);
    }

    #[test]
    fn durations_are_in_the_units_that_people_use() {
        let words = [0.4, 41.0, 60.0, 128.0, 3600.0, 29_100.0, -5.0].map(duration);
        assert_eq!(words, ["0 s", "41 s", "1 min", "2 min 8 s", "1 h", "8 h 5 min", "0 s"]);
        let long = [169_200.0, 172_800.0, 183_600.0, 1_209_600.0].map(duration);
        assert_eq!(long, ["47 h", "2 days", "2 days 3 h", "14 days"]);
    }

    #[test]
    fn a_list_has_every_name_until_it_is_too_long() {
        let names: Vec<String> = (0..200).map(|number| format!("inst{number}.example.com")).collect();
        let text = list(names.iter().map(String::as_str));
        assert!(text.contains("inst199.example.com") && !text.contains("more"), "{text}");
        let names: Vec<String> = (0..2000).map(|number| format!("inst{number}.example.com")).collect();
        let text = list(names.iter().map(String::as_str));
        assert!(text.len() < LONGEST_LIST + 300 && text.contains(" more"), "{}", text.len());
        assert_eq!((list([]), list(["a"]), list(["a", "b"])), (String::new(), "a".into(), "a, b".into()));
    }
}
