//! The box's clock: tokio's time, counted from a moment that the scenario names.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;

/// Wall-clock time in the box. Real, accelerated or virtual: that is tokio's affair.
#[derive(Debug, Clone, Copy)]
pub struct BoxClock {
    epoch: Duration,
    started: Instant,
}

impl BoxClock {
    /// A clock that says `epoch` (since 1970) now.
    #[must_use]
    pub fn starting_at(epoch: Duration) -> Self {
        Self { epoch, started: Instant::now() }
    }

    /// How long the box has been running.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The moment of tokio's time at which the box has been running for `elapsed`.
    #[must_use]
    pub fn instant(&self, elapsed: Duration) -> Instant {
        self.started + elapsed
    }

    /// What the clock said when it started, since 1970.
    #[must_use]
    pub fn epoch(&self) -> Duration {
        self.epoch
    }
}

impl Clock for BoxClock {
    fn since_epoch(&self) -> Duration {
        self.epoch + self.elapsed()
    }
}
