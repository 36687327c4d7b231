//! What time it is. A run has no other source, so that tests and simulations can supply their own.

mod local;
mod posix;

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::civil::DateTime;
use local::LocalTime;

use crate::cluster::Timestamp;

/// This process's time zone; as with Python, a change to the machine's does not affect it.
static LOCAL_TIME: LazyLock<LocalTime> =
    LazyLock::new(|| LocalTime::new(std::env::var_os("TZ").as_deref(), std::env::var_os("TZDIR").as_deref()));

/// A source of wall-clock time. Waiting is tokio's, which a test can pause.
pub trait Clock: fmt::Debug {
    /// Time since the epoch.
    fn since_epoch(&self) -> Duration;

    /// Seconds since the epoch, as the state file stores them.
    fn now(&self) -> Timestamp {
        self.since_epoch().as_secs_f64()
    }

    /// Nanoseconds since the epoch, as in a job's reason.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.since_epoch().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn since_epoch(&self) -> Duration {
        // A clock before 1970 reads as 1970: wrong, but not a reason to leave instances down.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A moment in local time; an impossible one is the epoch's.
#[must_use]
pub fn local_time(at: Timestamp) -> DateTime {
    LOCAL_TIME.at(Duration::try_from_secs_f64(at).unwrap_or_default())
}

/// A moment in UTC; an impossible one is the epoch's.
#[cfg(test)]
pub(crate) fn utc_time(at: Timestamp) -> DateTime {
    LocalTime::new(Some("UTC".as_ref()), None).at(Duration::try_from_secs_f64(at).unwrap_or_default())
}

/// A time as part of a file's name: `YYYYMMDD-HHMMSS` in local time.
#[must_use]
pub fn file_stamp(since_epoch: Duration) -> String {
    file_stamp_of(LOCAL_TIME.at(since_epoch))
}

fn file_stamp_of(time: DateTime) -> String {
    time.strftime("%Y%m%d-%H%M%S").to_string()
}

/// A time as Python's logging writes it: `YYYY-MM-DD HH:MM:SS,mmm` in local time (`utils/log.py:
/// _GetLogFormatter`).
#[must_use]
pub fn log_stamp(since_epoch: Duration) -> String {
    log_stamp_of(LOCAL_TIME.at(since_epoch))
}

fn log_stamp_of(time: DateTime) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S,%3f").to_string()
}

#[cfg(test)]
mod tests;
