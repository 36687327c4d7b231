//! Ganeti's daemons on this node, by way of `daemon-util`.
//!
//! Source: `utils/__init__.py: EnsureDaemon`, `utils/process.py: RunCmd`.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::time::timeout;
use tracing::info;

use crate::armed::Armed;
use crate::layout::Layout;
use crate::luxi::client::LocalFuture;

/// `daemon-util` waits up to 60 s for a daemon that it stops, and starting one takes seconds.
const TIME_LIMIT: Duration = Duration::from_secs(180);
const LONGEST_OUTPUT: u64 = 4096;

/// How this node's daemons are reached. The simulator brings its own.
pub trait Daemons: fmt::Debug {
    /// Checks a daemon, such as `ganeti-luxid`, and starts it when it does not run.
    ///
    /// # Errors
    /// When it could not be started.
    fn check_and_start<'a>(&'a self, armed: &'a Armed, daemon: &'a str) -> LocalFuture<'a, Result<()>>;
}

/// Ganeti's script `daemon-util`. When it takes too long, it and its children are killed.
#[derive(Debug)]
pub struct DaemonUtil<'a>(pub &'a Layout);

impl Daemons for DaemonUtil<'_> {
    fn check_and_start<'a>(&'a self, _armed: &'a Armed, daemon: &'a str) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            let result = run(self.0, "check-and-start", daemon).await;
            result.with_context(|| format!("Can't start daemon '{daemon}'"))
        })
    }
}

async fn run(layout: &Layout, action: &str, daemon: &str) -> Result<()> {
    info!("RunCmd {} {action} {daemon}", layout.daemon_util().display());
    // A file and not a pipe: a daemon that keeps its output open would make a reader of a pipe wait for ever.
    let mut output = tempfile::tempfile().context("cannot make a temporary file for its output")?;
    let mut child = Command::new(layout.daemon_util())
        .args([action, daemon])
        .current_dir("/")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        // A group of its own: a Ctrl-C at the terminal is meant for the watcher, not for a daemon.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run '{}'", layout.daemon_util().display()))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let Ok(status) = timeout(TIME_LIMIT, child.wait()).await else {
        if let Some(group) = group {
            // It may have ended in this very moment, which is just as well.
            let _gone = killpg(group, Signal::SIGKILL);
        }
        bail!("'{action}' took longer than {} s and was killed", TIME_LIMIT.as_secs());
    };
    let status = status?;
    if !status.success() {
        bail!("'{action}' failed ({status}): {}", text_of(&mut output));
    }
    Ok(())
}

fn text_of(output: &mut File) -> String {
    let mut text = Vec::new();
    let read = output.rewind().and_then(|()| output.take(LONGEST_OUTPUT).read_to_end(&mut text));
    match read {
        Ok(_) => String::from_utf8_lossy(&text).trim().to_owned(),
        Err(error) => format!("(its output cannot be read: {error})"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fixture(script: &str) -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon-util");
        crate::memory::files::replace(&path, script.as_bytes(), |_| Ok(())).map(drop).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let layout = Layout::new(None, None).unwrap().with_daemon_util(path);
        (directory, layout)
    }

    #[tokio::test]
    async fn a_failure_is_told_with_its_output() {
        let (_directory, layout) = fixture("#!/bin/sh\necho \"$1 $2 $LC_ALL\"; echo oops >&2; exit 3\n");
        let armed = Armed::unless(false).unwrap();
        let error = DaemonUtil(&layout).check_and_start(&armed, "ganeti-luxid").await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.starts_with("Can't start daemon 'ganeti-luxid': 'check-and-start' failed"), "{text}");
        assert!(
            text.contains("exit status: 3") && text.contains("check-and-start ganeti-luxid C\noops"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_daemon_that_keeps_its_output_open_is_not_waited_for() {
        let (_directory, layout) = fixture("#!/bin/sh\nexec 3>&1; sleep 60 & echo $! > \"$0.pid\"; exit 0\n");
        let armed = Armed::unless(false).unwrap();
        DaemonUtil(&layout).check_and_start(&armed, "ganeti-luxid").await.unwrap();
        let pid = fs::read_to_string(layout.daemon_util().with_extension("pid")).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap());
        nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn a_missing_daemon_util_is_an_error() {
        let layout = Layout::new(None, None).unwrap().with_daemon_util("/nonexistent/daemon-util".into());
        let armed = Armed::unless(false).unwrap();
        let error = DaemonUtil(&layout).check_and_start(&armed, "ganeti-luxid").await.unwrap_err();
        assert!(format!("{error:#}").contains("cannot run '/nonexistent/daemon-util'"));
    }
}
