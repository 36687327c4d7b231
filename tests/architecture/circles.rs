//! Which file uses which, and where that forms a circle.
//!
//! A file uses another when its code names something that lives there, by whatever path: `use` trees are
//! taken apart, and imports and re-exports followed to the file that has the item. A module that only
//! declares its children and re-exports their items does not use them.

use std::collections::{BTreeMap, BTreeSet};

use super::{module_of, sources};

/// What a name stands for in a file.
type Names = BTreeMap<String, String>;

/// One file of `src`.
#[derive(Default)]
struct File {
    name: String,
    /// What `use` brings in, and the children, by local name; the paths are absolute.
    names: Names,
    /// The paths of the imports that are not re-exports.
    imported: BTreeSet<String>,
    /// The rest of the code.
    code: String,
}

impl File {
    /// Whether an item of that name is defined in this file, and not only imported.
    fn defines(&self, name: &str) -> bool {
        ["fn", "struct", "enum", "trait", "type", "const", "static"].iter().any(|kind| {
            let words = format!("{kind} {name}");
            self.code.match_indices(&words).any(|(at, _)| {
                !self.code[at + words.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
            })
        })
    }
}

/// All files, by their module.
struct House(BTreeMap<String, File>);

impl House {
    fn read() -> Self {
        let sources = sources();
        let modules: BTreeSet<String> = sources.keys().map(|name| module_of(name)).collect();
        let file = |(name, text): (&String, &String)| {
            let module = module_of(name);
            (module.clone(), read(&module, name, text, &modules))
        };
        let rooms = sources.iter().filter(|(name, _)| *name != "main.rs" && *name != "lib.rs");
        Self(rooms.map(file).collect())
    }

    /// The module in whose file the thing at the end of an absolute path lives; `None` when that is not a
    /// file of ours.
    fn home_of(&self, path: &str, depth: usize) -> Option<&str> {
        let mut parts = path.split("::").peekable();
        let mut module = String::new();
        while let Some(part) = parts.peek() {
            let longer = if module.is_empty() { (*part).to_owned() } else { format!("{module}::{part}") };
            if !self.0.contains_key(&longer) {
                break;
            }
            module = longer;
            parts.next();
        }
        let (module, file) = self.0.get_key_value(&module)?;
        let brought = |name: &&str| !file.defines(name);
        let Some(target) = parts.next().filter(brought).and_then(|name| file.names.get(name)) else {
            return Some(module);
        };
        let rest: Vec<&str> = std::iter::once(target.as_str()).chain(parts).collect();
        let home = if depth < 10 { self.home_of(&rest.join("::"), depth + 1) } else { None };
        home.or(Some(module))
    }

    /// The modules that this one uses, without itself.
    fn used_by(&self, module: &str) -> BTreeSet<&str> {
        let file = &self.0[module];
        // An imported module is used by the paths that continue from its name.
        let items = file.imported.iter().filter(|path| !self.0.contains_key(*path)).cloned();
        let paths = paths(&file.code).filter_map(|path| absolute(module, &path, &file.names));
        let homes = items.chain(paths).filter_map(|path| Some(self.home_of(&path, 0)?.to_owned()));
        let homes: BTreeSet<String> = homes.filter(|home| home != module).collect();
        self.0.keys().map(String::as_str).filter(|name| homes.contains(*name)).collect()
    }

    /// The files of each circle.
    fn circles(&self) -> Vec<Vec<&str>> {
        let uses: BTreeMap<&str, BTreeSet<&str>> =
            self.0.keys().map(|module| (module.as_str(), self.used_by(module))).collect();
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            uses.keys().map(|module| (*module, reachable(&uses, module))).collect();
        let mut circles = Vec::new();
        let mut done = BTreeSet::new();
        for (module, forth) in &reached {
            let circle: Vec<&str> =
                forth.iter().copied().filter(|other| reached[other].contains(module)).collect();
            if !circle.is_empty() && done.insert(circle.clone()) {
                circles.push(circle.iter().map(|module| self.0[*module].name.as_str()).collect());
            }
        }
        circles
    }
}

fn reachable<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&str> = uses[from].iter().copied().collect();
    while let Some(module) = waiting.pop() {
        if found.insert(module) {
            waiting.extend(&uses[module]);
        }
    }
    found
}

fn read(module: &str, name: &str, text: &str, modules: &BTreeSet<String>) -> File {
    let mut file = File { name: name.to_owned(), ..File::default() };
    let prefix = format!("{module}::");
    for child in modules.iter().filter_map(|other| other.strip_prefix(&prefix)) {
        if !child.contains("::") {
            file.names.insert(child.to_owned(), format!("{module}::{child}"));
        }
    }
    let mut uses = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((is_public, begin)) = import(line.trim_start()) else {
            file.code.push_str(line);
            file.code.push('\n');
            continue;
        };
        let mut tree = begin.to_owned();
        while !tree.trim_end().ends_with(';') {
            let Some(line) = lines.next() else { break };
            tree.push_str(line.trim());
        }
        let mut leaves = Vec::new();
        leaves_of("", tree.trim_end().trim_end_matches(';'), &mut leaves);
        uses.extend(leaves.into_iter().map(|leaf| (is_public, leaf)));
    }
    // An import may begin with a name that another import brings in.
    for _ in 0..2 {
        for (is_public, (path, alias)) in &uses {
            let Some(path) = absolute(module, path, &file.names) else { continue };
            if !is_public {
                file.imported.insert(path.clone());
            }
            if path != format!("{module}::{alias}") || file.names.contains_key(alias) {
                file.names.insert(alias.clone(), path);
            }
        }
    }
    file
}

/// What comes after `use`, and whether the line re-exports it.
fn import(line: &str) -> Option<(bool, &str)> {
    if let Some(tree) = line.strip_prefix("use ") {
        return Some((false, tree));
    }
    let (before, tree) = line.split_once(" use ")?;
    (before == "pub" || (before.starts_with("pub(") && before.ends_with(')'))).then_some((true, tree))
}

/// The leaves of a `use` tree: each with its path and the name that it gets.
fn leaves_of(prefix: &str, tree: &str, leaves: &mut Vec<(String, String)>) {
    let mut depth = 0;
    let mut start = 0;
    let mut branches = Vec::new();
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(&tree[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    branches.push(&tree[start..]);
    for branch in branches.into_iter().map(str::trim).filter(|branch| !branch.is_empty()) {
        if let Some((begin, rest)) = branch.split_once('{') {
            leaves_of(&format!("{prefix}{}", begin.trim()), rest.trim_end().trim_end_matches('}'), leaves);
            continue;
        }
        let (path, alias) =
            branch.split_once(" as ").map_or((branch, None), |(path, name)| (path, Some(name)));
        let whole = match path {
            "self" => prefix.trim_end_matches("::").to_owned(),
            path => format!("{prefix}{path}"),
        };
        let last = whole.rsplit("::").next().unwrap_or_default().to_owned();
        leaves.push((whole, alias.map_or(last, str::to_owned)));
    }
}

/// Everything in the code that looks like `name::name`.
fn paths(code: &str) -> impl Iterator<Item = String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = code.split(move |c: char| !is_part(c)).map(|word| word.trim_matches(':'));
    words.filter(|word| word.contains("::")).map(str::to_owned)
}

/// The path from the crate's root; `None` when it leads outside.
fn absolute(module: &str, path: &str, names: &Names) -> Option<String> {
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    let mut above: Vec<&str> = module.split("::").collect();
    if let Some(path) = path.strip_prefix("self::") {
        return Some(format!("{module}::{path}"));
    }
    if path == "super" || path.starts_with("super::") {
        let mut path = path;
        while let Some(rest) = path.strip_prefix("super").map(|rest| rest.trim_start_matches("::")) {
            above.pop();
            path = rest;
        }
        above.extend((!path.is_empty()).then_some(path));
        return Some(above.join("::"));
    }
    let (first, rest) = path.split_once("::").map_or((path, ""), |(first, rest)| (first, rest));
    let target = names.get(first)?;
    Some(if rest.is_empty() { target.clone() } else { format!("{target}::{rest}") })
}

#[test]
fn no_circle_goes_through_files() {
    let house = House::read();
    let circles: Vec<String> = house.circles().iter().map(|files| files.join("\n    ")).collect();
    assert!(circles.is_empty(), "these files use each other:\n    {}", circles.join("\n\n    "));
}

#[test]
fn a_path_is_followed_to_the_file_of_its_item() {
    let house = House::read();
    for (path, home) in [
        ("decide::Action", "decide::action"),
        ("watch::Context", "watch::context"),
        ("luxi::messages::GanetiError", "cluster::job"),
        ("decide::agenda::Agenda::new", "decide::agenda"),
        ("cluster::Snapshot", "cluster"),
    ] {
        assert_eq!(house.home_of(path, 0), Some(home), "{path}");
    }
    assert!(house.used_by("watch::global").contains("watch::connect"), "by `connect::check_master`");
    assert!(house.used_by("decide::shared").contains("decide::steps"), "by `use super::Outcome`");
    assert!(!house.used_by("decide").contains("decide::action"), "it only re-exports what is there");
}
