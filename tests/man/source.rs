//! The texts in the program's source: string literals, and which of them are logged as a warning or an error.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::template::Template;

/// A string literal.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    pub(crate) file: PathBuf,
    pub(crate) template: Template,
    /// `WARNING`, `ERROR` or `CRITICAL`, if what precedes it says so.
    pub(crate) level: Option<&'static str>,
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, template, level } = self;
        write!(formatter, "{}: {} {}", file.display(), level.unwrap_or("some level"), template.sample())
    }
}

/// Every string literal of the program except for its tests and its cluster in a box.
pub(crate) fn literals() -> Vec<Literal> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files.iter().flat_map(|file| literals_of(file)).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "sim" && name != "simulate" {
                collect(&path, files);
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "testing.rs" {
            files.push(path);
        }
    }
}

fn literals_of(file: &Path) -> Vec<Literal> {
    let text = fs::read_to_string(file).unwrap();
    let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut literals = Vec::new();
    let (mut rest, mut before) = (program, String::new());
    while let Some(letter) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let length = character_literal(rest).unwrap_or(letter.len_utf8());
        if letter != '"' {
            before.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        let (literal, after) = string_literal(&rest[1..]);
        let template = Template::of_format(&literal);
        literals.push(Literal { file: file.to_owned(), template, level: level(&before) });
        before.clear();
        rest = after;
    }
    literals
}

/// The length of something like `'"'`, which does not begin a string.
fn character_literal(text: &str) -> Option<usize> {
    ["'\"'", "'\\\"'"].into_iter().find(|literal| text.starts_with(literal)).map(str::len)
}

/// What is between quotes, and what comes after them. The source has no raw strings.
fn string_literal(text: &str) -> (String, &str) {
    let (mut literal, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['"', '\\']) {
        literal.push_str(&rest[..at]);
        let escaped = rest[at..].strip_prefix('\\');
        let Some(escaped) = escaped else { return (literal, &rest[at + 1..]) };
        let mut letters = escaped.chars();
        match letters.next() {
            // A line that continues below.
            Some('\n') => rest = letters.as_str().trim_start(),
            Some(letter) => {
                literal.push(letter);
                rest = letters.as_str();
            }
            None => rest = "",
        }
    }
    (literal, "")
}

/// The level of a text by the code right before it: a macro, or what makes a line.
fn level(before: &str) -> Option<&'static str> {
    let code: String = before.split_whitespace().collect();
    let levels = [
        ("error!(target:CRITICAL,", "CRITICAL"),
        ("error!(", "ERROR"),
        ("warn!(", "WARNING"),
        ("LogLine::error(", "ERROR"),
        ("LogLine::error(format!(", "ERROR"),
        ("LogLine::warning(", "WARNING"),
        ("LogLine::warning(format!(", "WARNING"),
    ];
    levels.into_iter().find(|(end, _)| code.ends_with(end)).map(|(_, level)| level)
}
