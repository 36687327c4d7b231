//! This node: what Ganeti stored on it, who it is, and what every run does for it.
//!
//! - [`daemons`]: keeps Ganeti's daemons running. [`systemd`]: unless systemd looks after them, and somebody
//!   wants them stopped.
//! - [`hooks`]: the site's own programs.
//! - [`maintenance`]: a node that the master candidates call offline ([`confd`]) may run nothing.
//! - [`probes`]: whether RAPI and WConfD answer, on the master. [`mond`]: how busy other nodes are.
//! - [`cron`]: whether cron calls this program, which a run started by the systemd timer checks.
//! - [`process`]: how programs are run. [`own_name`], [`ssconf`], [`boot_id`]: who and where this node is,
//!   and which boot.
//!
//! Nothing here ends a run: what goes wrong is logged, and the run goes on.

pub mod boot_id;
pub mod confd;
#[warn(missing_docs)]
pub mod cron;
#[warn(missing_docs)]
pub mod daemons;
pub mod hooks;
mod http;
pub mod maintenance;
#[warn(missing_docs)]
pub mod mond;
pub mod own_name;
mod pid_file;
pub mod probes;
mod proc;
pub mod process;
pub mod ssconf;
pub mod systemd;

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::OnceCell;

use crate::armed::Armed;
use crate::clock::Clock;
use crate::layout::Layout;
use crate::luxi::client::LocalFuture;
use daemons::{Daemons, NodeDaemons};
use probes::ProbeTiming;
use systemd::Supervision;

/// The duties on this program's machine.
#[derive(Debug)]
pub struct Duties<'d> {
    /// Where things are.
    pub layout: &'d Layout,
    /// What time it is.
    pub clock: &'d dyn Clock,
    /// The address at which RAPI listens, unless its own command line says otherwise.
    pub rapi_ip: &'d str,
    /// A watcher hook that runs longer is killed.
    pub hook_limit: Duration,
    /// Who looks after the daemons: asked once per run, so that a run has one answer.
    pub supervision: OnceCell<Supervision>,
}

impl<'d> Duties<'d> {
    async fn daemons(&'d self, armed: Option<&'d Armed>) -> NodeDaemons<'d> {
        let supervision = self.supervision.get_or_init(|| systemd::supervision(self.layout)).await;
        NodeDaemons::under(self.layout, armed, supervision.clone())
    }
}

impl Daemons for Duties<'_> {
    fn check_and_start<'a>(&'a self, armed: &'a Armed, daemon: &'a str) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            if !self.daemons(Some(armed)).await.ensure(daemon).await {
                if let Some(Supervision::Unknown(why)) = self.supervision.get() {
                    bail!("'{daemon}' was left alone: cannot tell whether systemd looks after it: {why}");
                }
                bail!("'{daemon}' does not run");
            }
            Ok(())
        })
    }

    fn on_every_node<'a>(&'a self, armed: Option<&'a Armed>) -> LocalFuture<'a, ()> {
        Box::pin(async move {
            self.daemons(armed).await.ensure_on_every_node().await;
            hooks::run(armed, &self.layout.watcher_hooks(), self.hook_limit).await;
            maintenance::run(armed, self.layout, self.clock).await;
        })
    }

    fn on_master<'a>(&'a self, armed: Option<&'a Armed>) -> LocalFuture<'a, ()> {
        Box::pin(async move {
            let mut daemons = self.daemons(armed).await;
            probes::ensure(&mut daemons, self.layout, self.clock, self.rapi_ip, ProbeTiming::default()).await;
        })
    }
}
