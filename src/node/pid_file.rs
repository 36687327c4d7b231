//! The pid files of Ganeti's daemons: whether the daemon runs, and which ones a killed daemon left behind.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use nix::unistd::Pid;

use super::proc::{self, Process, pid_in};
use crate::armed::Armed;
use crate::files::read_text;
use crate::layout::Layout;

/// What a daemon's pid file leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leads {
    /// To the daemon, which runs.
    ToIt(Process),
    /// There is none, so the daemon was never started or has ended cleanly.
    NoFile,
    /// To no process.
    ToNone(Pid),
    /// To somebody else's process.
    ToAnother(Pid),
    /// Unclear, and why.
    Unknown(String),
}

impl Leads {
    /// The process that the file names when the daemon that wrote it is gone.
    pub(super) fn stale_pid(&self) -> Option<Pid> {
        match self {
            Self::ToNone(pid) | Self::ToAnother(pid) => Some(*pid),
            Self::ToIt(_) | Self::NoFile | Self::Unknown(_) => None,
        }
    }
}

/// Looks at the pid file of a daemon, and at the process that it names.
pub(super) fn look(layout: &Layout, daemon: &str) -> Leads {
    if let Err(error) = proc::is_there(layout) {
        return Leads::Unknown(error.to_string());
    }
    let path = layout.pid_file(daemon);
    let text = match read_text(&path, 64) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Leads::NoFile,
        Err(error) => return Leads::Unknown(format!("cannot read '{}': {error}", path.display())),
    };
    let Some(pid) = pid_in(&text) else {
        return Leads::Unknown(format!("'{}' contains no process number", path.display()));
    };
    let seen = match proc::look(layout, pid) {
        Ok(Some(seen)) => seen,
        Ok(None) => return Leads::ToNone(pid),
        Err(error) => return Leads::Unknown(error.to_string()),
    };
    let command_line = String::from_utf8_lossy(&seen.command_line);
    // An interpreter may come first.
    let is_it =
        command_line.split('\0').any(|argument| argument.rsplit('/').next().unwrap_or_default() == daemon);
    match (is_it, command_line.contains(daemon)) {
        (true, _) => Leads::ToIt(seen.process),
        (false, false) => Leads::ToAnother(pid),
        (false, true) => Leads::Unknown(format!("process {pid} may or may not be {daemon}")),
    }
}

/// Removes a pid file.
///
/// # Errors
/// The kernel's.
pub(super) fn remove(_armed: &Armed, path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove '{}'", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    #[test]
    fn what_cannot_be_read_is_no_sign_that_a_daemon_is_gone() {
        let machine = Machine::new();
        let daemon = "ganeti-rapi";
        let leads = || look(&machine.layout, daemon);
        let pid = Pid::from_raw(4711);
        assert!(matches!(leads(), Leads::Unknown(_)), "without /proc");
        machine.proc();
        assert_eq!(leads(), Leads::NoFile);
        for text in [&b""[..], b"x", b"1", b"-4711", b"\xff"] {
            machine.pid_file(daemon, text);
            assert!(matches!(leads(), Leads::Unknown(_)), "{text:?}");
        }
        machine.pid_file(daemon, "4711\n");
        assert_eq!(leads(), Leads::ToNone(pid));
        for (arguments, expected) in [
            (
                &["/usr/bin/python3", "/usr/sbin/ganeti-rapi", "-b", "::"][..],
                Leads::ToIt(Process { pid, started: 4711 }),
            ),
            (&["sshd"], Leads::ToAnother(pid)),
            (&[], Leads::ToNone(pid)),
        ] {
            machine.process("4711", arguments);
            assert_eq!(leads(), expected, "{arguments:?}");
        }
        machine.process("4711", &["vi", "ganeti-rapi.conf"]);
        assert!(matches!(leads(), Leads::Unknown(_)));
    }
}
