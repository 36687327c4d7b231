//! A node without units of Ganeti's, with a `/proc` of its own.

use std::fs;

use nix::sys::signal::Signal;

use super::super::tests::{Fixture, RUNNING};
use super::super::{RAPI, Restarted};
use super::*;
use crate::files::replace;
use crate::logging::testing::logged;
use crate::node::proc::testing::machine_with;

const NODED: &str = "ganeti-noded";
const PID: &str = "4711";

impl Fixture {
    /// A node on which noded was killed: its pid file names a process that is gone.
    fn with_noded_killed(daemon_util: &str) -> Self {
        let fixture = Self::new(daemon_util);
        machine_with(&fixture.layout, None);
        fixture.has_pid_file(NODED, PID);
        fixture
    }

    fn has_pid_file(&self, daemon: &str, text: &str) {
        let path = self.layout.pid_file(daemon);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        replace(&path, text.as_bytes(), |_| Ok(())).map(drop).unwrap();
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

/// At the second call a process of noded comes to be.
const STARTS_THE_SECOND_TIME: &str = "cd \"$(dirname \"$0\")\"\n\
    if [ -e tried ]; then mv ready proc/4711; else touch tried; fi";

#[test]
fn a_daemon_that_daemon_util_only_says_to_have_started_is_tried_once_more() {
    let fixture = Fixture::with_noded_killed(STARTS_THE_SECOND_TIME);
    machine_with(&fixture.layout, Some((PID, &["python3", "/usr/sbin/ganeti-noded"])));
    let process = fixture.layout.proc().join(PID);
    fs::rename(&process, fixture.layout.proc().parent().unwrap().join("ready")).unwrap();
    let (runs, log) = fixture.ensure(NODED);
    assert!(runs, "{log}");
    assert_eq!(fixture.calls(), ["check-and-start ganeti-noded"; 2]);
    let again = "INFO Trying again to start daemon 'ganeti-noded': it does not run: process 4711 in '";
    assert!(log.contains(again) && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_daemon_that_does_not_run_after_two_starts_is_one_error() {
    for has_pid_file in [true, false] {
        let fixture = Fixture::with_noded_killed("exit 0");
        if !has_pid_file {
            fs::remove_file(fixture.layout.pid_file(NODED)).unwrap();
        }
        let (runs, log) = fixture.ensure(NODED);
        assert!(!runs, "{log}");
        assert_eq!(fixture.calls(), ["check-and-start ganeti-noded"; 2]);
        let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("ERROR")).collect();
        let [error] = errors[..] else { panic!("{log}") };
        let words = "Can't start daemon 'ganeti-noded', daemon-util succeeded, but it does not run: ";
        assert!(error.contains(words) && error.contains("see the daemon's log in '"), "{error}");
    }
}

#[test]
fn a_daemon_that_runs_and_one_that_ends_by_itself_are_not_started_twice() {
    let fixture = Fixture::with_noded_killed("exit 0");
    machine_with(&fixture.layout, Some((PID, &["python3", "/usr/sbin/ganeti-noded"])));
    assert!(fixture.ensure(NODED).0);
    assert!(fixture.ensure(KVMD).0);
    assert_eq!(fixture.calls(), ["check-and-start ganeti-noded", "check-and-start ganeti-kvmd"]);
}

#[test]
fn what_daemon_util_says_counts_where_the_process_cannot_be_seen() {
    let fixture = Fixture::with_noded_killed("exit 0");
    fs::remove_dir_all(fixture.layout.proc()).unwrap();
    assert!(fixture.ensure(NODED).0);
    assert_eq!(fixture.calls(), ["check-and-start ganeti-noded"]);
}

#[test]
fn a_number_that_somebody_else_s_process_has_now_is_no_daemon_that_runs() {
    let fixture = Fixture::with_noded_killed("exit 0");
    machine_with(&fixture.layout, Some((PID, &["sshd"])));
    let (runs, log) = fixture.ensure(NODED);
    assert!(!runs && !fixture.layout.pid_file(NODED).exists(), "{log}");
    assert_eq!(fixture.calls(), ["check-and-start ganeti-noded"; 2]);
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
    let fixture = Fixture::new(&format!(
        "here=$(dirname \"$0\")\n\
         case $1 in daemon-executable) echo $here/ganeti-rapi;; *) echo {} | tee $here/*/var/run/ganeti/$2.pid >&2;; esac",
        next.id()
    ));
    fs::create_dir(fixture.layout.systemd_marker()).unwrap();
    fixture.set_systemctl("echo LoadState=not-found; exit", RUNNING);
    std::os::unix::fs::symlink("/proc", fixture.layout.proc()).unwrap();
    fixture.has_pid_file(RAPI, &silent.id().to_string());
    let armed = Armed::for_test();
    let restarted = NodeDaemons::new(&fixture.layout, Some(&armed)).await.restart(RAPI).await;
    assert_eq!(restarted, Restarted::Yes);
    let signal = std::os::unix::process::ExitStatusExt::signal(&silent.wait().unwrap());
    assert_eq!(signal, Some(Signal::SIGTERM as i32));
    assert_eq!(fixture.calls(), ["daemon-executable ganeti-rapi", "check-and-start ganeti-rapi"]);
    next.kill().unwrap();
    next.wait().unwrap();
}

#[tokio::test]
async fn beside_systemd_what_may_belong_to_a_unit_is_not_ended() {
    let fixture =
        Fixture::new("[ $1 = daemon-executable ] && echo \"$(dirname \"$0\")/ganeti-rapi\"; exit 0");
    fs::create_dir(fixture.layout.systemd_marker()).unwrap();
    fixture.set_systemctl("echo LoadState=not-found; exit", RUNNING);
    // A number that no process can have: the signal would be an error that nobody expects.
    let pid = "2147483647";
    machine_with(&fixture.layout, Some((pid, &["/usr/sbin/ganeti-rapi"])));
    let pid_file = fixture.layout.pid_file(RAPI);
    fs::create_dir_all(pid_file.parent().unwrap()).unwrap();
    let armed = Armed::for_test();
    let restart = async || NodeDaemons::new(&fixture.layout, Some(&armed)).await.restart(RAPI).await;
    let why = |restarted| match restarted {
        Restarted::No(why) => why,
        Restarted::Yes => panic!("restarted"),
    };
    replace(&pid_file, b"x", |_| Ok(())).map(drop).unwrap();
    assert!(why(restart().await).starts_with("cannot tell which process it is"));
    replace(&pid_file, pid.as_bytes(), |_| Ok(())).map(drop).unwrap();
    assert!(why(restart().await).starts_with("cannot tell its unit"));
    let cgroup = fixture.layout.proc().join(pid).join("cgroup");
    replace(&cgroup, b"0::/system.slice/ganeti-rapi.service\n", |_| Ok(())).map(drop).unwrap();
    assert!(why(restart().await).contains("belongs to 'ganeti-rapi.service'"));
    assert_eq!(fixture.calls(), ["daemon-executable ganeti-rapi"; 3]);
}

#[test]
fn a_check_without_an_answer_does_not_say_that_a_daemon_is_down() {
    let fixture = Fixture::new("[ \"$1\" = is-daemon-name ] || kill -9 $$");
    let log = logged(async {
        assert!(!NodeDaemons::new(&fixture.layout, None).await.ensure(RAPI).await);
    });
    assert!(log.contains("cannot tell whether it runs") && !log.contains("Would start"), "{log}");
}
