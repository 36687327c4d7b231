//! What happens once.

use super::actions::ended;
use super::line::LogLine;
use super::words::{holder, list};
use crate::cluster::few;
use crate::decide::Event;
use crate::decide::event::Lost;
use crate::decide::tags::Problem;

/// The line for an event.
#[must_use]
pub fn event(event: &Event) -> LogLine {
    match event {
        // A state file may hold more records than a line should have names.
        Event::RecordsDropped(names) => LogLine::debug(format!(
            "Forgetting the records of instances that are gone or were last started long ago: {}",
            few(names.iter().map(String::as_str))
        )),
        Event::Forgiven(names) => LogLine::debug(format!(
            "Instances that no longer wait, because what made them fail has changed: {}",
            few(names.iter().map(String::as_str))
        )),
        Event::NoBootId(node) => {
            LogLine::debug(format!("Node '{node}' missing boot ID, skipping secondary checks"))
        }
        Event::TagProblem { on, problem } => LogLine::warning(match problem {
            Problem::Unreadable { tag, why } => {
                format!("Tags of {}: tag '{tag}' is ignored: {why}", holder(on))
            }
            Problem::Yields { tag, to } => format!(
                "Tags of {}: tag '{tag}' yields to the more careful '{to}' on the same object",
                holder(on)
            ),
        }),
        Event::Ended(action, outcome) => ended(action, outcome),
        Event::EarlierStartSucceeded { instance, job } => LogLine::debug(format!(
            "The start of instance '{instance}' that an earlier run submitted has succeeded (job {job})"
        )),
        Event::NeverSubmitted(instances) => LogLine::debug(format!(
            "An earlier run ended before it had submitted the starts of these instances: {}",
            names(instances)
        )),
        Event::StartsLost { how, again, instances } => {
            let names = names(instances);
            match (how, again) {
                (Lost::MasterDied, false) => LogLine::warning(format!(
                    "The master died while instances were being started, which costs no try unless it \
                     happens again: {names}"
                )),
                (Lost::MasterDied, true) => LogLine::error(format!(
                    "The master died again while the same instances were being started, which costs each of \
                     them a try: {names}"
                )),
                (Lost::Unknown, false) => LogLine::warning(format!(
                    "It is unknown how the last starts of these instances ended, which costs no try unless \
                     it happens again: {names}"
                )),
                (Lost::Unknown, true) => LogLine::error(format!(
                    "It is again unknown how the last starts of these instances ended, which costs each of \
                     them a try: {names}"
                )),
            }
        }
        Event::NodeToBlame { node, storage, first, second } => LogLine::warning(format!(
            "Instances '{first}' and '{second}' fail to start with the same error, and no instance with disk \
             template {storage} is known to have started on node '{node}' since it booted: the node is to \
             blame, and neither loses a try; check the storage of '{node}'"
        )),
    }
}

fn names(instances: &[String]) -> String {
    list(instances.iter().map(String::as_str))
}
