//! One run: the global part, which every node makes, and the group part, which the master makes for each node group.

mod connect;
mod detach;
mod dry_run;
mod global;
mod group;
mod inspect;
mod intents;
mod ledger;
mod plan;
pub mod retry;
mod verify;

use std::path::Path;
use std::time::Duration;

use anyhow::{Error, Result};
use tracing::{debug, error, info, warn};

use crate::act::{Slots, Witness};
use crate::armed::Armed;
use crate::clock::{self, Clock};
use crate::cluster::Timestamp;
use crate::decide::{Action, Note, Outcome};
use crate::layout::Layout;
use crate::logging;
use crate::luxi::Connector;
use crate::memory::kept_out::{self, KeptOut};
use crate::memory::locks::{self, LockError};
use crate::memory::pause::{self, Pause};
use crate::node::daemons::Daemons;
use crate::node::mond::Monitor;
use crate::options::Options;

/// What a run works with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What it is asked to do.
    pub options: &'a Options,
    /// Where things are.
    pub layout: &'a Layout,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// How luxid is reached.
    pub luxid: &'a dyn Connector,
    /// How this node's daemons are checked and started.
    pub daemons: &'a dyn Daemons,
    /// How busy nodes are.
    pub monitor: &'a dyn Monitor,
    /// Permission to change something; a dry run has none.
    pub armed: Option<&'a Armed>,
}

impl Context<'_> {
    /// Whether an administrator wants the watcher to do nothing now.
    fn is_paused(&self) -> Result<bool> {
        // Read before the option is minded: an expired or broken pause file is removed either way.
        let pause = pause::check(&self.layout.pause_file(), self.clock.now(), self.armed)?;
        Ok(pause != Pause::Off && !self.options.ignore_pause)
    }
}

/// How a run ended; the exit codes are `constants.EXIT_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything was done, or there was nothing to do here: exit code 0.
    Done,
    /// Something failed, and was logged: exit code 1.
    Failed,
    /// This is not the master, and that was found too late to be quiet about it: exit code 11.
    NotMaster,
}

/// This node is not the master, so a run has nothing to do with the cluster.
#[derive(Debug, thiserror::Error)]
#[error("Not on master node ({0})")]
pub(crate) struct NotMaster(String);

/// Logs what happens and remembers nothing.
struct LogWitness;

impl Witness for LogWitness {
    fn noted(&mut self, note: &Note, _now: Timestamp) {
        note.log_line().iter().for_each(logging::log);
    }

    fn begin(&mut self, actions: &[Action], _epoch_ns: u64) {
        actions.iter().for_each(|action| logging::log(&action.log_line()));
    }

    fn ended(&mut self, action: &Action, outcome: &Outcome, _now: Timestamp) {
        logging::log(&action.outcome_line(outcome));
    }
}

/// Makes one run (`watcher/__init__.py: Main`). Whatever goes wrong is in the log when it returns.
pub async fn run(context: &Context<'_>) -> Ended {
    if context.armed.is_none() {
        info!("Dry run: looking and deciding, and changing nothing");
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
        Err(error) => return failed(context, &error),
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
                .map_or("a process that cannot be seen from here".to_owned(), |holder| holder.to_string());
            let since = clock::log_stamp(Duration::try_from_secs_f64(since).unwrap_or_default());
            let since = since.split(',').next().unwrap_or_default();
            error!(
                "No run has done anything since {since} ({runs} in a row), because {holder} holds the lock '{}'; if that is not \
                 Ganeti's maintenance, end it",
                lock.display()
            );
        }
        Ok(_) => {}
        Err(error) => warn!("How many runs the lock has kept out is not known: {error:#}"),
    }
}

fn failed(context: &Context<'_>, error: &Error) -> Ended {
    if error.is::<NotMaster>() {
        match context.armed {
            // The original says it with --debug only, and exits with 11 without a word.
            Some(_) => info!("Not master, exiting: {error}"),
            None => info!("{error}: a run would do nothing more here"),
        }
        return Ended::NotMaster;
    }
    error!("{error:#}");
    Ended::Failed
}
