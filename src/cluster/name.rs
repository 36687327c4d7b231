//! Names from outside.

use serde::Deserialize;

use super::excerpt::{LONGEST_NAME, LONGEST_QUOTE, quoted};

/// A name of an instance, a node, a group or a disk template, or a UUID: at least one character and at most
/// [`LONGEST_NAME`] bytes, none of them a control character, so that it fits in a log line and in a file with
/// one entry per line. A host name is no longer than that (`netutils.py: Hostname`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() || text.len() > LONGEST_NAME || text.contains(char::is_control) {
            return Err(format!("{} is not a name", quoted(&text, LONGEST_QUOTE)));
        }
        Ok(Self(text))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_line() {
        for name in [
            "i1",
            "web-1.example.com",
            "a group",
            "0f7fae7f-b9b2-4d37-87e1-808357d8239a",
            "ä",
            &"x".repeat(256),
        ] {
            assert_eq!(Name::try_from(name.to_owned()).map(String::from), Ok(name.to_owned()));
        }
        for (text, problem) in [
            ("".to_owned(), "'' is not a name".to_owned()),
            ("i1\n".to_owned(), "'i1\\n' is not a name".to_owned()),
            ("x".repeat(20_000), format!("'{}...' is not a name", "x".repeat(60))),
        ] {
            assert_eq!(Name::try_from(text), Err(problem));
        }
    }
}
