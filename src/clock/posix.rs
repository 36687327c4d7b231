//! A time zone in POSIX form in `TZ`, such as `CET-1CEST,M3.5.0,M10.5.0/3`, and what glibc makes of imperfect
//! ones.
//!
//! Only the time matters, so names are read and discarded. The defaults of glibc (`time/tzset.c`) are: summer
//! time is an hour ahead and follows the law of the United States, the time is UTC when there is no offset,
//! and a rule that cannot be read, or that follows one, means the beginning of the year.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

/// When summer time begins and ends in the United States.
const DEFAULT_RULES: [&str; 2] = ["M3.2.0/2", "M11.1.0/2"];
/// The beginning of the year.
const NO_RULE: &str = "0/0";

/// The time zone that glibc makes of the text; UTC for anything else.
pub(super) fn zone(text: &[u8]) -> TimeZone {
    let mut text = Text(text);
    let Some(winter) = text.name().and_then(|()| text.winter()) else { return TimeZone::UTC };
    let fixed = format!("STD{}", offset(winter));
    let posix = if text.0.is_empty() {
        fixed.clone()
    } else {
        // Without a name glibc has no offset for summer time but still reads the rules.
        let summer = text.name().map_or(0, |()| text.summer(winter));
        match text.rules() {
            Some([begin, end]) => format!("{fixed}DST{},{begin},{end}", offset(summer)),
            // East of Greenwich the moment between the end of summer and its beginning is in the year before,
            // where glibc does not look for it.
            None if (0..summer).contains(&winter) => format!("DST{}", offset(summer)),
            None => format!("{fixed}DST{},{NO_RULE},{NO_RULE}", offset(summer)),
        }
    };
    TimeZone::posix(&posix).or_else(|_| TimeZone::posix(&fixed)).unwrap_or(TimeZone::UTC)
}

/// Seconds east of Greenwich in POSIX notation: positive to the west.
fn offset(seconds: i32) -> String {
    format!("{}{}", if seconds > 0 { '-' } else { '+' }, clock(seconds.abs()))
}

fn clock(seconds: i32) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// What is still to be read.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn take(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn starts_with_digit(&self) -> bool {
        self.0.first().is_some_and(u8::is_ascii_digit)
    }

    /// Three letters or more, or in angle brackets also digits and signs.
    fn name(&mut self) -> Option<()> {
        let letters = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if letters >= 3 {
            self.0 = self.0.get(letters..)?;
            return Some(());
        }
        let quoted = self.0.strip_prefix(b"<")?;
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-".contains(byte);
        let length = quoted.iter().take_while(is_part).count();
        self.0 = quoted.get(length..)?.strip_prefix(b">").filter(|_| length >= 3)?;
        Some(())
    }

    /// The offset of winter time, in seconds east of Greenwich.
    fn winter(&mut self) -> Option<i32> {
        let sign = self.sign();
        Some(sign * self.time_of_day()?)
    }

    fn summer(&mut self, winter: i32) -> i32 {
        let sign = self.sign();
        self.time_of_day().map_or(winter + 3600, |seconds| sign * seconds)
    }

    fn sign(&mut self) -> i32 {
        if self.take(b'-') {
            return 1;
        }
        self.take(b'+');
        -1
    }

    /// Seconds of an offset, whose parts are at most 24, 59 and 59.
    fn time_of_day(&mut self) -> Option<i32> {
        let [hours, minutes, seconds] = self.hours_minutes_seconds()?;
        Some(hours.min(24) * 3600 + minutes.min(59) * 60 + seconds.min(59))
    }

    fn hours_minutes_seconds(&mut self) -> Option<[i32; 3]> {
        let mut parts = [self.number()?, 0, 0];
        for part in parts.iter_mut().skip(1) {
            let mut rest = Text(self.0.strip_prefix(b":").unwrap_or_default());
            let Some(number) = rest.number() else { break };
            *part = number;
            self.0 = rest.0;
        }
        Some(parts)
    }

    /// An unsigned 16-bit number; larger ones lose their upper bits.
    fn number(&mut self) -> Option<i32> {
        if !self.starts_with_digit() {
            return None;
        }
        let mut number: u16 = 0;
        while let Some((digit, rest)) = self.0.split_first().filter(|(digit, _)| digit.is_ascii_digit()) {
            number = number.wrapping_mul(10).wrapping_add(u16::from(digit - b'0'));
            self.0 = rest;
        }
        Some(i32::from(number))
    }

    /// When summer time begins and when it ends; `None` when the beginning cannot be read.
    fn rules(&mut self) -> Option<[String; 2]> {
        let begin = self.rule(DEFAULT_RULES[0])?;
        Some([begin, self.rule(DEFAULT_RULES[1]).unwrap_or_else(|| NO_RULE.to_owned())])
    }

    fn rule(&mut self, default: &str) -> Option<String> {
        self.take(b',');
        if self.0.is_empty() {
            return Some(default.to_owned());
        }
        let mut rule = if self.take(b'M') {
            let month = self.number().filter(|month| (1..=12).contains(month))?;
            let week = self.after_dot().filter(|week| (1..=5).contains(week))?;
            let day = self.after_dot().filter(|day| *day <= 6)?;
            format!("M{month}.{week}.{day}")
        } else {
            let counts_leap_days = !self.take(b'J');
            let day = self.number().filter(|day| *day <= 365 && (counts_leap_days || *day > 0))?;
            format!("{}{day}", if counts_leap_days { "" } else { "J" })
        };
        if !self.0.is_empty() && !self.0.starts_with(b",") && !self.0.starts_with(b"/") {
            return None;
        }
        let seconds = if self.take(b'/') { self.time_of_change()? } else { 2 * 3600 };
        // Writing to a String does not fail.
        let _written = write!(rule, "/{}{}", if seconds < 0 { "-" } else { "" }, clock(seconds.abs()));
        Some(rule)
    }

    fn after_dot(&mut self) -> Option<i32> {
        if self.take(b'.') { self.number() } else { None }
    }

    fn time_of_change(&mut self) -> Option<i32> {
        if self.0.is_empty() {
            return None;
        }
        let sign = if self.take(b'-') { -1 } else { 1 };
        let [hours, minutes, seconds] = self.hours_minutes_seconds().unwrap_or([2, 0, 0]);
        Some(sign * (hours * 3600 + minutes * 60 + seconds))
    }
}
