//! Plays every scenario of `tests/scenarios` in a cluster in a box, on virtual time, and compares what our
//! watcher did with what the scenario's directory expects. See `tests/scenarios/README.md`.

#![allow(clippy::print_stderr, reason = "a scenario out of place must be reported")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use ganeti_watcher::files::replace;
use ganeti_watcher::sim::scenario::Scenario;
use ganeti_watcher::sim::story::play_in_virtual_time;
use libtest_mimic::{Arguments, Failed, Trial};
use similar::TextDiff;

use support::topics::{CLUSTER, ScenarioDirectory, scenarios};
use support::utc::in_utc;

const README: &str = "README.md";
const UPDATE: &str = "UPDATE_SCENARIOS";

fn main() -> ExitCode {
    if let Err(error) = in_utc() {
        eprintln!("cannot begin anew in UTC: {error}");
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::from_args();
    let scenarios = match scenarios() {
        Ok(scenarios) => scenarios,
        // Not a trial, which a filter could leave out.
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    let trials = scenarios.into_iter().map(|ScenarioDirectory { name, path }| {
        Trial::test(name, move || check(&path).map_err(Failed::from))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
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
