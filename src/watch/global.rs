//! The global part of a run: what is done once, on every node.
//!
//! Source: `watcher/__init__.py: _GlobalWatcher, _StartGroupChildren, _ArchiveJobs`.

use std::fs::File;
use std::panic::AssertUnwindSafe;

use anyhow::{Context as _, Result};
use futures_util::FutureExt;
use futures_util::future::join_all;

use super::cut_short::CutShort;
use super::{Context, Ended, connect, detach, group};
use crate::act::Slots;
use crate::luxi::{Client, jobs};
use crate::observe::{self, Group};
use crate::{logging, tell};

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
                logging::log(tell::master::elsewhere_for_a_dry_run(&error));
            }
            logging::log(tell::master::elsewhere(&error));
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
            logging::log(tell::master::asked_again(&error));
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
        logging::log(tell::group::failed_inside(name));
        return false;
    };
    match result {
        Ok(()) => true,
        Err(CutShort::NotMaster(error)) => {
            logging::log(tell::master::moved(&error));
            true
        }
        Err(CutShort::StateBusy(error)) => {
            logging::log(tell::run::failed(&error));
            true
        }
        Err(error) => {
            logging::log(tell::group::failed(name, &error));
            false
        }
    }
}

/// Old jobs are archived before new ones are submitted: a full queue must not keep the watcher from emptying
/// it.
async fn archive_jobs(context: &Context<'_>, client: &mut Client<'_>) -> Result<()> {
    let age = context.options.job_age;
    let Some(armed) = context.armed else {
        logging::log(tell::group::would_archive(age));
        return Ok(());
    };
    let (archived, left) = jobs::auto_archive(client, armed, age).await.context("cannot archive old jobs")?;
    logging::log(tell::group::archived(archived, left));
    Ok(())
}
