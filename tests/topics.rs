//! Where scenarios may be: what `tests/support/topics.rs` refuses, and that CONTRIBUTING.md lists every
//! topic. And that there is one for every code of a verdict.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/topics.rs"]
mod topics;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ganeti_watcher::decide::reason::{CODES, NODE_SILENT};
use ganeti_watcher::files::replace;

use topics::{scenarios, scenarios_below};

/// The names of the scenarios below a directory with these files, and directories, which end in a slash; or
/// what is wrong with them, without that directory.
fn found(entries: &[&str]) -> Result<Vec<String>, String> {
    let root = tempfile::tempdir().unwrap();
    for entry in entries {
        let path = root.path().join(entry);
        if entry.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            replace(&path, b"", |_| Ok(())).map(drop).unwrap();
        }
    }
    let prefix = format!("{}/", root.path().display());
    match scenarios_below(root.path()) {
        Ok(found) => {
            assert!(found.iter().all(|found| found.path == root.path().join(&found.name)), "{found:?}");
            Ok(found.into_iter().map(|found| found.name).collect())
        }
        Err(problems) => Err(problems.replace(&prefix, "")),
    }
}

fn problems(entries: &[&str]) -> String {
    found(entries).unwrap_err()
}

const GOOD: &str = "disks/not-active/cluster.toml";

#[test]
fn scenarios_are_named_by_topic_and_in_order() {
    let entries = ["verify/b/cluster.toml", "README.md", "disks/c/cluster.toml", "verify/a/cluster.toml"];
    assert_eq!(found(&entries).unwrap(), ["disks/c", "verify/a", "verify/b"]);
}

#[test]
fn a_version_at_the_end_is_no_number() {
    assert_eq!(found(&["verify/no-strict-on-3-1/cluster.toml"]).unwrap(), ["verify/no-strict-on-3-1"]);
}

#[test]
fn a_number_in_front_is_refused() {
    assert_eq!(
        problems(&["disks/39-not-active/cluster.toml"]),
        "disks/39-not-active must have a name without a number in front"
    );
    assert_eq!(
        problems(&["4-disks/not-active/cluster.toml"]),
        "4-disks must have a name without a number in front"
    );
}

#[test]
fn a_scenario_without_a_topic_is_refused() {
    assert_eq!(problems(&[GOOD, "power-cut/cluster.toml"]), "power-cut is a scenario outside of any topic");
}

#[test]
fn a_directory_that_is_neither_a_topic_nor_a_scenario_is_refused() {
    assert_eq!(problems(&[GOOD, "odd/expected.log"]), "odd is neither a topic nor a scenario");
    assert_eq!(
        problems(&[GOOD, "disks/odd/expected.log"]),
        "disks/odd is not a scenario: it has no cluster.toml"
    );
    assert_eq!(problems(&[GOOD, "disks/odd/"]), "disks/odd is not a scenario: it has no cluster.toml");
    assert_eq!(
        problems(&[GOOD, "disks/drbd/deeper/cluster.toml"]),
        "disks/drbd is not a scenario: it has no cluster.toml"
    );
}

#[test]
fn a_topic_without_scenarios_is_refused() {
    assert_eq!(problems(&[GOOD, "verify/"]), "verify is a topic without scenarios");
}

#[test]
fn a_file_that_belongs_to_no_scenario_is_refused() {
    assert_eq!(problems(&[GOOD, "notes.txt"]), "notes.txt belongs to no scenario");
    assert_eq!(problems(&[GOOD, "disks/README.md"]), "disks/README.md belongs to no scenario");
}

#[test]
fn two_scenarios_of_the_same_name_are_refused() {
    assert_eq!(
        problems(&[GOOD, "verify/not-active/cluster.toml"]),
        "disks/not-active and verify/not-active have the same name"
    );
}

#[test]
fn all_problems_are_told_at_once() {
    assert_eq!(
        problems(&[GOOD, "notes.txt", "verify/"]),
        "notes.txt belongs to no scenario\nverify is a topic without scenarios"
    );
}

#[test]
fn no_scenarios_at_all_is_refused() {
    assert!(problems(&["README.md"]).ends_with(" has no scenarios"));
    assert!(scenarios_below(Path::new("/nonexistent")).unwrap_err().starts_with("/nonexistent: "));
}

/// The rows `| topic | ...` of CONTRIBUTING.md's table of topics.
fn topics_of_contributing() -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTRIBUTING.md")).unwrap();
    let (_, text) = text.split_once("\n| topic |").unwrap();
    let (table, _) = text.split_once("\n\n").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split_once('`').unwrap().0.to_owned()).collect()
}

#[test]
fn contributing_has_every_topic() {
    let scenarios = scenarios().unwrap();
    let topics: BTreeSet<String> =
        scenarios.iter().map(|scenario| scenario.name.split_once('/').unwrap().0.to_owned()).collect();
    assert_eq!(topics_of_contributing(), topics);
}

/// The codes in a line of a log: `... [code]` at the end of a line about a condition, or all that hold in
/// `DEBUG Verdict on instance 'NAME': STATUS since TIME, CODE CODE; next: ...`.
fn codes_in(line: &str) -> Vec<&str> {
    if let Some((_, rest)) = line.split_once("DEBUG Verdict on instance '") {
        let (_, codes) = rest.split_once("': ").and_then(|(_, rest)| rest.split_once(", ")).unwrap();
        return codes.split(';').next().unwrap().split(' ').collect();
    }
    let code = line.strip_suffix(']').and_then(|line| line.rsplit_once(" ["));
    let is_code = |code: &&str| code.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    code.map(|(_, code)| code).filter(is_code).into_iter().collect()
}

#[test]
fn codes_are_found_in_lines() {
    let verdict =
        "  DEBUG Verdict on instance 'i': ERROR_down since 10:15, room flapping; next: the next run";
    assert_eq!(codes_in(verdict), ["room", "flapping"]);
    assert_eq!(codes_in("  DEBUG Verdict on instance 'i': unknown, unreadable"), ["unreadable"]);
    assert_eq!(codes_in("  WARNING Instance 'i' [x] is down [room]"), ["room"]);
    assert_eq!(codes_in("  ERROR job 1: HooksAbort: [[[\"n\", \"quota exceeded\"]]]"), [""; 0]);
}

#[test]
fn every_code_has_a_scenario() {
    let logs = scenarios().unwrap().into_iter().map(|scenario| scenario.path.join("expected.log"));
    let logs: Vec<String> = logs.map(|log| fs::read_to_string(log).unwrap()).collect();
    let seen: BTreeSet<&str> = logs.iter().flat_map(|log| log.lines()).flat_map(codes_in).collect();
    let codes = || CODES.into_iter().chain([NODE_SILENT]);
    let missing: Vec<&str> = codes().filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "no scenario's expected.log has {missing:?}");
    // A code that was renamed, or a line that could be taken for one about a condition.
    let others: Vec<&&str> = seen.iter().filter(|code| !codes().any(|known| known == **code)).collect();
    assert!(others.is_empty(), "these are no codes: {others:?}");
}
