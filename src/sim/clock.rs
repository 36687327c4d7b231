//! The box's clock: tokio's time, counted from a moment given in the scenario.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;

/// Wall-clock time in the box. Real, accelerated or virtual: that is up to tokio.
#[derive(Debug, Clone, Copy)]
pub struct BoxClock {
    epoch: Duration,
    started: Instant,
    /// Time that passed only in the box.
    skipped: Duration,
}

impl BoxClock {
    /// A clock that says `epoch` (since 1970) now.
    #[must_use]
    pub fn starting_at(epoch: Duration) -> Self {
        Self { epoch, started: Instant::now(), skipped: Duration::ZERO }
    }

    /// How long the box has been running.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed() + self.skipped
    }

    /// The moment of tokio's time at which the box has been running for `elapsed`.
    #[must_use]
    pub fn instant(&self, elapsed: Duration) -> Instant {
        self.started + elapsed.saturating_sub(self.skipped)
    }

    /// The clock of a box in which `length` has passed instantly. The time of day does not change.
    #[must_use]
    pub fn skip(self, length: Duration) -> Self {
        Self { skipped: self.skipped + length, ..self }
    }
}

impl Clock for BoxClock {
    fn since_epoch(&self) -> Duration {
        self.epoch + self.started.elapsed()
    }
}
