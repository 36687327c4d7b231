//! What failures of different instances have in common: the same words on the same node and kind of storage.

use super::blame::Cause;
use crate::cluster::{GanetiError, Instance, InstanceStatus, JobFailure, Snapshot};

/// How much of a text is compared, in characters.
const LONGEST_TEXT: usize = 200;

/// What a failure has in common with others of its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Likeness {
    /// Name of the primary node.
    pub node: String,
    /// Its mark, as in [`Blamed::cause`](super::budget::Blamed::cause).
    pub mark: String,
    /// The disk template.
    pub storage: String,
    /// The error, without what is specific to the instance.
    pub text: String,
}

impl Likeness {
    /// What the instance's failure would have in common with others; `None` if it is certainly its own. The
    /// snapshot has to be newer than the failure.
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

    /// How it is remembered, alongside the node's mark.
    #[must_use]
    pub fn on_record(&self) -> String {
        format!("{}: {}", self.storage, self.text)
    }
}

/// Whether an instance on the same node and storage is known to have started since the node booted.
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

/// The text without names, numbers and paths, so that the same problem of two instances has the same text.
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
