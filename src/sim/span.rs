//! Durations as written in a scenario file: `250ms`, `1m30s`, `2h`, and `4s..6s` for something in between.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A duration that varies between two limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The minimum.
    pub from: Duration,
    /// The maximum.
    pub to: Duration,
}

impl Span {
    /// A fixed duration.
    #[must_use]
    pub const fn exactly(length: Duration) -> Self {
        Self { from: length, to: length }
    }

    /// A fixed duration in milliseconds.
    #[must_use]
    pub const fn millis(length: u64) -> Self {
        Self::exactly(Duration::from_millis(length))
    }

    /// The span shortened to `factor` of its length.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { from: self.from.mul_f64(factor), to: self.to.mul_f64(factor) }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_span(&text).map_err(de::Error::custom)
    }
}

/// One duration, as the key of a scenario file.
///
/// # Errors
/// What is wrong with the text.
pub fn deserialize_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// As [`deserialize_duration`], for a key that may be left out.
///
/// # Errors
/// As [`deserialize_duration`].
pub fn deserialize_some_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    deserialize_duration(deserializer).map(Some)
}

/// Reads a duration, or two with `..` between them.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_span(text: &str) -> Result<Span, String> {
    let Some((from, to)) = text.split_once("..") else {
        return Ok(Span::exactly(parse_duration(text)?));
    };
    let (from, to) = (parse_duration(from)?, parse_duration(to)?);
    if from > to {
        return Err(format!("'{text}' ends before it begins"));
    }
    Ok(Span { from, to })
}

/// Reads a duration: numbers with the units `ms`, `s`, `m`, `h` or `d`, one after another.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("'{text}' is not a duration: expected something like 250ms, 30s or 1h30m");
    let mut rest = text.trim();
    if rest.starts_with('-') {
        return Err(format!("'{text}' is negative"));
    }
    if rest.is_empty() {
        return Err(expected());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
        let (number, after) = rest.split_at(digits);
        let units = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(units);
        let millis = match unit.trim_end() {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(expected()),
        };
        let number: u64 = number.parse().map_err(|_| expected())?;
        let part = Duration::from_millis(number.checked_mul(millis).ok_or_else(expected)?);
        total = total.checked_add(part).ok_or_else(expected)?;
        rest = after;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("1h30m", 5_400_000), ("1m 5s", 65_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(
            parse_span("4s..6s"),
            Ok(Span { from: Duration::from_secs(4), to: Duration::from_secs(6) })
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        assert_eq!(parse_duration("-5s").unwrap_err(), "'-5s' is negative");
        for text in ["", "5", "s", "5 parsecs", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_span("6s..4s").unwrap_err().contains("ends before it begins"));
    }
}
