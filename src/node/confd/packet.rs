//! The datagrams: four bytes of magic and a signed JSON message. Without any I/O.
//!
//! Source: `confd/__init__.py: PackMagic`, `serializer.py: DumpSignedJson, LoadSignedJson`.

use std::fmt::Write;

use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

const MAGIC: &[u8] = b"plj0";
const PROTOCOL: u32 = 1;
/// `CONFD_REQ_NODE_ROLE_BYNAME`.
const NODE_ROLE_BY_NAME: u32 = 1;
/// `CONFD_REPL_STATUS_OK`.
const STATUS_OK: i64 = 0;

/// The longest datagram (`constants.MAX_UDP_DATA_SIZE`).
pub const LONGEST_DATAGRAM: usize = 61_440;

/// The cluster's key, exactly as in its file: the line feed at its end is part of it.
pub struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(secret)")
    }
}

/// Why a datagram is not an answer.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoAnswer {
    /// It is longer than any confd datagram.
    #[error("it is longer than {LONGEST_DATAGRAM} bytes")]
    TooLong,
    /// It does not start like confd's datagrams.
    #[error("it does not start with confd's magic")]
    NoMagic,
    /// It is not a signed message.
    #[error("it is not a signed message: {0}")]
    Malformed(String),
    /// It was signed with another key, or altered in transit.
    #[error("its signature is wrong")]
    BadSignature,
    /// It answers something else.
    #[error("it answers a different question")]
    OtherSalt,
    /// confd could not answer.
    #[error("confd answered with status {status}: {answer}")]
    Refused {
        /// 1 is an error, 2 means that confd does not understand the question.
        status: i64,
        /// What confd says about it.
        answer: String,
    },
}

/// An answer, with the serial number of the configuration that it was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer itself.
    pub value: Value,
    /// The serial number: the higher, the newer.
    pub serial: i64,
}

#[derive(Serialize, Deserialize)]
struct Signed {
    msg: String,
    salt: String,
    hmac: String,
}

#[derive(Serialize)]
struct Query<'a> {
    protocol: u32,
    #[serde(rename = "type")]
    kind: u32,
    query: &'a str,
    rsalt: &'a str,
}

#[derive(Deserialize)]
struct Reply {
    status: i64,
    answer: Value,
    serial: i64,
}

impl Key {
    /// A key from the bytes of its file.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, bytes))
    }

    /// The signature of a message, in hexadecimal.
    #[must_use]
    pub fn sign(&self, salt: &str, message: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{salt}{message}").as_bytes());
        tag.as_ref().iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _written = write!(text, "{byte:02x}");
            text
        })
    }

    fn verifies(&self, signed: &Signed) -> bool {
        let data = format!("{}{}", signed.salt, signed.msg);
        from_hex(&signed.hmac).is_some_and(|tag| hmac::verify(&self.0, data.as_bytes(), &tag).is_ok())
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

/// The datagram that asks for the role of the node of that name: `plj0`, and `{"msg": TEXT, "salt": TEXT,
/// "hmac": HEX}`, where the text is the question as JSON. `salt` is the time in seconds since the epoch, and
/// must be within five minutes of confd's (`confd/client.py: ConfdClient.SendRequest`); `reply_salt` comes
/// back with the answers.
#[must_use]
pub fn ask_for_role(key: &Key, node: &str, salt: u64, reply_salt: &str) -> Vec<u8> {
    let query = Query { protocol: PROTOCOL, kind: NODE_ROLE_BY_NAME, query: node, rsalt: reply_salt };
    let to_json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    let msg = to_json(serde_json::to_string(&query));
    let salt = salt.to_string();
    let hmac = key.sign(&salt, &msg);
    let signed = to_json(serde_json::to_string(&Signed { msg, salt, hmac }));
    [MAGIC, signed.as_bytes()].concat()
}

/// Reads an answer to the question with this `reply_salt`.
///
/// # Errors
/// See [`NoAnswer`].
pub fn read_answer(key: &Key, datagram: &[u8], reply_salt: &str) -> Result<Answer, NoAnswer> {
    if datagram.len() > LONGEST_DATAGRAM {
        return Err(NoAnswer::TooLong);
    }
    let malformed = |error: serde_json::Error| NoAnswer::Malformed(error.to_string());
    let text = datagram.strip_prefix(MAGIC).ok_or(NoAnswer::NoMagic)?;
    let signed: Signed = serde_json::from_slice(text).map_err(malformed)?;
    if !key.verifies(&signed) {
        return Err(NoAnswer::BadSignature);
    }
    if signed.salt != reply_salt {
        return Err(NoAnswer::OtherSalt);
    }
    let Reply { status, answer, serial } = serde_json::from_str(&signed.msg).map_err(malformed)?;
    if status != STATUS_OK {
        return Err(NoAnswer::Refused { status, answer: answer.to_string() });
    }
    Ok(Answer { value: answer, serial })
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Key, MAGIC, Signed};

    /// What a confd with this key answers.
    pub(crate) fn reply(key: &Key, message: &str, salt: &str) -> Vec<u8> {
        let signed = Signed { msg: message.into(), salt: salt.into(), hmac: key.sign(salt, message) };
        [MAGIC, serde_json::to_string(&signed).unwrap().as_bytes()].concat()
    }

    /// The salt that a question wants in its answer, if its signature is good.
    pub(crate) fn reply_salt(key: &Key, datagram: &[u8]) -> Option<String> {
        let signed: Signed = serde_json::from_slice(datagram.strip_prefix(MAGIC)?).ok()?;
        assert!(key.verifies(&signed));
        let query: serde_json::Value = serde_json::from_str(&signed.msg).ok()?;
        Some(query["rsalt"].as_str()?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::reply;
    use super::*;

    const SALT: &str = "11111111-2222-3333-4444-555555555555";
    const MESSAGE: &str = r#"{"protocol":1,"status":0,"answer":2,"serial":20}"#;

    fn key() -> Key {
        Key::new(b"deadbeef\n")
    }

    #[test]
    fn the_signature_is_the_one_that_ganeti_3_0_2_makes() {
        let message = r#"{"protocol": 1, "type": 1, "query": "node1.example.com", "rsalt": "11111111-2222-3333-4444-555555555555"}"#;
        let signature = key().sign("1700000000", &format!("{message}\n"));
        assert_eq!(signature, "7da1ebbae8b3d54b90e9a0cda39a857596ce1473");
        let without_line_feed = Key::new(b"deadbeef").sign("1700000000", &format!("{message}\n"));
        assert_ne!(without_line_feed, signature, "the line feed belongs to the key");
    }

    #[test]
    fn a_question_is_signed_and_complete() {
        let datagram = ask_for_role(&key(), "node1.example.com", 1_700_000_000, SALT);
        let signed: Signed = serde_json::from_slice(datagram.strip_prefix(b"plj0").unwrap()).unwrap();
        assert!(key().verifies(&signed));
        assert_eq!(signed.salt, "1700000000");
        let query: Value = serde_json::from_str(&signed.msg).unwrap();
        let expected = json!({"protocol": 1, "type": 1, "query": "node1.example.com", "rsalt": SALT});
        assert_eq!(query, expected);
    }

    #[test]
    fn a_good_answer_is_read_also_with_a_line_feed_and_capitals() {
        let mut datagram = reply(&key(), MESSAGE, SALT);
        datagram.push(b'\n');
        assert_eq!(read_answer(&key(), &datagram, SALT), Ok(Answer { value: json!(2), serial: 20 }));
    }

    #[test]
    fn what_is_no_answer_is_told_by_its_reason() {
        let good = reply(&key(), MESSAGE, SALT);
        let read = |datagram: &[u8]| read_answer(&key(), datagram, SALT).unwrap_err();
        assert_eq!(read(&reply(&Key::new(b"other"), MESSAGE, SALT)), NoAnswer::BadSignature);
        assert_eq!(read(&reply(&key(), MESSAGE, "other")), NoAnswer::OtherSalt);
        assert_eq!(read(&good[1..]), NoAnswer::NoMagic);
        assert_eq!(read(b""), NoAnswer::NoMagic);
        assert_eq!(read(&vec![b' '; LONGEST_DATAGRAM + 1]), NoAnswer::TooLong);
        assert!(matches!(read(&good[..good.len() - 1]), NoAnswer::Malformed(_)));
        assert!(matches!(read(b"plj0[]"), NoAnswer::Malformed(_)));
        assert!(matches!(read(&reply(&key(), "7", SALT)), NoAnswer::Malformed(_)));
        let refusal = r#"{"protocol":1,"status":1,"answer":0,"serial":0}"#;
        assert_eq!(
            read(&reply(&key(), refusal, SALT)),
            NoAnswer::Refused { status: 1, answer: "0".to_owned() }
        );
    }

    #[test]
    fn one_changed_byte_spoils_the_signature() {
        let good = reply(&key(), MESSAGE, SALT);
        for index in 0..good.len() {
            let mut changed = good.clone();
            changed[index] ^= 1;
            if let Ok(answer) = read_answer(&key(), &changed, SALT) {
                // A hexadecimal digit in the other case is the same digit; nothing else may pass.
                assert_eq!(answer, read_answer(&key(), &good, SALT).unwrap());
            }
        }
    }
}
