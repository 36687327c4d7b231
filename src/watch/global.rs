//! The global part of a run: what is done once, on every node.
//!
//! Source: `watcher/__init__.py: _GlobalWatcher, _StartGroupChildren, _ArchiveJobs`.

use std::fs::File;

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use tracing::{debug, error, info};

use super::{Context, Ended, NotMaster, connect, detach, group};
use crate::armed::Armed;
use crate::luxi::Client;
use crate::luxi::client::CALL_TIMEOUT;
use crate::node::daemons::Daemons;
use crate::node::probes::{self, Pace};
use crate::node::{hooks, maintenance};
use crate::observe::{self, Group};

/// Runs the global part. `lock` is the watcher lock, which detached group parts keep.
///
/// What this node owes its cluster comes first, and nothing of it ends the run: in the original a failure of node
/// maintenance does, and then the instances of the whole cluster stay down.
///
/// # Errors
/// When luxid cannot be used. A group that fails is logged and makes the run [`Ended::Failed`].
pub(super) async fn run(context: &Context<'_>, lock: Option<&File>) -> Result<Ended> {
    let mut daemons = Daemons::new(context.layout, context.armed).await;
    daemons.ensure_on_every_node().await;
    hooks::run(context.armed, &context.layout.watcher_hooks(), hooks::TIME_LIMIT).await;
    maintenance::run(context.armed, context.layout, context.clock).await;
    let mut client = match connect::connect_or_start(context, &mut daemons).await {
        Err(error) if error.is::<NotMaster>() => {
            if context.armed.is_none() {
                info!("{error}: a run would do nothing more here");
            }
            debug!("{error}, nothing more to do here");
            return Ok(Ended::Done);
        }
        client => client?,
    };
    let rapi_ip = &context.options.rapi_ip;
    probes::ensure(&mut daemons, context.layout, context.clock, rapi_ip, Pace::default()).await;
    connect::check_master(context, &mut client).await?;
    if let Some(armed) = context.armed {
        archive_jobs(armed, &mut client, context).await?;
    } else {
        info!("Would archive jobs that ended more than {} s ago", context.options.job_age);
    }
    let groups = observe::groups(&mut client).await?;
    drop(client);
    if let (false, Some(armed), Some(lock)) = (context.options.wait_children, context.armed, lock) {
        return detach::start(armed, context, &groups, lock);
    }
    let results = join_all(groups.iter().map(|group| watch(context, group))).await;
    Ok(if results.into_iter().all(|succeeded| succeeded) { Ended::Done } else { Ended::Failed })
}

/// One group; whether it went well.
async fn watch(context: &Context<'_>, group: &Group) -> bool {
    match group::run(context, &group.uuid).await {
        Ok(()) => true,
        Err(error) => {
            error!("Watcher for node group '{}' ({}) failed: {error:#}", group.name, group.uuid);
            false
        }
    }
}

/// Old jobs are archived before new ones are submitted: a full queue must not keep the watcher from emptying it.
async fn archive_jobs(_armed: &Armed, client: &mut Client<'_>, context: &Context<'_>) -> Result<()> {
    // luxid's own limit for the call, as the original has it.
    let time_limit = (CALL_TIMEOUT.as_secs() - 1) / 2;
    let (archived, left): (u64, u64) = client
        .call("AutoArchiveJobs", &(context.options.job_age, time_limit))
        .await
        .context("cannot archive old jobs")?;
    debug!("Archived {archived} jobs, left {left}");
    Ok(())
}
