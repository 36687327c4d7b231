//! The verdicts on nodes: what depends on one that does not answer or is marked offline.

use std::collections::BTreeMap;

use crate::cluster::{AdminState, Instance, InstanceStatus, Snapshot, Timestamp};
use crate::memory::state::State;

/// What depends on a node that is away.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeVerdict {
    /// Its name.
    pub node: String,
    /// Whether an administrator marked it offline; otherwise it does not answer although it should.
    pub is_offline: bool,
    /// Since when it has not answered, if known.
    pub since: Option<Timestamp>,
    /// Names of the instances that should run on it.
    pub primaries: Vec<String>,
    /// Names of the instances that should run and have it as secondary.
    pub secondaries: Vec<String>,
}

/// A verdict on every node that is silent or marked offline, in luxid's natural order of names.
#[must_use]
pub(super) fn of(snapshot: &Snapshot, state: &State) -> Vec<NodeVerdict> {
    let away = snapshot.nodes.iter().filter(|node| node.is_silent() || node.is_offline());
    let mut verdicts: Vec<NodeVerdict> = away
        .map(|node| NodeVerdict {
            node: node.name.clone(),
            is_offline: node.is_offline(),
            since: state.recovery.silent.get(&node.name).copied(),
            ..NodeVerdict::default()
        })
        .collect();
    let names: Vec<String> = verdicts.iter().map(|verdict| verdict.node.clone()).collect();
    let index: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    let is_wanted = |instance: &&Instance| {
        instance.admin_state == AdminState::Up && instance.status != InstanceStatus::UserDown
    };
    for instance in snapshot.instances.iter().filter(is_wanted) {
        let at = |node: &String| index.get(node.as_str()).copied();
        if let Some(verdict) = at(&instance.primary).and_then(|index| verdicts.get_mut(index)) {
            verdict.primaries.push(instance.name.clone());
        }
        for index in instance.secondaries.iter().filter_map(at) {
            if let Some(verdict) = verdicts.get_mut(index) {
                verdict.secondaries.push(instance.name.clone());
            }
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{drbd_instance, node, snapshot};

    #[test]
    fn what_depends_on_a_node_that_is_away_is_known_and_only_that() {
        let stopped = Instance { admin_state: AdminState::Down, ..drbd_instance("i3", "ADMIN_down", "n2") };
        let moved = Instance { primary: "n2".into(), ..drbd_instance("i4", "ERROR_nodedown", "n3") };
        let instances =
            [drbd_instance("i1", "running", "n2"), drbd_instance("i2", "running", "n3"), stopped, moved];
        let mut nodes = [node("n1", Some("b")), node("n2", None), node("n3", None), node("n4", None)];
        nodes[2].offline = Some(true);
        nodes[3].offline = None;
        let mut state = State::default();
        state.recovery.silent.insert("n2".into(), 7.0);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let silent = NodeVerdict {
            node: "n2".into(),
            is_offline: false,
            since: Some(7.0),
            primaries: names(&["i4"]),
            secondaries: names(&["i1"]),
        };
        let offline = NodeVerdict {
            node: "n3".into(),
            is_offline: true,
            since: None,
            primaries: vec![],
            secondaries: names(&["i2", "i4"]),
        };
        let cluster = snapshot(instances, nodes);
        assert_eq!(of(&cluster, &state), [silent, offline], "whether n4 should answer is unknown");
    }
}
