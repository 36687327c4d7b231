//! The governor: how many starts a node bears at once, by what it shows. The limits are ceilings; below them it follows
//! the time that starts take, compared with the first ones, and the node's load.
//!
//! Additive increase and multiplicative decrease, as for the window of a network connection: a node that slows down is
//! relieved quickly, and given more again little by little.

use std::collections::BTreeMap;
use std::fmt;

/// A node is overloaded when starts take this many times as long as the first ones did,
const SLOW: f64 = 2.0;
/// or this many times, with a processor that has more to do than it can.
const SLOW_UNDER_LOAD: f64 = 1.3;
/// Below this it is given more to do.
const EASY: f64 = 1.5;
/// What is left of a node's width when it is overloaded.
const BACK_OFF: f64 = 0.75;
/// Weight of the newest start in the mean.
const NEWEST: f64 = 0.3;

/// How busy a node is, as mond's collector `cpu-avg-load` tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// How many processors were busy, on average over some minutes.
    pub busy: f64,
    /// How many processors there are.
    pub processors: f64,
}

/// How many starts each node bears at once.
#[derive(Debug)]
pub struct Governor {
    ceiling: usize,
    load_limit: Option<f64>,
    nodes: BTreeMap<String, Pace>,
}

#[derive(Debug)]
struct Pace {
    width: f64,
    /// How long the first starts took, in seconds.
    first: Vec<f64>,
    mean: f64,
    load: Option<Load>,
}

/// That a node is given more, or less, to do than before; written as a log line.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    node: String,
    before: usize,
    after: usize,
    slowness: f64,
    load: Option<Load>,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, before, after, slowness, load } = self;
        write!(
            formatter,
            "Node '{node}' is given {after} starts at once instead of {before}: they take {slowness:.1} times as long as its first ones"
        )?;
        match load {
            Some(load) => {
                write!(formatter, ", {:.1} of its {} processors are busy", load.busy, load.processors)
            }
            None => Ok(()),
        }
    }
}

impl Governor {
    /// `ceiling` is the most starts at once on a node; with `load_limit` none is begun on a node with that many busy
    /// processors or more.
    #[must_use]
    pub fn new(ceiling: usize, load_limit: Option<f64>) -> Self {
        Self { ceiling: ceiling.max(1), load_limit, nodes: BTreeMap::new() }
    }

    /// How many starts at once the node bears now.
    #[must_use]
    pub fn width(&self, node: &str) -> usize {
        if self.is_over_limit(node) {
            return 0;
        }
        self.nodes.get(node).map_or(self.ceiling, Pace::whole_width)
    }

    /// Whether there is a limit to the nodes' load.
    #[must_use]
    pub fn has_load_limit(&self) -> bool {
        self.load_limit.is_some()
    }

    /// Whether the node has more load than it may.
    #[must_use]
    pub fn is_over_limit(&self, node: &str) -> bool {
        let load = self.nodes.get(node).and_then(|pace| pace.load);
        matches!((self.load_limit, load), (Some(limit), Some(load)) if load.busy >= limit)
    }

    /// The load of a node was read, or could not be: then the last one counts, because a node that is too busy to tell is
    /// busy enough.
    pub fn load_seen(&mut self, node: &str, load: Option<Load>) {
        let pace = self.pace(node);
        pace.load = load.or(pace.load);
    }

    /// A start on the node took so many seconds. Gives a change when the node's width is another one now.
    pub fn started(&mut self, node: &str, seconds: f64) -> Option<Change> {
        let ceiling = self.ceiling;
        let pace = self.pace(node);
        if pace.first.len() < ceiling {
            pace.first.push(seconds);
            pace.mean = pace.first_mean();
            return None;
        }
        pace.mean += NEWEST * (seconds - pace.mean);
        let slowness = pace.mean / pace.first_mean().max(0.001);
        let overloaded = pace.load.is_some_and(|load| load.busy >= load.processors);
        let before = pace.whole_width();
        if slowness > SLOW || (slowness > SLOW_UNDER_LOAD && overloaded) {
            pace.width = (pace.width * BACK_OFF).max(1.0);
        } else if slowness < EASY {
            #[allow(clippy::cast_precision_loss, reason = "a small number from the command line")]
            let most = ceiling as f64;
            pace.width = (pace.width + 1.0 / pace.width).min(most);
        }
        let (after, load) = (pace.whole_width(), pace.load);
        (before != after).then(|| Change { node: node.to_owned(), before, after, slowness, load })
    }

    fn pace(&mut self, node: &str) -> &mut Pace {
        #[allow(clippy::cast_precision_loss, reason = "a small number from the command line")]
        let width = self.ceiling as f64;
        let fresh = || Pace { width, first: Vec::new(), mean: 0.0, load: None };
        self.nodes.entry(node.to_owned()).or_insert_with(fresh)
    }
}

impl Pace {
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
