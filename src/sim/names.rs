//! Names in the order in which luxid lists things: `inst2` before `inst10`.
//!
//! Source: `Utils.hs: niceSortKey`.

use std::cmp::Ordering;
use std::fmt;

/// The name of a node or an instance, ordered naturally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Bytes that sort as the names do: they are compared far more often than created.
    key: Vec<u8>,
    text: String,
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self { key: key(name), text: name.to_owned() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key).then_with(|| self.text.cmp(&other.text))
    }
}

/// Numbers come before text; both in their own order. The end of a name comes before both.
fn key(name: &str) -> Vec<u8> {
    const NUMBER: u8 = 1;
    const TEXT: u8 = 2;
    const END_OF_TEXT: u8 = 0;
    let mut key = Vec::with_capacity(name.len() + 8);
    let mut rest = name.as_bytes();
    while let Some(first) = rest.first() {
        let is_number = first.is_ascii_digit();
        let mut length = 1;
        while length < rest.len() && rest[length].is_ascii_digit() == is_number {
            length += 1;
        }
        let (part, after) = rest.split_at(length);
        rest = after;
        if is_number {
            // Without leading zeros, a longer number is a larger one.
            let zeros = part.iter().position(|digit| *digit != b'0').unwrap_or(length);
            let digits = &part[zeros..];
            key.extend([NUMBER, u8::try_from(digits.len()).unwrap_or(u8::MAX)]);
            key.extend_from_slice(digits);
        } else {
            key.push(TEXT);
            key.extend_from_slice(part);
            key.push(END_OF_TEXT);
        }
    }
    key
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
