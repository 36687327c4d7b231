//! Instances: those of a node group, and what the configuration wants of some.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rows::{any_of, parted, what_is_known};
use crate::cluster::{AdminState, Instance, InstanceStatus, Name, Snapshot, SplitInstance};
use crate::luxi::rows::{Cell, Required, row};
use crate::luxi::{Client, LuxiError};

row! {
    struct InstanceRow {
        name: Required<Name> = "name",
        status: Required<String> = "status",
        admin_state: Required<AdminState> = "admin_state",
        disks_active: Required<bool> = "disks_active",
        secondaries: Required<Vec<Name>> = "snodes",
        primary_group: Cell<Name> = "pnode.group.uuid",
        secondary_groups: Required<Vec<Option<Name>>> = "snodes.group.uuid",
        disk_template: Required<Name> = "disk_template",
        primary: Required<Name> = "pnode",
        tags: Required<Vec<String>> = "tags",
        // From the configuration: asks no node.
        memory: Cell<Value> = "be/minmem",
    }
}

row! {
    struct ConfigurationRow {
        name: Required<Name> = "name",
        admin_state: Required<AdminState> = "admin_state",
        disks_active: Required<bool> = "disks_active",
        tags: Required<Vec<String>> = "tags",
    }
}

/// Adds to the snapshot the instances that have their primary node in its group.
pub(super) async fn of_group(client: &mut Client<'_>, snapshot: &mut Snapshot) -> Result<(), LuxiError> {
    let filter = json!(["==", "pnode.group.uuid", snapshot.group]);
    let (rows, unreadable) = parted(client.query::<InstanceRow>("instance", Some(filter)).await?);
    snapshot.unreadable_instances.extend(unreadable.into_iter().map(what_is_known));
    for row in rows {
        match membership(row) {
            Ok(instance) => snapshot.instances.push(instance),
            Err(split) => snapshot.split.push(split),
        }
    }
    Ok(())
}

/// The instance, or why it is split: a secondary node is in another group than the primary.
fn membership(row: InstanceRow) -> Result<Instance, SplitInstance> {
    let secondaries = row.secondaries.value();
    let (primary_group, secondary_groups) = (row.primary_group.value(), row.secondary_groups.value());
    if !secondaries.is_empty() && secondary_groups.iter().any(|group| *group != primary_group) {
        return Err(SplitInstance {
            name: row.name.value().into(),
            primary_group: primary_group.map(String::from).unwrap_or_default(),
            secondary_groups: secondary_groups.into_iter().flatten().map(String::from).collect(),
        });
    }
    Ok(Instance {
        name: row.name.value().into(),
        status: InstanceStatus::from_word(&row.status.value()),
        admin_state: row.admin_state.value(),
        disks_active: row.disks_active.value(),
        primary: row.primary.value().into(),
        secondaries: secondaries.into_iter().map(String::from).collect(),
        disk_template: row.disk_template.value().into(),
        memory: row.memory.value().and_then(|memory| memory.as_u64()),
        tags: row.tags.value(),
    })
}

/// What the configuration says about an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceConfig {
    /// Whether it wants it up.
    pub admin_state: AdminState,
    /// Whether Ganeti considers its disks assembled.
    pub disks_active: bool,
    /// Its tags.
    pub tags: Vec<String>,
}

/// What the configuration wants of these instances, and whether their disks are in use, by name; without
/// those that are gone, and `None` for those described in a way that cannot be read, which is logged. Asks no
/// node.
///
/// # Errors
/// As [`Client::query`].
pub async fn wanted_states(
    client: &mut Client<'_>,
    instances: &[&str],
) -> Result<BTreeMap<String, Option<InstanceConfig>>, LuxiError> {
    if instances.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = client.query::<ConfigurationRow>("instance", Some(any_of("name", instances))).await?;
    let (rows, unreadable) = parted(rows);
    let wanted = |row: ConfigurationRow| {
        let wanted = InstanceConfig {
            admin_state: row.admin_state.value(),
            disks_active: row.disks_active.value(),
            tags: row.tags.value(),
        };
        (row.name.value().into(), Some(wanted))
    };
    let unknown = unreadable.into_iter().filter_map(|row| Some((row.name?, None)));
    Ok(rows.into_iter().map(wanted).chain(unknown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> InstanceRow {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_row_becomes_an_instance() {
        let instance = membership(row(
            r#"[[0,"i1"],[0,"ERROR_down"],[0,"up"],[0,true],[0,["n2"]],[0,"g"],[0,["g"]],[0,"drbd"],[0,"n1"],[0,["t"]],[0,512]]"#,
        ))
        .unwrap();
        assert_eq!(instance.status, InstanceStatus::ErrorDown);
        assert_eq!(instance.admin_state, AdminState::Up);
        assert_eq!((instance.primary.as_str(), instance.secondaries), ("n1", vec!["n2".to_owned()]));
        assert_eq!((instance.tags, instance.memory), (vec!["t".to_owned()], Some(512)));
    }

    #[test]
    fn an_instance_with_nodes_in_two_groups_is_split() {
        let split = membership(row(
            r#"[[0,"i1"],[0,"running"],[0,"up"],[0,true],[0,["n2"]],[0,"g"],[0,["h"]],[0,"drbd"],[0,"n1"],[0,[]],[1,null]]"#,
        ));
        assert_eq!(
            split.unwrap_err(),
            SplitInstance {
                name: "i1".into(),
                primary_group: "g".into(),
                secondary_groups: vec!["h".into()]
            }
        );
    }

    #[test]
    fn an_instance_without_primary_template_or_tags_cannot_be_read() {
        let good = r#"[[0,"i1"],[0,"running"],[0,"up"],[0,true],[0,[]],[0,"g"],[0,[]],[0,"rbd"],[0,"n1"],[0,["t"]],[2,null]]"#;
        assert!(serde_json::from_str::<InstanceRow>(good).is_ok());
        for cell in [r#"[0,"rbd"]"#, r#"[0,"n1"]"#, r#"[0,["t"]]"#, r#"[0,"running"]"#, r#"[0,"up"]"#] {
            let holed = good.replacen(cell, "[2,null]", 1);
            assert!(serde_json::from_str::<InstanceRow>(&holed).is_err(), "{holed}");
        }
    }

    #[test]
    fn any_row_of_an_instance_is_read_or_not() {
        let seeds = [
            r#"[[0,"i1"],[0,"ERROR_down"],[0,"up"],[0,true],[0,["n2"]],[0,"u"],[0,["u"]],[0,"drbd"],[0,"n1"],[0,["t"]],[0,512]]"#,
            r#"[[0,"i1"],[0,"running"],[0,"down"],[0,false],[0,[]],[0,"u"],[0,[null]],[2,null],[4,null],[1,null],[0,-1]]"#,
        ];
        crate::testing::fuzz::fuzz_text(&seeds, |text| {
            drop(serde_json::from_str::<InstanceRow>(text).map(membership));
        });
    }
}
