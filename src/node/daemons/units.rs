//! The daemons that systemd looks after.

use anyhow::{Context, Result, bail};
use tracing::{debug, error, info, warn};

use super::{NodeDaemons, TIME_LIMIT, failure};
use crate::armed::Armed;
use crate::node::systemd::{self, Verdict};

impl NodeDaemons<'_> {
    /// Starts a daemon's unit unless it runs or may be stopped on purpose; returns whether it now certainly
    /// runs.
    pub(super) async fn ensure_unit(&mut self, daemon: &str) -> Result<bool> {
        let unit = match systemd::unit(self.layout, daemon).await {
            Ok(unit) => unit,
            Err(error) => {
                warn!("Cannot tell whether daemon '{daemon}' runs, leaving it alone: {error:#}");
                return Ok(false);
            }
        };
        match (unit.verdict(), self.armed) {
            (Verdict::Runs, _) => {
                if self.told.contains_key(daemon) {
                    info!("Daemon '{daemon}' is running again");
                    self.remember(daemon, None);
                }
                Ok(true)
            }
            (Verdict::Start, Some(armed)) => {
                let Err(error) = self.start_unit(armed, daemon).await else { return Ok(true) };
                let state = format!("failed, {}", unit.result());
                if self.told.get(daemon) == Some(&state) {
                    debug!("Still can't start daemon '{daemon}', {error:#}");
                } else {
                    error!("Can't start daemon '{daemon}', {error:#}");
                    self.remember(daemon, Some(state));
                }
                Ok(false)
            }
            (Verdict::Start, None) => {
                info!("Would start daemon '{daemon}': its unit failed ({})", unit.result());
                Ok(false)
            }
            (Verdict::Leave { state, unwanted }, _) => {
                self.tell_left_alone(daemon, state, unwanted);
                Ok(false)
            }
        }
    }

    fn tell_left_alone(&mut self, daemon: &str, state: String, unwanted: bool) {
        if self.told.get(daemon) == Some(&state) {
            debug!("Daemon '{daemon}' is still not running ({state})");
            return;
        }
        let words = "supervised by systemd but not running, will not restart";
        if unwanted {
            info!("Daemon '{daemon}' {words}: its unit is not wanted ({state})");
        } else {
            let unit = systemd::service(daemon);
            warn!("Daemon '{daemon}' {words} ({state}). To start it: systemctl start {unit}");
        }
        self.remember(daemon, Some(state));
    }

    /// Checks afterwards: systemctl also succeeds when a daemon ends right after its start.
    async fn start_unit(&self, armed: &Armed, daemon: &str) -> Result<()> {
        self.systemctl(armed, "start", daemon).await?;
        match systemd::unit(self.layout, daemon).await {
            Ok(unit) if unit.verdict() != Verdict::Runs => {
                bail!("systemctl succeeded, but its unit does not run ({})", unit.result())
            }
            // If there is no answer, what systemctl said counts.
            _ => Ok(()),
        }
    }

    /// Restarts a daemon's unit.
    ///
    /// # Errors
    /// When it was left alone, and why, or could not be restarted.
    pub(super) async fn restart_unit(&self, armed: &Armed, daemon: &str) -> Result<()> {
        let unit = systemd::unit(self.layout, daemon).await.context("cannot tell what its unit does")?;
        match unit.verdict() {
            Verdict::Runs if unit.can_be_restarted() => self.systemctl(armed, "restart", daemon).await,
            Verdict::Runs => bail!("systemd would stop its unit and could not start it again"),
            Verdict::Start => self.systemctl(armed, "start", daemon).await,
            Verdict::Leave { state, .. } => bail!("its unit is left alone ({state})"),
        }
    }

    async fn systemctl(&self, _armed: &Armed, verb: &str, daemon: &str) -> Result<()> {
        let program = systemd::systemctl(self.layout, verb, TIME_LIMIT).args([systemd::service(daemon)]);
        let program = program.leaves_daemons();
        failure(&program.run().await?)
    }
}
