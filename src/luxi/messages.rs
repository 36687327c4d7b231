//! Answers and errors of luxid, with types.
//!
//! An answer is `{"success": true, "result": VALUE}`, or `{"success": false, "result": ERROR}` with an error of Ganeti's
//! as [`GanetiError`] has it, or a text when the request was not understood.
//!
//! Source: `rpc/client.py: ParseResponse`, `errors.py: GetEncodedError`, `query.py`, `Errors.hs`.

use std::io;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

pub use crate::cluster::GanetiError;

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
        /// How long was waited, in seconds.
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
    /// luxid carried out the call and reports an error of Ganeti's.
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
    /// Whether another connection may help: this one broke, or there was none.
    #[must_use]
    pub fn is_connection_loss(&self) -> bool {
        matches!(self, Self::ConnectionLost { .. } | Self::Connect { .. })
    }

    /// Whether luxid itself says that the call was not carried out. After any other error nobody knows.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Ganeti { .. } | Self::Refused { .. })
    }

    /// Whether the job queue is drained: luxid's own answer to a submission, in every version that is known, is a
    /// `GenericError`; the class that was made for it is accepted too (`Query/Server.hs: handleCall`).
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

/// Takes the result out of one answer, which is given without its end byte. `method` is for errors alone.
///
/// # Errors
/// [`LuxiError::Ganeti`] or [`LuxiError::Refused`] for the two shapes of errors, [`LuxiError::Malformed`] otherwise.
pub fn parse_answer<T: DeserializeOwned>(method: &'static str, frame: &[u8]) -> Result<T, LuxiError> {
    let malformed = |reason: String| LuxiError::Malformed { method, reason };
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
        Value::String(text) => Err(LuxiError::Refused { method, text }),
        other => Err(malformed(format!("result: neither an error of Ganeti's nor a text: {other}"))),
    }
}

/// Parses JSON text; the error names the place below `root`, such as `result[2].uuid`.
pub(crate) fn parse_shape<T: DeserializeOwned>(text: &str, root: &str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => format!("{root}: {}", error.inner()),
            path if path.starts_with('[') => format!("{root}{path}: {}", error.inner()),
            path => format!("{root}.{path}: {}", error.inner()),
        }
    })
}

/// One cell of a query's answer, `[status, value]` on the wire: 0 is normal, 1 an unknown field, 2 no data (its node did not
/// answer), 3 not available, 4 a node marked offline (`constants.RS_*`). Only the first has a value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cell<T>(pub u8, pub Option<T>);

impl<T> Cell<T> {
    /// The value, whatever the status says; the original drops the status too.
    pub fn value(self) -> Option<T> {
        self.1
    }
}

/// The answer to a `Query`, `{"fields": […], "data": [ROW, …]}` on the wire: one entry a row, none when nothing passes the
/// filter. A row that has not the expected shape is an error of its own, so that
/// one strange object does not hide the others.
#[derive(Debug)]
pub struct Rows<R>(pub Vec<Result<R, UnreadableRow>>);

/// A row of another shape than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// The value of its first cell, if that is a text: the name of the object, mostly.
    pub name: Option<String>,
    /// What is wrong, with the row and the field.
    pub problem: String,
}

#[derive(Deserialize)]
pub(crate) struct RawRows {
    data: Vec<Box<RawValue>>,
}

impl RawRows {
    /// Gives the rows their type. Errors name the row and the field.
    pub(crate) fn typed<R: DeserializeOwned>(self, what: &str, fields: &[&str]) -> Rows<R> {
        let rows = self.data.iter().enumerate().map(|(index, row)| {
            let problem = |error: String| {
                let place = error
                    .strip_prefix('[')
                    .and_then(|rest| rest.split_once(']'))
                    .and_then(|(cell, rest)| Some((fields.get(cell.parse::<usize>().ok()?)?, rest)));
                match place {
                    Some((field, rest)) => format!("{what} row {index}, field {field}{rest}"),
                    None => format!("{what} row {index}{error}"),
                }
            };
            parse_shape(row.get(), "")
                .map_err(|error| UnreadableRow { name: first_text(row.get()), problem: problem(error) })
        });
        Rows(rows.collect())
    }
}

fn first_text(row: &str) -> Option<String> {
    serde_json::from_str::<Value>(row).ok()?.get(0)?.get(1)?.as_str().map(str::to_owned)
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
        assert!(error_of(r#"{"success":false,"result":{"a":1}}"#).contains("neither an error"));
        let deep = format!(r#"{{"success":false,"result":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert!(error_of(&deep).contains("recursion limit"), "{}", error_of(&deep));
    }

    #[test]
    fn one_bad_row_does_not_hide_the_others() {
        let raw: RawRows = serde_json::from_str(
            r#"{"fields":[],"data":[[[0,"i1"],[0,true]],[[0,"i2"],[0,"yes"]],[[0,"i3"]],[[2,null],[0,false]]]}"#,
        )
        .unwrap();
        let Rows(rows) = raw.typed::<(Cell<String>, Cell<bool>)>("instance", &["name", "disks_active"]);
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[0].as_ref().unwrap().0.clone().value().as_deref(), Some("i1"));
        let error = rows[1].as_ref().unwrap_err();
        assert_eq!(error.name.as_deref(), Some("i2"));
        let problem = &error.problem;
        assert!(problem.starts_with("instance row 1, field disks_active[1]: invalid type"), "{problem}");
        assert!(rows[2].as_ref().unwrap_err().problem.starts_with("instance row 2: invalid length 1"));
        assert_eq!(rows[3].as_ref().unwrap().0, Cell(2, None));
    }
}
