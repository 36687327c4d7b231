//! The sentences for starts that wait after a failure that is not their own.

use super::cause::Cause;
use crate::decide::blame::Blame;
use crate::decide::reason::Reason;
use crate::decide::verdict::Verdict;
use crate::memory::recovery::BlockedBy;
use crate::tell::line::LogLine;
use crate::tell::shortage::Waiting;
use crate::tell::words::{Times, blocked_by};

impl Cause<'_> {
    pub(super) fn backoff(&self, by: &BlockedBy, failures: u64, times: &Times) -> LogLine {
        let until = times.moment(self.soonest(|reason| match reason {
            Reason::Backoff { until, .. } => Some(*until),
            _ => None,
        }));
        LogLine::warning(match self.of.as_slice() {
            [(Verdict { instance: name, .. }, _)] => format!(
                "Not starting instance '{name}' until the first run after {until}: its last starts \
                 failed because of {} ({failures} in a row), which costs no try; 'ganeti-watcher retry {name}' ends the wait",
                blocked_by(by)
            ),
            [(verdict, _), ..] => {
                let (number, names) = (self.of.len(), self.names());
                let of_node = match by {
                    BlockedBy::Known(Blame::Node) => {
                        format!(
                            " on node '{0}' until the first run after {until}: their last starts failed because of \
                             that node",
                            verdict.primary
                        )
                    }
                    BlockedBy::Known(Blame::Peer) => format!(
                        " until the first run after {until}: their last starts failed because of their \
                         secondary node '{}'",
                        verdict.secondaries.join("', '")
                    ),
                    by => format!(
                        " until the first run after {until}: their last starts failed because of {}",
                        blocked_by(by)
                    ),
                };
                format!(
                    "Not starting {number} instances{of_node}, which costs no try: {names}; 'ganeti-watcher \
                     retry' with a name ends the wait"
                )
            }
            [] => String::new(),
        })
    }

    pub(super) fn no_memory(&self, times: &Times) -> LogLine {
        let until = times.moment(self.soonest(|reason| match reason {
            Reason::NoMemory { until, .. } => Some(*until),
            _ => None,
        }));
        let mut waiting = Waiting::default();
        for (_, reason) in &self.of {
            if let Reason::NoMemory { shortage, .. } = reason {
                waiting.add(*shortage);
            }
        }
        let node = self.of.first().map_or("", |(verdict, _)| verdict.primary.as_str());
        LogLine::warning(match self.of.as_slice() {
            [(Verdict { instance: name, .. }, _)] => format!(
                "Not starting instance '{name}' until the first run after {until}: node '{node}' does not \
                 have enough memory ({}), which costs no try; free memory there, or move it; 'ganeti-watcher retry {name}' ends \
                 the wait",
                waiting.amounts("it needs", "")
            ),
            _ => format!(
                "Not starting {} instances on node '{node}' until the first run after {until}: it does \
                 not have enough memory ({}), which costs no try; free memory there, or move some of them: {}; 'ganeti-watcher \
                 retry' with a name ends the wait",
                self.of.len(),
                waiting.amounts("they need", " in all"),
                self.names()
            ),
        })
    }
}
