//! The results, for people.

use std::fmt::Write as _;
use std::time::Duration;

use crate::judge::cut;

/// How many failures of an attack are repeated below the table.
const SHOWN: usize = 20;

/// A case in which something did not hold.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) case: String,
    pub(crate) problem: String,
}

/// An attack.
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    /// How many cases there are, tried or not.
    of: usize,
    pub(crate) tries: usize,
    /// Cases in which the run ended before the attack took place.
    pub(crate) not_reached: usize,
    pub(crate) failures: Vec<Failure>,
    pub(crate) took: Duration,
}

impl Row {
    pub(crate) fn new(name: &'static str, of: usize) -> Self {
        Self { name, of, tries: 0, not_reached: 0, failures: Vec::new(), took: Duration::ZERO }
    }

    pub(crate) fn line(&self) -> String {
        let Self { name, of, tries, not_reached, failures, took } = self;
        format!(
            "| {name:<10} | {of:>6} | {tries:>6} | {not_reached:>11} | {:>8} | {:>5} s |",
            failures.len(),
            took.as_secs()
        )
    }
}

/// The table, and what reproduces each failure.
pub(crate) fn render(rows: &[Row], took: Duration) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        // Writing to a String does not fail.
        let _written = writeln!(text, "{words}");
    };
    line("| attack     |  cases |  tries | not reached | failures |    time |");
    line("|------------|--------|--------|-------------|----------|---------|");
    rows.iter().for_each(|row| line(&row.line()));
    for row in rows.iter().filter(|row| !row.failures.is_empty()) {
        line("");
        for Failure { case, problem } in row.failures.iter().take(SHOWN) {
            line(&format!("tests/faults/run --attack {} --case '{case}'", row.name));
            line(&format!("    {}", cut(problem)));
        }
        if row.failures.len() > SHOWN {
            line(&format!("… and {} more of '{}'", row.failures.len() - SHOWN, row.name));
        }
    }
    let tries: usize = rows.iter().map(|row| row.tries).sum();
    let failures: usize = rows.iter().map(|row| row.failures.len()).sum();
    line(&format!("\nin {} s", took.as_secs()));
    line(&format!("{} passed, {failures} failed", tries - failures));
    text
}
