//! Small clusters for unit tests.

use super::model::Model;
use super::scenario::Scenario;

/// Three nodes: `inst1` on node1 without disks, `inst2` on node2 mirrored to node1, `inst3` on node1 mirrored
/// to node2.
pub(crate) const CLUSTER: &str = r#"
[[node]]
name = "node1"
[[node]]
name = "node2"
[[node]]
name = "node3"
[[instance]]
name = "inst1"
primary = "node1"
template = "diskless"
[[instance]]
name = "inst2"
primary = "node2"
secondary = "node1"
[[instance]]
name = "inst3"
primary = "node1"
secondary = "node2"
"#;

pub(crate) fn model() -> Model {
    Scenario::parse("test", CLUSTER).unwrap().model
}
