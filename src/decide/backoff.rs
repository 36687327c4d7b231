//! How long to wait after failures that retrying at once will not cure: 5 min, then twice as long each time,
//! up to an hour. Each wait is shortened by up to a quarter, differently for every instance and failure, so
//! that what failed together is not tried again together.

use crate::cluster::Timestamp;

const FIRST: f64 = 300.0;
const LONGEST: f64 = 3600.0;
const JITTER: f64 = 0.25;

/// Seconds to wait after the `failures`th failure in a row; none without failures.
#[must_use]
pub fn wait(failures: u64, instance: &str) -> f64 {
    if failures == 0 {
        return 0.0;
    }
    let doublings = i32::try_from(failures - 1).unwrap_or(i32::MAX);
    let full = (FIRST * 2.0_f64.powi(doublings)).min(LONGEST);
    full * (1.0 - JITTER * chance(instance, failures))
}

/// Seconds left to wait. A failure in the future, because the clock was set back, causes no wait.
#[must_use]
pub fn left(failures: u64, last: Timestamp, instance: &str, now: Timestamp) -> f64 {
    if last > now { 0.0 } else { (last + wait(failures, instance) - now).max(0.0) }
}

/// A number in `0.0..1.0` that looks random and is always the same for the same input (FNV-1a).
fn chance(instance: &str, failures: u64) -> f64 {
    let bytes = instance.bytes().chain(failures.to_le_bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    f64::from(hash) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_are_shortened_by_up_to_a_quarter() {
        assert_eq!(wait(0, "i"), 0.0);
        for (failures, full) in
            [(1, 300.0), (2, 600.0), (3, 1200.0), (4, 2400.0), (5, 3600.0), (60, 3600.0), (u64::MAX, 3600.0)]
        {
            let waited = wait(failures, "inst1.example.com");
            assert!((full * 0.75..=full).contains(&waited), "{failures}: {waited}");
            assert_eq!(waited, wait(failures, "inst1.example.com"), "the same every time");
        }
        assert_ne!(wait(3, "inst1"), wait(3, "inst2"));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_wait() {
        assert_eq!(left(1, 1_000.0, "i", 2_000.0), 0.0);
        assert_eq!(left(1, 1_000.0, "i", 1_000.0), wait(1, "i"));
        assert_eq!(left(1, 9_000_000.0, "i", 1_000.0), 0.0);
    }
}
