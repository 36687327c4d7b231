//! Values of options. Every error says what is expected; those reported on their own (see `LATE` in
//! `refusal`) also quote the value, shortened.

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use crate::cluster::timespec::parse_timespec;
use crate::cluster::{self, LONGEST_QUOTE};

const TIMESPEC: &str = "an integer, optionally followed by s, m, h, d or w";
/// A thousand weeks: sums of times this long stay far from any overflow.
const LONGEST_LIMIT: u64 = 1000 * 604_800;
/// No host name is longer.
const LONGEST_NAME: usize = 255;

/// A whole number between two limits.
///
/// # Errors
/// What is expected.
pub(crate) fn whole_number<T>(text: &str, least: T, most: T) -> Result<T, String>
where
    T: Copy + FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
    number.ok_or_else(|| format!("expected a whole number from {least} to {most}"))
}

/// What somebody typed, for a message: in quotes, on one line, and shortened if long.
pub(super) fn quoted(text: &str) -> String {
    cluster::quoted(text, LONGEST_QUOTE)
}

/// An age in seconds, which can be negative as with the original: then every job that has ended is older.
pub(super) fn parse_age(text: &str) -> Result<i64, String> {
    parse_timespec(text)
        .map_err(|_| format!("invalid time specification {}: expected {TIMESPEC}", quoted(text)))
}

/// A time long enough for something to do its work.
pub(super) fn parse_limit(text: &str) -> Result<Duration, String> {
    let seconds = parse_timespec(text).ok().and_then(|seconds| u64::try_from(seconds).ok());
    let seconds = seconds.filter(|seconds| (1..=LONGEST_LIMIT).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("invalid time {}: expected a time from 1s to 1000w: {TIMESPEC}", quoted(text)))
}

/// At least one.
pub(super) fn parse_count(text: &str) -> Result<usize, String> {
    whole_number(text, 1, 100_000)
}

pub(super) fn parse_load(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(load) if load > 0.0 && f64::is_finite(load) => Ok(load),
        _ => Err("expected a number of processors above 0, such as 3.5".to_owned()),
    }
}

/// An IP address, also in brackets, or a host name: the original makes a URL of whatever it is given.
pub(super) fn parse_address(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => Ok(inner.to_owned()),
        None if text.parse::<IpAddr>().is_ok() || is_host_name(text) => Ok(text.to_owned()),
        _ => Err(format!("invalid value {}: expected an IP address or a host name", quoted(text))),
    }
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    // Something ending in a number is meant as an address.
    let is_number = |label: &str| label.chars().all(|c| c.is_ascii_digit());
    name.len() <= LONGEST_NAME
        && name.split('.').all(is_label)
        && !name.rsplit('.').next().is_some_and(is_number)
}
