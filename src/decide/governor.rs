//! The governor: how many starts a node can take at once, judging by how it copes. The limits are ceilings;
//! below them it follows the duration of starts, compared with the first ones, and the node's load.
//!
//! Additive increase and multiplicative decrease, as for the window of a network connection: a node that
//! slows down is relieved quickly, and then gradually given more again.

use crate::cluster::{JobId, PendingJob, Snapshot};
use std::collections::BTreeMap;

/// A node is overloaded when starts take this many times as long as the first ones did,
const SLOW: f64 = 2.0;
/// or this many times, when its processors have more to do than they can handle.
const SLOW_UNDER_LOAD: f64 = 1.3;
/// Below this it is given more to do.
const EASY: f64 = 1.5;
/// The share of a node's width that remains when it is overloaded.
const BACK_OFF: f64 = 0.75;
/// Weight of the newest start in the mean.
const NEWEST: f64 = 0.3;

/// How busy a node is, according to mond's collector `cpu-avg-load`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// How many processors were busy, on average over some minutes.
    pub busy: f64,
    /// How many processors there are.
    pub processors: f64,
}

/// How many starts each node can take at once.
#[derive(Debug)]
pub struct Governor {
    ceiling: usize,
    load_limit: Option<f64>,
    nodes: BTreeMap<String, NodeStarts>,
}

/// How the starts on one node went.
#[derive(Debug)]
struct NodeStarts {
    /// How many it can take at once.
    width: f64,
    /// How long the first starts took, in seconds.
    first: Vec<f64>,
    mean: f64,
    load: Option<Load>,
    /// Nothing is begun there before its load is known, or given up.
    waits_for_load: bool,
}

/// A node is given more or less to do than before.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Name of the node.
    pub node: String,
    /// How many starts at once it was given.
    pub before: usize,
    /// How many it is given now.
    pub after: usize,
    /// How many times as long as its first starts they take.
    pub slowness: f64,
    /// How busy it is, if known.
    pub load: Option<Load>,
}

impl Governor {
    /// `ceiling` is the most starts at once on a node; with `load_limit` none is begun on a node with that
    /// many busy processors or more.
    #[must_use]
    pub fn new(ceiling: usize, load_limit: Option<f64>) -> Self {
        Self { ceiling: ceiling.max(1), load_limit, nodes: BTreeMap::new() }
    }

    /// How many starts the node can take at once now.
    #[must_use]
    pub fn width(&self, node: &str) -> usize {
        match self.nodes.get(node) {
            Some(starts) if starts.waits_for_load => 0,
            _ if self.is_over_limit(node) => 0,
            Some(starts) => starts.whole_width(),
            None => self.ceiling,
        }
    }

    /// How many starts of ours each node can take now, by name, in addition to those of an earlier run or an
    /// administrator. `is_ours` says whether a job is one of this run's.
    pub fn width_beside_others(
        &self,
        snapshot: &Snapshot,
        is_ours: impl Fn(JobId) -> bool,
    ) -> impl Fn(&str) -> usize {
        let others = snapshot.pending_jobs.iter().filter(|job| !is_ours(job.id));
        let started = others.flat_map(PendingJob::started_instances);
        let mut begun: BTreeMap<&str, usize> = BTreeMap::new();
        for instance in started.filter_map(|name| snapshot.instance(name)) {
            *begun.entry(&instance.primary).or_default() += 1;
        }
        move |node| self.width(node).saturating_sub(begun.get(node).copied().unwrap_or(0))
    }

    /// Begins nothing on the node before its load is known, if there is a limit to it.
    pub fn wait_for_load(&mut self, node: &str) {
        if self.has_load_limit() {
            self.starts_on(node).waits_for_load = true;
        }
    }

    /// Whether something is held back until a load is known.
    #[must_use]
    pub fn waits_for_loads(&self) -> bool {
        self.nodes.values().any(|starts| starts.waits_for_load)
    }

    /// Waits no longer for loads. Returns the names of the nodes whose load was still waited for.
    pub fn wait_no_longer(&mut self) -> Vec<String> {
        let waiting = self.nodes.iter_mut().filter(|(_, starts)| starts.waits_for_load);
        waiting
            .map(|(node, starts)| {
                starts.waits_for_load = false;
                node.clone()
            })
            .collect()
    }

    /// Whether there is a limit to the nodes' load.
    #[must_use]
    pub fn has_load_limit(&self) -> bool {
        self.load_limit.is_some()
    }

    /// Whether the node's load is above the limit.
    #[must_use]
    pub fn is_over_limit(&self, node: &str) -> bool {
        let load = self.nodes.get(node).and_then(|starts| starts.load);
        matches!((self.load_limit, load), (Some(limit), Some(load)) if load.busy >= limit)
    }

    /// The load of a node was read, or could not be: then the last known one counts, because a node too busy
    /// to answer is busy enough.
    pub fn load_seen(&mut self, node: &str, load: Option<Load>) {
        let starts = self.starts_on(node);
        starts.load = load.or(starts.load);
        starts.waits_for_load = false;
    }

    /// A start on the node took this many seconds. Returns a change when that alters the node's width.
    pub fn started(&mut self, node: &str, seconds: f64) -> Option<Change> {
        let ceiling = self.ceiling;
        let starts = self.starts_on(node);
        if starts.first.len() < ceiling {
            starts.first.push(seconds);
            starts.mean = starts.first_mean();
            return None;
        }
        starts.mean += NEWEST * (seconds - starts.mean);
        let slowness = starts.mean / starts.first_mean().max(0.001);
        let overloaded = starts.load.is_some_and(|load| load.busy >= load.processors);
        let before = starts.whole_width();
        if slowness > SLOW || (slowness > SLOW_UNDER_LOAD && overloaded) {
            starts.width = (starts.width * BACK_OFF).max(1.0);
        } else if slowness < EASY {
            #[allow(clippy::cast_precision_loss, reason = "a small number from the command line")]
            let most = ceiling as f64;
            starts.width = (starts.width + 1.0 / starts.width).min(most);
        }
        let (after, load) = (starts.whole_width(), starts.load);
        (before != after).then(|| Change { node: node.to_owned(), before, after, slowness, load })
    }

    fn starts_on(&mut self, node: &str) -> &mut NodeStarts {
        #[allow(clippy::cast_precision_loss, reason = "a small number from the command line")]
        let width = self.ceiling as f64;
        let fresh = || NodeStarts { width, first: Vec::new(), mean: 0.0, load: None, waits_for_load: false };
        self.nodes.entry(node.to_owned()).or_insert_with(fresh)
    }
}

impl NodeStarts {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and the ceiling")]
    fn whole_width(&self) -> usize {
        // Not cut off: 3.75 is nearer to 4.
        self.width.round().max(1.0) as usize
    }

    #[allow(clippy::cast_precision_loss, reason = "no more than the ceiling")]
    fn first_mean(&self) -> f64 {
        self.first.iter().sum::<f64>() / (self.first.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests;
