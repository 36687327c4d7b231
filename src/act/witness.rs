//! What is reported while a plan is carried out: each outcome to a witness, and at the end why it was
//! stopped.

use thiserror::Error;

use crate::cluster::Timestamp;
use crate::decide::reason::Reason;
use crate::decide::{Action, Note, Outcome};
use crate::luxi::LuxiError;

/// Why a plan was not carried out to its end. Jobs that were submitted go on.
#[derive(Debug, Error)]
pub enum Stopped {
    /// An administrator has paused the watcher.
    #[error("the watcher was paused")]
    Paused,
    /// The job queue has been drained.
    #[error("the job queue was drained")]
    Drained,
    /// luxid cannot be talked to.
    #[error(transparent)]
    Luxi(#[from] LuxiError),
    /// Something else: a file cannot be read, for example.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl Stopped {
    /// The reason for what was not begun any more.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        Some(match self {
            Self::Paused => Reason::Paused,
            Self::Drained => Reason::Drained,
            Self::Luxi(_) | Self::Failed(_) => Reason::CutShort,
        })
    }
}

/// Hears what happens while a plan is carried out, and remembers it.
pub trait Witness {
    /// It is a note's turn.
    fn noted(&mut self, note: &Note, now: Timestamp);
    /// The jobs of these actions are about to be submitted, with `epoch_ns` as the time of their reasons.
    fn begin(&mut self, actions: &[Action], epoch_ns: u64);
    /// An action has ended. `now` is the time of that.
    fn ended(&mut self, action: &Action, outcome: &Outcome, now: Timestamp);
    /// What was heard so far should survive a kill.
    fn checkpoint(&mut self) {}
}
