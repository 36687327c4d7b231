//! What is packaged matches the program: the shell completions, the examples that its help names, and the
//! version everywhere. `UPDATE_COMPLETIONS=1 cargo test --test package` rewrites the completions.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use clap_complete::{Shell, generate};
use program::Run;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn one_version_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let debian = read("packaging/debian/changelog");
    assert!(debian.starts_with(&format!("ganeti-watcher ({version}-1) ")), "packaging/debian/changelog");
    let changes = read("CHANGELOG.md");
    let released =
        changes.lines().filter_map(|line| line.strip_prefix("## ")).find(|title| *title != "Unreleased");
    assert_eq!(released.and_then(|title| title.split(' ').next()), Some(version), "CHANGELOG.md");
    let installed = format!("apt install ./ganeti-watcher_{version}-1_amd64.deb");
    assert!(read("README.md").contains(&installed), "README.md");
}

fn check_completion(shell: Shell, name: &str) {
    let mut expected = Vec::new();
    generate(shell, &mut ganeti_watcher::cli::command(), "ganeti-watcher", &mut expected);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions").join(name);
    if std::env::var_os("UPDATE_COMPLETIONS").is_some() {
        File::create(&path).unwrap().write_all(&expected).unwrap();
    }
    let found = fs::read(&path).unwrap_or_default();
    assert!(found == expected, "{name} is out of date: UPDATE_COMPLETIONS=1 cargo test --test package");
}

#[test]
fn the_completion_for_bash_is_that_of_the_command_line() {
    check_completion(Shell::Bash, "ganeti-watcher");
}

#[test]
fn the_completion_for_zsh_is_that_of_the_command_line() {
    check_completion(Shell::Zsh, "_ganeti-watcher");
}

#[test]
fn the_completion_for_fish_is_that_of_the_command_line() {
    check_completion(Shell::Fish, "ganeti-watcher.fish");
}

#[test]
fn bash_completes_the_options_of_a_subcommand() {
    let script = "source \"$0\" && COMP_WORDS=(ganeti-watcher retry --a) COMP_CWORD=2 && \
                  _ganeti-watcher ganeti-watcher --a retry && echo \"${COMPREPLY[@]}\"";
    let completion = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions/ganeti-watcher");
    let done = Command::new("bash").arg("-c").arg(script).arg(completion).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "--all\n", "{done:?}");
}

/// What the package has besides what is built: its place here, by its installed place.
fn packed_files() -> BTreeMap<String, String> {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let text = |asset: &toml::Value, index: usize| asset[index].as_str().unwrap().to_owned();
    let of = |asset: &toml::Value| {
        let (source, mut place) = (text(asset, 0), format!("/{}", text(asset, 1)));
        if place.ends_with('/') {
            place.push_str(source.rsplit('/').next().unwrap_or_default());
        }
        (place, source)
    };
    assets.iter().map(of).filter(|(_, source)| !source.starts_with("target/")).collect()
}

#[test]
fn everything_that_is_packed_is_there() {
    let packed = packed_files();
    for (place, source) in &packed {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(source).is_file(), "{place}: {source}");
    }
    let scenarios: Vec<&String> = packed.keys().filter(|place| place.ends_with(".toml")).collect();
    assert!(scenarios.len() > 1, "{scenarios:?}");
    assert!(scenarios.iter().all(|place| place.starts_with("/usr/share/doc/ganeti-watcher/examples/")));
}

#[test]
fn every_example_of_the_help_of_simulate_works() {
    let help = Run::of(program::watcher().args(["simulate", "--help"])).stdout;
    let (_, examples) = help.split_once("Examples:\n").unwrap();
    let examples: Vec<&str> =
        examples.lines().filter_map(|line| line.strip_prefix("  ganeti-watcher simulate")).collect();
    assert!(examples.len() > 4 && examples.iter().any(|example| example.contains("--scenario ")), "{help}");
    let packed = packed_files();
    let directory = tempfile::tempdir().unwrap();
    for example in examples {
        let (words, _into_a_file) = example.split_once(" > ").unwrap_or((example, ""));
        let words = words.split_whitespace().map(|word| match word {
            // As installed. A path that is not in the package stays missing.
            word if word.starts_with('/') => packed.get(word).map_or(word, String::as_str),
            // The test has no time to watch.
            "600" => "max",
            word => word,
        });
        let mut command = program::watcher();
        command.arg("simulate").args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
        let run = Run::of(command.env("TMPDIR", directory.path()));
        assert!(run.code == Some(0) && run.stdout.contains(" instances run.\n"), "{example}: {run:?}");
    }
}
