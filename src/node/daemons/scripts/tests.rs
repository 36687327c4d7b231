//! A node without Ganeti units, with a `/proc` of its own.

use std::fs;

use nix::sys::signal::Signal;

use super::super::tests::RUNNING;
use super::super::{RAPI, Restarted};
use super::*;
use crate::logging::testing::logged;
use crate::testing::Machine;

const NODED: &str = "ganeti-noded";
const PID: &str = "4711";

impl Machine {
    /// A node on which noded was killed: its pid file names a process that is gone.
    fn with_noded_killed(daemon_util: &str) -> Self {
        let machine = Self::with_daemon_util(daemon_util);
        machine.proc();
        machine.pid_file(NODED, PID);
        machine
    }

    /// Whether noded runs after one try to ensure it, and the log.
    fn ensure(&self, daemon: &str) -> (bool, String) {
        let runs = std::cell::Cell::new(false);
        let log = logged(async {
            let armed = Armed::for_test();
            let mut daemons = NodeDaemons::new(&self.layout, Some(&armed)).await;
            daemons.start_limit = Duration::ZERO;
            runs.set(daemons.ensure(daemon).await);
        });
        (runs.get(), log)
    }
}

/// At the second call a noded process appears.
const STARTS_THE_SECOND_TIME: &str = "cd \"$(dirname \"$0\")\"\n\
    if [ -e tried ]; then mv ready proc/4711; else touch tried; fi";

#[test]
fn a_daemon_that_daemon_util_only_says_to_have_started_is_tried_once_more() {
    let machine = Machine::with_noded_killed(STARTS_THE_SECOND_TIME);
    machine.process(PID, &["python3", "/usr/sbin/ganeti-noded"]);
    let process = machine.layout.proc().join(PID);
    fs::rename(&process, machine.layout.proc().parent().unwrap().join("ready")).unwrap();
    let (runs, log) = machine.ensure(NODED);
    assert!(runs, "{log}");
    assert_eq!(machine.calls(), ["daemon-util check-and-start ganeti-noded"; 2]);
    let again = "INFO Trying again to start daemon 'ganeti-noded': it does not run: process 4711 in '";
    assert!(log.contains(again) && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_daemon_that_does_not_run_after_two_starts_is_one_error() {
    for has_pid_file in [true, false] {
        let machine = Machine::with_noded_killed("exit 0");
        if !has_pid_file {
            fs::remove_file(machine.layout.pid_file(NODED)).unwrap();
        }
        let (runs, log) = machine.ensure(NODED);
        assert!(!runs, "{log}");
        assert_eq!(machine.calls(), ["daemon-util check-and-start ganeti-noded"; 2]);
        let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("ERROR")).collect();
        let [error] = errors[..] else { panic!("{log}") };
        let words = "Can't start daemon 'ganeti-noded', daemon-util succeeded, but it does not run: ";
        assert!(error.contains(words) && error.contains("see the daemon's log in '"), "{error}");
    }
}

#[test]
fn a_daemon_that_runs_and_one_that_ends_by_itself_are_not_started_twice() {
    let machine = Machine::with_noded_killed("exit 0");
    machine.process(PID, &["python3", "/usr/sbin/ganeti-noded"]);
    assert!(machine.ensure(NODED).0);
    assert!(machine.ensure(KVMD).0);
    assert_eq!(
        machine.calls(),
        ["daemon-util check-and-start ganeti-noded", "daemon-util check-and-start ganeti-kvmd"]
    );
}

#[test]
fn what_daemon_util_says_counts_where_the_process_cannot_be_seen() {
    let machine = Machine::with_noded_killed("exit 0");
    fs::remove_dir_all(machine.layout.proc()).unwrap();
    assert!(machine.ensure(NODED).0);
    assert_eq!(machine.calls(), ["daemon-util check-and-start ganeti-noded"]);
}

#[test]
fn a_number_that_somebody_else_s_process_has_now_is_no_daemon_that_runs() {
    let machine = Machine::with_noded_killed("exit 0");
    machine.process(PID, &["sshd"]);
    let (runs, log) = machine.ensure(NODED);
    assert!(!runs && !machine.layout.pid_file(NODED).exists(), "{log}");
    assert_eq!(machine.calls(), ["daemon-util check-and-start ganeti-noded"; 2]);
}

/// A process that `/proc` shows as RAPI.
fn rapi() -> std::process::Child {
    let mut child = std::process::Command::new("sh")
        .args(["-c", "echo; read x", "/usr/sbin/ganeti-rapi"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    child
}

#[tokio::test]
async fn beside_systemd_a_daemon_is_ended_without_daemon_util_and_started_again() {
    let (mut silent, mut next) = (rapi(), rapi());
    let machine = Machine::with_daemon_util(&format!(
        "here=$(dirname \"$0\")\n\
         case $1 in daemon-executable) echo $here/ganeti-rapi;; *) echo {} | tee $here/../*/var/run/ganeti/$2.pid >&2;; esac",
        next.id()
    ));
    fs::create_dir(machine.layout.systemd_marker()).unwrap();
    machine.set_systemctl("echo LoadState=not-found; exit", RUNNING);
    std::os::unix::fs::symlink("/proc", machine.layout.proc()).unwrap();
    machine.pid_file(RAPI, silent.id().to_string());
    let armed = Armed::for_test();
    let restarted = NodeDaemons::new(&machine.layout, Some(&armed)).await.restart(RAPI).await;
    assert_eq!(restarted, Restarted::Yes);
    let signal = std::os::unix::process::ExitStatusExt::signal(&silent.wait().unwrap());
    assert_eq!(signal, Some(Signal::SIGTERM as i32));
    assert_eq!(
        machine.calls_but_show(),
        ["daemon-util daemon-executable ganeti-rapi", "daemon-util check-and-start ganeti-rapi"]
    );
    next.kill().unwrap();
    next.wait().unwrap();
}

#[tokio::test]
async fn beside_systemd_what_may_belong_to_a_unit_is_not_ended() {
    let machine = Machine::with_daemon_util(
        "[ $1 = daemon-executable ] && echo \"$(dirname \"$0\")/ganeti-rapi\"; exit 0",
    );
    fs::create_dir(machine.layout.systemd_marker()).unwrap();
    machine.set_systemctl("echo LoadState=not-found; exit", RUNNING);
    // A number that no process can have: the signal would be an unexpected error.
    let pid = "2147483647";
    machine.process(pid, &["/usr/sbin/ganeti-rapi"]);
    let armed = Armed::for_test();
    let restart = async || NodeDaemons::new(&machine.layout, Some(&armed)).await.restart(RAPI).await;
    let why = |restarted| match restarted {
        Restarted::No(why) => why,
        Restarted::Yes => panic!("restarted"),
    };
    machine.pid_file(RAPI, "x");
    assert!(why(restart().await).starts_with("cannot tell which process it is"));
    machine.pid_file(RAPI, pid);
    assert!(why(restart().await).starts_with("cannot tell its unit"));
    let cgroup = machine.layout.proc().join(pid).join("cgroup");
    machine.write(cgroup, "0::/system.slice/ganeti-rapi.service\n");
    assert!(why(restart().await).contains("belongs to 'ganeti-rapi.service'"));
    assert_eq!(machine.calls_but_show(), ["daemon-util daemon-executable ganeti-rapi"; 3]);
}

#[test]
fn a_check_without_an_answer_does_not_say_that_a_daemon_is_down() {
    let machine = Machine::with_daemon_util("[ \"$1\" = is-daemon-name ] || kill -9 $$");
    let log = logged(async {
        assert!(!NodeDaemons::new(&machine.layout, None).await.ensure(RAPI).await);
    });
    assert!(log.contains("cannot tell whether it runs") && !log.contains("Would start"), "{log}");
}
