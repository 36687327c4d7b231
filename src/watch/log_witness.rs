//! The witness that only logs.

use crate::act::Witness;
use crate::cluster::Timestamp;
use crate::decide::{Action, Note, Outcome};
use crate::{logging, tell};

/// Logs what happens and remembers nothing.
pub(super) struct LogWitness;

impl Witness for LogWitness {
    fn noted(&mut self, note: &Note, _now: Timestamp) {
        logging::log_all(tell::note(note));
    }

    fn begin(&mut self, actions: &[Action], _epoch_ns: u64) {
        logging::log_all(actions.iter().map(tell::begun));
    }

    fn ended(&mut self, action: &Action, outcome: &Outcome, _now: Timestamp) {
        logging::log(tell::ended(action, outcome));
    }
}
