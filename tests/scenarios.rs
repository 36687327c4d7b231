//! Plays every directory of `tests/scenarios` in a cluster in a box, on virtual time, and compares what our watcher
//! did with what the directory says that it must. See `tests/scenarios/README.md`.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ganeti_watcher::files::replace;
use ganeti_watcher::sim::scenario::Scenario;
use ganeti_watcher::sim::story::play_in_virtual_time;
use libtest_mimic::{Arguments, Failed, Trial};
use similar::TextDiff;

const CLUSTER: &str = "cluster.toml";
const README: &str = "README.md";
const UPDATE: &str = "UPDATE_SCENARIOS";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = match directories(&root) {
        Ok(entries) => entries,
        Err(problem) => {
            return libtest_mimic::run(
                &Arguments::from_args(),
                vec![Trial::test("tests/scenarios", move || Err(problem.into()))],
            )
            .exit_code();
        }
    };
    let trials = entries.into_iter().map(|directory| {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || check(&directory).map_err(Failed::from))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Every directory, in order. Anything that is none is an error, but for the README.
fn directories(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(root).map_err(|error| format!("{}: {error}", root.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        match path.file_name() {
            _ if path.is_dir() => directories.push(path),
            Some(name) if name == README => {}
            _ => return Err(format!("{} belongs to no scenario", path.display())),
        }
    }
    if directories.is_empty() {
        return Err(format!("{} has no scenarios", root.display()));
    }
    directories.sort();
    Ok(directories)
}

fn check(directory: &Path) -> Result<(), String> {
    let readme = fs::read_to_string(directory.join(README)).unwrap_or_default();
    if readme.trim().is_empty() {
        return Err(format!("{} must say what the scenario is about", directory.join(README).display()));
    }
    let scenario = Scenario::load(&directory.join(CLUSTER)).map_err(|error| error.to_string())?;
    let stage = tempfile::tempdir().map_err(|error| error.to_string())?;
    let record = play_in_virtual_time(&scenario, stage.path()).map_err(|error| format!("{error:#}"))?;
    if record.runs.is_empty() {
        return Err("the watcher is never run".to_owned());
    }
    let expectations = support::expectations(&record);
    check_files(directory, &expectations.keys().copied().collect())?;
    let mut report = String::new();
    for (name, found) in &expectations {
        let path = directory.join(name);
        if std::env::var_os(UPDATE).is_some() {
            replace(&path, found.as_bytes(), |_| Ok(())).map_err(|error| format!("{error:#}"))?;
            continue;
        }
        match fs::read_to_string(&path) {
            Ok(expected) if expected == *found => {}
            Ok(expected) => {
                let diff = TextDiff::from_lines(expected.as_str(), found.as_str());
                let _written = writeln!(report, "{}", diff.unified_diff().header(name, "found"));
            }
            Err(error) => {
                let _written = writeln!(report, "{}: {error}", path.display());
            }
        }
    }
    if report.is_empty() { Ok(()) } else { Err(report) }
}

/// A file that nothing reads is an expectation that nothing checks.
fn check_files(directory: &Path, expected: &BTreeSet<&str>) -> Result<(), String> {
    for entry in fs::read_dir(directory).map_err(|error| error.to_string())? {
        let name = entry.map_err(|error| error.to_string())?.file_name();
        let name = name.to_string_lossy();
        if ![README, CLUSTER].contains(&name.as_ref()) && !expected.contains(name.as_ref()) {
            return Err(format!("nothing reads {}", directory.join(&*name).display()));
        }
    }
    Ok(())
}
