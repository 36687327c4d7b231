//! Whose turn it is: start tiers and delays, as set by tags.

use std::collections::BTreeMap;

use super::policy::Policies;
use super::tags::Consent;
use crate::cluster::{AdminState, Instance, InstanceStatus, Snapshot, Timestamp};
use crate::memory::state::State;

/// This many seconds after the watcher first saw an instance down, higher tiers stop waiting for it: one that
/// never starts must not keep the others down.
pub const TIER_PATIENCE: f64 = 600.0;

/// When an instance may be started.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Turn {
    /// After those with a lower number.
    pub tier: u32,
    /// Not before this moment.
    pub not_before: Timestamp,
}

/// The turns of all instances, and what higher tiers wait for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schedule {
    turns: BTreeMap<String, Turn>,
    default: Turn,
    /// By tier, the instances that are not up, and until when they are waited for.
    not_up: BTreeMap<u32, BTreeMap<String, Timestamp>>,
    /// How often in a row the master did not survive a start of an instance, if more than once.
    suspects: BTreeMap<String, u64>,
}

/// Whether the instance is down although it should run. An instance on a node marked offline, or one that
/// must not be started now, is not urgent.
fn is_missing(instance: &Instance) -> bool {
    instance.admin_state == AdminState::Up
        && matches!(instance.status, InstanceStatus::ErrorDown | InstanceStatus::NodeDown)
}

/// Remembers since when instances have been down, and forgets those that are not. Of what is unclear nothing
/// is forgotten.
pub fn remember_down(state: &mut State, snapshot: &Snapshot, now: Timestamp) {
    let missing = snapshot.instances.iter().filter(|instance| is_missing(instance));
    let mut down: BTreeMap<_, _> = missing.map(|instance| (instance.name.clone(), now)).collect();
    let by_name = snapshot.instances_by_name();
    for (name, since) in std::mem::take(&mut state.recovery.down) {
        let is_unclear = match by_name.get(name.as_str()) {
            Some(instance) => !instance.status.is_known(),
            None => snapshot.has_unreadable_instances(),
        };
        match down.get_mut(&name) {
            Some(first_seen) => *first_seen = since.min(now),
            None if is_unclear => drop(down.insert(name, since)),
            None => {}
        }
    }
    state.recovery.down = down;
}

impl Schedule {
    /// The schedule of a group, after [`remember_down`].
    #[must_use]
    pub fn of(snapshot: &Snapshot, state: &State, policies: &Policies, now: Timestamp) -> Self {
        let default = Turn { tier: policies.default_tier(), not_before: 0.0 };
        let lost = state.recovery.lost_starts.iter().filter(|(_, lost)| lost.failures > 1);
        let suspects = lost.map(|(name, lost)| (name.clone(), lost.failures)).collect();
        let mut schedule = Self { default, suspects, ..Self::default() };
        if !policies.order_matters() {
            return schedule;
        }
        for instance in snapshot.instances.iter().filter(|instance| is_missing(instance)) {
            let policy = policies.of(&instance.name);
            let since = state.recovery.down.get(&instance.name).copied().unwrap_or(now);
            let turn = Turn { tier: policy.tier, not_before: since + policy.delay.as_secs_f64() };
            schedule.turns.insert(instance.name.clone(), turn);
            if policy.consent == Consent::Given {
                let tier = schedule.not_up.entry(turn.tier).or_default();
                tier.insert(instance.name.clone(), since + TIER_PATIENCE);
            }
        }
        schedule
    }

    pub(super) fn turn(&self, instance: &str) -> Turn {
        self.turns.get(instance).copied().unwrap_or(self.default)
    }

    /// Above 0 for an instance whose start may be what takes the master down; the higher, the more likely.
    pub(super) fn suspicion(&self, instance: &str) -> u64 {
        self.suspects.get(instance).copied().unwrap_or(0)
    }

    /// An instance of a lower tier that is still waited for, and until when.
    pub(super) fn gate(&self, tier: u32, now: Timestamp) -> Option<(&str, Timestamp)> {
        let lower = self.not_up.range(..tier).flat_map(|(_, instances)| instances);
        let waited_for = lower.filter(|(_, until)| **until > now);
        waited_for.map(|(name, until)| (name.as_str(), *until)).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The instance is up, so higher tiers no longer wait for it.
    pub(super) fn stop_waiting_for(&mut self, instance: &str) {
        let tier = self.turn(instance).tier;
        if let Some(instances) = self.not_up.get_mut(&tier) {
            instances.remove(instance);
        }
    }
}

#[cfg(test)]
mod tests;
