//! Queries: the fields of instances, nodes, groups, locks and jobs, as rows of cells.
//!
//! Source: `Query/Instance.hs, Node.hs, Group.hs, Locks.hs, Job.hs`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::engine::Engine;
use super::failure::Failure;
use super::filter::Filter;
use super::model::{Instance, Node};
use super::{status, work};
use cells::cell;
use row::Row;
use select::{is_known, select};

mod cells;
mod row;
mod select;

pub use row::{Cell, What};

/// Fields that need the nodes' answers.
const LIVE_FIELDS: [&str; 2] = ["status", "bootid"];

/// Nodes that the query asks, waiting for those that do not answer.
pub fn asked_nodes<'a>(engine: &'a Engine, what: What, fields: &[String], filter: &Filter) -> Vec<&'a Node> {
    if !fields.iter().any(|field| LIVE_FIELDS.contains(&field.as_str())) {
        return Vec::new();
    }
    let rows = select(engine, what, filter).unwrap_or_default();
    let names: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| match row {
            Row::Instance(instance) => Some(instance.primary.as_str()),
            Row::Node(node) => Some(node.name.as_str()),
            _ => None,
        })
        .collect();
    names.into_iter().filter_map(|name| engine.model.node(name)).filter(|node| !node.offline).collect()
}

/// The rows that pass the filter, each with the cells of these fields.
///
/// # Errors
/// When the filter names a field that does not exist, or asks only for names and one does not exist.
pub fn query(
    engine: &Engine,
    what: What,
    fields: &[String],
    filter: &Filter,
) -> Result<Vec<Vec<Cell>>, Failure> {
    filter.check(&|field| is_known(engine, what, field))?;
    let rows = select(engine, what, filter)?;
    let instances: Vec<&Instance> = rows
        .iter()
        .filter_map(|row| match row {
            Row::Instance(instance) => Some(*instance),
            _ => None,
        })
        .collect();
    let asked = status::asked_nodes(&engine.model, &instances);
    Ok(rows.iter().map(|row| fields.iter().map(|field| cell(engine, row, field, &asked)).collect()).collect())
}

/// The answer to `Query`.
///
/// # Errors
/// As [`query`].
pub fn answer(engine: &Engine, what: What, fields: &[String], filter: &Filter) -> Result<Value, Failure> {
    let rows = query(engine, what, fields, filter)?;
    let data: Vec<Vec<Value>> =
        rows.into_iter().map(|row| row.into_iter().map(Cell::encode).collect()).collect();
    let definition = |field: &String| {
        let kind = if is_known(engine, what, field) { "other" } else { "unknown" };
        json!({"name": field, "title": field, "kind": kind, "doc": field})
    };
    Ok(json!({"fields": fields.iter().map(definition).collect::<Vec<_>>(), "data": data}))
}

/// The answer to `QueryGroups`: bare values, and an error for a field that does not exist.
///
/// # Errors
/// That error.
pub fn groups(engine: &Engine, names: &[String], fields: &[String]) -> Result<Value, Failure> {
    let is_unknown = |field: &&String| !is_known(engine, What::Group, field);
    let unknown: Vec<&str> = fields.iter().filter(is_unknown).map(String::as_str).collect();
    if !unknown.is_empty() {
        let text = format!("Unknown output fields selected: {}", unknown.join(","));
        return Err(Failure::prerequisite(&text, "wrong_input"));
    }
    let by_name = |name: &String| Filter::Equal("name".to_owned(), json!(name));
    let filter = if names.is_empty() { Filter::All } else { Filter::Or(names.iter().map(by_name).collect()) };
    let rows = query(engine, What::Group, fields, &filter)?;
    let values = rows.into_iter().map(|row| row.into_iter().map(|cell| json!(cell.value())).collect());
    Ok(Value::Array(values.collect()))
}

/// How long a query for these fields takes because of silent nodes; `None` when it asks no node at all.
pub fn delay(engine: &Engine, what: What, fields: &[String], filter: &Filter) -> Option<std::time::Duration> {
    let nodes = asked_nodes(engine, what, fields, filter);
    (!nodes.is_empty()).then(|| work::delay_of(&engine.model, &nodes))
}
