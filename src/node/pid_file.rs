//! The pid files of Ganeti's daemons: which are left over from a daemon that was killed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::LONGEST_PROC_FILE;
use crate::armed::Armed;
use crate::files::{read_bytes, read_text};
use crate::layout::Layout;

/// The process that the pid file names, when that is not the daemon, or not any more; `None` when it is, when there is
/// no file, or when it cannot be told.
pub(super) fn stale_pid(layout: &Layout, daemon: &str) -> Option<u32> {
    let pid: u32 = read_text(&layout.pid_file(daemon), 64).ok()?.trim().parse().ok()?;
    let command_line =
        match read_bytes(&layout.proc().join(pid.to_string()).join("cmdline"), LONGEST_PROC_FILE) {
            Ok(command_line) => command_line,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(pid),
            Err(_) => return None,
        };
    // A process that has ended and was not waited for has an empty one.
    let is_daemon = String::from_utf8_lossy(&command_line).contains(daemon);
    (!is_daemon).then_some(pid)
}

/// Removes a pid file.
///
/// # Errors
/// The kernel's.
pub(super) fn remove(_armed: &Armed, path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove '{}'", path.display()))
}
