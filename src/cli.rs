//! The command line: what can be asked for instead of a run, on top of a run's options.

use std::ffi::OsString;

use clap::Subcommand;

use crate::options::{self, CommandLine, Options, Refusal, Retry};
use crate::simulate;
use crate::watch::retry::Whose;

/// What was asked for on the command line.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// A run.
    Watch(Options),
    /// The story of a simulated cluster.
    Simulate(simulate::Options),
    /// All tries for instances that have none left.
    Retry(Whose),
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how a simulated cluster comes back after an outage; needs no Ganeti and changes nothing
    Simulate(simulate::Options),
    /// Give instances all their tries back and end their waits
    Retry(Retry),
}

/// The command line as clap knows it, for shell completions and for comparison with the man page.
#[must_use]
pub fn command() -> clap::Command {
    options::command::<Command>()
}

/// Reads the command line; the first argument is the program's name.
///
/// # Errors
/// See [`Refusal`].
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, Refusal> {
    let CommandLine { options, command, .. } = options::parse::<Command>(arguments)?;
    match command {
        None => Ok(Request::Watch(options)),
        Some(Command::Retry(retry)) => Ok(Request::Retry(retry.into())),
        Some(Command::Simulate(options)) => match options.check() {
            Ok(()) => Ok(Request::Simulate(options)),
            Err(problem) => {
                Err(Refusal::Usage(options::with_usage("Usage: ganeti-watcher simulate [OPTIONS]", &problem)))
            }
        },
    }
}

#[cfg(test)]
mod tests;
