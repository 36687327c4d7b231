//! What a failure says about the memory of a node.

use super::blame::Cause;
use crate::cluster::{GanetiError, Instance, JobFailure};
use crate::memory::recovery::Shortage;

/// What the failure of the instance's start says about its node's memory; `None` when it is about something
/// else.
#[must_use]
pub fn shortage(failure: &JobFailure, instance: &Instance) -> Option<Shortage> {
    if Cause::of(failure) != Cause::Memory {
        return None;
    }
    let JobFailure::Error(GanetiError { message, .. }) = failure else { return None };
    // `instance_utils.py: CheckNodeFreeMemory`; hypervisors give no amounts that could be compared.
    let (needed, available) = (amount(message, ": needed "), amount(message, ", available "));
    Some(Shortage { needed: needed.or(instance.memory), available, asked: true })
}

/// The number of MiB that follows these words.
fn amount(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(words)?;
    let (number, unit) = rest.split_once(' ')?;
    unit.starts_with("MiB").then(|| number.parse().ok()).flatten()
}

/// Whether a start that needs this much might still work. If an amount is unknown, only a start that
/// certainly needs less than the failed one might.
#[must_use]
pub fn may_fit(shortage: Shortage, memory: Option<u64>) -> bool {
    match (memory, shortage) {
        (Some(memory), Shortage { available: Some(available), .. }) => memory <= available,
        (Some(memory), Shortage { available: None, needed: Some(needed), .. }) => memory < needed,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::instance;

    fn refused(message: &str) -> JobFailure {
        let code = Some("insufficient_resources".to_owned());
        JobFailure::Error(GanetiError { class: "OpPrereqError".into(), message: message.into(), code })
    }

    fn failed(message: &str) -> JobFailure {
        JobFailure::Error(GanetiError { class: "OpExecError".into(), message: message.into(), code: None })
    }

    fn short(needed: Option<u64>, available: Option<u64>) -> Shortage {
        Shortage { needed, available, asked: true }
    }

    #[test]
    fn what_a_node_says_about_its_memory_is_read() {
        let wants = instance("i", "ERROR_down");
        let xen = "Could not start instance 'i': Hypervisor error: Failed to start instance i: exited with exit code 3 (xc: panic: \
                   xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory)";
        for (failure, expected) in [
            (
                refused(
                    "Not enough memory on node n1 for starting instance i: needed 4096 MiB, available 512 MiB",
                ),
                Some(short(Some(4096), Some(512))),
            ),
            (
                refused(
                    "Not enough memory on node n1 for starting instance i: needed 4096 MiB, available none",
                ),
                Some(short(Some(4096), None)),
            ),
            (refused("No room"), Some(short(Some(1024), None))),
            (failed(xen), Some(short(Some(1024), None))),
            (failed("Disk consistency error"), None),
            (JobFailure::Text("needed 4096 MiB, available 512 MiB".into()), None),
        ] {
            assert_eq!(shortage(&failure, &wants), expected, "{failure}");
        }
    }

    #[test]
    fn only_what_surely_needs_less_may_fit() {
        for (shortage, memory, fits) in [
            (short(Some(4096), Some(512)), Some(512), true),
            (short(Some(4096), Some(512)), Some(513), false),
            (short(Some(4096), Some(0)), Some(128), false),
            (short(Some(4096), None), Some(4095), true),
            (short(Some(4096), None), Some(4096), false),
            (short(None, None), Some(1), false),
            (short(Some(4096), Some(512)), None, false),
        ] {
            assert_eq!(may_fit(shortage, memory), fits, "{shortage:?} {memory:?}");
        }
    }
}
