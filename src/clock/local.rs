//! Local time as in Python's `time.localtime`, so that both programs log in the same time. Python asks the C
//! library, so this reads `TZ` as glibc does: the name of a time zone file if there is one, otherwise a POSIX
//! rule, otherwise silently UTC.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::posix;
use crate::files;

/// The machine's own time zone.
const DEFAULT_FILE: &str = "/etc/localtime";
/// Where names of time zones are looked up, unless `TZDIR` is set.
const DEFAULT_DIRECTORY: &str = "/usr/share/zoneinfo";
/// The largest file in the database has a few KiB.
const LONGEST_FILE: u64 = 256 << 10;

/// A time zone, and what its file says about leap seconds.
#[derive(Debug, Clone)]
pub(super) struct LocalTime {
    zone: TimeZone,
    /// From each moment on, how many seconds have to be left out, in order; only the files in `right` have
    /// such.
    leap_seconds: Vec<(i64, i32)>,
}

impl LocalTime {
    /// For the given values of `TZ` and `TZDIR`. An invalid `TZ` means UTC.
    pub(super) fn new(zone: Option<&OsStr>, directory: Option<&OsStr>) -> Self {
        let Some(zone) = zone else {
            return Self::of_file(Path::new(DEFAULT_FILE)).unwrap_or_else(Self::utc);
        };
        let zone = zone.as_bytes();
        let zone = zone.strip_prefix(b":").unwrap_or(zone);
        if zone.is_empty() {
            return Self::utc();
        }
        let directory = directory.filter(|directory| !directory.is_empty());
        let directory = directory.unwrap_or(OsStr::new(DEFAULT_DIRECTORY));
        // An absolute path stays as it is.
        let file = Path::new(directory).join(OsStr::from_bytes(zone));
        Self::of_file(&file).unwrap_or_else(|| Self::of(posix::zone(zone)))
    }

    fn utc() -> Self {
        Self::of(TimeZone::UTC)
    }

    fn of(zone: TimeZone) -> Self {
        Self { zone, leap_seconds: Vec::new() }
    }

    fn of_file(path: &Path) -> Option<Self> {
        let content = files::read_bytes(path, LONGEST_FILE).ok()?;
        let zone = TimeZone::tzif("", &content).ok()?;
        Some(Self { zone, leap_seconds: leap_seconds(&content).unwrap_or_default() })
    }

    /// Date and time on the clock, to the given fraction of a second.
    pub(super) fn at(&self, since_epoch: Duration) -> DateTime {
        let time = SignedDuration::try_from(since_epoch)
            .ok()
            .and_then(|duration| Timestamp::from_duration(duration).ok())
            .unwrap_or_default();
        let offset = self.zone.to_offset(time);
        let second = time.as_second();
        let leap = self.leap_seconds.iter().rev().find(|(from, _)| second >= *from);
        let leap = leap.map_or(0, |(_, seconds)| *seconds);
        Offset::from_seconds(offset.seconds() - leap).unwrap_or(offset).to_datetime(time)
    }
}

/// The leap seconds in a file in `tzfile(5)` format, which jiff skips.
fn leap_seconds(content: &[u8]) -> Option<Vec<(i64, i32)>> {
    let first = Header::of(content)?;
    if first.version < b'2' {
        let rows = content.get(Header::LENGTH + first.before_leap_seconds(4)..)?;
        let rows = rows.get(..first.leap_seconds * 8)?.chunks_exact(8);
        return rows.map(|row| Some((i64::from(number(row, 0)?), number(row, 4)?))).collect();
    }
    let length = first.before_leap_seconds(4) + first.leap_seconds * 8 + first.indicators;
    let content = content.get(Header::LENGTH + length..)?;
    let second = Header::of(content)?;
    let rows = content.get(Header::LENGTH + second.before_leap_seconds(8)..)?;
    let rows = rows.get(..second.leap_seconds * 12)?.chunks_exact(12);
    rows.map(|row| Some((i64::from_be_bytes(row.get(..8)?.try_into().ok()?), number(row, 8)?))).collect()
}

fn number(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// How many of each item a part of such a file has.
struct Header {
    version: u8,
    indicators: usize,
    leap_seconds: usize,
    times: usize,
    types: usize,
    characters: usize,
}

impl Header {
    const LENGTH: usize = 44;

    fn of(part: &[u8]) -> Option<Self> {
        // No more than the file has bytes, so sums of these do not overflow.
        let count = |at| usize::try_from(number(part, at)?).ok().filter(|count| *count <= part.len());
        Some(Self {
            version: *part.get(4)?,
            indicators: count(20)? + count(24)?,
            leap_seconds: count(28)?,
            times: count(32)?,
            types: count(36)?,
            characters: count(40)?,
        })
    }

    /// Bytes between the header and the leap seconds, with times of this many bytes.
    fn before_leap_seconds(&self, time: usize) -> usize {
        self.times * (time + 1) + self.types * 6 + self.characters
    }
}
