//! What luxid reports as the status of an instance.
//!
//! Source: `Query/Instance.hs: determineInstanceStatus`.

use std::collections::BTreeSet;

use super::model::{Instance, Live, Model, Node};
use crate::cluster::{AdminState, InstanceStatus};

/// Names of the nodes that a query for these instances asks: their primaries, unless marked offline.
pub fn asked_nodes<'a>(model: &'a Model, instances: &[&'a Instance]) -> BTreeSet<&'a str> {
    let primaries = instances.iter().map(|instance| instance.primary.as_str());
    primaries.filter(|node| model.node(node).is_some_and(|node| !node.offline)).collect()
}

/// The status of the instance, when the nodes in `asked` were asked.
#[must_use]
pub fn derive(model: &Model, instance: &Instance, asked: &BTreeSet<&str>) -> InstanceStatus {
    let answers = |name: &str| asked.contains(name) && model.node(name).is_some_and(Node::answers);
    if instance.forthcoming {
        return InstanceStatus::AdminDown;
    }
    if model.node(&instance.primary).is_some_and(|node| node.offline) {
        return InstanceStatus::NodeOffline;
    }
    match &instance.live {
        Live::Running(node) | Live::Stopped(node) if *node != instance.primary && answers(node) => {
            return InstanceStatus::WrongNode;
        }
        _ => {}
    }
    if !answers(&instance.primary) {
        return InstanceStatus::NodeDown;
    }
    match &instance.live {
        Live::Running(node) if *node == instance.primary => match instance.admin_state {
            AdminState::Up => InstanceStatus::Running,
            AdminState::Down | AdminState::Offline => InstanceStatus::ErrorUp,
        },
        Live::Stopped(node) if *node == instance.primary => stopped(model, instance),
        _ => absent(model, instance),
    }
}

/// Whether a stopped instance counts as shut down by its user.
#[must_use]
pub fn is_user_down(model: &Model, instance: &Instance) -> bool {
    matches!(&instance.live, Live::Stopped(node) if *node == instance.primary)
        && model.user_shutdown
        && (instance.hypervisor != "kvm" || instance.notices_user_shutdown)
}

fn stopped(model: &Model, instance: &Instance) -> InstanceStatus {
    match instance.admin_state {
        AdminState::Up if is_user_down(model, instance) => InstanceStatus::UserDown,
        AdminState::Up => InstanceStatus::ErrorDown,
        AdminState::Down => InstanceStatus::AdminDown,
        AdminState::Offline => InstanceStatus::AdminOffline,
    }
}

fn absent(model: &Model, instance: &Instance) -> InstanceStatus {
    match instance.admin_state {
        AdminState::Up => InstanceStatus::ErrorDown,
        AdminState::Down if instance.set_by_user && model.user_shutdown => InstanceStatus::UserDown,
        AdminState::Down => InstanceStatus::AdminDown,
        AdminState::Offline => InstanceStatus::AdminOffline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::model::{Link, Power};
    use crate::sim::testing::model;

    type Change = fn(&mut Model);

    fn status_after(change: Change) -> String {
        let mut model = model();
        change(&mut model);
        let all: Vec<&Instance> = model.instances.values().collect();
        let instance = model.instance("inst1.example.com").unwrap();
        derive(&model, instance, &asked_nodes(&model, &all)).as_word().to_owned()
    }

    fn node<'a>(model: &'a mut Model, name: &str) -> &'a mut Node {
        model.nodes.get_mut(&name.into()).unwrap()
    }

    fn instance(model: &mut Model) -> &mut Instance {
        model.instance_mut("inst1.example.com").unwrap()
    }

    fn on_primary() -> String {
        "node1.example.com".to_owned()
    }

    #[test]
    fn every_row_of_the_table() {
        let rows: [(&str, Change); 15] = [
            ("running", |_| {}),
            ("ERROR_nodeoffline", |m| node(m, "node1.example.com").offline = true),
            ("ERROR_nodedown", |m| node(m, "node1.example.com").power = Power::Off),
            ("ERROR_nodedown", |m| node(m, "node1.example.com").link = Link::Silent),
            ("ERROR_wrongnode", |m| instance(m).live = Live::Running("node2.example.com".into())),
            ("ERROR_down", |m| instance(m).live = Live::Running("node3.example.com".into())),
            ("ERROR_up", |m| instance(m).admin_state = AdminState::Down),
            ("ERROR_up", |m| instance(m).admin_state = AdminState::Offline),
            ("ERROR_down", |m| instance(m).live = Live::Absent),
            ("ERROR_down", |m| instance(m).live = Live::Stopped(on_primary())),
            ("USER_down", |m| {
                m.user_shutdown = true;
                instance(m).live = Live::Stopped(on_primary());
            }),
            ("USER_down", |m| {
                m.user_shutdown = true;
                *instance(m) = Instance {
                    live: Live::Absent,
                    admin_state: AdminState::Down,
                    set_by_user: true,
                    ..instance(m).clone()
                };
            }),
            ("ADMIN_down", |m| {
                *instance(m) =
                    Instance { live: Live::Absent, admin_state: AdminState::Down, ..instance(m).clone() };
            }),
            ("ADMIN_offline", |m| {
                *instance(m) =
                    Instance { live: Live::Absent, admin_state: AdminState::Offline, ..instance(m).clone() };
            }),
            ("ADMIN_down", |m| instance(m).forthcoming = true),
        ];
        for (index, (expected, change)) in rows.into_iter().enumerate() {
            assert_eq!(status_after(change), expected, "row {index}");
        }
    }

    #[test]
    fn kvm_notices_a_user_s_shutdown_only_when_told_to() {
        let kvm: Change = |m| {
            m.user_shutdown = true;
            instance(m).hypervisor = "kvm".into();
            instance(m).live = Live::Stopped(on_primary());
        };
        assert_eq!(status_after(kvm), "ERROR_down");
        assert_eq!(
            status_after(|m| {
                m.user_shutdown = true;
                instance(m).hypervisor = "kvm".into();
                instance(m).notices_user_shutdown = true;
                instance(m).live = Live::Stopped(on_primary());
            }),
            "USER_down"
        );
    }
}
