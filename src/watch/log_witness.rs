//! The witness that only logs.

use crate::act::Witness;
use crate::cluster::Timestamp;
use crate::decide::{Action, Note, Outcome};
use crate::{logging, tell};

/// Logs what happens and remembers nothing.
pub(super) struct LogWitness;

impl Witness for LogWitness {
    fn noted(&mut self, note: &Note, _now: Timestamp) {
        tell::note(note).iter().for_each(logging::log);
    }

    fn begin(&mut self, actions: &[Action], _epoch_ns: u64) {
        actions.iter().for_each(|action| logging::log(&tell::begun(action)));
    }

    fn ended(&mut self, action: &Action, outcome: &Outcome, _now: Timestamp) {
        logging::log(&tell::ended(action, outcome));
    }
}
