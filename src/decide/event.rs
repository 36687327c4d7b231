//! What a pass finds or concludes that is not about one instance's present condition. It happens once, and
//! is told once.

use super::Action;
use super::steps::Outcome;
use super::tags::{Holder, Problem};
use crate::cluster::{JobId, Timestamp};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The records of these instances were dropped: they are gone, or were last started long ago.
    RecordsDropped(Vec<String>),
    /// These instances no longer wait, because what made them fail has changed.
    Forgiven(Vec<String>),
    /// This node gave no boot id although it is not marked offline.
    NoBootId(String),
    /// This node answers again.
    AnswersAgain {
        /// Its name.
        node: String,
        /// When it was first seen not to answer.
        silent_since: Timestamp,
    },
    /// A tag does not do what it says.
    TagProblem {
        /// What has the tag.
        on: Holder,
        /// What is wrong with it.
        problem: Problem,
    },
    /// An action has ended, in this run or as the job of an earlier one.
    Ended(Action, Outcome),
    /// A start that an earlier run submitted has succeeded.
    EarlierStartSucceeded {
        /// Name of the instance.
        instance: String,
        /// Its job.
        job: JobId,
    },
    /// An earlier run ended before it had submitted these instances' starts.
    NeverSubmitted(Vec<String>),
    /// These instances' starts were lost.
    StartsLost {
        /// How.
        how: Lost,
        /// Whether that happened to each of them before, so that it costs a try.
        again: bool,
        /// Names of the instances.
        instances: Vec<String>,
    },
    /// Two instances failed in the same way, so their node is to blame.
    NodeToBlame {
        /// Name of the node.
        node: String,
        /// Their disk template.
        storage: String,
        /// The one that failed first.
        first: String,
        /// The other one.
        second: String,
    },
}

/// How the outcome of a start was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The master died meanwhile.
    MasterDied,
    /// It cannot be found out how it ended.
    Unknown,
}
