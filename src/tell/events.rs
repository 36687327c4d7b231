//! What happens once.

use super::actions::ended;
use super::line::LogLine;
use super::words::{Times, holder, list};
use crate::cluster::few;
use crate::decide::Event;
use crate::decide::event::Lost;
use crate::decide::tags::Problem;

/// The line for an event.
#[must_use]
pub fn event(event: &Event, times: &Times) -> LogLine {
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
        // As loud as what it ends: people look for warnings alone.
        Event::AnswersAgain { node, silent_since } => LogLine::warning(format!(
            "Node '{node}' answers again, after silence since {} or earlier",
            times.moment(*silent_since)
        )),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tags::Holder;
    use crate::tell::Severity;

    #[test]
    fn a_tag_that_does_nothing_is_told_with_what_has_it() {
        let line = |on: Holder, problem: Problem| event(&Event::TagProblem { on, problem }, &Times::utc(0.0));
        let unreadable = || Problem::Unreadable { tag: "ganeti:watcher:start:nver".into(), why: "no".into() };
        for (on, words) in [
            (Holder::Cluster, "Tags of the cluster"),
            (Holder::Group("g".into()), "Tags of node group 'g'"),
            (Holder::Instance("i".into()), "Tags of instance 'i'"),
        ] {
            let LogLine { severity, text } = line(on, unreadable());
            assert_eq!(text, format!("{words}: tag 'ganeti:watcher:start:nver' is ignored: no"));
            assert_eq!(severity, Severity::Warning);
        }
        let yields = Problem::Yields { tag: "T:hold:5".into(), to: "T:never".into() };
        let LogLine { text, .. } = line(Holder::Cluster, yields);
        let words =
            "Tags of the cluster: tag 'T:hold:5' yields to the more careful 'T:never' on the same object";
        assert_eq!(text, words);
    }

    #[test]
    fn starts_that_are_lost_once_are_a_warning_and_an_error_from_the_second_time_on() {
        let instances = vec!["a".to_owned(), "b".to_owned()];
        for (how, again, severity, words) in [
            (Lost::MasterDied, false, Severity::Warning, "The master died while"),
            (Lost::MasterDied, true, Severity::Error, "The master died again while"),
            (Lost::Unknown, false, Severity::Warning, "It is unknown how"),
            (Lost::Unknown, true, Severity::Error, "It is again unknown how"),
        ] {
            let line =
                event(&Event::StartsLost { how, again, instances: instances.clone() }, &Times::utc(0.0));
            assert!(line.text.starts_with(words) && line.text.ends_with(": a, b"), "{line:?}");
            assert_eq!((line.severity, line.text.contains("costs no try")), (severity, !again), "{line:?}");
        }
    }
}
