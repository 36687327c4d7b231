//! The world becomes a value: luxid's answers as [`Snapshot`] and other plain facts.
//!
//! Source: `watcher/__init__.py: _GetGroupData, _CheckMaster, _StartGroupChildren`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tracing::{error, warn};

use crate::cluster::{
    AdminState, EndedJob, GanetiError, GanetiVersion, Instance, InstanceStatus, JobId, LockMode, Node, OpEnd,
    PendingJob, Snapshot, SplitInstance,
};
use crate::luxi::messages::{Cell, Rows, UnreadableRow};
use crate::luxi::{Client, LuxiError};

/// What the whole cluster says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Name of the master node.
    pub master_node: String,
    /// Whether the job queue takes no jobs (`drain_flag`).
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

/// Asks for the [`ClusterFacts`]: `QueryConfigValues`, which asks no node.
///
/// # Errors
/// As [`Client::query`].
pub async fn cluster_facts(client: &mut Client<'_>) -> Result<ClusterFacts, LuxiError> {
    let (master_node, queue_is_drained): (String, Option<bool>) =
        client.query_config_values(&["master_node", "drain_flag"]).await?;
    Ok(ClusterFacts { master_node, queue_is_drained: queue_is_drained.unwrap_or(false) })
}

/// How the cluster is set up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterSetup {
    /// Its version, if that could be learnt.
    pub version: Option<GanetiVersion>,
    /// How many jobs may have a process at once (`max_running_jobs`).
    pub max_running_jobs: Option<usize>,
    /// How many of these luxid watches closely; it notices the end of others late (`max_tracked_jobs`).
    pub max_tracked_jobs: Option<usize>,
    /// Tags of the cluster.
    pub tags: Vec<String>,
}

/// Asks for the [`ClusterSetup`], by `QueryClusterInfo`. What cannot be learnt is a warning: no instance stays down because
/// of that.
pub async fn cluster_setup(client: &mut Client<'_>) -> ClusterSetup {
    #[derive(Deserialize)]
    struct ClusterInfo {
        software_version: String,
        #[serde(default)]
        max_running_jobs: Option<usize>,
        #[serde(default)]
        max_tracked_jobs: Option<usize>,
        #[serde(default)]
        tags: Vec<String>,
    }
    let unknown = |found: &str| warn!("Ganeti's version is unknown, using no optional features: {found}");
    match client.query_cluster_info::<ClusterInfo>().await {
        Ok(info) => {
            let version = GanetiVersion::parse(&info.software_version);
            if version.is_none() {
                unknown(&info.software_version);
            }
            let ClusterInfo { max_running_jobs, max_tracked_jobs, tags, .. } = info;
            ClusterSetup { version, max_running_jobs, max_tracked_jobs, tags }
        }
        Err(error) => {
            unknown(&error.to_string());
            ClusterSetup::default()
        }
    }
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
    (snapshot.locked_instances, _) = locks(client, None).await?;
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
    let rows = client.query::<NodeRow>("node", &NODE_FIELDS, Some(filter)).await?;
    snapshot.nodes = readable(rows).map(node).collect();
    Ok(snapshot)
}

/// The tags of a node group.
///
/// # Errors
/// As [`Client::query`].
pub async fn group_tags(client: &mut Client<'_>, uuid: &str) -> Result<Vec<String>, LuxiError> {
    type TagsRow = (Cell<Vec<String>>,);
    let filter = json!(["&", ["==", "uuid", uuid]]);
    let rows = client.query::<TagsRow>("group", &["tags"], Some(filter)).await?;
    Ok(readable(rows).find_map(|(tags,)| tags.value()).unwrap_or_default())
}

/// The locks that somebody holds, of instances by name and of nodes by UUID.
pub type Locks = (BTreeMap<String, LockMode>, BTreeMap<String, LockMode>);

/// Who is locked: all, or only out of these locks, such as `instance/NAME` and `node/UUID`. Locks of other kinds are left
/// out.
///
/// # Errors
/// As [`Client::query`].
pub async fn locks(client: &mut Client<'_>, of: Option<&[&str]>) -> Result<Locks, LuxiError> {
    type LockRow = (Cell<String>, Cell<String>);
    let filter = of.map(|names| any_of("name", names));
    let (mut instances, mut nodes) = Locks::default();
    for (name, mode) in readable(client.query::<LockRow>("lock", &["name", "mode"], filter).await?) {
        let (Some(name), Some(mode)) = (name.value(), mode.value()) else { continue };
        let mode = if mode == "shared" { LockMode::Shared } else { LockMode::Exclusive };
        if let Some(instance) = name.strip_prefix("instance/") {
            instances.insert(instance.to_owned(), mode);
        } else if let Some(node) = name.strip_prefix("node/") {
            nodes.insert(node.to_owned(), mode);
        }
    }
    Ok((instances, nodes))
}

/// What the configuration says of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Whether it wants it up.
    pub admin_state: AdminState,
    /// Whether Ganeti considers its disks assembled.
    pub disks_active: bool,
    /// Its tags.
    pub tags: Vec<String>,
}

/// What the configuration wants of these instances, and whether their disks are in use, by name; without those that
/// are gone. Asks no node.
///
/// # Errors
/// As [`Client::query`].
pub async fn wanted_states(
    client: &mut Client<'_>,
    instances: &[&str],
) -> Result<BTreeMap<String, Wanted>, LuxiError> {
    type WantedRow = (Required<String>, Required<AdminState>, Required<bool>, Cell<Vec<String>>);
    if instances.is_empty() {
        return Ok(BTreeMap::new());
    }
    let fields = ["name", "admin_state", "disks_active", "tags"];
    let rows = client.query::<WantedRow>("instance", &fields, Some(any_of("name", instances))).await?;
    let wanted = |(name, admin_state, disks_active, tags): WantedRow| {
        let tags = tags.value().unwrap_or_default();
        (name.1, Wanted { admin_state: admin_state.1, disks_active: disks_active.1, tags })
    };
    Ok(readable(rows).map(wanted).collect())
}

/// A filter for the objects whose field has one of these values. Without the "&" luxid takes names for ones that must
/// exist, and refuses the whole query when one does not.
fn any_of(field: &str, values: &[&str]) -> Value {
    let each = values.iter().map(|value| json!(["==", field, value]));
    let any: Vec<Value> = std::iter::once(json!("|")).chain(each).collect();
    json!(["&", any])
}

/// Every job that has not ended, with the summaries of its opcodes.
///
/// # Errors
/// As [`Client::query`].
pub async fn pending_jobs(client: &mut Client<'_>) -> Result<Vec<PendingJob>, LuxiError> {
    let filter =
        json!(["|", ["==", "status", "running"], ["==", "status", "queued"], ["==", "status", "waiting"]]);
    type JobRow = (Required<JobId>, Cell<Vec<String>>, Cell<String>);
    let rows = client.query::<JobRow>("job", &["id", "summary", "status"], Some(filter)).await?;
    let job = |(id, summary, status): JobRow| PendingJob {
        id: id.1,
        summaries: summary.value().unwrap_or_default(),
        has_process: status.value().is_none_or(|status| status != "queued"),
    };
    Ok(readable(rows).map(job).collect())
}

/// The opcodes that have ended of the jobs that failed, as far as Ganeti has not archived these; in the order of the jobs.
///
/// # Errors
/// As [`Client::query`].
pub async fn failed_jobs(client: &mut Client<'_>) -> Result<Vec<EndedJob>, LuxiError> {
    jobs_about(client, json!(["==", "status", "error"]), None).await
}

/// The opcodes that have one of these summaries and have ended, as far as Ganeti has not archived their jobs; in the order
/// of the jobs.
///
/// # Errors
/// As [`Client::query`].
pub async fn ended_jobs(client: &mut Client<'_>, summaries: &[String]) -> Result<Vec<EndedJob>, LuxiError> {
    let each = summaries.iter().map(|summary| json!(["=[]", "summary", summary]));
    let any: Vec<Value> = std::iter::once(json!("|")).chain(each).collect();
    jobs_about(client, Value::Array(any), Some(summaries)).await
}

/// Every opcode, of the jobs that the filter lets pass, that has ended; with `summaries` only those that have one of them.
async fn jobs_about(
    client: &mut Client<'_>,
    filter: Value,
    summaries: Option<&[String]>,
) -> Result<Vec<EndedJob>, LuxiError> {
    type JobRow = (Required<JobId>, Cell<Vec<String>>, Cell<Vec<String>>, Cell<Vec<Value>>);
    let rows =
        client.query::<JobRow>("job", &["id", "summary", "opstatus", "opresult"], Some(filter)).await?;
    let mut ended = Vec::new();
    for (id, own, statuses, results) in readable(rows) {
        let own = own.value().unwrap_or_default();
        let ends = statuses.value().unwrap_or_default().into_iter().zip(results.value().unwrap_or_default());
        for (summary, (status, result)) in own.into_iter().zip(ends) {
            if let Some(end) = end_of(&status, &result)
                && summaries.is_none_or(|wanted| wanted.contains(&summary))
            {
                ended.push(EndedJob { id: id.1, summary, end });
            }
        }
    }
    Ok(ended)
}

fn end_of(status: &str, result: &Value) -> Option<OpEnd> {
    match status {
        "success" => Some(OpEnd::Success),
        "error" => match GanetiError::decode(result) {
            Some(error) if ["OpPrereqError", "HooksAbort"].contains(&error.class.as_str()) => {
                Some(OpEnd::Refused)
            }
            // `jqueue: _JobProcessor` says so of every opcode after the one that failed.
            Some(error) if error.message == "Preceding opcode failed" => Some(OpEnd::Refused),
            Some(_) | None => Some(OpEnd::Failed),
        },
        _ => None,
    }
}

type NodeRow = (Required<String>, Cell<String>, Cell<bool>, Cell<bool>, Cell<String>, Cell<String>);
type InstanceRow = (
    Required<String>,
    Required<String>,
    Required<AdminState>,
    Required<bool>,
    Required<Vec<String>>,
    Cell<String>,
    Required<Vec<Option<String>>>,
    Cell<String>,
    Cell<String>,
    Cell<Vec<String>>,
);

const NODE_FIELDS: [&str; 6] = ["name", "bootid", "offline", "vm_capable", "pip", "uuid"];
const INSTANCE_FIELDS: [&str; 10] = [
    "name",
    "status",
    "admin_state",
    "disks_active",
    "snodes",
    "pnode.group.uuid",
    "snodes.group.uuid",
    "disk_template",
    "pnode",
    "tags",
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

fn node((name, boot_id, offline, vm_capable, address, uuid): NodeRow) -> Node {
    Node {
        name: name.1,
        boot_id: boot_id.value().filter(|boot_id| !boot_id.is_empty()),
        offline: offline.value().unwrap_or(false),
        vm_capable: vm_capable.value().unwrap_or(true),
        address: address.value().unwrap_or_default(),
        uuid: uuid.value().unwrap_or_default(),
    }
}

/// The instance, or why it is split: a secondary node is in another group than the primary.
fn membership(row: InstanceRow) -> Result<Instance, SplitInstance> {
    let (
        name,
        status,
        admin_state,
        disks_active,
        secondaries,
        primary_group,
        secondary_groups,
        template,
        primary,
        tags,
    ) = row;
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
        primary: primary.value().unwrap_or_default(),
        secondaries: secondaries.1,
        disk_template: template.value().unwrap_or_default(),
        tags: tags.value().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_row_of_an_instance_or_node_is_read_or_not() {
        let seeds = [
            r#"[[0,"i1"],[0,"ERROR_down"],[0,"up"],[0,true],[0,["n2"]],[0,"u"],[0,["u"]],[0,"drbd"],[0,"n1"],[0,["t"]]]"#,
            r#"[[0,"i1"],[0,"running"],[0,"down"],[0,false],[0,[]],[0,"u"],[0,[null]],[2,null],[4,null],[1,null]]"#,
            r#"[[0,"n1"],[0,"b"],[0,false],[0,true],[0,"192.0.2.1"],[0,"u"]]"#,
        ];
        crate::fuzz_tests::fuzz_text(&seeds, |text| {
            drop(serde_json::from_str::<InstanceRow>(text).map(membership));
            drop(serde_json::from_str::<NodeRow>(text).map(node));
            if let Ok(result) = serde_json::from_str(text) {
                let _end = end_of("error", &result);
            }
        });
    }

    fn row(text: &str) -> InstanceRow {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_row_becomes_an_instance() {
        let instance = membership(row(
            r#"[[0,"i1"],[0,"ERROR_down"],[0,"up"],[0,true],[0,["n2"]],[0,"g"],[0,["g"]],[0,"drbd"],[0,"n1"],[0,["t"]]]"#,
        ))
        .unwrap();
        assert_eq!(instance.status, InstanceStatus::ErrorDown);
        assert_eq!(instance.admin_state, AdminState::Up);
        assert_eq!((instance.primary.as_str(), instance.secondaries), ("n1", vec!["n2".to_owned()]));
        assert_eq!(instance.tags, ["t"]);
    }

    #[test]
    fn an_instance_with_nodes_in_two_groups_is_split() {
        let split = membership(row(
            r#"[[0,"i1"],[0,"running"],[0,"up"],[0,true],[0,["n2"]],[0,"g"],[0,["h"]],[0,"drbd"],[0,"n1"],[0,[]]]"#,
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
        assert_eq!(parse(r#"[[0,"n1"],[2,null],[0,false],[0,true],[0,"192.0.2.1"],[0,"u"]]"#).boot_id, None);
        assert!(parse(r#"[[0,"n1"],[4,null],[0,true],[0,true],[0,""],[0,"u"]]"#).offline);
        assert_eq!(
            parse(r#"[[0,"n1"],[0,"b"],[0,false],[1,null],[1,null],[1,null]]"#).boot_id.as_deref(),
            Some("b")
        );
    }
}
