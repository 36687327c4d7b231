//! Errors of the command line in optparse's form: the usage, an empty line, and one line about what is wrong.

use std::error::Error as _;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::values::quoted;

/// How to call the program.
pub(crate) const USAGE: &str = "\
ganeti-watcher [OPTIONS]
       ganeti-watcher retry <INSTANCE...|--all>
       ganeti-watcher simulate [OPTIONS]";

/// Options whose values the original checks only after reading the whole command line: a wrong one is not a
/// usage error, and `--help` takes precedence over it.
pub(super) const LATE: [&str; 4] = ["job-age", "kill-hooks-after", "start-degraded", "rapi-ip"];

/// What to do instead of what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Print this to stdout and exit with 0: help or version.
    Answer(String),
    /// Print this to stderr and exit with 2: the command line is wrong.
    Usage(String),
    /// Print this to stderr and exit with 1: an option's value is wrong, which the original notices later.
    BadValue(String),
}

/// What to do instead, from what clap says about a command line for this command.
pub(super) fn refusal(error: &clap::Error, command: &Command) -> Refusal {
    let text = error.to_string();
    if let ErrorKind::DisplayHelp | ErrorKind::DisplayVersion = error.kind() {
        return Refusal::Answer(text);
    }
    let option = name_of(error);
    if let (ErrorKind::ValueValidation, Some(problem)) = (error.kind(), error.source())
        && LATE.contains(&option.trim_start_matches('-'))
    {
        return Refusal::BadValue(format!("ganeti-watcher: error: option {option}: {problem}"));
    }
    // The usage comes after everything that somebody typed.
    let usage = text.rfind("\nUsage: ").map_or("", |start| text[start..].trim_start());
    let usage = usage.split("\n\n").next().unwrap_or_default().trim_end();
    let usage = if usage.is_empty() { format!("Usage: {USAGE}") } else { usage.to_owned() };
    let message = message(error, &text, &usage, command);
    Refusal::Usage(with_usage(&usage, &message))
}

/// The usage, and what is wrong.
#[must_use]
pub fn with_usage(usage: &str, message: &str) -> String {
    format!("{usage}\n\nganeti-watcher: error: {message}")
}

/// The option that the error is about: `--nodes` of `--nodes <NODES>`, `--debug` of `--debug...`.
fn name_of(error: &clap::Error) -> String {
    let argument = context(error, ContextKind::InvalidArg).into_iter().next().unwrap_or_default();
    argument.split([' ', '=']).next().unwrap_or_default().trim_end_matches("...").to_owned()
}

fn message(error: &clap::Error, text: &str, usage: &str, command: &Command) -> String {
    let of = |kind| context(error, kind);
    let given = |kind| of(kind).into_iter().next().unwrap_or_default();
    let argument = given(ContextKind::InvalidArg);
    let option = name_of(error);
    let value = given(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::ValueValidation => {
            let expected = error.source().map(ToString::to_string).unwrap_or_default();
            format!("option {option}: invalid value {}: {expected}", quoted(&value))
        }
        ErrorKind::InvalidValue => {
            let choice = of(ContextKind::ValidValue).join(", ");
            let near = did_you_mean(&of(ContextKind::SuggestedValue));
            match (value.is_empty(), choice.is_empty()) {
                (true, true) => format!("option {option} needs a value"),
                (true, false) => format!("option {option} needs a value: one of {choice}"),
                (false, _) => {
                    format!(
                        "option {option}: invalid value {}: expected one of {choice}{near}",
                        quoted(&value)
                    )
                }
            }
        }
        ErrorKind::TooManyValues => {
            format!("option {option} takes no value, and {} was given", quoted(&value))
        }
        ErrorKind::UnknownArgument if !argument.starts_with('-') => {
            format!("unexpected argument: {}", quoted(&argument))
        }
        ErrorKind::UnknownArgument => {
            let may_be = options_that_begin_with(&option, usage, command);
            if may_be.len() > 1 {
                return format!("ambiguous option: {}; it could be {}", quoted(&option), may_be.join(", "));
            }
            format!("no such option: {}{}", quoted(&option), did_you_mean(&of(ContextKind::SuggestedArg)))
        }
        ErrorKind::InvalidSubcommand => {
            let given = quoted(&given(ContextKind::InvalidSubcommand));
            let near = did_you_mean(&of(ContextKind::SuggestedSubcommand));
            if !near.is_empty() {
                return format!("no such subcommand: {given}{near}");
            }
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            format!("no such subcommand: {given}; there are: {}", names.join(", "))
        }
        _ => {
            // What is wrong comes first, on one line or more, then an empty line.
            let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
            let lines = lines.join(" ");
            lines.strip_prefix("error: ").unwrap_or(&lines).to_owned()
        }
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

fn did_you_mean(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}

/// Options of the program, or of the usage's subcommand, that an abbreviation could stand for.
fn options_that_begin_with(given: &str, usage: &str, all: &Command) -> Vec<String> {
    let word = usage.split_whitespace().nth(2).unwrap_or_default();
    let command = all.find_subcommand(word).unwrap_or(all);
    let names = command.get_arguments().filter_map(clap::Arg::get_long).map(|name| format!("--{name}"));
    names.filter(|name| name.starts_with(given)).collect()
}
