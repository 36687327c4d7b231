//! The log messages of the page.

use std::collections::BTreeSet;
use std::fs;

use super::page::{self, Item};
use super::source::{self, Literal};
use super::template::Template;
use super::topics::scenarios;

/// Every line at these levels has to be explained.
const TOLD: [&str; 3] = ["WARNING", "ERROR", "CRITICAL"];
/// A text with fewer literal letters would match too much.
const FEWEST_LETTERS: usize = 5;

/// A message of the page; its placeholders are gaps.
#[derive(Debug)]
struct Message {
    level: String,
    template: Template,
}

impl Message {
    /// Reads `.It Sy LEVEL text...`.
    fn of(item: &Item) -> Self {
        let mut spans = page::spans(&item.head).into_iter();
        let level = spans.next().unwrap().text;
        let mut template = Template::empty();
        for (index, span) in spans.enumerate() {
            if span.is_apart && index > 0 {
                template.push_text(" ");
            }
            if span.of == "Ar" {
                template.push_gap();
            } else {
                template.push_text(&span.text);
            }
        }
        Self { level, template }
    }

    fn explains(&self, line: &Line) -> bool {
        self.level == line.level && self.template.fits(&line.text)
    }

    /// Whether the program can write it. A gap here may be literal there, and vice versa; an error may be
    /// followed by its causes.
    fn is_written_by(&self, literal: &Literal) -> bool {
        let mut with_causes = literal.template.clone();
        with_causes.push_text(": ");
        with_causes.push_gap();
        let sample = self.template.sample();
        literal.level.is_none_or(|level| level == self.level)
            && literal.template.letters() >= FEWEST_LETTERS
            && (literal.template.fits(&sample)
                || with_causes.fits(&sample)
                || self.template.fits(&literal.template.sample()))
    }
}

/// A line that a scenario expects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    level: String,
    text: String,
}

fn messages() -> Vec<Message> {
    let messages: Vec<Message> = page::section("LOG MESSAGES")
        .subsections()
        .iter()
        .flat_map(page::Part::items)
        .map(|item| Message::of(&item))
        .collect();
    assert!(messages.len() > 50, "the page has only {} messages", messages.len());
    messages
}

/// What the scenarios expect in their logs.
fn lines() -> BTreeSet<Line> {
    let mut lines = BTreeSet::new();
    for scenario in scenarios().unwrap() {
        let log = fs::read_to_string(scenario.path.join("expected.log")).unwrap();
        lines.extend(log.lines().filter_map(|line| {
            let (level, text) = line.strip_prefix("  ")?.split_once(' ')?;
            Some(Line { level: level.to_owned(), text: text.to_owned() })
        }));
    }
    assert!(lines.iter().any(|line| line.level == "ERROR"));
    lines
}

#[test]
fn every_warning_and_error_of_a_scenario_is_explained() {
    let messages = messages();
    let mut told = lines();
    told.retain(|line| TOLD.contains(&line.level.as_str()));
    told.retain(|line| !messages.iter().any(|message| message.explains(line)));
    assert!(told.is_empty(), "not in LOG MESSAGES: {told:#?}");
}

#[test]
fn every_warning_and_error_in_the_source_is_explained() {
    let messages = messages();
    let mut told = source::literals();
    told.retain(|literal| literal.level.is_some() && literal.template.letters() >= FEWEST_LETTERS);
    assert!(told.len() > 40, "only {} were found", told.len());
    told.retain(|literal| !messages.iter().any(|message| message.is_written_by(literal)));
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "not in LOG MESSAGES: {told:#?}");
}

#[test]
fn every_message_of_the_page_can_be_written() {
    let (lines, literals) = (lines(), source::literals());
    let mut messages = messages();
    for Message { level, template } in &messages {
        assert!(TOLD.contains(&level.as_str()) || level == "INFO", "{level} is no level: {template:?}");
        assert!(template.letters() >= FEWEST_LETTERS, "this would explain anything: {template:?}");
    }
    messages.retain(|message| {
        !lines.iter().any(|line| message.explains(line))
            && !literals.iter().any(|literal| message.is_written_by(literal))
    });
    assert!(messages.is_empty(), "the program writes no such thing: {messages:#?}");
}
