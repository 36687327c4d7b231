//! The program from outside: options, exit codes, pause, locks, and a node that is not the master. No luxid runs here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const HOST: &str = "node1.example.com";
const GROUP: &str = "0f7fae7f-b9b2-4d37-87e1-808357d8239a";

/// A virtual node below a temporary directory.
struct Node {
    _directory: tempfile::TempDir,
    root: PathBuf,
    machine: PathBuf,
}

impl Node {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join(HOST);
        for path in ["var/lib/ganeti", "var/log/ganeti", "var/lock", "var/run/ganeti/socket"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let node = Self { machine: directory.path().join("machine"), _directory: directory, root };
        fs::create_dir(&node.machine).unwrap();
        node.set_daemon_util("exit 0");
        node
    }

    /// A `daemon-util` that writes down what it is asked and then does what the shell script says.
    fn set_daemon_util(&self, script: &str) {
        // By a shell: no descriptor of this process may be open for writing when the script is run.
        let text =
            format!("#!/bin/sh\necho \"$@\" >> '{}'\n{script}\n", self.machine.join("calls").display());
        let made = Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$0\" && chmod 700 \"$0\""])
            .arg(self.machine.join("daemon-util"))
            .arg(text)
            .status();
        assert!(made.unwrap().success());
    }

    fn daemon_util_calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.machine.join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn write(&self, path: &str, content: &str) {
        put(&self.root.join(path), content);
    }

    fn watcher(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ganeti-watcher"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
        command.env("GANETI_ROOTDIR", &self.root).env("GANETI_HOSTNAME", HOST);
        command.env("GANETI_WATCHER_MACHINE", &self.machine);
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.watcher().args(arguments), &self.root)
    }

    fn files(&self, directory: &str) -> Vec<String> {
        let names = fs::read_dir(self.root.join(directory)).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn put(path: &Path, content: &str) {
    use std::io::Write;
    File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
}

#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    log: String,
}

impl Run {
    fn of(command: &mut Command, root: &Path) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let log = fs::read_to_string(root.join("var/log/ganeti/watcher.log")).unwrap_or_default();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr), log }
    }

    /// Whether nothing is worth an administrator's time: only the calls of daemon-util are in the log.
    fn is_quiet(&self) -> bool {
        self.is_silent() && self.log.lines().all(|line| line.contains("INFO RunCmd "))
    }

    fn is_silent(&self) -> bool {
        self.stdout.is_empty() && self.stderr.is_empty()
    }
}

fn far_future() -> &'static str {
    "99999999999\n"
}

#[test]
fn a_node_that_is_not_part_of_a_cluster_is_left_quietly() {
    let node = Node::new();
    let run = node.run(&[]);
    let daemons = ["noded", "confd", "mond", "kvmd"].map(|name| format!("check-and-start ganeti-{name}"));
    let calls = node.daemon_util_calls();
    assert_eq!(calls.iter().filter(|call| call.starts_with("check")).cloned().collect::<Vec<_>>(), daemons);
    assert!(run.code == Some(0) && run.is_quiet(), "{run:?}");
}

#[test]
fn a_directory_for_temporary_files_that_is_unusable_keeps_no_daemon_from_being_started() {
    let node = Node::new();
    put(&node.machine.join("file"), "");
    for unusable in [Path::new("/nonexistent"), Path::new("/proc"), &node.machine.join("file")] {
        let run = Run::of(node.watcher().env("TMPDIR", unusable), &node.root);
        let calls = node.daemon_util_calls();
        let started = calls.iter().filter(|call| call.starts_with("check-and-start ")).count();
        assert_eq!(started, 4, "{}: {run:?}", unusable.display());
        assert!(run.code == Some(0) && run.is_quiet(), "{}: {run:?}", unusable.display());
        fs::remove_file(node.machine.join("calls")).unwrap();
    }
}

#[test]
fn a_node_that_is_not_the_master_is_left_quietly_but_not_with_a_group() {
    let node = Node::new();
    node.write("var/lib/ganeti/ssconf_master_node", "node2.example.com\n");
    node.write("var/lib/ganeti/ssconf_nodegroups", &format!("{GROUP} default\n"));
    let run = node.run(&[]);
    assert!(run.code == Some(0) && run.is_quiet(), "{run:?}");
    let run = node.run(&["--node-group", GROUP]);
    assert_eq!(run.code, Some(11), "{run:?}");
    assert_eq!(
        node.files("var/lib/ganeti").len(),
        3,
        "only the state file came: {:?}",
        node.files("var/lib/ganeti")
    );
}

#[test]
fn a_paused_watcher_does_nothing_unless_told_to_ignore_it() {
    let node = Node::new();
    node.write("var/lib/ganeti/watcher.pause", far_future());
    node.write("var/lib/ganeti/ssconf_master_node", &format!("{HOST}\n"));
    let run = node.run(&["-d"]);
    assert_eq!(run.code, Some(0));
    assert!(run.log.ends_with("DEBUG Pause has been set, exiting\n"), "{run:?}");
    assert_eq!(run.log, run.stderr, "with --debug stderr has what the log has");
    assert!(node.files("var/lock").is_empty(), "not even the lock file is made");

    let run = node.run(&["--ignore-pause", "--node-group", "no-uuid"]);
    assert_eq!(run.code, Some(1));
    let expected = "ERROR Node group parameter (--node-group) must be given a UUID, got 'no-uuid'\n";
    assert!(run.log.ends_with(expected), "{run:?}");
}

#[test]
fn a_broken_pause_file_is_removed_even_with_ignore_pause() {
    let node = Node::new();
    node.write("var/lib/ganeti/watcher.pause", "tomorrow");
    let run = node.run(&["--ignore-pause"]);
    assert_eq!(run.code, Some(0));
    assert!(run.log.contains("WARNING Watcher pause file ("), "{run:?}");
    assert!(node.files("var/lib/ganeti").is_empty());
}

#[test]
fn an_unreadable_pause_file_stops_the_run() {
    let node = Node::new();
    fs::create_dir(node.root.join("var/lib/ganeti/watcher.pause")).unwrap();
    let run = node.run(&[]);
    assert_eq!(run.code, Some(1));
    assert!(run.log.contains("ERROR cannot read the pause file '"), "{run:?}");
}

#[test]
fn maintenance_that_holds_the_lock_keeps_watchers_out_with_exit_code_0() {
    let node = Node::new();
    let lock = File::create(node.root.join("var/lock/ganeti-watcher.lock")).unwrap();
    lock.lock().unwrap();
    let run = node.run(&[]);
    assert!(run.code == Some(0) && run.is_silent(), "{run:?}");
    assert!(run.log.contains("ERROR Can't acquire lock on "), "{run:?}");
    assert_eq!(run.log.lines().count(), 1);
}

#[test]
fn an_unknown_group_is_an_error() {
    let node = Node::new();
    node.write("var/lib/ganeti/ssconf_nodegroups", &format!("{GROUP} default\n"));
    let other = "11111111-2222-3333-4444-555555555555";
    let run = node.run(&["-g", other]);
    assert_eq!(run.code, Some(1));
    assert!(run.log.ends_with(&format!("ERROR Node group '{other}' is not known by ssconf\n")), "{run:?}");
}

#[test]
fn a_group_that_another_run_works_on_is_an_error() {
    let node = Node::new();
    node.write("var/lib/ganeti/ssconf_nodegroups", &format!("{GROUP} default\n"));
    let state = File::create(node.root.join(format!("var/lib/ganeti/watcher.{GROUP}.data"))).unwrap();
    state.lock().unwrap();
    let run = node.run(&["-g", &GROUP.to_uppercase()]);
    assert_eq!(run.code, Some(1));
    assert!(run.log.contains("ERROR Can't acquire lock on state file "), "{run:?}");
}

#[test]
fn the_command_line_has_the_exit_codes_of_the_original() {
    let node = Node::new();
    for (arguments, code, stdout, stderr) in [
        (&["--version"][..], 0, "ganeti-watcher (ganeti) ", ""),
        (&["--help"], 0, "Ganeti cluster watcher", ""),
        (&["--no"], 2, "", "Usage: ganeti-watcher [OPTIONS]\n       ganeti-watcher retry "),
        (&["positional"], 2, "", "Usage: ganeti-watcher [OPTIONS]\n       ganeti-watcher retry "),
        (
            &["--job-age=soon"],
            1,
            "",
            "ganeti-watcher: error: option --job-age: invalid time specification 'soon'",
        ),
        (
            &["retry"],
            2,
            "",
            "Usage: ganeti-watcher retry <INSTANCE...|--all>\n\n\
             ganeti-watcher: error: the following required arguments were not provided: <INSTANCE|--all>",
        ),
        (&["retry", "x"], 1, "", "ganeti-watcher: error: this is no node of a cluster: cannot read '"),
        (&["simulate", "--nodes=0"], 2, "", "Usage: ganeti-watcher [OPTIONS]\n"),
        (&["simulate", "--start=-5s"], 2, "", "Usage: ganeti-watcher [OPTIONS]\n"),
        (&["--load-limit", "nan"], 2, "", "Usage: ganeti-watcher [OPTIONS]\n"),
        (&["--start-degraded", "99999999999999w"], 1, "", "ganeti-watcher: error: option --start-degraded: "),
        (
            &["--rapi-ip", "10.0.0"],
            1,
            "",
            "ganeti-watcher: error: option --rapi-ip: invalid value '10.0.0': ",
        ),
    ] {
        let run = node.run(arguments);
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.stdout.starts_with(stdout) && run.stdout.is_empty() == stdout.is_empty(), "{run:?}");
        assert!(run.stderr.starts_with(stderr) && run.stderr.is_empty() == stderr.is_empty(), "{run:?}");
        assert!(run.log.is_empty());
    }
}

#[test]
fn a_virtual_node_needs_both_variables() {
    let node = Node::new();
    let run = Run::of(node.watcher().env_remove("GANETI_HOSTNAME"), &node.root);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("GANETI_ROOTDIR and GANETI_HOSTNAME must both be set"), "{run:?}");
}

#[test]
fn a_run_by_the_timer_leaves_the_work_to_cron_and_says_so() {
    let node = Node::new();
    let cron_d = node.machine.join("etc/cron.d");
    fs::create_dir_all(&cron_d).unwrap();
    let line = "*/5 * * * * root [ -x /usr/sbin/ganeti-watcher ] && /usr/sbin/ganeti-watcher\n";
    put(&cron_d.join("ganeti"), line);
    let run = node.run(&["--timer"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    for text in [&run.stderr, &run.log] {
        assert!(text.contains("etc/cron.d/ganeti' has cron call the watcher"), "{text}");
    }
    assert_eq!(node.daemon_util_calls(), [""; 0]);
    assert_eq!(node.run(&[]).code, Some(0), "cron's own call goes on");

    put(&cron_d.join("ganeti"), &format!("#{line}"));
    let run = node.run(&["--timer"]);
    assert!(run.code == Some(0) && !node.daemon_util_calls().is_empty(), "{run:?}");
}
