//! Sentences for people are made in one room, `tell`. Others write to the log only about their own trade, and
//! `decide` has no words at all.

use std::collections::{BTreeMap, BTreeSet};

use super::{has_word, sources};

/// Everything that writes for people.
const MACROS: [&str; 11] =
    ["trace", "debug", "info", "warn", "error", "event", "print", "println", "eprint", "eprintln", "dbg"];
/// These do so when they write to a standard stream.
const WRITERS: [&str; 2] = ["write", "writeln"];
const STREAMS: [&str; 2] = ["stdout()", "stderr()"];

/// The rooms that have words of their own, as errors do: about what they handle themselves, and not about
/// instances, nodes or how a run goes.
const OWN_TRADE: [(&str, &str); 7] = [
    ("files", "what killed runs left beside a file"),
    ("logging", "a fault of this program: it must be told even if all else is broken"),
    ("luxi", "the connection to luxid, and a submission without an answer"),
    ("memory", "the state, status and pause files"),
    ("node", "daemons, hooks, guests and probes of this node, which no verdict is about"),
    ("sim", "the trace of the cluster in a box, which no log shows"),
    ("simulate", "where the files of a story are"),
];

/// The files of `decide` that have words of more than one, none of which is told as it is.
const NOT_TOLD: [(&str, &str); 4] = [
    ("decide/blame.rs", "what Ganeti says, to recognise it"),
    ("decide/blame/causes.rs", "what Ganeti and hypervisors say, to recognise it"),
    ("decide/intent.rs", "what Ganeti says, to recognise it"),
    ("decide/tags.rs", "what is wrong with a tag, in the words of the tags' grammar"),
];
/// Those of them that put words together.
const PUT_TOGETHER: [&str; 1] = ["decide/tags.rs"];

/// The string literals in a piece of code, without their quotes.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(['"', '\'']) {
        let (is_string, after) = (rest[at..].starts_with('"'), &rest[at + 1..]);
        if !is_string {
            // Of the characters, only quotes matter.
            let quote = ["\"'", "\\\"'", "\\''"].into_iter().find(|quote| after.starts_with(quote));
            rest = &after[quote.map_or(0, str::len)..];
            continue;
        }
        let length = length_of_string(after);
        found.push(after[..length].to_owned());
        rest = after.get(length + 1..).unwrap_or_default();
    }
    found
}

/// How many bytes there are before the quote that ends a string.
fn length_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.unwrap_or(text.len())
}

/// What is in the parentheses of every call of this macro.
fn calls<'c>(code: &'c str, name: &str) -> Vec<&'c str> {
    let is_name = |start: usize| !code[..start].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let form = format!("{name}!");
    let starts = code.match_indices(&form).filter(|(start, _)| is_name(*start));
    starts.map(|(start, found)| arguments(&code[start + found.len()..])).collect()
}

/// The text up to the parenthesis, bracket or brace that belongs to the first one.
fn arguments(text: &str) -> &str {
    let (mut depth, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        at += match c {
            '"' => length_of_string(&text[at + 1..]) + 2,
            c => c.len_utf8(),
        };
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth <= 0 && !c.is_whitespace() {
            break;
        }
    }
    &text[..at.min(text.len())]
}

/// The words of a format string: without placeholders and escapes.
fn words(literal: &str) -> Vec<String> {
    let mut text = String::new();
    let (mut depth, mut letters) = (0, literal.chars().peekable());
    while let Some(c) = letters.next() {
        match c {
            '\\' => drop(letters.next()),
            '{' | '}' if letters.peek() == Some(&c) => drop(letters.next()),
            '{' => depth += 1,
            '}' => depth -= 1,
            c if depth == 0 => text.push(c),
            _ => {}
        }
    }
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// The literals with words that a file writes for people by itself.
fn spoken(code: &str) -> Vec<String> {
    let by_macros = MACROS.iter().flat_map(|name| calls(code, name));
    let to_streams = WRITERS.iter().flat_map(|name| calls(code, name));
    let to_streams = to_streams.filter(|call| STREAMS.iter().any(|stream| call.contains(stream)));
    let texts = by_macros.chain(to_streams).flat_map(literals);
    texts.filter(|text| !words(text).is_empty()).collect()
}

/// The sentences, or parts of some, in a file of `decide`.
fn sentences(code: &str) -> Vec<String> {
    // The reasons of attributes are for programmers.
    let is_for_programmers = |line: &str| {
        let line = line.trim_start();
        line.contains("reason = \"") && (line.starts_with("#[") || line.starts_with("reason"))
    };
    let code: Vec<&str> = code.lines().filter(|line| !is_for_programmers(line)).collect();
    let is_sentence = |text: &String| {
        let spaced = text.split_whitespace().filter(|part| !words(part).is_empty());
        words(text).len() > 1 && spaced.count() > 1
    };
    literals(&code.join("\n")).into_iter().filter(is_sentence).collect()
}

/// What is wrong, and the exceptions that are needed.
fn look(sources: &BTreeMap<String, String>) -> (Vec<String>, BTreeSet<String>) {
    let (mut problems, mut needed) = (Vec::new(), BTreeSet::new());
    for (file, code) in sources {
        let room = file.trim_end_matches(".rs").split('/').next().unwrap_or_default();
        for text in spoken(code) {
            if OWN_TRADE.iter().any(|(name, _)| *name == room) {
                needed.insert(room.to_owned());
            } else {
                problems.push(format!("src/{file} has words of its own: {text}"));
            }
        }
        let makes_lines = ["LogLine {", "LogLine::"].iter().any(|form| has_word(code, form));
        if room != "tell" && makes_lines {
            problems.push(format!("src/{file} makes a line of its own"));
        }
        if room != "decide" {
            continue;
        }
        let shows = ["Display", "ToString", "#[error("].into_iter().find(|form| code.contains(form));
        problems.extend(shows.map(|form| format!("src/{file} has words for its types: {form}")));
        for text in sentences(code) {
            if NOT_TOLD.iter().any(|(name, _)| name == file) {
                needed.insert(file.clone());
            } else {
                problems.push(format!("src/{file} has a sentence: {text}"));
            }
        }
        let formats: Vec<String> = calls(code, "format").into_iter().flat_map(sentences).collect();
        if PUT_TOGETHER.contains(&file.as_str()) {
            needed.extend((!formats.is_empty()).then(|| format!("format! in {file}")));
        } else {
            problems.extend(formats.iter().map(|text| format!("src/{file} puts together: {text}")));
        }
    }
    (problems, needed)
}

#[test]
fn sentences_are_made_in_one_room() {
    let (problems, needed) = look(&sources());
    assert!(problems.is_empty(), "these belong in `tell`:\n{}", problems.join("\n"));
    let listed = OWN_TRADE.iter().chain(&NOT_TOLD).map(|(place, _)| (*place).to_owned());
    let listed = listed.chain(PUT_TOGETHER.iter().map(|file| format!("format! in {file}")));
    assert_eq!(needed, listed.collect(), "exceptions that are needed, and those that are listed");
}

#[test]
fn a_sentence_is_found_wherever_it_is_planted() {
    let mut planted = sources();
    let mut plant = |file: &str, code: &str| {
        let before = look(&planted).0.len();
        planted.get_mut(file).unwrap().push_str(code);
        let found = look(&planted).0.len() - before;
        assert!(found > 0, "{file}: {code}");
    };
    plant("watch/group.rs", "\nfn f() { tracing::warn!(\"Node '{node}' is silent\") }");
    plant("act/runner.rs", "\nfn f() { info!(target: X, \"{}{}\", a, if b { \" is up\" } else { \"\" }) }");
    plant("observe.rs", "\nfn f() { error!(\n    \"{error:#}, asking \\\n    again\"\n); }");
    plant("main.rs", "\nfn f() { writeln!(io::stderr(), \"The log: {}\", path.display()) }");
    plant("tell/words.rs", "\nfn f() { println!(\"told\") }");
    plant("watch.rs", "\nfn f() { logging::log(LogLine { severity, text }) }");
    plant("decide/verdict.rs", "\nimpl fmt::Display for Verdict {}");
    plant("decide/pass.rs", "\nfn f() { let text = format!(\"{name} waits for {node}\"); }");
    plant("decide/blame.rs", "\nfn f() { format!(\"{name} is to blame\") }");
    plant("decide/hold.rs", "\nconst WHY: &str = \"its turn has not come\";");
}

#[test]
fn what_has_no_words_is_no_sentence() {
    for code in [
        "error!(\"{error:#}\")",
        "warn!(\"{}: {text:?}\\n\", text.len())",
        "no_error!(\"a word\")",
        "writeln!(text, \"a word\")",
        "if c == '\"' { f(\"a word\") } else { info!(\"{c}\") }",
        "info!(\"{text}\"); f(\"a word\")",
    ] {
        assert_eq!(spoken(code), [""; 0], "{code}");
    }
    for code in ["f(\"{kind}({instance})\")", "f(\"{name} silent\")", "f(\"ganeti:watcher:start:\")"] {
        assert_eq!(sentences(code), [""; 0], "{code}");
    }
}
