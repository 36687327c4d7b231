//! The log messages of the page.

use std::collections::BTreeSet;
use std::fs;

use ganeti_watcher::decide::reason::{CODES, NODE_SILENT};

use super::page::{self, Item};
use super::source::{self, Literal};
use super::template::Template;
use super::topics::scenarios;

/// Every message at these levels has to be explained.
const TOLD: [&str; 4] = ["INFO", "WARNING", "ERROR", "CRITICAL"];
/// These reasons have no line with their code: the errors of jobs and rows, and changes, are told as they
/// come.
const WITHOUT_LINE: [&str; 4] = ["start_failed", "not_submitted", "changed", "unreadable"];
/// A text with fewer literal letters would match too much.
const FEWEST_LETTERS: usize = 5;

/// A message of the page; its placeholders are gaps.
#[derive(Debug)]
pub(crate) struct Message {
    level: String,
    template: Template,
    /// A condition's code, which is at the end in brackets.
    code: Option<String>,
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
        let code = template.cut_code();
        Self { level, template, code }
    }

    pub(crate) fn explains(&self, level: &str, text: &str) -> bool {
        let (text, code) = split_code(text);
        self.level == level && self.code.as_deref() == code && self.template.fits(text)
    }

    /// Whether the program can write it. A gap here may be literal there, and vice versa; an error may be
    /// followed by its causes. Codes are added elsewhere.
    fn is_written_by(&self, literal: &Literal) -> bool {
        let mut template = literal.template.clone();
        template.cut_code();
        let mut with_causes = template.clone();
        with_causes.push_text(": ");
        with_causes.push_gap();
        let sample = self.template.sample();
        literal.level.is_none_or(|level| level == self.level)
            && template.letters() >= FEWEST_LETTERS
            && (template.fits(&sample) || with_causes.fits(&sample) || self.template.fits(&template.sample()))
    }
}

/// A line that a scenario expects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    level: String,
    text: String,
}

/// The text of a line, and the code that it ends with.
fn split_code(text: &str) -> (&str, Option<&str>) {
    let is_code = |text: &str| text.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    let parts = text.strip_suffix(']').and_then(|text| text.rsplit_once(" ["));
    match parts.filter(|(_, code)| is_code(code)) {
        Some((text, code)) => (text, Some(code)),
        None => (text, None),
    }
}

pub(crate) fn messages() -> Vec<Message> {
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
    told.retain(|Line { level, .. }| TOLD.contains(&level.as_str()) && level != "INFO");
    told.retain(|Line { level, text }| !messages.iter().any(|message| message.explains(level, text)));
    assert!(told.is_empty(), "not in LOG MESSAGES: {told:#?}");
}

#[test]
fn every_message_in_the_source_is_explained() {
    let messages = messages();
    let mut told = source::literals();
    told.retain(|literal| literal.level.is_some_and(|level| TOLD.contains(&level)));
    told.retain(|literal| literal.template.letters() >= FEWEST_LETTERS && !is_of_a_dry_run(literal));
    assert!(told.len() > 100, "only {} were found", told.len());
    told.retain(|literal| !messages.iter().any(|message| message.is_written_by(literal)));
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "not in LOG MESSAGES: {told:#?}");
}

/// A dry run says what a run would do, and no more.
fn is_of_a_dry_run(literal: &Literal) -> bool {
    let text = literal.template.sample();
    literal.level == Some("INFO")
        && ["Would ", "a run would ", "Dry run"].iter().any(|words| text.contains(words))
}

#[test]
fn every_message_of_the_page_can_be_written() {
    let (lines, literals) = (lines(), source::literals());
    let mut messages = messages();
    for Message { level, template, .. } in &messages {
        assert!(TOLD.contains(&level.as_str()), "{level} is no level: {template:?}");
        assert!(template.letters() >= FEWEST_LETTERS, "this would explain anything: {template:?}");
    }
    messages.retain(|message| {
        !lines.iter().any(|Line { level, text }| message.explains(level, text))
            && !literals.iter().any(|literal| message.is_written_by(literal))
    });
    assert!(messages.is_empty(), "the program writes no such thing: {messages:#?}");
}

#[test]
fn the_codes_at_the_ends_of_messages_are_those_of_the_program() {
    let messages = messages();
    let codes: BTreeSet<&str> = messages.iter().filter_map(|message| message.code.as_deref()).collect();
    let of_program = CODES.into_iter().filter(|code| !WITHOUT_LINE.contains(code)).chain([NODE_SILENT]);
    assert_eq!(codes, of_program.collect());
}
