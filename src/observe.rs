//! The world becomes a value: luxid's answers as [`Snapshot`] and other plain facts.
//!
//! Source: `watcher/__init__.py: _GetGroupData, _CheckMaster, _StartGroupChildren`.

pub mod starts;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tracing::{error, warn};

use crate::cluster::{
    AdminState, EndedJob, GanetiError, GanetiVersion, Instance, InstanceStatus, JobId, LockMode, Node, OpEnd,
    PendingJob, Snapshot, SplitInstance,
};
use crate::luxi::messages::{Cell, EXPLAINED, Rows, UnreadableRow};
use crate::luxi::{Client, LuxiError};

/// So much of a strange value is shown, in characters.
const LONGEST_EXCERPT: usize = 60;

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
/// As [`Client::query`]; also when luxid names no master, or does not say whether the queue is drained.
pub async fn cluster_facts(client: &mut Client<'_>) -> Result<ClusterFacts, LuxiError> {
    let (master_node, queue_is_drained): (String, bool) =
        client.query_config_values(&["master_node", "drain_flag"]).await?;
    if master_node.is_empty() {
        return Err(malformed("QueryConfigValues", "it names no master node"));
    }
    Ok(ClusterFacts { master_node, queue_is_drained })
}

fn malformed(method: &'static str, reason: impl Into<String>) -> LuxiError {
    LuxiError::Malformed { method, reason: reason.into() }
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

/// Asks for the [`ClusterSetup`], by `QueryClusterInfo`. A version of unknown form is a warning: no instance stays down
/// because of that.
///
/// # Errors
/// As [`Client::query`]; also when no tags come. One of them may say that nothing is to be started.
pub async fn cluster_setup(client: &mut Client<'_>) -> Result<ClusterSetup, LuxiError> {
    #[derive(Deserialize)]
    struct ClusterInfo {
        #[serde(default)]
        software_version: Value,
        #[serde(default)]
        max_running_jobs: Option<usize>,
        #[serde(default)]
        max_tracked_jobs: Option<usize>,
        tags: Vec<String>,
    }
    let info = client.query_cluster_info::<ClusterInfo>().await?;
    let ClusterInfo { software_version, max_running_jobs, max_tracked_jobs, tags } = info;
    let version = software_version.as_str().and_then(GanetiVersion::parse);
    if version.is_none() {
        let found = software_version.as_str().map_or_else(|| software_version.to_string(), str::to_owned);
        let found: String = found.chars().take(LONGEST_EXCERPT).collect();
        warn!("Ganeti's version is unknown, using no optional features: {}", found.escape_debug());
    }
    Ok(ClusterSetup { version, max_running_jobs, max_tracked_jobs, tags })
}

/// All node groups, in natural order of names.
///
/// # Errors
/// As [`Client::query`].
pub async fn groups(client: &mut Client<'_>) -> Result<Vec<Group>, LuxiError> {
    let mut groups: Vec<Group> = client.query_groups(&["name", "uuid"]).await?;
    // Each is looked after once, however often it is told.
    let mut known = BTreeSet::new();
    groups.retain(|group| known.insert(group.uuid.clone()));
    Ok(groups)
}

/// One node group with its instances and nodes, the locks and the jobs. An instance that luxid describes in a way that
/// cannot be read is an entry of [`Snapshot::unreadable_instances`], and logged; a node of
/// [`Snapshot::unreadable_nodes`].
///
/// # Errors
/// As [`Client::query`], for the first of the four queries that fails.
pub async fn group(client: &mut Client<'_>, uuid: &str) -> Result<Snapshot, LuxiError> {
    let mut snapshot = Snapshot { group: uuid.to_owned(), ..Snapshot::default() };
    (snapshot.locked_instances, _) = locks(client, None).await?;
    snapshot.pending_jobs = pending_jobs(client).await?;
    let filter = json!(["==", "pnode.group.uuid", uuid]);
    let rows = client.query::<InstanceRow>("instance", &INSTANCE_FIELDS, Some(filter)).await?;
    let (rows, unreadable) = parted(rows);
    snapshot.unreadable_instances = unreadable.into_iter().map(what_is_known).collect();
    for row in rows {
        match membership(row) {
            Ok(instance) => snapshot.instances.push(instance),
            Err(split) => snapshot.split.push(split),
        }
    }
    let filter = json!(["==", "group.uuid", uuid]);
    let (rows, unreadable) = parted(client.query::<NodeRow>("node", &NODE_FIELDS, Some(filter)).await?);
    snapshot.unreadable_nodes = unreadable.into_iter().map(what_is_known).collect();
    snapshot.nodes = rows.into_iter().map(node).collect();
    leave_contradictions(&mut snapshot);
    Ok(snapshot)
}

/// An instance or a node that is told more than once is as good as one that cannot be read: nobody knows which row is true.
fn leave_contradictions(snapshot: &mut Snapshot) {
    let instances = repeated(snapshot.instances.iter().map(|instance| instance.name.as_str()));
    let nodes = repeated(snapshot.nodes.iter().map(|node| node.name.as_str()));
    for name in instances.iter().chain(&nodes).take(EXPLAINED) {
        error!("Ignoring what luxid says that cannot be understood: more than one row about '{name}'");
    }
    snapshot.instances.retain(|instance| !instances.contains(&instance.name));
    snapshot.nodes.retain(|node| !nodes.contains(&node.name));
    snapshot.unreadable_instances.extend(instances);
    snapshot.unreadable_nodes.extend(nodes);
}

/// The names that come more than once.
fn repeated<'n>(names: impl Iterator<Item = &'n str>) -> BTreeSet<String> {
    let mut once = BTreeSet::new();
    names.filter(|name| !once.insert(*name)).map(str::to_owned).collect()
}

/// The tags of a node group.
///
/// # Errors
/// As [`Client::query`]; also when no tags come. One of them may say that nothing is to be started.
pub async fn group_tags(client: &mut Client<'_>, uuid: &str) -> Result<Vec<String>, LuxiError> {
    type TagsRow = (Cell<Vec<String>>,);
    let filter = json!(["&", ["==", "uuid", uuid]]);
    let rows = client.query::<TagsRow>("group", &["tags"], Some(filter)).await?;
    let tags = readable(rows).find_map(|(tags,)| tags.value());
    tags.ok_or_else(|| malformed("Query", format!("it tells no tags of node group '{uuid}'")))
}

/// The locks that somebody holds, of instances by name and of nodes by UUID.
pub type Locks = (BTreeMap<String, LockMode>, BTreeMap<String, LockMode>);

/// Who is locked: all, or only out of these locks, such as `instance/NAME` and `node/UUID`. Locks of other kinds are left
/// out.
///
/// # Errors
/// As [`Client::query`].
pub async fn locks(client: &mut Client<'_>, of: Option<&[&str]>) -> Result<Locks, LuxiError> {
    type LockRow = (Cell<String>, Cell<Value>);
    let filter = of.map(|names| any_of("name", names));
    let (mut instances, mut nodes) = Locks::default();
    let mut nameless = 0;
    for (name, mode) in readable(client.query::<LockRow>("lock", &["name", "mode"], filter).await?) {
        let Some(name) = name.value() else {
            nameless += 1;
            continue;
        };
        let Some(mode) = lock_mode(&mode) else { continue };
        if let Some(instance) = name.strip_prefix("instance/") {
            instances.insert(instance.to_owned(), mode);
        } else if let Some(node) = name.strip_prefix("node/") {
            nodes.insert(node.to_owned(), mode);
        }
    }
    if nameless > 0 {
        error!("Ignoring what luxid says that cannot be understood: {nameless} locks without a name");
    }
    Ok((instances, nodes))
}

/// How a lock is held; `None` when nobody holds it, of which luxid says null with status 0 (`Query/Locks.hs: getMode`).
fn lock_mode(Cell(status, mode): &Cell<Value>) -> Option<LockMode> {
    match mode.as_ref().map(Value::as_str) {
        None if *status == 0 => None,
        Some(Some("shared")) => Some(LockMode::Shared),
        Some(Some("exclusive")) => Some(LockMode::Exclusive),
        None | Some(_) => Some(LockMode::Unknown),
    }
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
/// are gone, and `None` of those that are described in a way that cannot be read, which is logged. Asks no node.
///
/// # Errors
/// As [`Client::query`].
pub async fn wanted_states(
    client: &mut Client<'_>,
    instances: &[&str],
) -> Result<BTreeMap<String, Option<Wanted>>, LuxiError> {
    type WantedRow = (Required<String>, Required<AdminState>, Required<bool>, Required<Vec<String>>);
    if instances.is_empty() {
        return Ok(BTreeMap::new());
    }
    let fields = ["name", "admin_state", "disks_active", "tags"];
    let rows = client.query::<WantedRow>("instance", &fields, Some(any_of("name", instances))).await?;
    let (rows, unreadable) = parted(rows);
    let wanted = |(name, admin_state, disks_active, tags): WantedRow| {
        let wanted = Wanted { admin_state: admin_state.1, disks_active: disks_active.1, tags: tags.1 };
        (name.1, Some(wanted))
    };
    let unknown = unreadable.into_iter().filter_map(|row| Some((row.name?, None)));
    Ok(rows.into_iter().map(wanted).chain(unknown).collect())
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
/// As [`Client::query`]; also when a job has no number.
pub async fn pending_jobs(client: &mut Client<'_>) -> Result<Vec<PendingJob>, LuxiError> {
    let filter =
        json!(["|", ["==", "status", "running"], ["==", "status", "queued"], ["==", "status", "waiting"]]);
    type JobRow = (Required<JobId>, Cell<Value>, Cell<Value>);
    let Rows(rows) = client.query::<JobRow>("job", &["id", "summary", "status"], Some(filter)).await?;
    let job = |row: Result<JobRow, UnreadableRow>| match row {
        Ok((id, summary, status)) => Ok(PendingJob {
            id: id.1,
            summaries: summary.value().and_then(|summary| serde_json::from_value(summary).ok()),
            has_process: status.value().is_none_or(|status| status != "queued"),
        }),
        Err(unreadable) => Err(malformed("Query", unreadable.problem)),
    };
    rows.into_iter().map(job).collect()
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
        // `jqueue: OpStatus`. A canceled one has not begun.
        "queued" | "waiting" | "canceling" | "running" | "canceled" => None,
        _ => Some(OpEnd::Unknown),
    }
}

type NodeRow = (Required<String>, Cell<String>, Cell<bool>, Cell<bool>, Cell<String>, Required<String>);
type InstanceRow = (
    Required<String>,
    Required<String>,
    Required<AdminState>,
    Required<bool>,
    Required<Vec<String>>,
    Cell<String>,
    Required<Vec<Option<String>>>,
    Required<String>,
    Required<String>,
    Required<Vec<String>>,
    Cell<Value>,
);

const NODE_FIELDS: [&str; 6] = ["name", "bootid", "offline", "vm_capable", "pip", "uuid"];
const INSTANCE_FIELDS: [&str; 11] = [
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
    // Out of the configuration: asks no node.
    "be/minmem",
];

/// A cell that must have a value.
#[derive(Debug, Deserialize)]
struct Required<T>(IgnoredAny, T);

fn readable<R>(rows: Rows<R>) -> impl Iterator<Item = R> {
    parted(rows).0.into_iter()
}

/// The rows that can be read, and the others, of which the first few are logged and the rest counted.
fn parted<R>(Rows(rows): Rows<R>) -> (Vec<R>, Vec<UnreadableRow>) {
    let (mut readable, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match row {
            Ok(row) => readable.push(row),
            Err(row) => unreadable.push(row),
        }
    }
    for row in unreadable.iter().take(EXPLAINED) {
        error!("Ignoring what luxid says that cannot be understood: {}", row.problem);
    }
    let rest = unreadable.len().saturating_sub(EXPLAINED);
    if rest > 0 {
        error!("Ignoring what luxid says that cannot be understood: {rest} more rows of the same answer");
    }
    (readable, unreadable)
}

/// The name of an object that cannot be read, or what is wrong with it.
fn what_is_known(row: UnreadableRow) -> String {
    row.name.unwrap_or(row.problem)
}

fn node((name, boot_id, offline, vm_capable, address, uuid): NodeRow) -> Node {
    Node {
        name: name.1,
        boot_id: boot_id.value().filter(|boot_id| !boot_id.is_empty()),
        offline: offline.value(),
        vm_capable: vm_capable.value(),
        address: address.value().unwrap_or_default(),
        uuid: uuid.1,
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
        memory,
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
        primary: primary.1,
        secondaries: secondaries.1,
        disk_template: template.1,
        memory: memory.value().and_then(|memory| memory.as_u64()),
        tags: tags.1,
    })
}

#[cfg(test)]
mod tests;
