//! The options and subcommands of the page.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, ArgAction, Command};
use ganeti_watcher::cli;

use super::page::{self, Item, Part, Word};

/// By names such as `-A --job-age`, or by the value's name if there are none.
type Options = BTreeMap<String, About>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct About {
    value: Option<String>,
    default: Option<String>,
}

fn of_page(part: &Part) -> Options {
    part.items().iter().map(option_of_page).collect()
}

fn option_of_page(Item { head, body }: &Item) -> (String, About) {
    let spans = page::spans(head);
    let of = |name: &str| -> BTreeSet<&str> {
        spans
            .iter()
            .filter(|span| span.of == name && span.text != "...")
            .map(|span| span.text.as_str())
            .collect()
    };
    let values = of("Ar");
    assert!(values.len() < 2, "{head:?} has several values");
    let names: Vec<String> = of("Fl").into_iter().map(|name| format!("-{name}")).collect();
    let default =
        body.iter().find_map(|line| line.strip_prefix("Default: ")?.strip_suffix('.').map(str::to_owned));
    let value = values.first().map(|value| (*value).to_owned());
    let key = if names.is_empty() { value.clone().unwrap_or_default() } else { names.join(" ") };
    (key, About { value, default })
}

fn of_program(command: &Command) -> Options {
    // A subcommand's help is described once, with the program's own.
    let is_own =
        |arg: &&Arg| command.get_name() == "ganeti-watcher" || !matches!(arg.get_action(), ArgAction::Help);
    command.get_arguments().filter(is_own).map(option_of_program).collect()
}

fn option_of_program(arg: &Arg) -> (String, About) {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names: BTreeSet<String> = short.into_iter().chain(long).collect();
    let takes_value = arg.get_action().takes_values();
    let value = takes_value.then(|| match arg.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => arg.get_id().as_str().to_uppercase(),
    });
    let default = arg.get_default_values().first().filter(|_| takes_value);
    let default = default.map(|default| default.to_string_lossy().into_owned());
    let names: Vec<String> = names.into_iter().collect();
    let key = if names.is_empty() { value.clone().unwrap_or_default() } else { names.join(" ") };
    (key, About { value, default })
}

fn command() -> Command {
    let mut command = cli::command();
    command.build();
    command
}

fn assert_same(of_page: &Options, of_program: &Options) {
    let only = |these: &Options, others: &Options| -> Vec<String> {
        let differs = |(name, about): &(&String, &About)| others.get(*name) != Some(*about);
        these.iter().filter(differs).map(|(name, about)| format!("{name}: {about:?}")).collect()
    };
    let (page, program) = (only(of_page, of_program), only(of_program, of_page));
    assert!(
        page.is_empty() && program.is_empty(),
        "the page alone has {page:#?}, the program alone has {program:#?}"
    );
}

#[test]
fn options_are_those_of_the_program_with_their_values_and_defaults() {
    assert_same(&of_page(&page::section("OPTIONS")), &of_program(&command()));
}

#[test]
fn subcommands_are_those_of_the_program_with_their_options() {
    let subsections = page::section("SUBCOMMANDS").subsections();
    let command = command();
    let of_page_by_name = subsections.iter().skip(1).map(|part| (part.title.as_str(), of_page(part)));
    let of_page_by_name: BTreeMap<&str, Options> = of_page_by_name.collect();
    let names: BTreeSet<&str> = command.get_subcommands().map(Command::get_name).collect();
    assert_eq!(of_page_by_name.keys().copied().collect::<BTreeSet<_>>(), names);
    for subcommand in command.get_subcommands() {
        assert_same(&of_page_by_name[subcommand.get_name()], &of_program(subcommand));
    }
}

#[test]
fn the_synopsis_has_every_option() {
    let command = command();
    let given = flags(&page::section("SYNOPSIS"));
    let is_there = |names: &&String| names.split(' ').any(|name| given.contains(name));
    let options = of_program(&command);
    let missing: Vec<&String> = options.keys().filter(|names| !is_there(names)).collect();
    assert!(missing.is_empty(), "not in SYNOPSIS: {missing:?}");
}

#[test]
fn every_option_that_the_page_mentions_exists() {
    let command = command();
    let commands = std::iter::once(&command).chain(command.get_subcommands());
    let options: Vec<String> = commands.flat_map(|command| of_program(command).into_keys()).collect();
    let known: BTreeSet<&str> = options.iter().flat_map(|names| names.split(' ')).collect();
    let given = flags(&page::read());
    let unknown: Vec<&String> = given.iter().filter(|flag| !known.contains(flag.as_str())).collect();
    assert!(unknown.is_empty(), "no such options: {unknown:?}");
}

/// Everything that is marked up as an option.
fn flags(part: &Part) -> BTreeSet<String> {
    let macros = part.lines.iter().filter_map(|line| line.strip_prefix('.'));
    let flags = macros.flat_map(|line| {
        let words = page::words(line);
        let after_fl = words.windows(2).filter_map(|pair| match pair {
            [Word::Macro(name), Word::Text(flag)] if name == "Fl" => Some(format!("-{flag}")),
            _ => None,
        });
        after_fl.collect::<Vec<_>>()
    });
    flags.collect()
}
