//! What the tags of a group say about starting its instances.

use std::collections::BTreeMap;

use super::event::Event;
use super::tags::{Holder, Rules, StartPolicy};
use crate::cluster::{Snapshot, Timestamp};

/// The policies of a group's instances.
#[derive(Debug, Clone, PartialEq)]
pub struct Policies {
    /// For instances without tags of their own.
    default: StartPolicy,
    /// For those that have some.
    special: BTreeMap<String, StartPolicy>,
}

impl Policies {
    /// Reads the tags of a group's instances, of the group and of the cluster. Tags that cannot be read do
    /// nothing, and are returned as problems. `now` decides which holds are over.
    #[must_use]
    pub fn read(snapshot: &Snapshot, cluster_tags: &[String], now: Timestamp) -> (Self, Vec<Event>) {
        let mut problems = Vec::new();
        let mut rules = |on: Holder, tags: &[String]| {
            let (rules, found) = Rules::parse(tags.iter().map(String::as_str));
            problems.extend(found.into_iter().map(|problem| Event::TagProblem { on: on.clone(), problem }));
            rules
        };
        let cluster = rules(Holder::Cluster, cluster_tags);
        let group = rules(Holder::Group(snapshot.group_name.clone()), &snapshot.tags);
        let none = Rules::default();
        let mut special = BTreeMap::new();
        for instance in snapshot.instances.iter().filter(|instance| !instance.tags.is_empty()) {
            let own = rules(Holder::Instance(instance.name.clone()), &instance.tags);
            if own != none {
                special.insert(instance.name.clone(), StartPolicy::of(&own, &group, &cluster, now));
            }
        }
        let default = StartPolicy::of(&none, &group, &cluster, now);
        (Self { default, special }, problems)
    }

    /// The policy of an instance.
    #[must_use]
    pub fn of(&self, instance: &str) -> &StartPolicy {
        self.special.get(instance).unwrap_or(&self.default)
    }

    /// Whether instances have different turns, or have to wait for theirs.
    #[must_use]
    pub fn order_matters(&self) -> bool {
        let mut all = self.special.values().chain([&self.default]);
        all.any(|policy| policy.tier != self.default.tier || !policy.delay.is_zero())
    }

    pub(super) fn default_tier(&self) -> u32 {
        self.default.tier
    }
}

#[cfg(test)]
mod tests;
