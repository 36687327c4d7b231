//! What a node group's state file remembers. Pure: a value with Ganeti's schema, read from text and written
//! to it.
//!
//! ```text
//! {"instance": {NAME: {"restart_count": N, "restart_when": TIME, "cleanup_count": N, "cleanup_when": TIME}},
//!  "node": {NAME: {"bootid": TEXT, "pending_bootid": TEXT}},
//!  "recovery": {...}}
//! ```
//!
//! Times are seconds since the epoch with a fraction. `pending_bootid` and `recovery` are ours; the original
//! keeps and ignores them. Keys that this program does not know are kept too. Earlier versions kept the
//! activations that a reboot calls for below the node, as `"pending_activations": {INSTANCE: {"failures": N,
//! "last": TIME}}`; they are migrated.
//!
//! Source: `watcher/state.py: WatcherState`.

use std::collections::BTreeSet;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::python_json;
use super::recovery::{Failures, Recovery};
use crate::cluster::Timestamp;

const INSTANCE: &str = "instance";
const NODE: &str = "node";
const RESTART_COUNT: &str = "restart_count";
const RESTART_WHEN: &str = "restart_when";
const CLEANUP_COUNT: &str = "cleanup_count";
const CLEANUP_WHEN: &str = "cleanup_when";
const BOOT_ID: &str = "bootid";
/// Ours; the original keeps and ignores it.
const PENDING_BOOT_ID: &str = "pending_bootid";
/// From an earlier version.
const PENDING_ACTIVATIONS: &str = "pending_activations";
const RECOVERY: &str = "recovery";
const FAILURES: &str = "failures";
const LAST: &str = "last";

fn read_failures(entry: &Value) -> Failures {
    let failures = entry.get(FAILURES).and_then(Value::as_u64).unwrap_or(0);
    Failures { failures, last: entry.get(LAST).and_then(Value::as_f64).unwrap_or(0.0) }
}

fn last_start(record: &Value) -> Timestamp {
    record.get(RESTART_WHEN).and_then(Value::as_f64).unwrap_or(0.0)
}

/// Counters of instances and boot ids of nodes, and what only this program remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    document: Map<String, Value>,
    /// What the original does not know about.
    pub recovery: Recovery,
}

impl Default for State {
    fn default() -> Self {
        Self::with_sections(Map::new())
    }
}

impl State {
    /// Reads the content of a state file. White space alone is an empty state.
    ///
    /// # Errors
    /// What is wrong, and where, when it is not JSON or not shaped like a state file.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Value::Object(document) = document else {
            return Err(format!("expected a JSON object, found {}", kind(&document)));
        };
        let mut state = Self::with_sections(document);
        if let Some(recovery) = state.document.shift_remove(RECOVERY) {
            state.recovery =
                Recovery::read(recovery).map_err(|problem| format!("'{RECOVERY}': {problem}"))?;
        }
        state.check()?;
        state.name_what_calls_for_activations();
        state.take_over_pending_activations();
        Ok(state)
    }

    /// Moves what an earlier version kept below the nodes to where all activations are.
    fn take_over_pending_activations(&mut self) {
        let Self { document, recovery } = self;
        let nodes = document.get_mut(NODE).and_then(Value::as_object_mut);
        for (node, record) in nodes.into_iter().flatten() {
            let Some(record) = record.as_object_mut() else { continue };
            let pending = record.shift_remove(PENDING_ACTIVATIONS);
            if !record.contains_key(PENDING_BOOT_ID) {
                continue;
            }
            for (instance, entry) in pending.as_ref().and_then(Value::as_object).into_iter().flatten() {
                let earlier = read_failures(entry);
                let activation = recovery.activations.entry(instance.clone()).or_default();
                activation.reboots.insert(node.clone());
                let failures = &mut activation.failures;
                failures.failures = failures.failures.max(earlier.failures);
                failures.last = failures.last.max(earlier.last);
            }
        }
    }

    /// Earlier versions had no other activations on record than those that verify-disks called for.
    fn name_what_calls_for_activations(&mut self) {
        for activation in self.recovery.activations.values_mut() {
            activation.found_broken |= activation.reboots.is_empty();
        }
    }

    fn with_sections(mut document: Map<String, Value>) -> Self {
        for section in [INSTANCE, NODE] {
            document.entry(section).or_insert_with(|| Value::Object(Map::new()));
        }
        Self { document, recovery: Recovery::default() }
    }

    /// Checks the shape of everything that the accessors read, so that they cannot fail.
    fn check(&self) -> Result<(), String> {
        let is_boot_id = Value::is_string;
        let is_object = Value::is_object;
        let is_count = Value::is_u64;
        let is_time = Value::is_number;
        type Check<'a> = (&'a str, &'a str, &'a dyn Fn(&Value) -> bool);
        let instance: [Check<'_>; 4] = [
            (RESTART_COUNT, "a count", &is_count),
            (RESTART_WHEN, "a time", &is_time),
            (CLEANUP_COUNT, "a count", &is_count),
            (CLEANUP_WHEN, "a time", &is_time),
        ];
        let node: [Check<'_>; 3] = [
            (BOOT_ID, "a text", &is_boot_id),
            (PENDING_BOOT_ID, "a text", &is_boot_id),
            (PENDING_ACTIVATIONS, "an object", &is_object),
        ];
        for (section, checks) in [(INSTANCE, &instance[..]), (NODE, &node[..])] {
            let records = &self.document[section];
            let Value::Object(records) = records else {
                return Err(format!("'{section}': expected an object, found {}", kind(records)));
            };
            for (name, record) in records {
                let Value::Object(record) = record else {
                    return Err(format!("'{section}' '{name}': expected an object, found {}", kind(record)));
                };
                for (key, expected, holds) in checks {
                    if let Some(value) = record.get(*key).filter(|value| !holds(value)) {
                        let found = kind(value);
                        return Err(format!(
                            "'{section}' '{name}' '{key}': expected {expected}, found {found}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// The content of a state file, as Python would write it.
    #[must_use]
    pub fn to_text(&self) -> String {
        // A map with text keys and values from JSON can always be written.
        python_json::to_line(&Whole(self)).unwrap_or_default()
    }

    /// How many starts of the instance are on record; 0 without a record.
    #[must_use]
    pub fn restart_attempts(&self, instance: &str) -> u64 {
        self.count(instance, RESTART_COUNT)
    }

    /// How many failed clean-ups of the instance are on record; 0 without a record.
    #[must_use]
    pub fn clean_up_attempts(&self, instance: &str) -> u64 {
        self.count(instance, CLEANUP_COUNT)
    }

    /// Counts a start of the instance.
    pub fn record_restart_attempt(&mut self, instance: &str, now: Timestamp) {
        self.record_attempt(instance, RESTART_WHEN, RESTART_COUNT, now);
    }

    /// Undoes the counting of a start of the instance.
    pub fn give_back_restart_attempt(&mut self, instance: &str) {
        match self.restart_attempts(instance) {
            0 => {}
            1 => {
                let record = self.record_mut(INSTANCE, instance);
                record.shift_remove(RESTART_COUNT);
                record.shift_remove(RESTART_WHEN);
                if record.is_empty() {
                    self.forget_instance(instance);
                }
            }
            attempts => {
                let record = self.record_mut(INSTANCE, instance);
                record.insert(RESTART_COUNT.to_owned(), json!(attempts - 1));
            }
        }
    }

    /// Counts a failed clean-up of the instance.
    pub fn record_clean_up_attempt(&mut self, instance: &str, now: Timestamp) {
        self.record_attempt(instance, CLEANUP_WHEN, CLEANUP_COUNT, now);
    }

    /// Gives the instance all its tries back, and ends the waits that earlier failures caused. Returns
    /// whether there was anything on record.
    pub fn reset_budget(&mut self, instance: &str) -> bool {
        let mut found = self.section_mut(INSTANCE).shift_remove(instance).is_some();
        found |= self.recovery.blocked.remove(instance).is_some();
        found |= self.recovery.failed_moves.remove(instance).is_some();
        found |= self.recovery.lost_starts.remove(instance).is_some();
        self.recovery.last_failures.remove(instance);
        if let Some(activation) = self.recovery.activations.get_mut(instance) {
            found |= activation.failures.failures > 0;
            activation.failures = activation.failures.without_wait();
        }
        found
    }

    /// Names of the instances whose budget [`State::reset_budget`] would change.
    #[must_use]
    pub fn instances_with_budget(&self) -> BTreeSet<String> {
        let counted = self.section(INSTANCE).into_iter().flatten().map(|(name, _)| name.clone());
        let blocked = self.recovery.blocked.keys().chain(self.recovery.failed_moves.keys()).cloned();
        let lost = self.recovery.lost_starts.keys().cloned();
        let failed = self.recovery.activations.iter().filter(|(_, entry)| entry.failures.failures > 0);
        counted.chain(blocked).chain(lost).chain(failed.map(|(name, _)| name.clone())).collect()
    }

    /// Drops the instance's counters (`WatcherState.RemoveInstance`); what `recovery` remembers of it stays.
    pub fn forget_instance(&mut self, instance: &str) {
        self.section_mut(INSTANCE).shift_remove(instance);
    }

    /// Drops the counters of the instances for which `keep`, asked with the name and the time of the last
    /// start, says no; returns their names, in order.
    pub fn retain_instances(&mut self, keep: impl Fn(&str, Timestamp) -> bool) -> Vec<String> {
        let mut dropped = Vec::new();
        // All at once: removing one entry of an ordered map moves all those after it.
        self.section_mut(INSTANCE).retain(|name, record| {
            let keeps = keep(name, last_start(record));
            if !keeps {
                dropped.push(name.clone());
            }
            keeps
        });
        dropped
    }

    /// Every instance that has counters, with the time of its last start; 0 without one, as in the original.
    pub fn instances(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        let records = self.section(INSTANCE).into_iter().flatten();
        records.map(|(name, record)| (name.as_str(), last_start(record)))
    }

    /// When the instance was last started; 0 if it has no counters.
    #[must_use]
    pub fn last_start(&self, instance: &str) -> Timestamp {
        self.section(INSTANCE).and_then(|section| section.get(instance)).map_or(0.0, last_start)
    }

    /// The boot id for which all activations have been done; `None` for a node that has none yet.
    #[must_use]
    pub fn boot_id(&self, node: &str) -> Option<&str> {
        self.node(node)?.get(BOOT_ID)?.as_str()
    }

    /// Stores a boot id for which all activations have been done.
    pub fn set_boot_id(&mut self, node: &str, boot_id: &str) {
        let record = self.record_mut(NODE, node);
        record.insert(BOOT_ID.to_owned(), json!(boot_id));
        record.shift_remove(PENDING_BOOT_ID);
    }

    /// The boot id whose activations are still due, all of them among [`Recovery::activations`].
    #[must_use]
    pub fn pending_boot_id(&self, node: &str) -> Option<&str> {
        self.node(node)?.get(PENDING_BOOT_ID)?.as_str()
    }

    /// Stores that the activations called for by this boot of the node are on record.
    pub fn set_pending_boot_id(&mut self, node: &str, boot_id: &str) {
        self.record_mut(NODE, node).insert(PENDING_BOOT_ID.to_owned(), json!(boot_id));
    }

    /// Drops a pending boot id whose activations are no longer due.
    pub fn drop_pending_boot_id(&mut self, node: &str) {
        if self.pending_boot_id(node).is_some() {
            self.record_mut(NODE, node).shift_remove(PENDING_BOOT_ID);
        }
    }

    fn section(&self, section: &str) -> Option<&Map<String, Value>> {
        self.document.get(section)?.as_object()
    }

    fn node(&self, node: &str) -> Option<&Map<String, Value>> {
        self.section(NODE)?.get(node)?.as_object()
    }

    fn section_mut(&mut self, section: &str) -> &mut Map<String, Value> {
        object(self.document.entry(section).or_insert(Value::Null))
    }

    fn record_mut(&mut self, section: &str, name: &str) -> &mut Map<String, Value> {
        object(self.section_mut(section).entry(name).or_insert(Value::Null))
    }

    fn count(&self, instance: &str, key: &str) -> u64 {
        let record = self.section(INSTANCE).and_then(|instances| instances.get(instance));
        record.and_then(|record| record.get(key)).and_then(Value::as_u64).unwrap_or(0)
    }

    fn record_attempt(&mut self, instance: &str, when: &str, count: &str, now: Timestamp) {
        let attempts = self.count(instance, count).saturating_add(1);
        let record = self.record_mut(INSTANCE, instance);
        record.insert(when.to_owned(), json!(now));
        record.insert(count.to_owned(), json!(attempts));
    }
}

/// The whole document, not copied: it is written before every submission of starts.
struct Whole<'a>(&'a State);

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let State { document, recovery } = self.0;
        let recovery = (!recovery.is_empty()).then(|| recovery.write());
        let mut map = serializer.serialize_map(Some(document.len() + usize::from(recovery.is_some())))?;
        document.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        if let Some(recovery) = recovery {
            map.serialize_entry(RECOVERY, &recovery)?;
        }
        map.end()
    }
}

/// The map in `value`, which becomes an empty one if it is something else.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object two lines above"),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "another number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
