//! What is packed with the program fits it: the shells' completions, and the version wherever it stands.
//! `UPDATE_COMPLETIONS=1 cargo test --test package` writes the completions anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use clap_complete::{Shell, generate};

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
