//! The program from outside: options, exit codes, pause, locks, and a node that is not the master. No luxid
//! runs here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;

use std::fs::{self, File};
use std::path::Path;

use program::{GROUP, HOST, Machine, Run};

/// A node on which every daemon can be started.
fn node() -> Machine {
    let node = Machine::new();
    node.daemon_util("exit 0");
    node
}

impl Run {
    /// Whether nothing needs an administrator's attention: only the calls of daemon-util are in the log.
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
    let node = node();
    let run = node.run(&[]);
    let daemons =
        ["noded", "confd", "mond", "kvmd"].map(|name| format!("daemon-util check-and-start ganeti-{name}"));
    let checks = |call: &String| call.starts_with("daemon-util check");
    assert_eq!(node.calls().into_iter().filter(checks).collect::<Vec<_>>(), daemons);
    assert!(run.code == Some(0) && run.is_quiet(), "{run:?}");
}

#[test]
fn a_directory_for_temporary_files_that_is_unusable_keeps_no_daemon_from_being_started() {
    let node = node();
    node.write(node.system.join("file"), "");
    for unusable in [Path::new("/nonexistent"), Path::new("/proc"), &node.system.join("file")] {
        let run = node.run_with(&[], |command| command.env("TMPDIR", unusable));
        let calls = node.calls();
        let started = calls.iter().filter(|call| call.starts_with("daemon-util check-and-start ")).count();
        assert_eq!(started, 4, "{}: {run:?}", unusable.display());
        assert!(run.code == Some(0) && run.is_quiet(), "{}: {run:?}", unusable.display());
        fs::remove_file(node.system.join("calls")).unwrap();
    }
}

#[test]
fn a_node_that_is_not_the_master_is_left_quietly_but_not_with_a_group() {
    let node = node();
    node.master("node2.example.com");
    node.one_node_group();
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
    let node = node();
    node.write("var/lib/ganeti/watcher.pause", far_future());
    node.master(HOST);
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
    let node = node();
    node.write("var/lib/ganeti/watcher.pause", "tomorrow");
    let run = node.run(&["--ignore-pause"]);
    assert_eq!(run.code, Some(0));
    assert!(run.log.contains("WARNING Watcher pause file ("), "{run:?}");
    assert!(node.files("var/lib/ganeti").is_empty());
}

#[test]
fn an_unreadable_pause_file_stops_the_run() {
    let node = node();
    fs::create_dir(node.root.join("var/lib/ganeti/watcher.pause")).unwrap();
    let run = node.run(&[]);
    assert_eq!(run.code, Some(1));
    assert!(run.log.contains("ERROR cannot read the pause file '"), "{run:?}");
}

#[test]
fn maintenance_that_holds_the_lock_keeps_watchers_out_with_exit_code_0() {
    let node = node();
    let lock = File::create(node.root.join("var/lock/ganeti-watcher.lock")).unwrap();
    lock.lock().unwrap();
    let run = node.run(&[]);
    assert!(run.code == Some(0) && run.is_silent(), "{run:?}");
    assert!(run.log.contains("ERROR Can't acquire lock on "), "{run:?}");
    assert_eq!(run.log.lines().count(), 1);
}

#[test]
fn an_unknown_group_is_an_error() {
    let node = node();
    node.one_node_group();
    let other = "11111111-2222-3333-4444-555555555555";
    let run = node.run(&["-g", other]);
    assert_eq!(run.code, Some(1));
    assert!(run.log.ends_with(&format!("ERROR Node group '{other}' is not known by ssconf\n")), "{run:?}");
}

#[test]
fn a_group_that_another_run_works_on_is_an_error() {
    let node = node();
    node.one_node_group();
    let state = File::create(node.root.join(format!("var/lib/ganeti/watcher.{GROUP}.data"))).unwrap();
    state.lock().unwrap();
    let run = node.run(&["-g", &GROUP.to_uppercase()]);
    assert_eq!(run.code, Some(1));
    assert!(run.log.contains("ERROR Can't acquire lock on state file "), "{run:?}");
}

#[test]
fn the_command_line_has_the_exit_codes_of_the_original() {
    let node = node();
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
        (&["retry", "x"], 1, "", "ganeti-watcher: error: this is not a node of a cluster: cannot read '"),
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
    let node = node();
    let run = node.run_with(&[], |command| command.env_remove("GANETI_HOSTNAME"));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("GANETI_ROOTDIR and GANETI_HOSTNAME must both be set"), "{run:?}");
}

#[test]
fn a_run_by_the_timer_leaves_the_work_to_cron_and_says_so() {
    let node = node();
    let crontab = node.layout.cron_directory().join("ganeti");
    let line = "*/5 * * * * root [ -x /usr/sbin/ganeti-watcher ] && /usr/sbin/ganeti-watcher\n";
    node.write(&crontab, line);
    let run = node.run(&["--timer"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    for text in [&run.stderr, &run.log] {
        assert!(text.contains("etc/cron.d/ganeti' makes cron call the watcher"), "{text}");
    }
    assert_eq!(node.calls(), [""; 0]);
    assert_eq!(node.run(&[]).code, Some(0), "cron's own call goes on");

    node.write(&crontab, format!("#{line}"));
    let run = node.run(&["--timer"]);
    assert!(run.code == Some(0) && !node.calls().is_empty(), "{run:?}");
}
