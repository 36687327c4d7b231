//! The daemons that `daemon-util` looks after.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info};

use super::{KVMD, LONGEST_FILE, NodeDaemons, TIME_LIMIT, failure};
use crate::armed::Armed;
use crate::files::read_text;
use crate::node::pid_file::{self, Leads};
use crate::node::proc::{self, Patience};
use crate::node::process::{Ending, FinishedProgram, Program};
use crate::node::systemd;

const POLL: Duration = Duration::from_millis(200);

impl NodeDaemons<'_> {
    async fn daemon_util(&self, action: &str, daemon: &str) -> Result<FinishedProgram> {
        self.daemon_util_program(action, daemon).leaves_daemons().run().await
    }

    fn daemon_util_program(&self, action: &str, daemon: &str) -> Program {
        Program::new(self.layout.daemon_util(), TIME_LIMIT).args([action, daemon])
    }

    pub(super) async fn is_built(&self, daemon: &str) -> bool {
        let known = self.daemon_util_program("is-daemon-name", daemon).run_quietly().await;
        // When in doubt it is one, and the attempt to start it will say what is wrong.
        known.map_or(true, |finished| finished.succeeded() || !finished.stderr.contains("Unknown daemon"))
    }

    /// Checks a daemon and starts it, with a second try in two cases:
    ///
    /// - A pid file that a killed daemon left behind. Debian's `start-stop-daemon` does not start a daemon
    ///   over such a file if it belongs to a user other than root, and takes any process with that number for
    ///   the daemon.
    /// - It succeeds but the daemon does not run: the new one ended at once because a child of the killed
    ///   one, which was serving a request, still held the pid file's lock.
    ///
    /// For a daemon that is already running, the check afterwards costs three reads and no process.
    ///
    /// # Errors
    /// When it does not run, as far as can be seen. kvmd is not checked: it ends on its own when nothing
    /// needs it.
    pub(super) async fn check_and_start(&self, armed: &Armed, daemon: &str) -> Result<()> {
        let first = failure(&self.daemon_util("check-and-start", daemon).await?);
        let path = self.layout.pid_file(daemon);
        let found = pid_file::look(self.layout, daemon);
        match (&first, &found, found.stale_pid()) {
            (Ok(()), ..) if daemon == KVMD => return first,
            (Err(_), _, Some(pid)) | (Ok(()), Leads::ToAnother(_), Some(pid)) => {
                info!(
                    "Removing '{}', because process {pid} is not {daemon}, and trying again",
                    path.display()
                );
                pid_file::remove(armed, &path)?;
            }
            (Err(_), ..) => return first,
            (Ok(()), ..) => match self.runs_soon(daemon).await {
                Ok(()) => return first,
                Err(why) => info!("Trying again to start daemon '{daemon}': {why}"),
            },
        }
        failure(&self.daemon_util("check-and-start", daemon).await?)?;
        if daemon == KVMD {
            return Ok(());
        }
        self.runs_soon(daemon).await.map_err(|why| {
            anyhow!(
                "daemon-util succeeded, but {why}. The next run tries again; see the daemon's log in '{}'",
                self.layout.log_dir().display()
            )
        })
    }

    /// Waits briefly until a daemon runs; otherwise returns why it does not. If that is unclear, what
    /// daemon-util said counts.
    async fn runs_soon(&self, daemon: &str) -> Result<(), String> {
        let deadline = Instant::now() + self.start_limit;
        let path = self.layout.pid_file(daemon);
        let path = path.display();
        loop {
            let why = match pid_file::look(self.layout, daemon) {
                Leads::ToIt(_) => return Ok(()),
                Leads::Unknown(why) => {
                    debug!("Cannot tell whether daemon '{daemon}' runs now: {why}");
                    return Ok(());
                }
                Leads::NoFile => format!("it does not run: there is no '{path}'"),
                Leads::ToNone(pid) => format!("it does not run: process {pid} in '{path}' is gone"),
                Leads::ToAnother(pid) => {
                    format!("it does not run: process {pid} in '{path}' is another program")
                }
            };
            if Instant::now() >= deadline {
                return Err(why);
            }
            sleep(POLL).await;
        }
    }

    pub(super) async fn tell_if_down(&self, daemon: &str) -> Result<bool> {
        let program = self.daemon_util_program("check", daemon);
        let finished = program.run_quietly().await?;
        match finished.ending {
            Ending::Exited(0) => Ok(true),
            Ending::Exited(_) => {
                info!("Would start daemon '{daemon}': it does not run");
                Ok(false)
            }
            ending => bail!("cannot tell whether it runs: '{program}' failed ({ending})"),
        }
    }

    pub(super) async fn stop_and_start(&self, armed: &Armed, daemon: &str) -> Result<()> {
        self.can_be_started(daemon).await?;
        if let Err(error) = failure(&self.daemon_util("stop", daemon).await?) {
            error!("Can't stop daemon '{daemon}', {error:#}");
        }
        self.check_and_start(armed, daemon).await.inspect_err(|error| {
            error!("Can't start daemon '{daemon}', {error:#}");
        })
    }

    /// As [`Self::stop_and_start`], without calling `daemon-util stop`: that asks systemd again, and if units
    /// have appeared in the meantime it would stop one, which nothing would start again.
    pub(super) async fn end_and_start(&self, armed: &Armed, daemon: &str) -> Result<()> {
        self.can_be_started(daemon).await?;
        match pid_file::look(self.layout, daemon) {
            Leads::ToIt(process) => {
                let path = self.layout.proc().join(process.pid.to_string()).join("cgroup");
                let groups = read_text(&path, LONGEST_FILE)
                    .with_context(|| format!("cannot tell its unit: cannot read '{}'", path.display()))?;
                let unit = systemd::service(daemon);
                if groups.lines().any(|group| group.split('/').any(|part| part == unit)) {
                    bail!("its process belongs to '{unit}', but systemd has no 'ganeti.target'");
                }
                let pid = process.pid;
                info!("Ending process {pid} of daemon '{daemon}'");
                let look = || match pid_file::look(self.layout, daemon) {
                    Leads::ToIt(process) => Ok(Some(process)),
                    Leads::Unknown(why) => bail!("cannot tell whether it still runs: {why}"),
                    Leads::NoFile | Leads::ToNone(_) | Leads::ToAnother(_) => Ok(None),
                };
                let ended = proc::end(armed, process, Patience::default(), look).await;
                if let Err(error) = ended {
                    error!("Can't stop daemon '{daemon}', {error:#}");
                }
            }
            Leads::Unknown(why) => bail!("cannot tell which process it is: {why}"),
            Leads::NoFile | Leads::ToNone(_) | Leads::ToAnother(_) => {}
        }
        self.check_and_start(armed, daemon).await.inspect_err(|error| {
            error!("Can't start daemon '{daemon}', {error:#}");
        })
    }

    /// # Errors
    /// When it is not certain that a stopped daemon could be started again.
    async fn can_be_started(&self, daemon: &str) -> Result<()> {
        let program = self.daemon_util_program("daemon-executable", daemon);
        let text = program.run_quietly().await?.answer(&program)?;
        let executable = Path::new(text.trim_end());
        let is_there = executable.metadata().is_ok_and(|file| file.permissions().mode() & 0o111 != 0);
        if !is_there {
            bail!("it could not be started again: there is no program '{}'", executable.display());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
