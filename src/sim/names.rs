//! Names in the order in which luxid lists things: `inst2` before `inst10`.
//!
//! Source: `Utils.hs: niceSortKey`.

use std::cmp::Ordering;
use std::fmt;

/// The name of a node or an instance, ordered naturally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        parts(&self.0).cmp(parts(&other.0)).then_with(|| self.0.cmp(&other.0))
    }
}

/// Numbers come before text; both in their own order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    /// Without leading zeros, a longer number is a larger one.
    Number(usize, &'a str),
    Text(&'a str),
}

fn parts(name: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let is_number = rest.starts_with(|c: char| c.is_ascii_digit());
        let length = rest.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(rest.len());
        if length == 0 {
            return None;
        }
        let (part, after) = rest.split_at(length);
        rest = after;
        let digits = part.trim_start_matches('0');
        Some(if is_number { Part::Number(digits.len(), digits) } else { Part::Text(part) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let mut names = ["inst10.a", "inst2.a", "inst2.b", "b", "inst002.a", "1x"].map(Name::from);
        names.sort();
        assert_eq!(
            names.map(|name| name.to_string()),
            ["1x", "b", "inst002.a", "inst2.a", "inst2.b", "inst10.a"]
        );
    }
}
