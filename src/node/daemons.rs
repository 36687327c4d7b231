//! Ganeti's daemons on this node: started when not running, restarted when not answering.
//!
//! Source: `utils/__init__.py: EnsureDaemon, StopDaemon`, `watcher/__init__.py: StartNodeDaemons`. Where
//! systemd looks after the daemons, systemd is asked and instructed, and `daemon-util` is not used: see
//! [`super::systemd`]. If it is unclear who does, no daemon is touched.

mod scripts;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tracing::{debug, error};

use super::process::FinishedProgram;
use super::systemd::{self, Supervision};
use crate::armed::Armed;
use crate::files::{self, read_text, replace};
use crate::layout::Layout;
use crate::luxi::client::LocalFuture;

/// The master daemon's successor: queries and jobs.
pub const LUXID: &str = "ganeti-luxid";
/// The remote API.
pub const RAPI: &str = "ganeti-rapi";
/// The configuration daemon.
pub const WCONFD: &str = "ganeti-wconfd";
const MOND: &str = "ganeti-mond";
const KVMD: &str = "ganeti-kvmd";
/// In this order.
const ON_EVERY_NODE: [&str; 4] = ["ganeti-noded", "ganeti-confd", MOND, KVMD];

/// `daemon-util` waits up to 60 s for a daemon to stop, systemd 90 s, and starting one takes seconds.
const TIME_LIMIT: Duration = Duration::from_secs(180);
/// A daemon usually has its pid file before daemon-util ends; this is also the wait before a second try.
const START_LIMIT: Duration = Duration::from_secs(5);
const LONGEST_FILE: u64 = 64 << 10;

/// How this node's daemons are reached. The simulator supplies its own.
pub trait Daemons: fmt::Debug {
    /// Checks a daemon, such as `ganeti-luxid`, and starts it when it does not run (`daemon-util:
    /// check_and_start`).
    ///
    /// # Errors
    /// When it could not be started.
    fn check_and_start<'a>(&'a self, armed: &'a Armed, daemon: &'a str) -> LocalFuture<'a, Result<()>>;

    /// What a run does on every node before it looks for the master: daemons, hooks, node maintenance.
    /// Without permission it only reports.
    fn on_every_node<'a>(&'a self, _armed: Option<&'a Armed>) -> LocalFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// What a run does on the master before it asks luxid for anything: makes sure that RAPI and WConfD run
    /// and answer. Without permission it only reports.
    fn on_master<'a>(&'a self, _armed: Option<&'a Armed>) -> LocalFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The daemons of this node, for the duration of a run.
#[derive(Debug)]
pub struct NodeDaemons<'a> {
    layout: &'a Layout,
    armed: Option<&'a Armed>,
    supervision: Supervision,
    /// How long a started daemon may take until it runs.
    start_limit: Duration,
    /// The last reported state of each daemon that does not run and is left alone.
    told: BTreeMap<String, String>,
}

/// Whether a daemon that did not answer was restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restarted {
    /// It was, or at least an attempt was made.
    Yes,
    /// It was not, and why: a phrase for the log.
    No(String),
}

impl<'a> NodeDaemons<'a> {
    /// Finds out who looks after the daemons.
    pub async fn new(layout: &'a Layout, armed: Option<&'a Armed>) -> Self {
        Self::under(layout, armed, systemd::supervision(layout).await)
    }

    /// When that was already found out.
    #[must_use]
    pub fn under(layout: &'a Layout, armed: Option<&'a Armed>, supervision: Supervision) -> Self {
        let told = read_text(&layout.daemon_states(), LONGEST_FILE)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        Self { layout, armed, supervision, start_limit: START_LIMIT, told }
    }

    /// Whether nothing is started or stopped.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.armed.is_none()
    }

    /// Starts what should run on every node and does not. What goes wrong is logged.
    pub async fn ensure_on_every_node(&mut self) {
        if self.armed.is_some() {
            files::remove_left_over(&self.layout.daemon_states(), files::LEFT_AFTER);
        }
        for daemon in ON_EVERY_NODE {
            self.ensure(daemon).await;
        }
    }

    /// Starts a daemon unless it runs; returns whether it now certainly does. What goes wrong is logged.
    pub async fn ensure(&mut self, daemon: &str) -> bool {
        let result = match (&self.supervision, self.armed) {
            (Supervision::Unknown(_), _) => return false,
            (Supervision::Systemd, _) => self.ensure_unit(daemon).await,
            (_, armed) => {
                if daemon == MOND && !self.is_built(daemon).await {
                    debug!("Ganeti was built without {daemon}");
                    return false;
                }
                match armed {
                    Some(armed) => self.check_and_start(armed, daemon).await.map(|()| true),
                    None => self.tell_if_down(daemon).await,
                }
            }
        };
        result.unwrap_or_else(|error| {
            error!("Can't start daemon '{daemon}', {error:#}");
            false
        })
    }

    /// Stops a daemon that does not answer, and starts it again, unless that might leave it stopped.
    pub async fn restart(&self, daemon: &str) -> Restarted {
        let Some(armed) = self.armed else {
            return Restarted::No("this is a dry run, which would have restarted it".to_owned());
        };
        let result = match &self.supervision {
            Supervision::Unknown(why) => Err(anyhow!("cannot tell whether systemd looks after it: {why}")),
            Supervision::Systemd => self.restart_unit(armed, daemon).await,
            Supervision::DaemonUtilBesideSystemd => self.end_and_start(armed, daemon).await,
            Supervision::DaemonUtil => self.stop_and_start(armed, daemon).await,
        };
        match result {
            Ok(()) => Restarted::Yes,
            Err(error) => Restarted::No(format!("{error:#}")),
        }
    }

    /// Remembers what was reported about a daemon, for the next run; without permission only for this one.
    fn remember(&mut self, daemon: &str, state: Option<String>) {
        match state {
            Some(state) => self.told.insert(daemon.to_owned(), state),
            None => self.told.remove(daemon),
        };
        if let Some(armed) = self.armed
            && let Err(error) = self.save(armed)
        {
            debug!("{error:#}; the state of '{daemon}' will be reported again");
        }
    }

    fn save(&self, _armed: &Armed) -> Result<()> {
        let text = serde_json::to_string(&self.told).context("cannot write the states of the daemons")?;
        replace(&self.layout.daemon_states(), text.as_bytes(), |_| Ok(())).map(drop)
    }
}

/// In the original's words.
fn failure(finished: &FinishedProgram) -> Result<()> {
    if !finished.succeeded() {
        bail!("failure {}, output: {}", finished.ending, finished.output());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
