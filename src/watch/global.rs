//! The global part of a run: what is done once, on every node.
//!
//! Source: `watcher/__init__.py: _GlobalWatcher, _StartGroupChildren, _ArchiveJobs`.

use std::fs::File;
use std::panic::AssertUnwindSafe;

use anyhow::{Context as _, Result};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tracing::{debug, error, info};

use super::cut_short::CutShort;
use super::{Context, Ended, connect, detach, group};
use crate::act::Slots;
use crate::luxi::{Client, jobs};
use crate::observe::{self, Group};

/// Runs the global part. `lock` is the watcher lock, which detached group parts keep.
///
/// This node's own duties come first, and no failure there ends the run: in the original a failed node
/// maintenance does, and then the instances of the whole cluster stay down.
///
/// # Errors
/// When luxid cannot be used. A group that fails is logged and makes the run [`Ended::Failed`].
pub(super) async fn run(
    context: &Context<'_>,
    slots: &Slots,
    lock: Option<&File>,
) -> Result<Ended, CutShort> {
    context.daemons.on_every_node(context.armed).await;
    let mut client = match connect::connect_or_start(context).await {
        Err(CutShort::NotMaster(error)) => {
            if context.armed.is_none() {
                info!("{error}: a run would do nothing more here");
            }
            debug!("{error}, nothing more to do here");
            return Ok(Ended::Done);
        }
        client => client?,
    };
    // Before RAPI or WConfD is touched: they belong to the master alone. luxid may be silent because of
    // WConfD, so when it does not answer they are checked first, and luxid is asked again.
    let asked = connect::check_master(context, &mut client).await;
    if let Err(CutShort::NotMaster(_) | CutShort::Nameless(_)) = &asked {
        return asked.map(|_| Ended::Done);
    }
    context.daemons.on_master(context.armed).await;
    let facts = match asked {
        Ok(facts) => facts,
        Err(error) => {
            debug!("{error:#}, asking again");
            connect::check_master(context, &mut client).await?
        }
    };
    if !facts.queue_is_drained {
        archive_jobs(context, &mut client).await?;
    }
    let groups = observe::groups(&mut client).await?;
    drop(client);
    if let (true, Some(armed), Some(lock)) = (context.options.no_wait_children, context.armed, lock) {
        return Ok(detach::start(armed, context, &groups, lock));
    }
    let results = join_all(groups.iter().map(|group| watch(context, slots, group))).await;
    Ok(if results.into_iter().all(|succeeded| succeeded) { Ended::Done } else { Ended::Failed })
}

/// Handles one group, and returns whether it went well. Whatever happens in it, the other groups go on.
async fn watch(context: &Context<'_>, slots: &Slots, group: &Group) -> bool {
    let Group { name, uuid } = group;
    let watched = AssertUnwindSafe(group::run(context, slots, uuid)).catch_unwind();
    let Ok(result) = watched.await else {
        // The panic hook has logged the place.
        error!("Watcher for node group '{name}' ({uuid}) failed with an internal error");
        return false;
    };
    match result {
        Ok(()) => true,
        Err(CutShort::NotMaster(error)) => {
            debug!("No longer the master: {error}");
            true
        }
        Err(CutShort::StateBusy(error)) => {
            error!("{error}");
            true
        }
        Err(error) => {
            error!("Watcher for node group '{name}' ({uuid}) failed: {error:#}");
            false
        }
    }
}

/// Old jobs are archived before new ones are submitted: a full queue must not keep the watcher from emptying
/// it.
async fn archive_jobs(context: &Context<'_>, client: &mut Client<'_>) -> Result<()> {
    let age = context.options.job_age;
    let Some(armed) = context.armed else {
        info!("Would archive jobs that ended more than {age} s ago");
        return Ok(());
    };
    let (archived, left) = jobs::auto_archive(client, armed, age).await.context("cannot archive old jobs")?;
    debug!("Archived {archived} jobs, left {left}");
    Ok(())
}
