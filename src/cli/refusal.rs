//! Errors of the command line in optparse's form: the usage, an empty line, and one line about what is wrong.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Refusal, USAGE, command};
use crate::simulate::quoted;

/// What to do instead of a run, from what clap says.
pub(super) fn refusal(error: &clap::Error) -> Refusal {
    let text = error.to_string();
    if let ErrorKind::DisplayHelp | ErrorKind::DisplayVersion = error.kind() {
        return Refusal::Answer(text);
    }
    // The usage is below everything that somebody typed.
    let usage = text.rfind("\nUsage: ").map_or("", |start| text[start..].trim_start());
    let usage = usage.split("\n\n").next().unwrap_or_default().trim_end();
    let usage = if usage.is_empty() { format!("Usage: {USAGE}") } else { usage.to_owned() };
    let message = message(error, &text, &usage);
    Refusal::Usage(with_usage(&usage, &message))
}

pub(super) fn with_usage(usage: &str, message: &str) -> String {
    format!("{usage}\n\nganeti-watcher: error: {message}")
}

fn message(error: &clap::Error, text: &str, usage: &str) -> String {
    let of = |kind| context(error, kind);
    let given = |kind| of(kind).into_iter().next().unwrap_or_default();
    // As `--nodes <NODES>` or `--debug...`.
    let argument = given(ContextKind::InvalidArg);
    let option = argument.split([' ', '=']).next().unwrap_or_default().trim_end_matches("...");
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
            let may_be = options_that_begin_with(option, usage);
            if may_be.len() > 1 {
                return format!("ambiguous option: {}; it may be {}", quoted(option), may_be.join(", "));
            }
            format!("no such option: {}{}", quoted(option), did_you_mean(&of(ContextKind::SuggestedArg)))
        }
        ErrorKind::InvalidSubcommand => {
            let given = quoted(&given(ContextKind::InvalidSubcommand));
            let near = did_you_mean(&of(ContextKind::SuggestedSubcommand));
            if !near.is_empty() {
                return format!("no such subcommand: {given}{near}");
            }
            let command = command();
            let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
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

/// Options of the program, or of the subcommand that the usage is about, for an abbreviation of several.
fn options_that_begin_with(given: &str, usage: &str) -> Vec<String> {
    let all = command();
    let word = usage.split_whitespace().nth(2).unwrap_or_default();
    let command = all.find_subcommand(word).unwrap_or(&all);
    let names = command.get_arguments().filter_map(clap::Arg::get_long).map(|name| format!("--{name}"));
    names.filter(|name| name.starts_with(given)).collect()
}
