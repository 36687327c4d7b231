//! What the answers of several master candidates mean together. Pure.
//!
//! Source: `confd/client.py: ConfdClient._NeededReplies, ConfdFilterCallback`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;
use thiserror::Error;

use super::packet::Answer;

/// Why the answers cannot be acted on.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoConsensus {
    /// Too few answered.
    #[error("{received} of {asked} master candidates answered, {needed} are needed")]
    TooFew {
        /// How many were asked.
        asked: usize,
        /// How many answers are needed.
        needed: usize,
        /// How many came.
        received: usize,
    },
    /// Two answers come from the same configuration and differ.
    #[error("different answers with serial number {serial}")]
    Inconsistent {
        /// The serial number of that configuration.
        serial: i64,
    },
}

/// How many of the candidates asked have to answer: both of two, all but one of four, otherwise more than
/// half.
#[must_use]
pub fn needed_answers(asked: usize) -> usize {
    match asked {
        0..3 => asked,
        3..5 => asked - 1,
        _ => asked / 2 + 1,
    }
}

/// The answer from the newest configuration, going by the first answer of each candidate.
///
/// # Errors
/// When too few have answered, or two answers contradict each other.
pub fn judge(answers: &BTreeMap<IpAddr, Answer>, asked: usize) -> Result<&Value, NoConsensus> {
    let (needed, received) = (needed_answers(asked), answers.len());
    let too_few = NoConsensus::TooFew { asked, needed, received };
    if received < needed {
        return Err(too_few);
    }
    let mut by_serial: BTreeMap<i64, &Value> = BTreeMap::new();
    for Answer { value, serial } in answers.values() {
        if *by_serial.entry(*serial).or_insert(value) != value {
            return Err(NoConsensus::Inconsistent { serial: *serial });
        }
    }
    by_serial.into_values().next_back().ok_or(too_few)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::json;

    use super::*;

    fn answers(given: &[(i64, i64)]) -> BTreeMap<IpAddr, Answer> {
        let address = |index| IpAddr::from(Ipv4Addr::from(u32::try_from(index).unwrap()));
        let answer = |&(value, serial): &(i64, i64)| Answer { value: json!(value), serial };
        given.iter().enumerate().map(|(index, given)| (address(index), answer(given))).collect()
    }

    #[test]
    fn the_needed_answers_are_the_original_s() {
        let needed: Vec<usize> = (0..10).map(needed_answers).collect();
        assert_eq!(needed, [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }

    #[test]
    fn the_newest_configuration_wins() {
        for (given, asked, answer) in [
            (&[(2, 9)][..], 1, 2),
            (&[(1, 8), (2, 9)], 2, 2),
            (&[(2, 8), (1, 9)], 2, 1),
            (&[(2, 9), (2, 9)], 3, 2),
            (&[(4, 7), (2, 9), (4, 8)], 5, 2),
        ] {
            assert_eq!(judge(&answers(given), asked), Ok(&json!(answer)), "{given:?}");
        }
    }

    #[test]
    fn one_candidate_alone_is_not_believed_and_contradictions_are_not_either() {
        let too_few = |asked, needed, received| Err(NoConsensus::TooFew { asked, needed, received });
        assert_eq!(judge(&answers(&[(2, 9)]), 2), too_few(2, 2, 1));
        assert_eq!(judge(&answers(&[(2, 9)]), 3), too_few(3, 2, 1));
        assert_eq!(judge(&answers(&[(2, 9), (2, 9)]), 5), too_few(5, 3, 2));
        assert_eq!(judge(&answers(&[]), 0), too_few(0, 0, 0));
        let inconsistent = Err(NoConsensus::Inconsistent { serial: 9 });
        assert_eq!(judge(&answers(&[(2, 9), (1, 9)]), 2), inconsistent);
        assert_eq!(judge(&answers(&[(2, 9), (1, 9), (2, 10)]), 3), inconsistent, "even among the older");
    }
}
