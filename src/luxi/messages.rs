//! Answers and errors of luxid, with types.
//!
//! An answer is `{"success": true, "result": VALUE}`, or `{"success": false, "result": ERROR}` with a Ganeti
//! error as in [`GanetiError`], or a string when the request was not understood.
//!
//! Source: `rpc/client.py: ParseResponse`, `errors.py: GetEncodedError`, `Errors.hs`.

use std::io;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use super::wire::{VALUES_LIMIT, has_more_values};
pub use crate::cluster::GanetiError;
use crate::cluster::{LONGEST_TEXT, excerpt};

/// Why luxid's answer to a call cannot be used.
#[derive(Debug, Error)]
pub enum LuxiError {
    /// No connection.
    #[error("cannot connect to luxid at {address}")]
    Connect {
        /// Path of the socket.
        address: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// luxid was silent for too long.
    #[error("{method}: luxid did not answer within {seconds} s")]
    Timeout {
        /// The method called.
        method: &'static str,
        /// How long the wait was, in seconds.
        seconds: u64,
    },
    /// The connection broke, before or within the answer.
    #[error("{method}: the connection to luxid was lost")]
    ConnectionLost {
        /// The method called.
        method: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The answer is not what the protocol promises.
    #[error("{method}: luxid's answer cannot be understood: {reason}")]
    Malformed {
        /// The method called.
        method: &'static str,
        /// What is wrong, with the place in the answer.
        reason: String,
    },
    /// luxid carried out the call and reports a Ganeti error.
    #[error("{method}: {error}")]
    Ganeti {
        /// The method called.
        method: &'static str,
        /// The error.
        error: GanetiError,
    },
    /// luxid did not understand the request; it closes the connection after saying so.
    #[error("{method}: luxid refused the request: {text}")]
    Refused {
        /// The method called.
        method: &'static str,
        /// luxid's words.
        text: String,
    },
}

impl LuxiError {
    /// An answer that is not what the protocol promises; the details are cut to fit a log line.
    pub(crate) fn malformed(method: &'static str, reason: &str) -> Self {
        Self::Malformed { method, reason: excerpt(reason, LONGEST_TEXT) }
    }

    /// Whether another connection may help: this one broke, or there was none.
    #[must_use]
    pub fn is_connection_loss(&self) -> bool {
        matches!(self, Self::ConnectionLost { .. } | Self::Connect { .. })
    }

    /// Whether luxid itself says that the call was not carried out. After any other error that is unknown.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Ganeti { .. } | Self::Refused { .. })
    }

    /// Whether the job queue is drained: luxid's own answer to a submission, in every known version, is a
    /// `GenericError`; the class intended for it is accepted too (`Query/Server.hs: handleCall`).
    #[must_use]
    pub fn is_queue_drained(&self) -> bool {
        match self {
            Self::Ganeti { error, .. } => {
                error.class == "JobQueueDrainError"
                    || (error.class == "GenericError" && error.message == "Queue drained")
            }
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    success: bool,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Extracts the result from one answer, given without its end byte. `method` is used only in errors.
///
/// # Errors
/// [`LuxiError::Ganeti`] or [`LuxiError::Refused`] for the two shapes of errors, [`LuxiError::Malformed`]
/// otherwise.
pub fn parse_answer<'de, T: Deserialize<'de>>(
    method: &'static str,
    frame: &'de [u8],
) -> Result<T, LuxiError> {
    let malformed = |reason: String| LuxiError::malformed(method, &reason);
    if has_more_values(frame, VALUES_LIMIT) {
        return Err(malformed(format!("it holds more than {VALUES_LIMIT} values")));
    }
    let envelope: Envelope<'_> =
        serde_json::from_slice(frame).map_err(|error| malformed(error.to_string()))?;
    if envelope.success {
        return parse_shape(envelope.result.get(), "result").map_err(malformed);
    }
    let error: Value = parse_shape(envelope.result.get(), "result").map_err(malformed)?;
    if let Some(error) = GanetiError::decode(&error) {
        return Err(LuxiError::Ganeti { method, error });
    }
    match error {
        Value::String(text) => Err(LuxiError::Refused { method, text: excerpt(&text, LONGEST_TEXT) }),
        other => Err(malformed(format!("result: neither a Ganeti error nor a string: {other}"))),
    }
}

/// How much is said about a wrong shape, in bytes: its place, and what was found there.
const LONGEST_PROBLEM: usize = 1024;

/// Parses JSON text; the error names the place below `root`, such as `result[2].uuid`.
pub(crate) fn parse_shape<'de, T: Deserialize<'de>>(text: &'de str, root: &str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let problem = match path.as_str() {
            "." => format!("{root}: {}", error.inner()),
            path if path.starts_with('[') => format!("{root}{path}: {}", error.inner()),
            path => format!("{root}.{path}: {}", error.inner()),
        };
        // It contains the value itself, however long.
        excerpt(&problem, LONGEST_PROBLEM)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(frame: &str) -> String {
        parse_answer::<Vec<String>>("QueryConfigValues", frame.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_good_answer_is_its_result() {
        let answer: Vec<Option<String>> =
            parse_answer("M", br#"{"success":true,"result":["node1",null],"new":1}"#).unwrap();
        assert_eq!(answer, [Some("node1".to_owned()), None]);
    }

    #[test]
    fn both_shapes_of_errors_are_told_apart() {
        assert_eq!(
            error_of(r#"{"success":false,"result":["OpPrereqError",["no such field","wrong_input"]]}"#),
            "QueryConfigValues: OpPrereqError: no such field (wrong_input)"
        );
        assert_eq!(
            error_of(r#"{"success":false,"result":"Failed to parse request: unknown method"}"#),
            "QueryConfigValues: luxid refused the request: Failed to parse request: unknown method"
        );
        assert_eq!(
            error_of(r#"{"success":false,"result":["JobQueueFull",[]]}"#),
            "QueryConfigValues: JobQueueFull"
        );
        assert_eq!(
            error_of(r#"{"success":false,"result":["HooksAbort",[[["node1","script","output"]]]]}"#),
            r#"QueryConfigValues: HooksAbort: [[["node1","script","output"]]]"#
        );
    }

    #[test]
    fn a_drained_queue_is_recognised_however_it_is_said() {
        for (answer, drained) in [
            (r#"{"success":false,"result":["GenericError",["Queue drained"]]}"#, true),
            (r#"{"success":false,"result":["JobQueueDrainError",["x"]]}"#, true),
            (r#"{"success":false,"result":["GenericError",["Other"]]}"#, false),
        ] {
            let error = parse_answer::<u64>("SubmitJob", answer.as_bytes()).unwrap_err();
            assert_eq!(error.is_queue_drained(), drained);
        }
    }

    #[test]
    fn a_wrong_shape_names_its_place() {
        assert!(error_of(r#"{"success":true,"result":["a",7]}"#).contains("result[1]: invalid type"));
        assert!(error_of(r#"{"success":true}"#).contains("missing field `result`"));
        assert!(error_of("nonsense").contains("cannot be understood"));
        assert!(error_of(r#"{"success":false,"result":{"a":1}}"#).contains("neither a Ganeti error"));
        let deep = format!(r#"{{"success":false,"result":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert!(error_of(&deep).contains("recursion limit"), "{}", error_of(&deep));
    }

    #[test]
    fn a_text_of_megabytes_in_an_error_is_cut() {
        let long = "x".repeat(1 << 20);
        for answer in [
            format!(r#"{{"success":false,"result":"{long}"}}"#),
            format!(r#"{{"success":false,"result":{{"{long}":1}}}}"#),
            format!(r#"{{"success":false,"result":["GenericError",["{long}"]]}}"#),
            format!(r#"{{"success":true,"result":"{long}"}}"#),
            format!(r#"{{"success":"{long}"}}"#),
        ] {
            assert!(error_of(&answer).len() < 4096, "{}", error_of(&answer).len());
        }
    }
}
