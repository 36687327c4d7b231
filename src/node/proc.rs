//! Processes according to `/proc`, with three answers: there, not there, or unknown.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::armed::Armed;
use crate::files::read_bytes;
use crate::layout::Layout;

/// Limit for files below `/proc`: a command line can be a quarter as long as a stack, which usually makes 2
/// MiB.
pub(super) const LONGEST_PROC_FILE: u64 = 8 << 20;

const POLL: Duration = Duration::from_millis(100);

/// How long a process may take to end (`utils/process.py: KillProcess`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// After SIGTERM; then it gets SIGKILL.
    pub(super) term: Duration,
    /// After SIGKILL; then it is reported.
    pub(super) kill: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { term: Duration::from_secs(30), kill: Duration::from_secs(10) }
    }
}

/// A process, distinguished by its start time from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: Pid,
    /// In clock ticks since the machine was started.
    pub(super) started: u64,
}

/// A live process and its arguments, each of which ends with a NUL byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) process: Process,
    pub(super) command_line: Vec<u8>,
}

/// The process of this number; `None` when there is none, or only a zombie.
///
/// # Errors
/// When that is unknown: `/proc` is not there or cannot be read, which does not mean that a process is gone.
pub(super) fn look(layout: &Layout, pid: Pid) -> io::Result<Option<Seen>> {
    is_there(layout)?;
    let directory = layout.proc().join(pid.to_string());
    let Some(command_line) = read(&directory.join("cmdline"))? else { return Ok(None) };
    if command_line.is_empty() {
        return Ok(None);
    }
    let path = directory.join("stat");
    let Some(stat) = read(&path)? else { return Ok(None) };
    let Some(started) = start_time(&String::from_utf8_lossy(&stat)) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("'{}' has no start time", path.display()),
        ));
    };
    Ok(Some(Seen { process: Process { pid, started }, command_line }))
}

/// Without a mounted `/proc` every process would seem gone. This program's own is always there.
///
/// # Errors
/// When it is not.
pub(super) fn is_there(layout: &Layout) -> io::Result<()> {
    let own = layout.proc().join("self");
    own.symlink_metadata().map(drop).map_err(|error| with_path(&own, &error))
}

/// The number of a single process: 0 and negative numbers mean whole groups of processes, and 1 is init.
pub(super) fn pid_in(text: &str) -> Option<Pid> {
    text.trim().parse().ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

/// Ends a process: SIGTERM, and SIGKILL when that does not help. `look` says which process is there now; any
/// other is never signalled.
///
/// # Errors
/// When it cannot be signalled, is still there in the end, or cannot be looked at.
pub(super) async fn end(
    _armed: &Armed,
    process: Process,
    patience: Patience,
    look: impl Fn() -> Result<Option<Process>>,
) -> Result<()> {
    for (signal, limit) in [(Signal::SIGTERM, patience.term), (Signal::SIGKILL, patience.kill)] {
        if look()? != Some(process) {
            return Ok(());
        }
        match kill(process.pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            error => error.with_context(|| format!("cannot send {signal} to process {}", process.pid))?,
        }
        let deadline = Instant::now() + limit;
        while look()? == Some(process) && Instant::now() < deadline {
            sleep(POLL).await;
        }
    }
    if look()? == Some(process) {
        bail!("process {} is still there after SIGKILL: perhaps it waits for a disk", process.pid);
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_bytes(path, LONGEST_PROC_FILE) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // It ended between opening and reading.
        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(None),
        Err(error) => Err(with_path(path, &error)),
    }
}

fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read '{}': {error}", path.display()))
}

/// Field 22 of `/proc/PID/stat`. The second field is a name in parentheses, which may contain anything.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    #[test]
    fn any_stat_has_a_start_time_or_none() {
        let seed = "42 (a) b) S 1 42 42 0 -1 4194304 1 1 0 0 0 0 0 0 20 0 1 0 123456 0 0";
        crate::testing::fuzz::fuzz_text(&[seed], |text| {
            let _since = start_time(text);
        });
    }

    #[test]
    fn the_start_time_is_read_past_any_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(start_time(&format!("42 (a) R) b) {fields}")), Some(4711));
        assert_eq!(start_time("42 (x) S 1"), None);
    }

    #[test]
    fn a_process_is_there_or_not_there_or_cannot_be_told() {
        let machine = Machine::new();
        let layout = &machine.layout;
        let pid = Pid::from_raw(42);
        assert!(look(layout, pid).is_err(), "no /proc at all");
        machine.proc();
        assert_eq!(look(layout, pid).unwrap(), None);
        machine.process("42", &["sleep", "5"]);
        let seen = look(layout, pid).unwrap().unwrap();
        assert_eq!(
            (seen.process, seen.command_line),
            (Process { pid, started: 4711 }, b"sleep\x005\0".to_vec())
        );
        machine.process("42", &[]);
        assert_eq!(look(layout, pid).unwrap(), None, "a zombie");
        std::fs::remove_file(layout.proc().join("42/cmdline")).unwrap();
        std::fs::create_dir(layout.proc().join("42/cmdline")).unwrap();
        assert!(look(layout, pid).is_err(), "it cannot be read");
    }

    #[test]
    fn only_single_processes_have_a_number() {
        for (text, pid) in
            [("42\n", Some(42)), ("1", None), ("0", None), ("-42", None), ("x", None), ("", None)]
        {
            assert_eq!(pid_in(text), pid.map(Pid::from_raw), "{text}");
        }
    }
}
