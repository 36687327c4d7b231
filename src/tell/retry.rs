//! The answers of `retry`.

use std::fmt::Display;

use crate::cluster::{LONGEST_NAME, quoted};

/// An instance whose tries were given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenBack {
    /// Its name.
    pub instance: String,
    /// Whether there were tries or failures on record.
    pub was_on_record: bool,
}

/// Why a given name leads to no instance. Names that are near, or that it may stand for, come in the order in
/// which they are offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoMatch {
    /// There is no such instance.
    None {
        /// What was given.
        given: String,
        /// The nearest names.
        near: Vec<String>,
    },
    /// None is on record, and which others there are is unknown.
    NoneOnRecord {
        /// What was given.
        given: String,
        /// The nearest names.
        near: Vec<String>,
        /// Why it is unknown.
        why: String,
    },
    /// There is more than one.
    Several {
        /// What was given.
        given: String,
        /// All of them.
        names: Vec<String>,
    },
}

/// The lines about these instances. luxid is not asked, so whatever else keeps one down is unknown.
#[must_use]
pub fn given_back(instances: &[GivenBack]) -> Vec<String> {
    if instances.is_empty() {
        return vec!["No instance has anything on record.".to_owned()];
    }
    let line = |GivenBack { instance, was_on_record }: &GivenBack| match was_on_record {
        true => format!(
            "{instance}: its record of tries and failures is dropped: it has all its tries again, and no earlier \
             failure makes it wait"
        ),
        false => format!("{instance}: no tries or failures were on record, and nothing was changed"),
    };
    let outlook = "What the next run does depends on what it finds: 'ganeti-watcher --dry-run' shows it now.";
    instances.iter().map(line).chain([outlook.to_owned()]).collect()
}

/// This machine is no node.
#[must_use]
pub fn no_node(why: &dyn Display) -> String {
    format!("this is not a node of a cluster: {why}")
}

/// It is unknown whether this is the master.
#[must_use]
pub fn master_is_unknown(why: &dyn Display) -> String {
    format!("cannot tell whether this node is the master: {why}")
}

/// Another node is the master.
#[must_use]
pub fn master_is(node: &str) -> String {
    format!("the tries are recorded on the master, '{node}': run this there")
}

/// A state file cannot be opened; its own error follows.
#[must_use]
pub fn state_is_in_use() -> &'static str {
    "a run is under way, or the state cannot be used; try again when the run has ended"
}

/// A given name leads to no instance.
#[must_use]
pub fn no_match(no_match: &NoMatch) -> String {
    let quote = |name: &String| quoted(name, LONGEST_NAME);
    match no_match {
        NoMatch::None { given, near } => {
            format!("there is no instance {}, and nothing was changed{}", quote(given), suggestion(near))
        }
        NoMatch::NoneOnRecord { given, near, why } => format!(
            "no instance on record is called {}, it is unknown whether there is one ({why}), and nothing was \
             changed{}",
            quote(given),
            suggestion(near)
        ),
        NoMatch::Several { given, names } => {
            format!("{} may be {}: give the full name; nothing was changed", quote(given), one_of(names))
        }
    }
}

/// `; did you mean …?`, or nothing if no name is near.
fn suggestion(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", one_of(near)) }
}

/// Some of the names as alternatives, and the number of the others.
fn one_of(names: &[String]) -> String {
    let (shown, others) = names.split_at(names.len().min(3));
    let mut choice: Vec<String> = shown.iter().map(|name| quoted(name, LONGEST_NAME)).collect();
    match others.len() {
        0 => {}
        1 => choice.push("one more".to_owned()),
        number => choice.push(format!("one of {number} others")),
    }
    let last = choice.pop().unwrap_or_default();
    if choice.is_empty() { last } else { format!("{} or {last}", choice.join(", ")) }
}
