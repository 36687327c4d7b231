//! What time it is. The only way for a run to learn it, so that tests and simulations bring their own.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Zoned};

use crate::cluster::Timestamp;

/// A source of wall-clock time. Waiting is tokio's, which a test can pause.
pub trait Clock: fmt::Debug {
    /// Time since the epoch.
    fn since_epoch(&self) -> Duration;

    /// Seconds since the epoch, as the state file stores them.
    fn now(&self) -> Timestamp {
        self.since_epoch().as_secs_f64()
    }

    /// Nanoseconds since the epoch, as a job's reason carries them.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.since_epoch().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn since_epoch(&self) -> Duration {
        // A clock before 1970 reads as 1970: wrong, but no reason to leave instances down.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A time as part of a file's name: `YYYYMMDD-HHMMSS` in local time. Without the system's time zones it is UTC.
#[must_use]
pub fn file_stamp(since_epoch: Duration) -> String {
    local(since_epoch).strftime("%Y%m%d-%H%M%S").to_string()
}

/// A time as Python's logging writes it: `YYYY-MM-DD HH:MM:SS,mmm` in local time (`utils/log.py: _GetLogFormatter`).
#[must_use]
pub fn log_stamp(since_epoch: Duration) -> String {
    local(since_epoch).strftime("%Y-%m-%d %H:%M:%S,%3f").to_string()
}

fn local(since_epoch: Duration) -> Zoned {
    let timestamp = SignedDuration::try_from(since_epoch)
        .ok()
        .and_then(|duration| jiff::Timestamp::from_duration(duration).ok())
        .unwrap_or_default();
    timestamp.to_zoned(TimeZone::system())
}
