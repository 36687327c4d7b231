//! The program run from outside, on a virtual node, and the results.

#![allow(dead_code, reason = "no program of tests needs all of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ganeti_watcher::layout::Layout;

#[path = "../../src/testing/machine.rs"]
mod machine;

pub(crate) use machine::{GROUP, HOST, Machine};

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The whole log of its node.
    pub(crate) log: String,
}

impl Run {
    /// Runs a command that has no log.
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr), log: String::new() }
    }
}

/// A command with the environment that cron gives.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
    command
}

/// The program.
pub(crate) fn watcher() -> Command {
    command(env!("CARGO_BIN_EXE_ganeti-watcher"))
}

impl Machine {
    /// Makes the command run on this node.
    pub(crate) fn put_on<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("GANETI_ROOTDIR", &self.root)
            .env("GANETI_HOSTNAME", HOST)
            .env("GANETI_WATCHER_MACHINE", &self.system)
    }

    /// Runs the program here.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, |command| command)
    }

    /// Runs the program here with a changed environment.
    pub(crate) fn run_with(
        &self,
        arguments: &[&str],
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Run {
        let mut command = watcher();
        let run = Run::of(change(self.put_on(command.args(arguments))));
        Run { log: fs::read_to_string(self.log()).unwrap_or_default(), ..run }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("var/log/ganeti/watcher.log")
    }

    /// Encloses everything that concerns the program.
    pub(crate) fn directory(&self) -> &Path {
        self.root.parent().unwrap()
    }

    /// Says who the master is.
    pub(crate) fn master(&self, name: &str) {
        self.ssconf("master_node", format!("{name}\n"));
    }

    /// Says that there is one node group.
    pub(crate) fn one_node_group(&self) {
        self.ssconf("nodegroups", format!("{GROUP} default\n"));
    }

    /// The names in a directory below Ganeti's root, sorted.
    pub(crate) fn files(&self, directory: &str) -> Vec<String> {
        let names = fs::read_dir(self.root.join(directory)).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
