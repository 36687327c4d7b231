//! What tags say about starting an instance: in which order, after which delay, and whether at all.
//!
//! Tags on the instance, its node group and the cluster, with the grammar of Ganeti's auto-repair tags:
//!
//! ```text
//! ganeti:watcher:start:tier:N           lower tiers are started first
//! ganeti:watcher:start:delay:T          not before it has been down for T
//! ganeti:watcher:start:never            not at all
//! ganeti:watcher:start:hold:TIMESTAMP   not before this moment, in seconds since the epoch
//! ganeti:watcher:start:always           takes back a never or hold from further away
//! ganeti:watcher:start:degraded:T       without its secondary, once that has been silent for T
//! ganeti:watcher:start:degraded:never   never without its secondary
//! ```
//!
//! For tier, delay, consent (`never`, `hold`, `always`) and degraded, each on its own, the nearest object
//! that says something counts, and on one object the most careful tag. A hold that is over says nothing.
//! Source of these rules: `doc/design-autorepair.rst`, `HTools/Loader.hs: getArPolicy`.

use std::time::Duration;

use crate::cluster::Timestamp;
use crate::cluster::timespec::parse_timespec;

/// What the watcher's start tags begin with.
pub const PREFIX: &str = "ganeti:watcher:start:";

/// The tier of an instance for which no tag says one. Not 0, so that a single tag puts a name server before
/// everything else and a single tag puts a batch machine after it; `tier:0` on the cluster changes that.
pub const DEFAULT_TIER: u32 = 5;

/// What tags say about starting an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct StartPolicy {
    /// Instances of a lower tier are started first.
    pub tier: u32,
    /// It is started no sooner than this long after it was first seen down.
    pub delay: Duration,
    /// Whether it may be started.
    pub consent: Consent,
    /// Whether it may be started without its secondary; `None` leaves it to `--start-degraded`.
    pub degraded: Option<Degraded>,
}

/// Whether an instance may be started.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Consent {
    /// It may.
    Given,
    /// It may not.
    Never {
        /// What has the tag.
        on: Place,
    },
    /// Not before a moment that is still to come.
    HeldUntil {
        /// The moment.
        when: Timestamp,
        /// What has the tag.
        on: Place,
    },
}

/// Whether an instance may be started without its secondary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Degraded {
    /// Once the secondary has been silent for this long.
    After(Duration),
    /// It may not.
    Never,
}

/// What has a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The instance.
    Instance,
    /// The node group of its primary node.
    Group,
    /// The cluster.
    Cluster,
}

/// The very object that has a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The instance of this name.
    Instance(String),
    /// The node group of this name.
    Group(String),
    /// The cluster.
    Cluster,
}

/// A watcher tag that does not do what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It cannot be read.
    Unreadable {
        /// The whole tag.
        tag: String,
        /// The error.
        why: String,
    },
    /// It yields to a more careful one on the same object.
    Yields {
        /// The whole tag.
        tag: String,
        /// The other one.
        to: String,
    },
}

/// What one object's tags say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules(Vec<Rule>);

/// What one tag says. Among those of one kind, the more careful is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Tier(u32),
    Delay(Duration),
    Always,
    Hold(u64),
    Never,
    Degraded(Degraded),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tier,
    Delay,
    Consent,
    Degraded,
}

impl Rules {
    /// Reads the tags of one object. Tags that are not the watcher's are passed over; watcher tags that
    /// cannot be read, or that yield to a more careful one, are returned as problems.
    #[must_use]
    pub fn parse<'tag>(tags: impl IntoIterator<Item = &'tag str>) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut readable = Vec::new();
        for tag in tags {
            match tag.strip_prefix(PREFIX).map(Rule::parse) {
                None => {}
                Some(Ok(rule)) => readable.push((rule, tag)),
                Some(Err(why)) => {
                    problems.push(Problem::Unreadable { tag: tag.to_owned(), why });
                }
            }
        }
        for (rule, tag) in &readable {
            let same_kind = readable.iter().filter(|(other, _)| other.kind() == rule.kind());
            if let Some((_, strictest)) = same_kind.max()
                && strictest != tag
            {
                problems.push(Problem::Yields { tag: (*tag).to_owned(), to: (*strictest).to_owned() });
            }
        }
        (Self(readable.into_iter().map(|(rule, _)| rule).collect()), problems)
    }

    fn strictest(&self, kind: Kind, now: Timestamp) -> Option<Rule> {
        self.0.iter().filter(|rule| rule.kind() == kind && !rule.is_over(now)).max().copied()
    }
}

impl Rule {
    /// Reads what follows [`PREFIX`]. The error is a phrase.
    fn parse(text: &str) -> Result<Self, String> {
        let (word, value) = match text.split_once(':') {
            Some((word, value)) => (word, Some(value)),
            None => (text, None),
        };
        match (word, value) {
            ("tier", Some(value)) => {
                let tier = value.parse();
                tier.map(Self::Tier)
                    .map_err(|_| format!("'{value}' is not a whole number from 0 to {}", u32::MAX))
            }
            ("delay", Some(value)) => parse_duration(value).map(Self::Delay),
            ("never", None) => Ok(Self::Never),
            ("always", None) => Ok(Self::Always),
            ("hold", Some(value)) => {
                let when = value.parse();
                when.map(Self::Hold)
                    .map_err(|_| format!("'{value}' is not a time in seconds since the epoch"))
            }
            ("degraded", Some("never")) => Ok(Self::Degraded(Degraded::Never)),
            ("degraded", Some(value)) => {
                parse_duration(value).map(|after| Self::Degraded(Degraded::After(after)))
            }
            _ => Err(format!(
                "expected tier:N, delay:T, never, always, hold:TIMESTAMP, degraded:T or degraded:never after '{PREFIX}'"
            )),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Tier(_) => Kind::Tier,
            Self::Delay(_) => Kind::Delay,
            Self::Always | Self::Hold(_) | Self::Never => Kind::Consent,
            Self::Degraded(_) => Kind::Degraded,
        }
    }

    fn is_over(self, now: Timestamp) -> bool {
        matches!(self, Self::Hold(when) if when as Timestamp <= now)
    }
}

impl Default for StartPolicy {
    /// What applies without any tags.
    fn default() -> Self {
        Self { tier: DEFAULT_TIER, delay: Duration::ZERO, consent: Consent::Given, degraded: None }
    }
}

impl StartPolicy {
    /// What the tags of an instance, its node group and the cluster amount to at this moment.
    #[must_use]
    pub fn of(instance: &Rules, group: &Rules, cluster: &Rules, now: Timestamp) -> Self {
        let places = [(Place::Instance, instance), (Place::Group, group), (Place::Cluster, cluster)];
        let mut policy = Self::default();
        for kind in [Kind::Tier, Kind::Delay, Kind::Consent, Kind::Degraded] {
            let nearest =
                places.iter().find_map(|(place, rules)| Some((*place, rules.strictest(kind, now)?)));
            match nearest {
                None | Some((_, Rule::Always)) => {}
                Some((_, Rule::Tier(tier))) => policy.tier = tier,
                Some((_, Rule::Delay(delay))) => policy.delay = delay,
                Some((on, Rule::Hold(when))) => {
                    policy.consent = Consent::HeldUntil { when: when as Timestamp, on };
                }
                Some((on, Rule::Never)) => policy.consent = Consent::Never { on },
                Some((_, Rule::Degraded(degraded))) => policy.degraded = Some(degraded),
            }
        }
        policy
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = u64::try_from(parse_timespec(text)?);
    seconds.map(Duration::from_secs).map_err(|_| format!("the time '{text}' is negative"))
}

#[cfg(test)]
mod tests;
