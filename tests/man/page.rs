//! `man/ganeti-watcher.8`, as far as it is compared with the program.
//!
//! Knows only this part of mdoc(7): sections and subsections, list items with their bodies, and the words of
//! a macro line.

use std::fs;
use std::path::Path;

/// Macros that can occur among the words of a line. A word of the page that looks like one has `\&` in front.
const MACROS: [&str; 9] = ["Ar", "Cm", "Ev", "Fl", "Li", "No", "Ns", "Pa", "Sy"];

/// Part of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// What the heading says; empty before the first one.
    pub(crate) title: String,
    pub(crate) lines: Vec<String>,
}

/// An item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// The words after `.It`.
    pub(crate) head: Vec<Word>,
    /// Its text, up to the next item.
    pub(crate) body: Vec<String>,
}

/// A word of a macro line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Macro(String),
    Text(String),
}

/// A stretch of text in one macro's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) of: String,
    pub(crate) text: String,
    /// Whether there is a blank before it.
    pub(crate) is_apart: bool,
}

/// The whole page.
pub(crate) fn read() -> Part {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/ganeti-watcher.8");
    let text = fs::read_to_string(path).unwrap();
    Part { title: String::new(), lines: text.lines().map(str::to_owned).collect() }
}

/// The section of that name.
pub(crate) fn section(title: &str) -> Part {
    let sections = read().split(".Sh ");
    sections.into_iter().find(|part| part.title == title).unwrap_or_else(|| panic!("no section {title}"))
}

impl Part {
    /// Its subsections; the first is what comes before them.
    pub(crate) fn subsections(&self) -> Vec<Self> {
        self.split(".Ss ")
    }

    fn split(&self, heading: &str) -> Vec<Self> {
        let mut parts = vec![Self { title: String::new(), lines: Vec::new() }];
        for line in &self.lines {
            match line.strip_prefix(heading) {
                Some(title) => parts.push(Self { title: title.to_owned(), lines: Vec::new() }),
                None => parts.last_mut().unwrap().lines.push(line.clone()),
            }
        }
        parts
    }

    /// The items of its lists.
    pub(crate) fn items(&self) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        let mut is_open = false;
        for line in &self.lines {
            if let Some(head) = line.strip_prefix(".It ") {
                items.push(Item { head: words(head), body: Vec::new() });
                is_open = true;
            } else if line.starts_with(".El") || line == ".It" {
                is_open = false;
            } else if is_open && let Some(item) = items.last_mut() {
                item.body.push(line.clone());
            }
        }
        items
    }
}

/// The words of a macro line. Anything in quotes is one word, and not a macro.
pub(crate) fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, is_quoted, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (word, after) =
                    quoted.split_once('"').unwrap_or_else(|| panic!("no end of quotes: {line}"));
                (word, true, after)
            }
            None => {
                let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
                (word, false, after)
            }
        };
        rest = after.trim_start();
        words.push(match MACROS.contains(&word) && !is_quoted {
            true => Word::Macro(word.to_owned()),
            false => Word::Text(word.replace("\\&", "")),
        });
    }
    words
}

/// The text of these words, by the macro that each stretch belongs to.
pub(crate) fn spans(words: &[Word]) -> Vec<Span> {
    let mut spans = Vec::new();
    let (mut of, mut is_apart) = (String::new(), true);
    for word in words {
        match word {
            Word::Macro(name) if name == "Ns" => {
                is_apart = false;
                of = String::new();
            }
            Word::Macro(name) => of.clone_from(name),
            Word::Text(text) => {
                let is_comma = text == ",";
                let of = if is_comma { String::new() } else { of.clone() };
                spans.push(Span { of, text: text.clone(), is_apart: is_apart && !is_comma });
                is_apart = true;
            }
        }
    }
    spans
}

/// The names after such a macro in a line, without blanks before what is joined to them.
pub(crate) fn names(words: &[Word], of: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for span in spans(words) {
        match names.last_mut() {
            Some(last) if !span.is_apart && span.text != "," => last.push_str(&span.text),
            _ if span.of == of => names.push(span.text),
            _ => {}
        }
    }
    names
}
