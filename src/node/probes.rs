//! Whether the master's daemons answer, and their restart when they do not.
//!
//! Source: `watcher/__init__.py: _GlobalWatcher, IsRapiResponding, IsWconfdResponding`. Unlike the original,
//! every probe has a time limit, and a daemon is restarted only after two failures in a row: a loaded machine
//! easily drops one connection, and a restart interrupts the daemon's other clients.

mod endpoint;
mod health;
mod interface;
mod rapi;
mod tls;
mod wconfd;

use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, error, info, warn};

pub use health::Health;

use super::daemons::{NodeDaemons, RAPI, Restarted, WCONFD};
use crate::clock::Clock;
use crate::layout::Layout;
use crate::logging::CRITICAL;

/// The time limits of probes.
#[derive(Debug, Clone, Copy)]
pub struct ProbeTiming {
    /// For one probe, from connecting to the complete answer.
    pub probe: Duration,
    /// Between the first failure and the second probe. All of this is within one run: waiting for the next
    /// would make a real failure last five minutes more.
    pub second_look: Duration,
    /// After a restart the daemon is probed until it answers, but not longer than this.
    pub restart: Duration,
    /// Time between two of these probes.
    pub restart_step: Duration,
}

impl Default for ProbeTiming {
    fn default() -> Self {
        Self {
            probe: Duration::from_secs(20),
            second_look: Duration::from_secs(5),
            restart: Duration::from_secs(20),
            restart_step: Duration::from_secs(1),
        }
    }
}

/// A daemon that can be probed.
#[derive(Debug, Clone, Copy)]
enum Subject<'a> {
    Rapi { rapi_ip: &'a str },
    WConfD { clock: &'a dyn Clock },
}

impl Subject<'_> {
    fn daemon(self) -> &'static str {
        match self {
            Self::Rapi { .. } => RAPI,
            Self::WConfD { .. } => WCONFD,
        }
    }

    /// In the original's words.
    fn name(self) -> &'static str {
        match self {
            Self::Rapi { .. } => "RAPI",
            Self::WConfD { .. } => "WConfD",
        }
    }

    fn restarting(self) -> &'static str {
        match self {
            Self::Rapi { .. } => "Couldn't get answer from remote API, restarting daemon",
            Self::WConfD { .. } => "WConfD not responsive, restarting daemon",
        }
    }

    async fn probe(self, layout: &Layout, limit: Duration) -> Health {
        match self {
            Self::Rapi { rapi_ip } => rapi::probe(layout, rapi_ip, limit).await,
            Self::WConfD { clock } => wconfd::probe(&layout.wconfd_socket(), clock, limit).await,
        }
    }
}

/// Ensures that RAPI and WConfD run, probes both at once, and restarts those that do not answer. What goes
/// wrong is logged.
pub async fn ensure(
    daemons: &mut NodeDaemons<'_>,
    layout: &Layout,
    clock: &dyn Clock,
    rapi_ip: &str,
    pace: ProbeTiming,
) {
    let rapi_runs = daemons.ensure(RAPI).await;
    let wconfd_runs = daemons.ensure(WCONFD).await;
    let daemons = &*daemons;
    // A daemon that does not run has already been reported, and need not be asked.
    let watch = |runs: bool, subject| async move {
        if runs {
            ensure_answers(daemons, layout, subject, pace).await;
        }
    };
    let rapi = watch(rapi_runs, Subject::Rapi { rapi_ip });
    let wconfd = watch(wconfd_runs, Subject::WConfD { clock });
    futures_util::future::join(rapi, wconfd).await;
}

async fn ensure_answers(daemons: &NodeDaemons<'_>, layout: &Layout, subject: Subject<'_>, pace: ProbeTiming) {
    let name = subject.name();
    match subject.probe(layout, pace.probe).await {
        Health::Alive => return debug!("Successfully talked to {name}"),
        Health::Unclear(why) => return warn!("{name} error: {why}; leaving it alone"),
        Health::Dead(why) => debug!("{name} error: {why}; looking again in {:?}", pace.second_look),
    }
    sleep(pace.second_look).await;
    match subject.probe(layout, pace.probe).await {
        Health::Alive => return info!("{name} answered only at the second attempt"),
        Health::Unclear(why) => return warn!("{name} error: {why}; leaving it alone"),
        Health::Dead(why) => warn!("{name} error: {why}"),
    }
    if daemons.is_dry_run() {
        return info!("Would restart daemon '{}': {name} does not answer", subject.daemon());
    }
    warn!("{}", subject.restarting());
    if let Restarted::No(why) = daemons.restart(subject.daemon()).await {
        return error!("{name} is not responding and was not restarted: {why}");
    }
    match probe_until_alive(layout, subject, pace).await {
        Health::Alive => info!("{name} answers again after its restart"),
        Health::Dead(why) | Health::Unclear(why) => {
            error!(target: CRITICAL, "{name} is not responding, even after a restart: {why}");
        }
    }
}

/// systemd considers a daemon started before it listens.
async fn probe_until_alive(layout: &Layout, subject: Subject<'_>, pace: ProbeTiming) -> Health {
    let deadline = tokio::time::Instant::now() + pace.restart;
    loop {
        match subject.probe(layout, pace.probe).await {
            Health::Dead(_) if tokio::time::Instant::now() < deadline => sleep(pace.restart_step).await,
            health => return health,
        }
    }
}

#[cfg(test)]
mod tests;
