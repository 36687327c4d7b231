//! Queries: the fields of instances, nodes, groups, locks and jobs, as rows of cells.
//!
//! Source: `Query/Instance.hs, Node.hs, Group.hs, Locks.hs, Job.hs` (contract 3.3).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::engine::Engine;
use super::failure::Failure;
use super::filter::{Filter, is_short_name};
use super::jobs::Job;
use super::locks::Mode;
use super::model::{Group, Instance, Model, Node};
use super::names::Name;
use super::{locks, status, work};
use crate::cluster::AdminState;

/// One cell of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A value.
    Normal(Value),
    /// There is no such field.
    Unknown,
    /// The node did not answer.
    NoData,
    /// The object has no such thing.
    Unavailable,
    /// The node is marked offline.
    Offline,
}

impl Cell {
    fn encode(self) -> Value {
        match self {
            Self::Normal(value) => json!([0, value]),
            Self::Unknown => json!([1, null]),
            Self::NoData => json!([2, null]),
            Self::Unavailable => json!([3, null]),
            Self::Offline => json!([4, null]),
        }
    }

    fn value(self) -> Option<Value> {
        match self {
            Self::Normal(value) => Some(value),
            _ => None,
        }
    }
}

/// What can be queried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Instances.
    Instance,
    /// Nodes.
    Node,
    /// Node groups.
    Group,
    /// Locks.
    Lock,
    /// Jobs that are not archived.
    Job,
}

impl What {
    /// luxid's word for it.
    ///
    /// # Errors
    /// When there is no such kind of object in the box.
    pub fn parse(word: &str) -> Result<Self, String> {
        Ok(match word {
            "instance" => Self::Instance,
            "node" => Self::Node,
            "group" => Self::Group,
            "lock" => Self::Lock,
            "job" => Self::Job,
            _ => return Err(format!("Invalid value {word:?} for type QueryTypeOp")),
        })
    }
}

enum Row<'a> {
    Instance(&'a Instance),
    Node(&'a Node),
    Group(&'a Name, &'a Group),
    Lock(locks::Row),
    Job(&'a Job),
}

/// Fields that need the nodes' answers.
const LIVE_FIELDS: [&str; 6] = ["status", "oper_state", "oper_ram", "bootid", "mfree", "mtotal"];

/// Nodes that the query asks, which makes it wait for those that do not answer.
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
/// When the filter names a field that does not exist, or asks for nothing but names of which one does not.
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

/// The answer to one of the older calls: bare values, and an error for a field that does not exist.
///
/// # Errors
/// That error.
pub fn classic(engine: &Engine, what: What, names: &[String], fields: &[String]) -> Result<Value, Failure> {
    let unknown: Vec<&str> =
        fields.iter().filter(|field| !is_known(engine, what, field)).map(String::as_str).collect();
    if !unknown.is_empty() {
        let text = format!("Unknown output fields selected: {}", unknown.join(","));
        return Err(Failure::prerequisite(&text, "wrong_input"));
    }
    let by_name = |name: &String| Filter::parse(&json!(["==", "name", name])).unwrap_or(Filter::All);
    let filter = if names.is_empty() { Filter::All } else { Filter::Or(names.iter().map(by_name).collect()) };
    let rows = query(engine, what, fields, &filter)?;
    let values = rows.into_iter().map(|row| row.into_iter().map(|cell| json!(cell.value())).collect());
    Ok(Value::Array(values.collect()))
}

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

fn select<'a>(engine: &'a Engine, what: What, filter: &Filter) -> Result<Vec<Row<'a>>, Failure> {
    let names = filter.requested_names().filter(|names| !names.is_empty());
    if let (What::Instance | What::Node | What::Group, Some(names)) = (what, names) {
        return named(engine, what, &names);
    }
    // What the filter asks of live state is asked of everything.
    let asks = what == What::Instance && filter.mentions("status");
    let instances: Vec<&Instance> = if asks { engine.model.instances.values().collect() } else { Vec::new() };
    let asked = status::asked_nodes(&engine.model, &instances);
    let passes = |row: &Row<'a>| filter.passes(&|field| cell(engine, row, field, &asked).value());
    Ok(all(engine, what).filter(passes).collect())
}

fn is_known(engine: &Engine, what: What, field: &str) -> bool {
    // Every row answers alike, so any object will do; without one, nothing is looked up that could be missing.
    let none = BTreeSet::new();
    let sample = all(engine, what).next();
    sample.is_none_or(|row| cell(engine, &row, field, &none) != Cell::Unknown)
}

fn cell(engine: &Engine, row: &Row<'_>, field: &str, asked: &BTreeSet<&str>) -> Cell {
    match row {
        Row::Instance(instance) => instance_cell(&engine.model, instance, field, asked),
        Row::Node(node) => node_cell(&engine.model, node, field),
        Row::Group(name, group) => match field {
            "name" => Cell::Normal(json!(name.as_str())),
            "uuid" => Cell::Normal(json!(group.uuid)),
            "tags" => Cell::Normal(json!(group.tags)),
            _ => Cell::Unknown,
        },
        Row::Lock(lock) => lock_cell(lock, field),
        Row::Job(job) => job.field(field, engine.epoch).map_or(Cell::Unknown, Cell::Normal),
    }
}

/// Source: `Query/Locks.hs`; jobs are texts there.
fn lock_cell(lock: &locks::Row, field: &str) -> Cell {
    let wish = |(mode, job): &(Mode, u64)| json!([mode.as_word(), [job.to_string()]]);
    Cell::Normal(match field {
        "name" => json!(lock.name),
        "mode" => json!(lock.mode.map(Mode::as_word)),
        "owner" => lock.owners.iter().map(|job| json!(job.to_string())).collect(),
        "pending" => lock.pending.iter().map(wish).collect(),
        _ => return Cell::Unknown,
    })
}

fn instance_cell(model: &Model, instance: &Instance, field: &str, asked: &BTreeSet<&str>) -> Cell {
    let secondaries = || instance.secondaries();
    let group_name = |node: &str| model.node(node).map(|node| node.group.clone());
    let primary = model.node(&instance.primary);
    let live = |value: Value| match primary {
        Some(node) if node.offline => Cell::Offline,
        Some(node) if node.answers() => Cell::Normal(value),
        _ => Cell::NoData,
    };
    let runs = instance.runs_on(&instance.primary);
    Cell::Normal(match field {
        "name" => json!(instance.name),
        "uuid" => json!(instance.uuid),
        "status" => json!(status::derive(model, instance, asked).as_word()),
        "admin_state" => json!(match instance.admin_state {
            AdminState::Up => "up",
            AdminState::Down => "down",
            AdminState::Offline => "offline",
        }),
        "admin_state_source" => json!(if instance.set_by_user { "user" } else { "admin" }),
        "disks_active" => json!(instance.disks_active),
        "pnode" => json!(instance.primary),
        "snodes" => json!(secondaries()),
        "pnode.group" => json!(group_name(&instance.primary)),
        "pnode.group.uuid" => match model.group_of_node(&instance.primary) {
            Some(uuid) => json!(uuid),
            None => return Cell::Unavailable,
        },
        "snodes.group" => json!(secondaries().into_iter().map(group_name).collect::<Vec<_>>()),
        "snodes.group.uuid" => {
            json!(secondaries().into_iter().map(|node| model.group_of_node(node)).collect::<Vec<_>>())
        }
        "disk_template" => json!(instance.disk_template),
        "disk.count" => json!(instance.disks.len()),
        "disk.uuids" => json!(instance.disks.iter().map(|disk| &disk.uuid).collect::<Vec<_>>()),
        "hypervisor" => json!(instance.hypervisor),
        "be/minmem" | "be/maxmem" | "be/memory" => json!(instance.memory),
        "tags" => json!(instance.tags),
        "forthcoming" => json!(instance.forthcoming),
        "oper_state" => return live(json!(runs)),
        "oper_ram" if runs => return live(json!(instance.memory)),
        "oper_ram" => return Cell::Unavailable,
        _ => return Cell::Unknown,
    })
}

fn node_cell(model: &Model, node: &Node, field: &str) -> Cell {
    let live = |value: Value| match node {
        _ if node.offline => Cell::Offline,
        _ if node.answers() => Cell::Normal(value),
        _ => Cell::NoData,
    };
    let instances = |wanted: &dyn Fn(&Instance) -> bool| {
        let names =
            model.instances.values().filter(|instance| wanted(instance)).map(|instance| &instance.name);
        json!(names.collect::<Vec<_>>())
    };
    Cell::Normal(match field {
        "name" => json!(node.name),
        "uuid" => json!(node.uuid),
        "group" => json!(node.group),
        "group.uuid" => json!(model.group_of_node(&node.name)),
        "offline" => json!(node.offline),
        "drained" => json!(false),
        "master_candidate" => json!(model.is_candidate(node)),
        "vm_capable" => json!(node.vm_capable),
        "pip" => json!(model.primary_ip(node)),
        "tags" => json!([]),
        "role" => json!(match node {
            _ if node.name == model.master => "M",
            _ if node.offline => "O",
            _ if node.candidate => "C",
            _ => "R",
        }),
        "pinst_list" => instances(&|instance| instance.primary == node.name),
        "sinst_list" => instances(&|instance| instance.secondaries().contains(&node.name.as_str())),
        "bootid" => return live(json!(node.boot_id)),
        "mtotal" => return live(json!(node.memory)),
        "mfree" => return live(json!(model.free_memory(node))),
        _ => return Cell::Unknown,
    })
}

/// How long a query for these fields takes because of nodes that do not answer.
pub fn delay(engine: &Engine, what: What, fields: &[String], filter: &Filter) -> Option<std::time::Duration> {
    let nodes = asked_nodes(engine, what, fields, filter);
    (!nodes.is_empty()).then(|| work::delay_of(&engine.model, &nodes))
}
