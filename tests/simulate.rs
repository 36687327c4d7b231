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
    let told =
        "\nEach of these 3 needs a human: inst11.example.com, inst32.example.com, inst52.example.com\n";
    assert!(story.contains(told), "{story}");
    let command = "'ganeti-watcher retry inst11.example.com inst32.example.com inst52.example.com'";
    assert!(story.contains("cannot find the kernel\n") && story.contains(command), "{story}");
}

#[test]
fn full_nodes_have_a_line_each_and_not_one_for_each_instance() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full");
    let arguments = ["--instances", "300", "--nodes", "4", "--directory", path.to_str().unwrap()];
    let run = simulate(directory.path(), &arguments);
    let story = run.stdout;
    assert!(story.contains("\n268 of 300 instances run.\n"), "{story}");
    let waits = "\n  why:  node 'node3.example.com' does not have enough memory for them (they need 8192 MiB in all, and \
                 0 MiB were free)\n  next: runs after ";
    assert!(story.contains(waits) && story.matches(" waits: ").count() == 4, "{story}");
    let log = log(&path);
    let runs = story.matches(" of the watcher begins").count();
    for line in [" ERROR Error while restarting", " WARNING "] {
        let count = log.lines().filter(|text| text.contains(line) && text.contains("memory")).count();
        // One for each node and run, and a few in the first run for concurrent requests.
        assert!(count <= 4 * (runs + 1), "{count} lines in {runs} runs: {log}");
    }
}

fn play(scenario: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scenario.toml");
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), scenario.as_bytes()).unwrap();
    let run = simulate(directory.path(), &["--scenario", path.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout
}

const TWO_GROUPS: &str = r#"
[[group]]
name = "default"

[[group]]
name = "second"

[[node]]
name = "node1"

[[node]]
name = "node2"
group = "second"

[[node]]
name = "node3"
group = "second"

[[instance]]
name = "inst1"
primary = "node1"
template = "plain"

[[instance]]
name = "inst2"
primary = "node2"
secondary = "node3"
"#;

#[test]
fn the_end_tells_of_all_node_groups_what_waits_and_for_what() {
    let story = play(&format!("{TWO_GROUPS}\n[[step]]\npower-off = [\"node2\"]\n"));
    let told = "
1 of 2 instances run.
inst2.example.com is out of reach: node 'node2.example.com' does not answer, first seen at 10:15
  next: when node 'node2.example.com' answers
  you:  if it is dead, first make sure that its power is off, then run 'gnt-node modify --offline yes node2.example.com' and 'gnt-node failover node2.example.com'
The watcher ran ";
    assert!(story.contains(told), "{story}");
    let story = play(&format!("{TWO_GROUPS}\n[[step]]\ncrash = [\"inst1\"]\n\n[[step]]\npause = \"1d\"\n"));
    let told = "inst1.example.com waits: the watcher is paused\n  next: when the pause is over\n";
    assert!(story.contains(told), "{story}");
}

#[test]
fn a_story_has_an_end_even_if_luxid_cannot_be_asked() {
    let story =
        play(&format!("{TWO_GROUPS}\n[[step]]\ncrash = [\"inst1\"]\n\n[[step]]\nluxid = \"break\"\n"));
    let told = "
1 of 2 instances run.
ATTENTION: The watcher cannot say how the instances are: cannot connect to luxid at ";
    assert!(story.contains(told) && story.contains("\nDown: inst1.example.com\nThe watcher ran "), "{story}");
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
