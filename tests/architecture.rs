//! The house rules: which room may call which, what is pure, and through which door the outside comes in.
//!
//! The rooms are the table of `ARCHITECTURE.md`, from top to bottom. Only code is checked: not comments, not
//! tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/words.rs"]
mod words;

/// What pure code may use from the standard library and from other crates. `io` is there for a serialiser's
/// traits.
const PURE: [&str; 9] = [
    "serde",
    "serde_json",
    "serde_path_to_error",
    "std::collections",
    "std::fmt",
    "std::io",
    "std::iter",
    "std::mem",
    "std::time::Duration",
];

/// Words for what comes from outside or changes it, each with the only files that may contain it.
const DOORS: [(&str, &[&str]); 15] = [
    ("Armed::for_", &["main.rs", "sim/story.rs"]),
    ("\"SubmitJob\"", &["luxi/jobs.rs", "sim/luxid.rs"]),
    ("\"SubmitManyJobs\"", &["luxi/jobs.rs", "sim/luxid.rs"]),
    ("\"AutoArchiveJobs\"", &["luxi/jobs.rs", "sim/luxid.rs"]),
    ("std::env::", &["clock.rs", "layout.rs", "main.rs"]),
    // A file that is merely touched gets the machine's time, whatever the time in a simulation.
    ("SystemTime::now(", &["clock.rs", "files.rs", "memory/state_file.rs", "memory/status.rs"]),
    ("File::open(", &["files.rs"]),
    ("OpenOptions", &["files.rs"]),
    ("File::create", &[]),
    ("fs::read(", &[]),
    ("fs::read_to_string(", &[]),
    ("fs::copy(", &[]),
    // An error that matters has its own type; a system error may contain ours.
    ("is::<", &["files.rs"]),
    // A panic's message has no type, and a system error may be the cause of a library's.
    (
        "downcast",
        &["logging/panics.rs", "main.rs", "node/probes/health.rs", "node/probes/rapi.rs", "node/systemd.rs"],
    ),
    ("Command::new(", &["node/own_name.rs", "node/process.rs", "watch/detach.rs"]),
];

/// One row of the table.
struct Room {
    names: Vec<String>,
    may_call: Vec<String>,
    is_pure: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the crates in a section of `Cargo.toml`.
fn crates(section: &str) -> Vec<String> {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    manifest[section].as_table().unwrap().keys().cloned().collect()
}

fn words_in_backticks(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows `| rooms | what lives there | what they may call |` below the heading "The rooms".
fn rooms() -> Vec<Room> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, text) = text.split_once("## The rooms").expect("ARCHITECTURE.md has a heading 'The rooms'");
    let text = text.split("\n## ").next().unwrap_or_default();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        assert_eq!(cells.len(), 5, "a row has three cells: {row}");
        Room {
            names: words_in_backticks(cells[1]),
            may_call: words_in_backticks(cells[3]),
            is_pure: cells[2].contains("Pure"),
        }
    })
    .collect()
}

/// The position in the table of the room that a path leads to.
fn room_of(rooms: &[Room], path: &str) -> Option<usize> {
    let names =
        rooms.iter().enumerate().flat_map(|(index, room)| room.names.iter().map(move |name| (index, name)));
    names.filter(|(_, name)| is_below(path, name)).max_by_key(|(_, name)| name.len()).map(|(index, _)| index)
}

fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The code below `src`, by its path there.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if name == "tests" || name == "testing" {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = without_tests(&text);
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let relative = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap();
            found.insert(relative.to_owned(), code.join("\n"));
        }
    }
    found
}

/// The text without test modules: those in other files, wherever they are declared, and the one at the end.
fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            code.extend([line, "\n"]);
            continue;
        }
        let attributes: Vec<&str> = lines.clone().take_while(|line| line.starts_with("#[")).collect();
        let item = lines.clone().nth(attributes.len()).unwrap_or_default();
        match item.split_once("mod ") {
            Some((_, rest)) if rest.ends_with(';') => {
                lines.nth(attributes.len());
            }
            Some(_) => break,
            None => code.extend([line, "\n"]),
        }
    }
    code
}

/// `memory/state.rs` is `memory::state`.
fn module_of(file: &str) -> String {
    file.trim_end_matches(".rs").replace('/', "::")
}

/// Everything that the code names by a path that begins with one of `roots`, with `use` trees taken apart.
/// Paths within this crate then begin with the name of a room.
fn paths(module: &str, code: &str, roots: &[&str]) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = BTreeSet::new();
    for root in roots {
        for (start, _) in code.match_indices(&format!("{root}::")) {
            if code[..start].ends_with(is_part) {
                continue;
            }
            let path = &code[start..];
            let end = path.find(|c| !is_part(c)).unwrap_or(path.len());
            match path[end..].strip_prefix('{') {
                Some(tree) if path[..end].ends_with("::") => take_apart(&path[..end], tree, &mut found),
                _ => drop(found.insert(path[..end].trim_end_matches(':').to_owned())),
            }
        }
    }
    found.into_iter().map(|path| absolute(module, &path)).collect()
}

/// Adds the leaves of a `use` tree; `tree` is what follows the first brace.
fn take_apart(prefix: &str, tree: &str, found: &mut BTreeSet<String>) {
    let mut prefixes = vec![prefix.to_owned()];
    let mut name = String::new();
    for c in tree.chars() {
        let Some(prefix) = prefixes.last() else { return };
        match c {
            '{' => prefixes.push(format!("{prefix}{}", std::mem::take(&mut name).trim())),
            ',' | '}' => {
                let leaf = std::mem::take(&mut name);
                match leaf.split(" as ").next().unwrap_or_default().trim() {
                    "" => {}
                    "self" => drop(found.insert(prefix.trim_end_matches(':').to_owned())),
                    leaf => drop(found.insert(format!("{prefix}{leaf}"))),
                }
                if c == '}' {
                    prefixes.pop();
                }
            }
            c => name.push(c),
        }
    }
}

fn absolute(module: &str, path: &str) -> String {
    let mut above: Vec<&str> = module.split("::").collect();
    let mut path = path.strip_prefix("crate::").map_or(path, |path| {
        above.clear();
        path
    });
    if !path.starts_with("super::") {
        return path.to_owned();
    }
    while let Some(rest) = path.strip_prefix("super::") {
        above.pop();
        path = rest;
    }
    above.push(path);
    above.join("::")
}

#[test]
fn rooms_call_only_what_the_table_allows() {
    let rooms = rooms();
    let mut unused: BTreeSet<(usize, &str)> = BTreeSet::new();
    for (index, room) in rooms.iter().enumerate() {
        unused.extend(room.may_call.iter().map(|place| (index, place.as_str())));
        for place in &room.may_call {
            let below = room_of(&rooms, place).unwrap_or_else(|| panic!("the table has no room for {place}"));
            assert!(below > index, "{:?} may not call upwards: {place}", room.names);
        }
    }
    let mut problems = Vec::new();
    for (file, code) in sources() {
        if file == "main.rs" || file == "lib.rs" {
            continue;
        }
        let module = module_of(&file);
        let own = room_of(&rooms, &module).unwrap_or_else(|| panic!("the table has no room for {module}"));
        for path in paths(&module, &code, &["crate", "super"]) {
            let places: Vec<&String> =
                rooms[own].may_call.iter().filter(|place| is_below(&path, place)).collect();
            if places.is_empty() && room_of(&rooms, &path) != Some(own) {
                problems.push(format!("src/{file} must not use {path}"));
            }
            for place in places {
                unused.remove(&(own, place.as_str()));
            }
        }
    }
    let unused = unused.iter().map(|(index, place)| format!("{:?} do not call {place}", rooms[*index].names));
    problems.extend(unused);
    assert!(problems.is_empty(), "see the table in ARCHITECTURE.md:\n{}", problems.join("\n"));
}

/// A module is `name.rs`, with its submodules below `name/`. Its tests are `mod tests`, at its end or in
/// `name/tests.rs`; what tests share is `mod testing`.
#[test]
fn modules_and_tests_live_where_everybody_looks_for_them() {
    let mut problems = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let name = path.strip_prefix(root()).unwrap().display();
            if path.ends_with("mod.rs") {
                problems.push(format!("{name}: the module's file is beside its directory"));
            }
            let text = fs::read_to_string(&path).unwrap();
            for after in text.split("#[cfg(test)]\n").skip(1) {
                let item =
                    after.lines().map(str::trim).find(|line| !line.starts_with("#[")).unwrap_or_default();
                let Some((_, module)) = item.split_once("mod ").filter(|(before, _)| !before.contains("use"))
                else {
                    continue;
                };
                if !["tests", "testing"].contains(&module.trim_end_matches([';', '{', ' '])) {
                    problems.push(format!("{name}: {item}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn pure_rooms_know_nothing_of_the_outside() {
    let crates: Vec<String> = crates("dependencies").iter().map(|name| name.replace('-', "_")).collect();
    let roots: Vec<&str> = crates.iter().map(String::as_str).chain(["std"]).collect();
    let rooms = rooms();
    let mut looked_at = 0;
    let mut problems = Vec::new();
    for (file, code) in sources() {
        let module = module_of(&file);
        if !room_of(&rooms, &module).is_some_and(|room| rooms[room].is_pure) {
            continue;
        }
        looked_at += 1;
        let named = paths(&module, &code, &roots).into_iter();
        let strange = named.filter(|path| !PURE.iter().any(|place| is_below(path, place)));
        problems.extend(strange.map(|path| format!("src/{file} is pure and must not use {path}")));
        if code.contains("async ") || code.contains(".await") {
            problems.push(format!("src/{file} is pure and must not wait"));
        }
    }
    assert!(looked_at > 20, "only {looked_at} files are pure");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Whether the word occurs, and not as the end of a longer one.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(start, _)| !code[..start].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
}

#[test]
fn the_outside_comes_in_by_its_doors() {
    let sources = sources();
    for (word, doors) in DOORS {
        let found: Vec<&str> =
            sources.iter().filter(|(_, code)| has_word(code, word)).map(|(file, _)| file.as_str()).collect();
        assert_eq!(found, doors, "the files with {word}");
    }
}

/// Errors are reported with their chain of causes, so no error's text may include that of its cause.
#[test]
fn an_error_does_not_say_its_cause_twice() {
    let mut problems = Vec::new();
    for (file, code) in sources() {
        for part in code.split("#[error(").skip(1) {
            let (text, fields) = part.split_once(")]").unwrap();
            let fields = fields.split("\n}").next().unwrap();
            let has_cause = ["#[source]", "#[from]", " source:"].iter().any(|mark| fields.contains(mark));
            let says_it = text.contains("{source") || text.contains("{0");
            if has_cause && says_it {
                problems.push(format!("src/{file}: {text}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_dependency_has_its_reason() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, text) = text.split_once("## Dependencies").expect("ARCHITECTURE.md has a heading 'Dependencies'");
    let text = text.split("\n## ").next().unwrap_or_default();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && !"-_".contains(c)).collect();
    for name in [crates("dependencies"), crates("dev-dependencies")].concat() {
        assert!(words.contains(name.as_str()), "ARCHITECTURE.md gives no reason for the dependency {name}");
    }
}

/// As wide as rustfmt makes the code; it leaves comments as they are.
const WIDTH: usize = 110;

#[test]
fn comments_are_no_wider_than_the_code() {
    let mut problems = Vec::new();
    let mut directories = vec![root().join("src"), root().join("tests")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let is_comment = |line: &str| line.trim_start().starts_with("//") || line.contains(" // ");
                let wide = |line: &str| line.chars().count() > WIDTH && is_comment(line);
                let lines = text.lines().zip(1..).filter(|(line, _)| wide(line));
                let name = path.strip_prefix(root()).unwrap().display();
                problems.extend(lines.map(|(_, number)| format!("{name}:{number}")));
            }
        }
    }
    assert!(problems.is_empty(), "{} comments to wrap:\n{}", problems.len(), problems.join("\n"));
}
