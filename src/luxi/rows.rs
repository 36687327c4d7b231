//! Rows of luxid's answers: each declares its fields once, for both the query and the parsing.
//!
//! Source: `query.py`, `Query/Query.hs`.

use std::fmt;

use serde::de::{DeserializeOwned, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::messages::parse_shape;
use crate::cluster::{LONGEST_NAME, LONGEST_TEXT, excerpt};

/// What is asked about each object and read from its row; `row!` declares one.
pub trait Row: DeserializeOwned {
    /// Ganeti's names of the fields, in the order of the cells.
    const FIELDS: &'static [&'static str];
}

/// Declares a [`Row`]: a struct whose fields each name what to ask luxid for, such as `memory: Cell<u64> =
/// "be/minmem"`. On the wire it is a list, `[CELL, …]`.
macro_rules! row {
    (
        $(#[$about:meta])*
        $seen:vis struct $name:ident {
            $($(#[$about_field:meta])* $seen_field:vis $field:ident: $cell:ty = $asked:literal,)+
        }
    ) => {
        $(#[$about])*
        $seen struct $name {
            $($(#[$about_field])* $seen_field $field: $cell,)+
        }

        impl $crate::luxi::rows::Row for $name {
            const FIELDS: &'static [&'static str] = &[$($asked),+];
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let ($($field,)+) = <($($cell,)+)>::deserialize(deserializer)?;
                Ok(Self { $($field),+ })
            }
        }
    };
}
pub(crate) use row;

/// One cell of a query's answer, `[status, value]` on the wire: 0 is normal, 1 an unknown field, 2 no data
/// (its node did not answer), 3 not available, 4 a node marked offline (`constants.RS_*`). Only the first has
/// a value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cell<T>(pub u8, pub Option<T>);

impl<T> Cell<T> {
    /// The value, whatever the status says; the original drops the status too.
    pub fn value(self) -> Option<T> {
        self.1
    }
}

/// A cell that must have a value.
#[derive(Debug, Deserialize)]
pub struct Required<T>(IgnoredAny, T);

impl<T> Required<T> {
    /// The value, whatever the status says.
    pub fn value(self) -> T {
        self.1
    }
}

/// Most rows of one answer. Ganeti's queue holds some thousands of jobs, and a cluster some thousands of
/// instances with a few locks each; an answer with more rows cannot be genuine.
pub const ROWS_LIMIT: usize = 200_000;
/// For how many unreadable rows of one answer the problem is kept.
pub const EXPLAINED: usize = 3;

/// A row of an unexpected shape. Its texts are cut to fit a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// The value of its first cell, if that is a string: usually the object's name.
    pub name: Option<String>,
    /// What is wrong, with the row and the field; for all but the first [`EXPLAINED`] in an answer only the
    /// row.
    pub problem: String,
}

/// The answer to a `Query`, `{"fields": […], "data": [ROW, …]}` on the wire, each row still as text: they are
/// parsed one after another.
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
    /// Parses the rows. One without the expected shape is an individual error, with the row and the field, so
    /// that one strange object does not hide the others.
    pub(crate) fn typed<R: Row>(self, what: &str) -> Vec<Result<R, UnreadableRow>> {
        let mut unreadable = 0;
        let rows = self.data.0.into_iter().enumerate().map(|(index, row)| {
            parse_shape(row.get(), "").map_err(|error| {
                unreadable += 1;
                let problem = match unreadable <= EXPLAINED {
                    true => explain(what, index, R::FIELDS, &error),
                    false => format!("{what} row {index}"),
                };
                UnreadableRow { name: first_text(row.get()), problem }
            })
        });
        rows.collect()
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

/// The value of a row's first cell, if it is a string. Nothing else is kept in memory.
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
        formatter.write_str("a non-empty list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let first = list.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(FirstOf(first))
    }
}

#[cfg(test)]
mod tests {
    use crate::luxi::messages::parse_answer;

    use super::*;

    row! {
        #[derive(Debug)]
        struct DisksRow {
            name: Cell<String> = "name",
            disks_active: Cell<bool> = "disks_active",
        }
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
        let rows = raw.typed::<DisksRow>("instance");
        let rows: Vec<UnreadableRow> = rows.into_iter().map(Result::unwrap_err).collect();
        assert!(rows[0].problem.contains("expected a boolean") && rows[2].problem.contains("invalid type"));
        assert!(rows.iter().all(|row| row.problem.len() < 1200), "{rows:?}");
        assert!(rows[1].name.as_ref().is_some_and(|name| name.len() < 300));
        assert_eq!(rows[11], UnreadableRow { name: None, problem: "instance row 11".into() });
    }

    #[test]
    fn one_bad_row_does_not_hide_the_others() {
        let raw: RawRows<'_> = serde_json::from_str(
            r#"{"fields":[],"data":[[[0,"i1"],[0,true]],[[0,"i2"],[0,"yes"]],[[0,"i3"]],[[2,null],[0,false]]]}"#,
        )
        .unwrap();
        let rows = raw.typed::<DisksRow>("instance");
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[0].as_ref().unwrap().name.clone().value().as_deref(), Some("i1"));
        let error = rows[1].as_ref().unwrap_err();
        assert_eq!(error.name.as_deref(), Some("i2"));
        let problem = &error.problem;
        assert!(problem.starts_with("instance row 1, field disks_active[1]: invalid type"), "{problem}");
        assert!(rows[2].as_ref().unwrap_err().problem.starts_with("instance row 2: invalid length 1"));
        assert_eq!(rows[3].as_ref().unwrap().name, Cell(2, None));
        assert_eq!(rows[3].as_ref().unwrap().disks_active, Cell(0, Some(false)));
    }
}
