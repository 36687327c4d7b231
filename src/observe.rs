//! The world becomes a value: luxid's answers as [`Snapshot`] and other plain facts.
//!
//! Source: `watcher/__init__.py: _GetGroupData, _CheckMaster, _StartGroupChildren`.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tracing::{error, warn};

use crate::cluster::{
    AdminState, GanetiVersion, Instance, InstanceStatus, JobId, Node, PendingJob, Snapshot, SplitInstance,
};
use crate::luxi::messages::{Cell, Rows, UnreadableRow};
use crate::luxi::{Client, LuxiError};

/// What the whole cluster says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Name of the master node.
    pub master_node: String,
    /// Whether the job queue takes no jobs.
    pub queue_is_drained: bool,
}

/// A node group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
}

/// Asks for the [`ClusterFacts`].
///
/// # Errors
/// As [`Client::query`].
pub async fn cluster_facts(client: &mut Client<'_>) -> Result<ClusterFacts, LuxiError> {
    let (master_node, queue_is_drained): (String, Option<bool>) =
        client.query_config_values(&["master_node", "drain_flag"]).await?;
    Ok(ClusterFacts { master_node, queue_is_drained: queue_is_drained.unwrap_or(false) })
}

/// The cluster's version; `None`, with a warning, when it cannot be learnt. No instance stays down because of that.
pub async fn version(client: &mut Client<'_>) -> Option<GanetiVersion> {
    #[derive(Deserialize)]
    struct ClusterInfo {
        software_version: String,
    }
    let version = match client.query_cluster_info::<ClusterInfo>().await {
        Ok(info) => GanetiVersion::parse(&info.software_version).ok_or(info.software_version),
        Err(error) => Err(error.to_string()),
    };
    version.map_err(|found| warn!("Ganeti's version is unknown, using no optional features: {found}")).ok()
}

/// All node groups, in natural order of names.
///
/// # Errors
/// As [`Client::query`].
pub async fn groups(client: &mut Client<'_>) -> Result<Vec<Group>, LuxiError> {
    client.query_groups(&["name", "uuid"]).await
}

/// One node group with its instances and nodes, the locks and the jobs. An instance that luxid describes in a way that
/// cannot be read is an entry of [`Snapshot::unreadable_instances`], and logged, as are other rows like that.
///
/// # Errors
/// As [`Client::query`], for the first of the four queries that fails.
pub async fn group(client: &mut Client<'_>, uuid: &str) -> Result<Snapshot, LuxiError> {
    let mut snapshot = Snapshot { group: uuid.to_owned(), ..Snapshot::default() };
    let rows = client.query::<LockRow>("lock", &["name", "mode"], None).await?;
    for (name, mode) in readable(rows) {
        if let (Some(name), Some(_mode)) = (name.value(), mode.value())
            && let Some(instance) = name.strip_prefix("instance/")
        {
            snapshot.locked_instances.insert(instance.to_owned());
        }
    }
    snapshot.pending_jobs = pending_jobs(client).await?;
    let filter = json!(["==", "pnode.group.uuid", uuid]);
    let Rows(rows) = client.query::<InstanceRow>("instance", &INSTANCE_FIELDS, Some(filter)).await?;
    for row in rows {
        match row.map(membership) {
            Ok(Ok(instance)) => snapshot.instances.push(instance),
            Ok(Err(split)) => snapshot.split.push(split),
            Err(unreadable) => {
                log_unreadable(&unreadable);
                snapshot.unreadable_instances.push(unreadable.name.unwrap_or(unreadable.problem));
            }
        }
    }
    let filter = json!(["==", "group.uuid", uuid]);
    let rows = client.query::<NodeRow>("node", &["name", "bootid", "offline"], Some(filter)).await?;
    snapshot.nodes = readable(rows).map(node).collect();
    Ok(snapshot)
}

/// What the configuration wants of an instance, and whether its disks are in use; `None` when it is gone. Asks no node.
///
/// # Errors
/// As [`Client::query`].
pub async fn wanted_state(
    client: &mut Client<'_>,
    instance: &str,
) -> Result<Option<(AdminState, bool)>, LuxiError> {
    type WantedRow = (Required<AdminState>, Required<bool>);
    // Without the "&" luxid takes the name for one that must exist, and refuses the query when it does not.
    let filter = json!(["&", ["==", "name", instance]]);
    let rows = client.query::<WantedRow>("instance", &["admin_state", "disks_active"], Some(filter)).await?;
    Ok(readable(rows).next().map(|(admin_state, disks_active)| (admin_state.1, disks_active.1)))
}

/// Every job that has not ended, with the summaries of its opcodes.
///
/// # Errors
/// As [`Client::query`].
pub async fn pending_jobs(client: &mut Client<'_>) -> Result<Vec<PendingJob>, LuxiError> {
    let filter =
        json!(["|", ["==", "status", "running"], ["==", "status", "queued"], ["==", "status", "waiting"]]);
    type JobRow = (Required<JobId>, Cell<Vec<String>>);
    let rows = client.query::<JobRow>("job", &["id", "summary"], Some(filter)).await?;
    let jobs = readable(rows);
    Ok(jobs
        .map(|(id, summary)| PendingJob { id: id.1, summaries: summary.value().unwrap_or_default() })
        .collect())
}

type LockRow = (Cell<String>, Cell<String>);
type NodeRow = (Required<String>, Cell<String>, Cell<bool>);
type InstanceRow = (
    Required<String>,
    Required<String>,
    Required<AdminState>,
    Required<bool>,
    Required<Vec<String>>,
    Cell<String>,
    Required<Vec<Option<String>>>,
    Cell<String>,
);

const INSTANCE_FIELDS: [&str; 8] = [
    "name",
    "status",
    "admin_state",
    "disks_active",
    "snodes",
    "pnode.group.uuid",
    "snodes.group.uuid",
    "disk_template",
];

/// A cell that must have a value.
#[derive(Debug, Deserialize)]
struct Required<T>(IgnoredAny, T);

fn readable<R>(Rows(rows): Rows<R>) -> impl Iterator<Item = R> {
    rows.into_iter().filter_map(|row| row.inspect_err(log_unreadable).ok())
}

fn log_unreadable(row: &UnreadableRow) {
    error!("Ignoring what luxid says that cannot be understood: {}", row.problem);
}

fn node((name, boot_id, offline): NodeRow) -> Node {
    let boot_id = boot_id.value().filter(|boot_id| !boot_id.is_empty());
    Node { name: name.1, boot_id, offline: offline.value().unwrap_or(false) }
}

/// The instance, or why it is split: a secondary node is in another group than the primary.
fn membership(row: InstanceRow) -> Result<Instance, SplitInstance> {
    let (name, status, admin_state, disks_active, secondaries, primary_group, secondary_groups, template) =
        row;
    let primary_group = primary_group.value();
    if !secondaries.1.is_empty() && secondary_groups.1.iter().any(|group| *group != primary_group) {
        return Err(SplitInstance {
            name: name.1,
            primary_group: primary_group.unwrap_or_default(),
            secondary_groups: secondary_groups.1.into_iter().flatten().collect(),
        });
    }
    Ok(Instance {
        name: name.1,
        status: InstanceStatus::from_word(&status.1),
        admin_state: admin_state.1,
        disks_active: disks_active.1,
        secondaries: secondaries.1,
        disk_template: template.value().unwrap_or_default(),
    })
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
            r#"[[0,"i1"],[0,"ERROR_down"],[0,"up"],[0,true],[0,["n2"]],[0,"g"],[0,["g"]],[0,"drbd"]]"#,
        ))
        .unwrap();
        assert_eq!(instance.status, InstanceStatus::ErrorDown);
        assert_eq!(instance.admin_state, AdminState::Up);
        assert_eq!(instance.secondaries, ["n2"]);
    }

    #[test]
    fn an_instance_with_nodes_in_two_groups_is_split() {
        let split = membership(row(
            r#"[[0,"i1"],[0,"running"],[0,"up"],[0,true],[0,["n2"]],[0,"g"],[0,["h"]],[0,"drbd"]]"#,
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
    fn a_node_that_does_not_answer_or_is_offline_has_no_boot_id() {
        let parse = |text: &str| node(serde_json::from_str(text).unwrap());
        assert_eq!(parse(r#"[[0,"n1"],[2,null],[0,false]]"#).boot_id, None);
        assert!(parse(r#"[[0,"n1"],[4,null],[0,true]]"#).offline);
        assert_eq!(parse(r#"[[0,"n1"],[0,"b"],[0,false]]"#).boot_id.as_deref(), Some("b"));
    }
}
