//! The verdicts themselves, for `--debug`: all reasons that hold, not only the one that decides.

use super::line::LogLine;
use super::words::Times;
use crate::decide::reason::Reason;
use crate::decide::remedy::{Condition, Next};
use crate::decide::verdict::{Verdict, Verdicts};

/// A line for every instance that should run and does not, or is not whole.
#[must_use]
pub fn verdicts(verdicts: &Verdicts, times: &Times) -> Vec<LogLine> {
    let concerning = verdicts.iter().filter(|verdict| verdict.wanted != Some(false));
    concerning.filter(|verdict| !verdict.reasons.is_empty()).map(|verdict| line(verdict, times)).collect()
}

fn line(verdict: &Verdict, times: &Times) -> LogLine {
    let codes: Vec<&str> = verdict.reasons.iter().map(Reason::code).collect();
    let status = verdict.status.as_ref().map_or("unknown", |status| status.as_word());
    let next = verdict.next().map_or_else(String::new, |next| format!("; next: {}", words(&next, times)));
    let human = if verdict.needs_human() { "; needs a human" } else { "" };
    LogLine::debug(format!(
        "Verdict on instance '{}': {status}{}, {}{next}{human}",
        verdict.instance,
        times.since(verdict.since),
        codes.join(" "),
    ))
}

fn words(next: &Next, times: &Times) -> String {
    match next {
        Next::Now => "it is being started".to_owned(),
        Next::InNextRun => "the next run tries again".to_owned(),
        Next::At(at) => format!("tried again at {}", times.moment(*at)),
        Next::Never => "nothing, by itself".to_owned(),
        Next::When(condition) => match condition {
            Condition::Answers(node) => format!("when node '{node}' answers"),
            Condition::AllAnswer(nodes) => format!("when these nodes answer: {}", nodes.join(", ")),
            Condition::JobEnds(job) => format!("when job {job} has ended"),
            Condition::LockIsFree => "when nobody holds its lock".to_owned(),
            Condition::TierIsUp { behind, until } => {
                format!("when '{behind}' is up, at {} at the latest", times.moment(*until))
            }
            Condition::TagIsGone => "when its tag is removed".to_owned(),
            Condition::PauseIsOver => "when the pause is over".to_owned(),
            Condition::QueueIsOpen => "when the job queue is open".to_owned(),
        },
    }
}
