//! One run: the global part, which every node performs, and the group part, which the master performs for
//! each node group.

mod connect;
mod context;
mod cut_short;
mod detach;
mod dry_run;
mod ended;
mod gather;
mod global;
mod group;
mod inspect;
mod ledger;
mod log_witness;
pub mod retry;
mod verify;

use std::path::Path;
use std::time::Duration;

use tracing::{debug, error, info, warn};

pub use context::Context;
use cut_short::CutShort;
pub use ended::Ended;
use log_witness::LogWitness;

use crate::act::Slots;
use crate::clock;
use crate::memory::kept_out::{self, KeptOut};
use crate::memory::locks::{self, LockError};
use crate::options::Options;

/// Makes one run (`watcher/__init__.py: Main`). When it returns, whatever went wrong is in the log.
pub async fn run(context: &Context<'_>) -> Ended {
    if context.armed.is_none() {
        info!("Dry run: looking and deciding, changing nothing");
    }
    match context.is_paused() {
        Ok(false) => {}
        Ok(true) if context.armed.is_none() => {
            info!(
                "Pause has been set: a run would do nothing at all (--ignore-pause shows what it would do)"
            );
            return Ended::Done;
        }
        Ok(true) => {
            debug!("Pause has been set, exiting");
            return Ended::Done;
        }
        Err(error) => return failed(context, &error.into()),
    }
    let path = context.layout.watcher_lock();
    let lock = match context.armed {
        Some(armed) => locks::share(armed, &path).map(Some),
        None => locks::share_existing(&path),
    };
    let lock = match lock {
        Ok(lock) => {
            context.armed.iter().for_each(|armed| kept_out::forget(armed, &context.layout.kept_out()));
            lock
        }
        Err(error) => {
            error!("Can't acquire lock on {}: {error}", path.display());
            return match error {
                LockError::Busy { .. } => {
                    tell_who_keeps_runs_out(context, &path);
                    Ended::Done
                }
                LockError::Io(_) => Ended::Failed,
            };
        }
    };
    let slots = Slots::new(context.options.parallel_jobs);
    let result = match &context.options.node_group {
        Some(group) => group::run(context, &slots, group).await.map(|()| Ended::Done),
        None => global::run(context, &slots, lock.as_ref()).await,
    };
    result.unwrap_or_else(|error| failed(context, &error))
}

/// Says who holds the watcher lock, when it has kept out several runs in a row.
fn tell_who_keeps_runs_out(context: &Context<'_>, lock: &Path) {
    let Some(armed) = context.armed else { return };
    match kept_out::count(armed, &context.layout.kept_out(), context.clock.now()) {
        Ok(KeptOut { runs, since }) if runs >= kept_out::TOLD_FROM => {
            let holder = kept_out::holder(context.layout.proc(), lock);
            let holder = holder
                .map_or("a process that is not visible from here".to_owned(), |holder| holder.to_string());
            let since = clock::log_stamp(Duration::try_from_secs_f64(since).unwrap_or_default());
            let since = since.split(',').next().unwrap_or_default();
            error!(
                "No run has done anything since {since} ({runs} in a row), because {holder} holds the \
                 lock '{}'; if that process is not doing Ganeti maintenance, end it",
                lock.display()
            );
        }
        Ok(_) => {}
        Err(error) => warn!("Cannot tell how many runs the lock has kept out: {error:#}"),
    }
}

fn failed(context: &Context<'_>, error: &CutShort) -> Ended {
    if let CutShort::NotMaster(not_master) = error {
        match context.armed {
            // The original says so only with --debug, and exits with 11 without a message.
            Some(_) => info!("Not master, exiting: {not_master}"),
            None => info!("{not_master}: a run would do nothing more here"),
        }
        return Ended::NotMaster;
    }
    error!("{error:#}");
    Ended::Failed
}
