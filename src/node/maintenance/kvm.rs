//! Instances under KVM: one process each, named by its command line.
//!
//! Source: `hypervisor/hv_kvm: ListInstances, _InstancePidAlive, _StopInstance`, `utils/process.py: KillProcess`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::{names_in, remove_file};
use crate::armed::Armed;
use crate::files::read_text;
use crate::layout::Layout;

const LONGEST_PID_FILE: u64 = 64;
const POLL: Duration = Duration::from_millis(100);

/// How long a process may take to end (`utils/process.py: KillProcess`).
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// After SIGTERM; then it gets SIGKILL.
    pub term: Duration,
    /// After SIGKILL; then it is reported.
    pub kill: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { term: Duration::from_secs(30), kill: Duration::from_secs(10) }
    }
}

/// A process, told from another one that later gets the same number by when it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: Pid,
    /// In clock ticks since the machine was started.
    started: u64,
}

/// The names of the instances that run.
///
/// # Errors
/// When the directory of their pid files cannot be read.
pub(super) fn list(layout: &Layout) -> Result<Vec<String>> {
    let names = names_in(&layout.run_dir("kvm-hypervisor/pid"))?;
    Ok(names.into_iter().filter(|name| process_of(layout, name).is_some()).collect())
}

/// Ends the process of an instance: SIGTERM, and SIGKILL when that does not help.
///
/// # Errors
/// When it cannot be signalled, or is still there in the end.
pub(super) async fn stop(armed: &Armed, layout: &Layout, name: &str, patience: Patience) -> Result<()> {
    if let Some(process) = process_of(layout, name) {
        for (signal, limit) in [(Signal::SIGTERM, patience.term), (Signal::SIGKILL, patience.kill)] {
            send(armed, layout, name, process, signal)?;
            if is_gone_within(layout, name, process, limit).await {
                return clear_user_shutdown(armed, layout, name);
            }
        }
        bail!("process {} is still there after SIGKILL: perhaps it waits for a disk", process.pid);
    }
    clear_user_shutdown(armed, layout, name)
}

/// The note that the user shut the instance down, of no more use when it is stopped by us.
fn clear_user_shutdown(armed: &Armed, layout: &Layout, name: &str) -> Result<()> {
    remove_file(armed, &layout.run_dir("kvm-hypervisor/ctrl").join(format!("{name}.shutdown")))
}

/// Signals the process, after one more look whether it still is the instance's.
fn send(_armed: &Armed, layout: &Layout, name: &str, process: Process, signal: Signal) -> Result<()> {
    if process_of(layout, name) != Some(process) {
        return Ok(());
    }
    match kill(process.pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot send {signal} to process {}", process.pid)),
    }
}

async fn is_gone_within(layout: &Layout, name: &str, process: Process, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while process_of(layout, name) == Some(process) {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
    true
}

/// The live process of the instance; `None` when the pid file leads to none, or to one of somebody else.
fn process_of(layout: &Layout, name: &str) -> Option<Process> {
    let pid_file = layout.run_dir("kvm-hypervisor/pid").join(name);
    let text = read_text(&pid_file, LONGEST_PID_FILE).ok()?;
    // 0 and negative numbers mean whole groups of processes, and 1 is init.
    let pid: i32 = text.trim().parse().ok().filter(|pid| *pid > 1)?;
    let proc: PathBuf = layout.proc().join(pid.to_string());
    let command_line = fs::read(proc.join("cmdline")).ok()?;
    let stat = fs::read(proc.join("stat")).ok()?;
    let started = start_time(&String::from_utf8_lossy(&stat))?;
    let process = Process { pid: Pid::from_raw(pid), started };
    (instance_of(&command_line)? == name.as_bytes()).then_some(process)
}

/// The instance's name in qemu's command line: the value of `-name`, up to the first comma.
fn instance_of(command_line: &[u8]) -> Option<&[u8]> {
    let mut arguments = command_line.split(|byte| *byte == 0);
    arguments.find(|argument| argument == b"-name")?;
    arguments.next()?.split(|byte| *byte == b',').next()
}

/// Field 22 of `/proc/PID/stat`. The second field is a name in parentheses, in which anything may be.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command, Stdio};

    use super::super::testing::Fixture;
    use super::*;

    #[test]
    fn any_command_line_and_stat_are_read_or_not() {
        let seeds: [&[u8]; 3] = [
            b"/usr/bin/kvm\0-enable-kvm\0-name\0i1.example.com,debug-threads=on\0-m\x00512\0",
            b"-name\0",
            b"42 (a) b) S 1 42 42 0 -1 4194304 1 1 0 0 0 0 0 0 20 0 1 0 123456 0 0",
        ];
        crate::fuzz_tests::fuzz(&seeds, |bytes| {
            assert!(instance_of(bytes).is_none_or(|name| !name.contains(&0)));
            let _since = start_time(&String::from_utf8_lossy(bytes));
        });
    }

    #[test]
    fn the_name_is_the_one_after_its_option() {
        let name = |text: &str| instance_of(text.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(name("qemu\0-m\x0064\0-name\0i1\0-x\0"), Some(b"i1".to_vec()));
        assert_eq!(name("qemu\0-name\0i1,debug-threads=on\0"), Some(b"i1".to_vec()));
        assert_eq!(name("qemu\0-names\0i1\0"), None);
        assert_eq!(name("vi\0i1\0"), None);
        assert_eq!(name(""), None);
        assert_eq!(name("qemu\0-name"), None);
    }

    #[test]
    fn the_start_time_is_read_past_any_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(start_time(&format!("42 (a) R) b) {fields}")), Some(4711));
        assert_eq!(start_time("42 (x) S 1"), None);
    }

    /// A stand-in for qemu: a shell that waits for its input, which `-name` is nothing to.
    fn qemu(name: &str, before: &str) -> Child {
        Command::new("sh")
            .args(["-c", &format!("{before}; echo; read x"), "qemu", "-name", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn started(child: &mut Child) {
        let stdout = child.stdout.as_mut().unwrap();
        std::io::Read::read_exact(stdout, &mut [0]).unwrap();
    }

    fn fixture() -> Fixture {
        let fixture = Fixture::new();
        symlink("/proc", fixture.layout.proc()).unwrap();
        fixture
    }

    const SHORT: Patience = Patience { term: Duration::from_millis(300), kill: Duration::from_secs(10) };

    #[tokio::test]
    async fn only_the_instance_s_own_process_is_listed_and_stopped() {
        let fixture = fixture();
        let mut good = qemu("i1.example.com,debug-threads=on", ":");
        let mut other = qemu("someone-else", ":");
        started(&mut good);
        started(&mut other);
        for (name, pid) in [
            ("i1.example.com", good.id().to_string()),
            ("reused-pid", other.id().to_string()),
            ("init", "1".to_owned()),
            ("group", format!("-{}", good.id())),
            ("zero", "0".to_owned()),
            ("dead", "4194304".to_owned()),
            ("garbage", "x".to_owned()),
        ] {
            fixture.run_file(&format!("kvm-hypervisor/pid/{name}"), &format!("{pid}\n"));
        }
        fixture.run_file("kvm-hypervisor/ctrl/i1.example.com.shutdown", "");
        assert_eq!(list(&fixture.layout).unwrap(), ["i1.example.com"]);
        for name in ["i1.example.com", "reused-pid", "group", "init", "zero"] {
            stop(&Armed::for_test(), &fixture.layout, name, Patience::default()).await.unwrap();
        }
        assert_eq!(list(&fixture.layout).unwrap(), [""; 0]);
        assert!(!fixture.layout.run_dir("kvm-hypervisor/ctrl/i1.example.com.shutdown").exists());
        assert!(other.try_wait().unwrap().is_none(), "a process of somebody else was ended");
        other.kill().unwrap();
        other.wait().unwrap();
        let status = good.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::SIGTERM as i32));
    }

    #[tokio::test]
    async fn a_process_that_does_not_mind_is_killed() {
        let fixture = fixture();
        let mut stubborn = qemu("i1", "trap '' TERM");
        started(&mut stubborn);
        fixture.run_file("kvm-hypervisor/pid/i1", &stubborn.id().to_string());
        stop(&Armed::for_test(), &fixture.layout, "i1", SHORT).await.unwrap();
        let status = stubborn.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::SIGKILL as i32));
    }

    #[test]
    fn without_the_directory_there_are_none() {
        assert_eq!(list(&fixture().layout).unwrap(), [""; 0]);
    }
}
