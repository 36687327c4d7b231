//! A virtual node for tests: Ganeti's files below one directory, what belongs to the system below another,
//! and scripts in place of programs, which record how they are called.
//!
//! Unit tests take it from `testing`, tests from outside from `tests/support/program.rs`. The parent module
//! decides which `Layout` it is: the crate's own, or the library's.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Layout;

pub(crate) const HOST: &str = "node1.example.com";
/// UUID of a node group.
pub(crate) const GROUP: &str = "0f7fae7f-b9b2-4d37-87e1-808357d8239a";

/// A virtual node; its files are gone when it is dropped.
pub(crate) struct Machine {
    _directory: tempfile::TempDir,
    /// `GANETI_ROOTDIR`.
    pub(crate) root: PathBuf,
    /// `GANETI_WATCHER_MACHINE`.
    pub(crate) system: PathBuf,
    pub(crate) layout: Layout,
}

impl Machine {
    /// A node with the directories that Ganeti creates on every node, without any file, program or `/proc`.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join(HOST);
        for path in ["var/lib/ganeti", "var/log/ganeti", "var/lock", "var/run/ganeti/socket"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let system = directory.path().join("machine");
        fs::create_dir(&system).unwrap();
        let layout = Layout::new(Some(root.clone().into()), Some(HOST.into())).unwrap().with_machine(&system);
        Self { _directory: directory, root, system, layout }
    }

    /// Writes a file, with the directories for it. A relative path is below Ganeti's root.
    pub(crate) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().write_all(content.as_ref()).unwrap();
    }

    pub(crate) fn ssconf(&self, key: &str, content: impl AsRef<[u8]>) {
        self.write(self.layout.ssconf(key), content);
    }

    pub(crate) fn pid_file(&self, daemon: &str, content: impl AsRef<[u8]>) {
        self.write(self.layout.pid_file(daemon), content);
    }

    /// `/etc/services`.
    pub(crate) fn services(&self, content: &str) {
        self.write(self.system.join("services"), content);
    }

    /// A `/proc` without processes, if there is none yet.
    pub(crate) fn proc(&self) {
        fs::create_dir_all(self.layout.proc().join("self")).unwrap();
    }

    /// A process in `/proc` with these arguments, that began at 4711; one without arguments is a zombie.
    pub(crate) fn process(&self, pid: &str, arguments: &[&str]) {
        self.proc();
        let directory = self.layout.proc().join(pid);
        let command_line: String = arguments.iter().map(|argument| format!("{argument}\0")).collect();
        self.write(directory.join("cmdline"), command_line);
        let stat = format!("{pid} (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n");
        self.write(directory.join("stat"), stat);
    }

    /// An executable shell script, which notes nothing. The path is as in [`Machine::write`].
    pub(crate) fn script(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Written by another process: a descriptor open for writing, inherited by a child of another test's
        // thread for a moment, would make running the script fail.
        let mut shell = Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod 700 \"$0\""])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        stdin.write_all(format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
        drop(stdin);
        assert!(shell.wait().unwrap().success());
    }

    /// A `daemon-util` that does what the shell script says.
    pub(crate) fn daemon_util(&self, text: &str) {
        self.noting(self.layout.daemon_util(), text);
    }

    /// A program that is not Ganeti's, such as `drbdsetup`.
    pub(crate) fn program(&self, name: &str, text: &str) {
        self.noting(&self.layout.program(name), text);
    }

    /// A hook of the watcher.
    pub(crate) fn hook(&self, name: &str, text: &str) {
        self.noting(&self.layout.watcher_hooks().join(name), text);
    }

    /// A script that first notes how it is called.
    fn noting(&self, path: &Path, text: &str) {
        let calls = self.system.join("calls");
        self.script(path, &format!("echo \"${{0##*/}}\" \"$@\" >> '{}'\n{text}", calls.display()));
    }

    /// How the scripts were called, a line a call: `NAME ARGUMENT...`.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.system.join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
