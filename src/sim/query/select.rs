//! Which objects a query is about.

use std::collections::{BTreeSet, HashSet};

use super::cells::cell;
use super::row::{Cell, Row, What};
use crate::sim::engine::Engine;
use crate::sim::failure::Failure;
use crate::sim::filter::{Filter, is_short_name};
use crate::sim::model::{Instance, Node};
use crate::sim::names::Name;
use crate::sim::status;

/// Every object of that kind, in luxid's order.
fn all<'a>(engine: &'a Engine, what: What) -> Box<dyn Iterator<Item = Row<'a>> + 'a> {
    let model = &engine.model;
    match what {
        What::Instance => Box::new(model.instances.values().map(Row::Instance)),
        What::Node => Box::new(model.nodes.values().map(Row::Node)),
        What::Group => Box::new(model.groups.iter().map(|(name, group)| Row::Group(name, group))),
        What::Lock => Box::new(engine.locks.rows().into_iter().map(Row::Lock)),
        What::Job => Box::new(engine.jobs.values().filter(|job| !job.archived).map(Row::Job)),
    }
}

/// The objects with these names, in this order.
///
/// Source: `Query/Query.hs: genericQuery`, `Config.hs: getItem`.
fn named<'a>(engine: &'a Engine, what: What, names: &[&str]) -> Result<Vec<Row<'a>>, Failure> {
    let mut rows = Vec::new();
    for name in names {
        let is_it = |full: &&Name| is_short_name(full.as_str(), name);
        let (kind, row) = match what {
            What::Instance => {
                let all = &engine.model.instances;
                let full = Name::from(*name);
                let found = all.get(&full).or_else(|| all.get(all.keys().find(is_it)?));
                ("Instance", found.map(Row::Instance))
            }
            What::Node => {
                let all = &engine.model.nodes;
                let full = Name::from(*name);
                let found = all.get(&full).or_else(|| all.get(all.keys().find(is_it)?));
                ("Node", found.map(Row::Node))
            }
            _ => {
                let found = engine.model.groups.get_key_value(&Name::from(*name));
                ("NodeGroup", found.map(|(name, group)| Row::Group(name, group)))
            }
        };
        let unknown = || Failure::prerequisite(&format!("{kind} name {name} not found"), "unknown_entity");
        rows.push(row.ok_or_else(unknown)?);
    }
    Ok(rows)
}

/// The objects that pass the filter.
///
/// # Errors
/// When it asks only for names, and one does not exist.
pub(super) fn select<'a>(engine: &'a Engine, what: What, filter: &Filter) -> Result<Vec<Row<'a>>, Failure> {
    let names = filter.requested_names().filter(|names| !names.is_empty());
    if let (What::Instance | What::Node | What::Group, Some(names)) = (what, names) {
        return named(engine, what, &names);
    }
    // What the filter asks about live state is asked of everything.
    let asks = what == What::Instance && filter.mentions("status");
    let instances: Vec<&Instance> = if asks { engine.model.instances.values().collect() } else { Vec::new() };
    let asked = status::asked_nodes(&engine.model, &instances);
    let (names, statuses) = (filter.only("name"), filter.only("status"));
    let groups = filter.only("pnode.group.uuid").filter(|_| what == What::Instance);
    let is_elsewhere = |node: &&Node| {
        let group = engine.model.group_of_node(&node.name);
        groups.as_ref().is_some_and(|groups| group.is_some_and(|group| !groups.contains(&group)))
    };
    let nodes = engine.model.nodes.values();
    let elsewhere: HashSet<&str> = nodes.filter(is_elsewhere).map(|node| node.name.as_str()).collect();
    let may_pass = |row: &Row<'a>| {
        let has_name = |name: &str| {
            let fits = |wanted: &&str| *wanted == name || is_short_name(name, wanted);
            names.as_ref().is_none_or(|names| names.iter().any(fits))
        };
        match row {
            Row::Instance(instance) => {
                has_name(&instance.name) && !elsewhere.contains(instance.primary.as_str())
            }
            Row::Node(node) => has_name(&node.name),
            Row::Job(job) => {
                statuses.as_ref().is_none_or(|statuses| statuses.contains(&job.status().as_word()))
            }
            Row::Group(..) | Row::Lock(_) => true,
        }
    };
    let passes =
        |row: &Row<'a>| may_pass(row) && filter.passes(&|field| cell(engine, row, field, &asked).value());
    Ok(all(engine, what).filter(passes).collect())
}

/// Whether objects of that kind have such a field.
pub(super) fn is_known(engine: &Engine, what: What, field: &str) -> bool {
    // Every row gives the same answer, so any object will do; without one, nothing is looked up that could be
    // missing.
    let none = BTreeSet::new();
    let sample = all(engine, what).next();
    sample.is_none_or(|row| cell(engine, &row, field, &none) != Cell::Unknown)
}
