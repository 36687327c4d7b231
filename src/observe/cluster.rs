//! What the whole cluster says about itself, without asking a node.

use serde::Deserialize;
use serde_json::Value;

use super::rows::malformed;
use crate::cluster::{GanetiVersion, Name};
use crate::luxi::rows::row;
use crate::luxi::{Client, LuxiError};
use crate::{logging, tell};

/// How much of a strange value is shown, in characters.
const LONGEST_EXCERPT: usize = 60;

/// What the whole cluster says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Name of the master node.
    pub master_node: String,
    /// Whether the job queue accepts no jobs (`drain_flag`).
    pub queue_is_drained: bool,
}

row! {
    struct ConfigValues {
        master_node: String = "master_node",
        queue_is_drained: bool = "drain_flag",
    }
}

/// Asks for the [`ClusterFacts`]: `QueryConfigValues`, which asks no node.
///
/// # Errors
/// As [`Client::query`]; also when luxid names no master, or does not say whether the queue is drained.
pub async fn cluster_facts(client: &mut Client<'_>) -> Result<ClusterFacts, LuxiError> {
    let ConfigValues { master_node, queue_is_drained } = client.query_config_values().await?;
    if master_node.is_empty() {
        return Err(malformed("QueryConfigValues", "it names no master node"));
    }
    let master_node = Name::try_from(master_node)
        .map_err(|problem| malformed("QueryConfigValues", format!("the master node: {problem}")))?;
    Ok(ClusterFacts { master_node: master_node.into(), queue_is_drained })
}

/// How the cluster is set up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterSetup {
    /// Its version, if it could be found out.
    pub version: Option<GanetiVersion>,
    /// How many jobs may have a process at once (`max_running_jobs`).
    pub max_running_jobs: Option<usize>,
    /// How many of these luxid watches closely; it is late to notice the end of others (`max_tracked_jobs`).
    pub max_tracked_jobs: Option<usize>,
    /// Tags of the cluster.
    pub tags: Vec<String>,
}

/// Asks for the [`ClusterSetup`], by `QueryClusterInfo`. A version of unknown form is only a warning: no
/// instance stays down because of it.
///
/// # Errors
/// As [`Client::query`]; also when no tags come: one of them might say that nothing is to be started.
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
        logging::log(tell::answers::version_is_unknown(&found));
    }
    Ok(ClusterSetup { version, max_running_jobs, max_tracked_jobs, tags })
}
