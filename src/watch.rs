//! One run: the global part, which every node performs, and the group part, which the master performs for
//! each node group.

mod ahead;
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

use std::fmt::Display;
use std::path::Path;

pub use ahead::verdicts;
pub use context::Context;
use cut_short::CutShort;
pub use ended::Ended;
use log_witness::LogWitness;

use crate::act::Slots;
use crate::logging;
use crate::memory::kept_out::{self, KeptOut};
use crate::memory::locks::{self, LockError};
use crate::options::Options;
use crate::tell::{self, Times};

/// Makes one run (`watcher/__init__.py: Main`). When it returns, whatever went wrong is in the log.
pub async fn run(context: &Context<'_>) -> Ended {
    let is_dry_run = context.armed.is_none();
    if is_dry_run {
        logging::log(tell::begin::dry_run());
    }
    match context.is_paused() {
        Ok(false) => {}
        Ok(true) => {
            logging::log(tell::begin::paused(is_dry_run));
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
            logging::log(tell::begin::no_lock(&path, &error));
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
    let now = context.clock.now();
    match kept_out::count(armed, &context.layout.kept_out(), now) {
        Ok(KeptOut { runs, since }) if runs >= kept_out::TOLD_FROM => {
            let holder = kept_out::holder(context.layout.proc(), lock);
            let holder = holder.as_ref().map(|holder| holder as &dyn Display);
            logging::log(tell::begin::kept_out(runs, since, lock, holder, &Times::at(now)));
        }
        Ok(_) => {}
        Err(error) => logging::log(tell::begin::kept_out_uncounted(&error)),
    }
}

fn failed(context: &Context<'_>, error: &CutShort) -> Ended {
    if let CutShort::NotMaster(not_master) = error {
        logging::log(match context.armed {
            Some(_) => tell::master::elsewhere_after_all(not_master),
            None => tell::master::elsewhere_for_a_dry_run(not_master),
        });
        return Ended::NotMaster;
    }
    logging::log(tell::run::failed(error));
    Ended::Failed
}
