//! `simulate` from outside: the same seed tells the same story, and a wrong scenario is refused with the
//! place of the error.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;

use std::path::Path;

use program::Run;

fn simulate(directory: &Path, arguments: &[&str]) -> Run {
    Run::of(program::watcher().env("TMPDIR", directory).arg("simulate").args(arguments))
}

fn log(story: &Path) -> String {
    std::fs::read_to_string(story.join("node1.example.com/var/log/ganeti/watcher.log")).unwrap()
}

#[test]
fn the_same_seed_tells_the_same_story_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let story = |name: &str, seed: &str| {
        let path = directory.path().join(name);
        let path_text = path.to_str().unwrap();
        let arguments = ["--instances", "12", "--seed", seed, "--directory", path_text];
        let run = simulate(directory.path(), &arguments);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        (run.stdout, log(&path))
    };
    let first = story("first", "7");
    assert_eq!(first, story("second", "7"));
    assert_ne!(first, story("third", "8"));
    assert!(first.0.contains("\n9 of 12 instances run.\n"), "{}", first.0);
    assert_eq!(first.1.matches("(attempt #1)").count(), 12);
    assert_eq!(first.1.matches("after 5 attempts, giving up").count(), 3);
}

#[test]
fn every_outage_ends_with_every_sound_instance_running() {
    for outage in ["all", "node", "rack", "network"] {
        let directory = tempfile::tempdir().unwrap();
        let run = simulate(directory.path(), &["--instances", "8", "--broken", "0", "--outage", outage]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains("\n8 of 8 instances run.\n"), "{}", run.stdout);
        assert!(run.stderr.contains("The watcher's log: "), "{}", run.stderr);
    }
}

#[test]
fn three_guests_without_a_kernel_need_a_human_although_two_of_them_are_on_one_node() {
    let directory = tempfile::tempdir().unwrap();
    let run = simulate(directory.path(), &[]);
    let story = run.stdout;
    assert!(story.contains("\n59 of 62 instances run.\n"), "{story}");
    assert_eq!(story.matches("needs a human: given up until ").count(), 3, "{story}");
}

#[test]
fn full_nodes_have_a_line_each_and_not_one_for_each_instance() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full");
    let arguments = ["--instances", "300", "--nodes", "4", "--directory", path.to_str().unwrap()];
    let run = simulate(directory.path(), &arguments);
    let story = run.stdout;
    assert!(story.contains("\n268 of 300 instances run.\n"), "{story}");
    let log = log(&path);
    let runs = story.matches(" of the watcher begins").count();
    for line in [" ERROR Error while restarting", " WARNING "] {
        let count = log.lines().filter(|text| text.contains(line) && text.contains("memory")).count();
        // One for each node and run, and a few in the first run for concurrent requests.
        assert!(count <= 4 * (runs + 1), "{count} lines in {runs} runs: {log}");
    }
}

#[test]
fn a_wrong_scenario_is_refused_with_file_line_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wrong.toml");
    std::io::Write::write_all(
        &mut std::fs::File::create(&path).unwrap(),
        b"[[node]]\nname = \"n\"\ncolour = 1\n",
    )
    .unwrap();
    let run = simulate(directory.path(), &["--scenario", path.to_str().unwrap()]);
    assert_eq!(run.code, Some(1));
    let expected = format!("ganeti-watcher: error: {}:3: unknown field `colour`", path.display());
    assert!(run.stderr.starts_with(&expected), "{}", run.stderr);
}

#[test]
fn wrong_options_are_refused_and_help_has_examples() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["--nodes", "0"][..],
        &["--speed", "fast"],
        &["--outage", "flood"],
        &["--scenario", "x", "--nodes", "3"],
        &["--start", "yesterday"],
        &["--start=-5s"],
        &["--broken", "100"],
        &["--instances", "5", "--broken=6"],
    ] {
        let run = simulate(directory.path(), arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}");
        assert!(run.stderr.contains("ganeti-watcher: error: "), "{}", run.stderr);
    }
    let help = simulate(directory.path(), &["--help"]);
    assert!(help.stdout.contains("Examples:\n  ganeti-watcher simulate\n"), "{}", help.stdout);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was begun");
}

#[test]
fn the_readme_shows_what_the_first_command_prints() {
    let readme = include_str!("../README.md");
    let (_, ending) = readme.split_once("and ends like this:\n\n").unwrap();
    let ending: String =
        ending.lines().map_while(|line| Some(format!("{}\n", line.strip_prefix("    ")?))).collect();
    let directory = tempfile::tempdir().unwrap();
    let run = simulate(directory.path(), &[]);
    assert!(ending.lines().count() > 3, "{ending}");
    assert!(run.stdout.ends_with(&ending), "{}", run.stdout);
}
