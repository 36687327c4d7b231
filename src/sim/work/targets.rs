//! An opcode's subject, and the error when it does not exist.

use crate::sim::failure::Failure;
use crate::sim::model::{Instance, Model};

/// What curl says about a node that is away, as passed on by Ganeti (`http/client.py: _ProcessCurlRequests`).
pub(super) fn no_answer(node: &str) -> String {
    format!("Error 7: Failed to connect to {node} port 1811: No route to host")
}

pub(super) fn find_instance<'a>(model: &'a Model, name: &str) -> Result<&'a Instance, Failure> {
    let unknown = || Failure::prerequisite(&format!("Instance '{name}' not known"), "unknown_entity");
    model.instance(name).ok_or_else(unknown)
}

/// The name and the UUID of the group with this name or UUID.
pub(super) fn find_group<'a>(model: &'a Model, wanted: &str) -> Result<(&'a str, String), Failure> {
    let unknown = || Failure::prerequisite(&format!("Node group '{wanted}' not known"), "unknown_entity");
    let found = model.groups.iter().find(|(name, group)| name.as_str() == wanted || group.uuid == wanted);
    found.map(|(name, group)| (name.as_str(), group.uuid.clone())).ok_or_else(unknown)
}

pub(super) fn is_member(model: &Model, instance: &Instance, group: &str) -> bool {
    instance.all_nodes().iter().any(|node| model.node(node).is_some_and(|node| node.group == group))
}
