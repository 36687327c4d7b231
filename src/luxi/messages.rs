//! Answers and errors of luxid, with types.
//!
//! An answer is `{"success": true, "result": VALUE}`, or `{"success": false, "result": ERROR}` with an error of Ganeti's
//! as [`GanetiError`] has it, or a text when the request was not understood.
//!
//! Source: `rpc/client.py: ParseResponse`, `errors.py: GetEncodedError`, `query.py`, `Errors.hs`.

use std::{fmt, io};

use serde::de::{DeserializeOwned, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use super::wire::{VALUES_LIMIT, has_more_values};
pub use crate::cluster::GanetiError;
use crate::cluster::{LONGEST_NAME, LONGEST_TEXT, excerpt};

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
    /// An answer that is not what the protocol promises; what is told of it is cut to what a log line bears.
    pub(crate) fn malformed(method: &'static str, reason: &str) -> Self {
        Self::Malformed { method, reason: excerpt(reason, LONGEST_TEXT) }
    }

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
        other => Err(malformed(format!("result: neither an error of Ganeti's nor a text: {other}"))),
    }
}

/// Parses JSON text; the error names the place below `root`, such as `result[2].uuid`.
pub(crate) fn parse_shape<'de, T: Deserialize<'de>>(text: &'de str, root: &str) -> Result<T, String> {
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

/// Most rows of one answer. Ganeti's queue holds some thousands of jobs, and a cluster some thousands of instances with a few
/// locks each; an answer with more rows is none that anybody waits for.
pub const ROWS_LIMIT: usize = 200_000;
/// Of so many rows that cannot be read in one answer it is kept what is wrong with them.
pub const EXPLAINED: usize = 3;

/// The answer to a `Query`, `{"fields": […], "data": [ROW, …]}` on the wire: one entry a row, none when nothing passes the
/// filter. A row that has not the expected shape is an error of its own, so that
/// one strange object does not hide the others.
#[derive(Debug)]
pub struct Rows<R>(pub Vec<Result<R, UnreadableRow>>);

/// A row of another shape than expected. Its texts are cut to what a log line bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// The value of its first cell, if that is a text: the name of the object, mostly.
    pub name: Option<String>,
    /// What is wrong, with the row and the field; of all but the first [`EXPLAINED`] in an answer only the row.
    pub problem: String,
}

/// The rows of an answer, each still as text: they are given their types one after the other.
#[derive(Deserialize)]
pub(crate) struct RawRows<'a> {
    #[serde(borrow)]
    data: LimitedRows<'a>,
}

struct LimitedRows<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for LimitedRows<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = LimitedRows<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {ROWS_LIMIT} rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = list.next_element()? {
            if rows.len() == ROWS_LIMIT {
                return Err(A::Error::invalid_length(ROWS_LIMIT + 1, &self));
            }
            rows.push(row);
        }
        Ok(LimitedRows(rows))
    }
}

impl RawRows<'_> {
    /// Gives the rows their type. Errors name the row and the field.
    pub(crate) fn typed<R: DeserializeOwned>(self, what: &str, fields: &[&str]) -> Rows<R> {
        let mut unreadable = 0;
        let rows = self.data.0.into_iter().enumerate().map(|(index, row)| {
            parse_shape(row.get(), "").map_err(|error| {
                unreadable += 1;
                let problem = match unreadable <= EXPLAINED {
                    true => explain(what, index, fields, &error),
                    false => format!("{what} row {index}"),
                };
                UnreadableRow { name: first_text(row.get()), problem }
            })
        });
        Rows(rows.collect())
    }
}

fn explain(what: &str, index: usize, fields: &[&str], error: &str) -> String {
    let error = excerpt(error, LONGEST_TEXT / EXPLAINED);
    let place = error
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .and_then(|(cell, rest)| Some((fields.get(cell.parse::<usize>().ok()?)?, rest)));
    match place {
        Some((field, rest)) => format!("{what} row {index}, field {field}{rest}"),
        None => format!("{what} row {index}{error}"),
    }
}

/// The value of a row's first cell, if it is a text. Nothing but that is kept in memory.
fn first_text(row: &str) -> Option<String> {
    let FirstOf(cell) = serde_json::from_str(row).ok()?;
    let Cell::<String>(_, text) = serde_json::from_str(cell.get()).ok()?;
    Some(excerpt(&text?, LONGEST_NAME))
}

/// The first value of a list that has one.
struct FirstOf<'a>(&'a RawValue);

impl<'de: 'a, 'a> Deserialize<'de> for FirstOf<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FirstVisitor)
    }
}

struct FirstVisitor;

impl<'de> Visitor<'de> for FirstVisitor {
    type Value = FirstOf<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list that is not empty")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let first = list.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(FirstOf(first))
    }
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
    fn more_values_or_rows_than_an_answer_may_have_are_one_error() {
        let answer = |row: &str, rows: usize| {
            let rows = vec![row; rows].join(",");
            format!(r#"{{"success":true,"result":{{"fields":[],"data":[{rows}]}}}}"#)
        };
        let error = |frame: &str| match parse_answer::<RawRows<'_>>("Query", frame.as_bytes()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(error(&answer("[]", 2_000_001)).contains("it holds more than 2000000 values"));
        assert!(
            error(&answer("0", ROWS_LIMIT + 1))
                .contains("result.data: invalid length 200001, expected a list of")
        );
        assert_eq!(error(&answer("0", ROWS_LIMIT)), "");
    }

    #[test]
    fn of_many_bad_rows_three_are_explained_and_no_text_is_long() {
        let long = "x".repeat(1 << 20);
        let rows =
            [r#"[[0,"i1"],[0,7]]"#.to_owned(), format!(r#"[[0,"{long}"],[0,"{long}"]]"#), "0".to_owned()];
        let data = [rows.join(","), ["[]"; 9].join(",")].join(",");
        let answer = format!(r#"{{"fields":[],"data":[{data}]}}"#);
        let raw: RawRows<'_> = serde_json::from_str(&answer).unwrap();
        let Rows(rows) = raw.typed::<(Cell<String>, Cell<bool>)>("instance", &["name", "disks_active"]);
        let rows: Vec<UnreadableRow> = rows.into_iter().map(Result::unwrap_err).collect();
        assert!(rows[0].problem.contains("expected a boolean") && rows[2].problem.contains("invalid type"));
        assert!(rows.iter().all(|row| row.problem.len() < 1200), "{rows:?}");
        assert!(rows[1].name.as_ref().is_some_and(|name| name.len() < 300));
        assert_eq!(rows[11], UnreadableRow { name: None, problem: "instance row 11".into() });
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

    #[test]
    fn one_bad_row_does_not_hide_the_others() {
        let raw: RawRows<'_> = serde_json::from_str(
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
