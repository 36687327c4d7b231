//! The fields of every kind of object.
//!
//! Source: `Query/Instance.hs, Node.hs, Group.hs, Locks.hs, Job.hs`.

use std::collections::BTreeSet;

use serde_json::json;

use super::row::{Cell, Row};
use crate::cluster::AdminState;
use crate::sim::engine::Engine;
use crate::sim::locks::{self, Mode};
use crate::sim::model::{Instance, Model, Node};
use crate::sim::status;

/// A field of an object. If the query asks for live state, it asked the nodes in `asked`.
pub(super) fn cell(engine: &Engine, row: &Row<'_>, field: &str, asked: &BTreeSet<&str>) -> Cell {
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

/// Source: `Query/Locks.hs`; jobs are strings there.
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
    Cell::Normal(match field {
        "name" => json!(instance.name),
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
        "pnode.group.uuid" => match model.group_of_node(&instance.primary) {
            Some(uuid) => json!(uuid),
            None => return Cell::Unavailable,
        },
        "snodes.group.uuid" => {
            json!(secondaries().into_iter().map(|node| model.group_of_node(node)).collect::<Vec<_>>())
        }
        "disk_template" => json!(instance.disk_template),
        "be/minmem" => json!(instance.memory),
        "tags" => json!(instance.tags),
        "forthcoming" => json!(instance.forthcoming),
        _ => return Cell::Unknown,
    })
}

fn node_cell(model: &Model, node: &Node, field: &str) -> Cell {
    Cell::Normal(match field {
        "name" => json!(node.name),
        "uuid" => json!(node.uuid),
        "group.uuid" => json!(model.group_of_node(&node.name)),
        "offline" => json!(node.offline),
        "vm_capable" => json!(node.vm_capable),
        "pip" => json!(model.primary_ip(node)),
        "tags" => json!([]),
        "bootid" if node.offline => return Cell::Offline,
        "bootid" if !node.answers() => return Cell::NoData,
        "bootid" => json!(node.boot_id),
        _ => return Cell::Unknown,
    })
}
