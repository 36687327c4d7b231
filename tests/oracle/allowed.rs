//! What may differ between the original and ours, and which differences occurred.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use regex::Regex;
use serde::Deserialize;

/// `allowed.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allowed {
    /// Log lines that are left out or rewritten before they are compared.
    #[serde(default)]
    line: Vec<Line>,
    /// Parts of a scenario that are not compared.
    #[serde(default)]
    part: Vec<Part>,
    /// Keys of a group's state, at its top level, that are left out before states are compared.
    #[serde(default)]
    key: Vec<Key>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    name: String,
    reason: String,
    #[serde(skip)]
    used: AtomicBool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    whose: Whose,
    pattern: String,
    /// What the matching part becomes; without this the line is dropped.
    becomes: Option<String>,
    /// Only in these scenarios, each as `TOPIC/name`.
    scenarios: Option<Vec<String>>,
    reason: String,
    #[serde(skip)]
    compiled: Option<Regex>,
    #[serde(skip)]
    used: AtomicBool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    /// As `TOPIC/name`.
    scenario: String,
    what: What,
    reason: String,
    #[serde(skip)]
    used: AtomicBool,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Whose {
    Original,
    Ours,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    Exit,
    Log,
    Jobs,
    State,
    Status,
}

impl Allowed {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let mut allowed: Self = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
        for line in &mut allowed.line {
            anyhow::ensure!(!line.reason.trim().is_empty(), "an entry without a reason: {}", line.pattern);
            line.compiled = Some(Regex::new(&format!("^(?:{})$", line.pattern))?);
        }
        for part in &allowed.part {
            anyhow::ensure!(!part.reason.trim().is_empty(), "an entry without a reason: {}", part.scenario);
        }
        for key in &allowed.key {
            anyhow::ensure!(!key.reason.trim().is_empty(), "an entry without a reason: {}", key.name);
        }
        Ok(allowed)
    }

    /// Removes what is not compared from the states of all groups.
    pub(crate) fn trim(&self, states: &mut serde_json::Value) {
        for state in
            states.as_object_mut().into_iter().flatten().filter_map(|(_, state)| state.as_object_mut())
        {
            for key in &self.key {
                if state.shift_remove(&key.name).is_some() {
                    key.used.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// The line in the form for comparison; `None` if it is left out.
    pub(crate) fn line(&self, scenario: &str, whose: Whose, line: &str) -> Option<String> {
        let mut line = line.to_owned();
        for entry in self.line.iter().filter(|entry| entry.whose == whose) {
            let is_elsewhere = |names: &Vec<String>| !names.iter().any(|name| name == scenario);
            if entry.scenarios.as_ref().is_some_and(is_elsewhere) {
                continue;
            }
            let Some(pattern) = entry.compiled.as_ref().filter(|pattern| pattern.is_match(&line)) else {
                continue;
            };
            entry.used.store(true, Ordering::Relaxed);
            line = pattern.replace(&line, entry.becomes.as_ref()?).into_owned();
        }
        Some(line)
    }

    /// Whether that part of the scenario may differ.
    pub(crate) fn differs(&self, scenario: &str, what: What) -> bool {
        let fits = |part: &&Part| part.what == what && part.scenario == scenario;
        self.part.iter().find(fits).is_some_and(|part| {
            part.used.store(true, Ordering::Relaxed);
            true
        })
    }

    /// How many entries there are, and those that were not needed.
    pub(crate) fn unused(&self) -> (usize, Vec<String>) {
        let lines = self.line.iter().map(|line| (line.pattern.clone(), line.used.load(Ordering::Relaxed)));
        let parts = self
            .part
            .iter()
            .map(|part| (format!("{} {:?}", part.scenario, part.what), part.used.load(Ordering::Relaxed)));
        let keys = self.key.iter().map(|key| (key.name.clone(), key.used.load(Ordering::Relaxed)));
        let all: Vec<(String, bool)> = lines.chain(parts).chain(keys).collect();
        (all.len(), all.into_iter().filter(|(_, used)| !used).map(|(entry, _)| entry).collect())
    }
}
