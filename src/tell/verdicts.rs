//! The verdicts themselves, for `--debug`: all reasons that hold, not only the one that decides.

use super::line::LogLine;
use super::why::next;
use super::words::Times;
use crate::decide::reason::Reason;
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
    let next = next(verdict, times).map_or_else(String::new, |next| format!("; next: {next}"));
    let human = if verdict.needs_human() { "; needs a human" } else { "" };
    LogLine::debug(format!(
        "Verdict on instance '{}': {status}{}, {}{next}{human}",
        verdict.instance,
        times.since(verdict.since),
        codes.join(" "),
    ))
}
