//! Durations as on Ganeti's command lines.

/// Seconds of a time specification: an integer with an optional suffix `s`, `m`, `h`, `d`, `w` (`cli.py:
/// ParseTimespec`). It may be negative.
///
/// # Errors
/// A phrase that names the text, when it is not such a specification.
pub fn parse_timespec(text: &str) -> Result<i64, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
    let (number, unit) = units
        .iter()
        .find_map(|(suffix, seconds)| Some((text.strip_suffix(*suffix)?, *seconds)))
        .unwrap_or((text, 1));
    let number: Option<i64> = number.trim().parse().ok();
    number.and_then(|number| number.checked_mul(unit)).ok_or_else(|| {
        format!(
            "invalid time specification '{text}': expected an integer, optionally followed by s, m, h, d or w"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_specifications_are_ganeti_s() {
        for (text, seconds) in [
            ("30", 30),
            ("30s", 30),
            ("5m", 300),
            ("6h", 21_600),
            ("1d", 86_400),
            ("2w", 1_209_600),
            ("-5", -5),
        ] {
            assert_eq!(parse_timespec(text), Ok(seconds));
        }
        for text in ["", "h", "1.5h", "1h30m", "1y", "99999999999999999999", "9223372036854775807w"] {
            assert!(parse_timespec(text).is_err(), "{text}");
        }
    }
}
