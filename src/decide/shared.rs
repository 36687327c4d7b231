//! Failures that instances share. When storage comes back long after its node, every start on it fails with the same
//! words, and nothing is wrong with any of the instances.
//!
//! Two or more of one node and one kind of storage that fail alike, while none of that node and storage is known to have
//! started since the node booted, are charged to the node. Only where the cause is unknown or the storage: two guests
//! without a kernel are still two guests without a kernel. The first is charged before the second is seen, and so gets
//! its try back.

use std::collections::{BTreeMap, BTreeSet};

use super::blame::{Blame, Cause};
use super::budget::{self, Blamed, Detail};
use super::report::{LogLine, Severity};
use super::{Action, Outcome};
use crate::cluster::{GanetiError, Instance, InstanceStatus, JobFailure, Snapshot, Timestamp};
use crate::memory::state::State;

/// As much of a text is compared, in characters.
const LONGEST_TEXT: usize = 200;

/// What a failure has in common with others of its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Likeness {
    /// Name of the primary node.
    pub node: String,
    /// Its mark, as in [`Blamed::cause`].
    pub mark: String,
    /// The disk template.
    pub storage: String,
    /// The error, without what is the instance's own.
    pub text: String,
}

impl Likeness {
    /// What the instance's failure would have in common with others; `None` where it is its own in any case. The snapshot
    /// has to be newer than the failure.
    #[must_use]
    pub fn of(failure: &JobFailure, instance: &Instance, mark: &str, snapshot: &Snapshot) -> Option<Self> {
        let JobFailure::Error(GanetiError { message, .. }) = failure else { return None };
        let is_shareable = matches!(Cause::of(failure), Cause::Storage | Cause::Unknown);
        if !is_shareable || instance.disk_template.is_empty() || works(instance, snapshot) {
            return None;
        }
        Some(Self {
            node: instance.primary.clone(),
            mark: mark.to_owned(),
            storage: instance.disk_template.clone(),
            text: without_own(message, instance),
        })
    }

    /// How it is remembered, next to the mark of the node.
    #[must_use]
    pub fn on_record(&self) -> String {
        format!("{}: {}", self.storage, self.text)
    }
}

/// Whether an instance of the same node and storage is seen to have started since the node booted.
#[must_use]
pub fn works(instance: &Instance, snapshot: &Snapshot) -> bool {
    let has_started = |other: &Instance| {
        use InstanceStatus::{ErrorUp, Running, UserDown};
        matches!(other.status, Running | ErrorUp | UserDown)
    };
    snapshot.instances.iter().any(|other| {
        other.name != instance.name
            && other.primary == instance.primary
            && other.disk_template == instance.disk_template
            && has_started(other)
    })
}

/// The text without names, numbers and paths, so that the same trouble of two instances has the same text.
fn without_own(text: &str, instance: &Instance) -> String {
    let name = instance.name.to_lowercase();
    let short = name.split('.').next().unwrap_or_default();
    let text = text.to_lowercase();
    let separates = |c: char| c.is_whitespace() || "'\"()[]<>,;=".contains(c);
    let is_own = |word: &str| word.split(':').next().is_some_and(|word| word == name || word == short);
    let words = text.split(separates).filter(|word| !word.is_empty()).map(|word| match word {
        word if word.contains('/') => "/".to_owned(),
        word if is_own(word) => "*".to_owned(),
        word if word.starts_with("veth") => "veth".to_owned(),
        word => word.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect::<String>(),
    });
    let mut plain = words.collect::<Vec<_>>().join(" ");
    while plain.contains("##") {
        plain = plain.replace("##", "#");
    }
    plain.chars().take(LONGEST_TEXT).collect()
}

/// A node and a kind of storage.
type Place = (String, String);

/// The failures of a run.
#[derive(Debug, Default)]
pub struct Shared {
    /// Where the instances are.
    places: BTreeMap<String, Place>,
    /// Where a start of this run has succeeded.
    works: BTreeSet<Place>,
    /// Instances that were charged for a failure of this run.
    charged: BTreeMap<Likeness, Vec<String>>,
    /// Where it was told that the node is to blame.
    told: BTreeSet<Place>,
}

impl Shared {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(snapshot: &Snapshot) -> Self {
        let place = |instance: &Instance| {
            let place = (instance.primary.clone(), instance.disk_template.clone());
            (instance.name.clone(), place)
        };
        Self { places: snapshot.instances.iter().map(place).collect(), ..Self::default() }
    }

    /// The primary node of an instance that was there when the run began.
    #[must_use]
    pub fn node_of(&self, instance: &str) -> Option<&str> {
        self.places.get(instance).map(|(node, _)| node.as_str())
    }

    /// Who has to answer for the outcome of an action, after what else has failed in this run and before: the outcome as
    /// it is to be remembered. Tries that were used up wrongly are given back. A line where there is something to say.
    pub fn settle(
        &mut self,
        state: &mut State,
        action: &Action,
        outcome: &Outcome,
        now: Timestamp,
    ) -> (Outcome, Option<LogLine>) {
        let name = &action.instance;
        let same = |line| (outcome.clone(), line);
        let (job, failure, likeness) = match outcome {
            Outcome::Succeeded if action.kind.is_start() => {
                self.works.extend(self.places.get(name).cloned());
                return same(None);
            }
            Outcome::Failed { job, failure, blamed: Blamed { detail: Detail::Alike(likeness), .. } }
                if action.kind.is_start() =>
            {
                (job, failure, likeness)
            }
            _ => return same(None),
        };
        let place = (likeness.node.clone(), likeness.storage.clone());
        if self.works.contains(&place) {
            return same(None);
        }
        let record = likeness.on_record();
        let mut on_record = state.recovery.blocked.iter().filter(|(other, blocked)| {
            *other != name && blocked.cause == likeness.mark && blocked.alike.as_ref() == Some(&record)
        });
        let before = on_record.next().map(|(other, _)| other.clone());
        let charged = self.charged.entry(likeness.clone()).or_default();
        charged.retain(|other| other != name);
        let Some(other) = charged.first().cloned().or(before) else {
            charged.push(name.clone());
            return same(None);
        };
        let blamed = Blamed {
            what: Blame::Node,
            cause: likeness.mark.clone(),
            detail: Detail::Alike(likeness.clone()),
        };
        for other in std::mem::take(charged) {
            state.give_back_restart_attempt(&other);
            budget::remember_failure(state, &other, &blamed, now);
        }
        let outcome = Outcome::Failed { job: *job, failure: failure.clone(), blamed };
        let is_new = self.told.insert(place);
        (outcome, is_new.then(|| line(likeness, &other, name)))
    }
}

fn line(likeness: &Likeness, first: &str, second: &str) -> LogLine {
    let Likeness { node, storage, .. } = likeness;
    let text = format!(
        "Instances '{first}' and '{second}' fail to start with the same error, and no instance with disk template {storage} \
         is known to have started on node '{node}' since it booted: the node is to blame, and neither loses a try; see to \
         the storage of '{node}'"
    );
    LogLine::new(Severity::Warning, text)
}

#[cfg(test)]
mod tests;
