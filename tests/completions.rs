//! The shells' completions in `packaging/completions` are those of the program's command line.
//! `UPDATE_COMPLETIONS=1 cargo test --test completions` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use clap_complete::{Shell, generate};

fn check(shell: Shell, name: &str) {
    let mut expected = Vec::new();
    generate(shell, &mut ganeti_watcher::cli::command(), "ganeti-watcher", &mut expected);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions").join(name);
    if std::env::var_os("UPDATE_COMPLETIONS").is_some() {
        File::create(&path).unwrap().write_all(&expected).unwrap();
    }
    let found = fs::read(&path).unwrap_or_default();
    assert!(found == expected, "{name} is out of date: UPDATE_COMPLETIONS=1 cargo test --test completions");
}

#[test]
fn bash() {
    check(Shell::Bash, "ganeti-watcher");
}

#[test]
fn zsh() {
    check(Shell::Zsh, "_ganeti-watcher");
}

#[test]
fn fish() {
    check(Shell::Fish, "ganeti-watcher.fish");
}
