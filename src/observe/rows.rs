//! What all queries have in common: rows that cannot be read, and filters.

use serde_json::{Value, json};

use crate::luxi::LuxiError;
use crate::luxi::rows::{EXPLAINED, UnreadableRow};
use crate::{logging, tell};

/// Rows as returned by a query.
pub(super) type Rows<R> = Vec<Result<R, UnreadableRow>>;

/// The rows that can be read; the others are logged as by [`parted`].
pub(super) fn readable<R>(rows: Rows<R>) -> impl Iterator<Item = R> {
    parted(rows).0.into_iter()
}

/// The readable rows, and the others, of which the first few are logged and the rest counted.
pub(super) fn parted<R>(rows: Rows<R>) -> (Vec<R>, Vec<UnreadableRow>) {
    let (mut readable, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match row {
            Ok(row) => readable.push(row),
            Err(row) => unreadable.push(row),
        }
    }
    for row in unreadable.iter().take(EXPLAINED) {
        logging::log(tell::answers::row(&row.problem));
    }
    let rest = unreadable.len().saturating_sub(EXPLAINED);
    if rest > 0 {
        logging::log(tell::answers::more_rows(rest));
    }
    (readable, unreadable)
}

/// The name of an object that cannot be read, or what is wrong with it.
pub(super) fn what_is_known(row: UnreadableRow) -> String {
    row.name.unwrap_or(row.problem)
}

/// A filter for the objects whose field has one of these values. Without the "&" luxid insists that each name
/// exists, and refuses the whole query when one does not.
pub(super) fn any_of(field: &str, values: &[&str]) -> Value {
    let each = values.iter().map(|value| json!(["==", field, value]));
    let any: Vec<Value> = std::iter::once(json!("|")).chain(each).collect();
    json!(["&", any])
}

/// What luxid says is not what the protocol promises.
pub(super) fn malformed(method: &'static str, reason: impl Into<String>) -> LuxiError {
    LuxiError::Malformed { method, reason: reason.into() }
}
