//! The texts in the program's source: string literals, and at which level they are logged.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::template::Template;

/// A string literal.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    pub(crate) file: PathBuf,
    pub(crate) template: Template,
    /// The level, if the literal is a message: if what it stands in logs or makes a line.
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
    let of_file = |(template, level)| Literal { file: file.to_owned(), template, level };
    texts(program).into_iter().map(of_file).collect()
}

/// The string literals in a piece of code, with their levels.
fn texts(code: &str) -> Vec<(Template, Option<&'static str>)> {
    let mut texts = Vec::new();
    let mut places = vec![Place::default()];
    let mut rest = code;
    while let Some(letter) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        if letter == '"' {
            let (literal, after) = string_literal(&rest[1..]);
            texts.push((Template::of_format(&literal), level(&places, &literal)));
            places.last_mut().unwrap().is_past_first = true;
            rest = after;
            continue;
        }
        let length = character_literal(rest).unwrap_or(letter.len_utf8());
        match letter {
            '(' | '[' | '{' => {
                let form = Form::of(&places.last().unwrap().code);
                places.push(Place { form, ..Place::default() });
            }
            ')' | ']' | '}' if places.len() > 1 => drop(places.pop()),
            _ => {}
        }
        if !letter.is_whitespace() {
            places.last_mut().unwrap().code.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    texts
}

/// Somewhere in parentheses, brackets or braces.
#[derive(Debug, Default)]
struct Place {
    form: Form,
    /// The code since it began, without strings and blanks.
    code: String,
    /// Whether there was a literal already.
    is_past_first: bool,
}

/// What the parentheses belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    /// A macro that logs. Its first text is the message.
    Logs(&'static str),
    /// What makes a line. All texts in it are messages, in the arms of a `match` for example.
    MakesLine(&'static str),
    /// A macro that puts a text together. Its first text is the whole.
    Formats,
    #[default]
    Other,
}

impl Form {
    fn of(code: &str) -> Self {
        let forms = [
            ("error!", Self::Logs("ERROR")),
            ("warn!", Self::Logs("WARNING")),
            ("info!", Self::Logs("INFO")),
            ("debug!", Self::Logs("DEBUG")),
            ("LogLine::error", Self::MakesLine("ERROR")),
            ("LogLine::warning", Self::MakesLine("WARNING")),
            ("LogLine::info", Self::MakesLine("INFO")),
            ("LogLine::debug", Self::MakesLine("DEBUG")),
            ("format!", Self::Formats),
        ];
        forms.into_iter().find(|(end, _)| code.ends_with(end)).map_or(Self::Other, |(_, form)| form)
    }
}

/// The level of a literal at this place.
fn level(places: &[Place], literal: &str) -> Option<&'static str> {
    for place in places.iter().rev() {
        match place.form {
            Form::Logs(level) if !place.is_past_first => {
                return Some(if place.code.contains("target:CRITICAL,") { "CRITICAL" } else { level });
            }
            Form::MakesLine(level) => return Some(level).filter(|_| !literal.starts_with(' ')),
            Form::Logs(_) | Form::Formats if place.is_past_first => return None,
            _ => {}
        }
    }
    None
}

/// The length of something like `'"'` or `'{'`, which begins and ends nothing.
fn character_literal(text: &str) -> Option<usize> {
    let mut letters = text.strip_prefix('\'')?.chars();
    let letter = match letters.next()? {
        '\\' => format!("\\{}", letters.next()?),
        letter => letter.to_string(),
    };
    (letters.next() == Some('\'')).then(|| letter.len() + 2)
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

#[test]
fn a_message_is_told_from_parts_of_one() {
    let code = r#"
        error!(target: CRITICAL, "critical {}", if c == '"' { "part" } else { "part" });
        warn!("warning {text}"); // "no text"
        let line = LogLine::info(match number {
            1 => format!("one {}", words("part", "part")),
            _ => {
                let more = format!(" part");
                "several".to_owned()
            }
        });
        LogLine::warning(format!("whole {}", format!("part")));
        let text = format!("by itself");
    "#;
    let levels: Vec<(String, &str)> =
        texts(code).into_iter().filter_map(|(template, level)| Some((template.sample(), level?))).collect();
    let expected = [
        ("critical x", "CRITICAL"),
        ("warning x", "WARNING"),
        ("one x", "INFO"),
        ("several", "INFO"),
        ("whole x", "WARNING"),
    ];
    assert_eq!(levels, expected.map(|(text, level)| (text.to_owned(), level)));
}
