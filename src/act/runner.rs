//! What turns actions into jobs, and what else `watch` asks of it.

use std::fmt;

use anyhow::Result;

use super::following;
use super::loads::Loads;
use super::slots::Share;
use super::view::View;
use super::witness::Stopped;
use crate::armed::Armed;
use crate::clock::Clock;
use crate::cluster::{GanetiVersion, JobId, Snapshot, Timestamp};
use crate::decide::governor::Governor;
use crate::luxi::LuxiError;
use crate::luxi::jobs::{self, JobResult, SubmitError};
use crate::luxi::opcodes::OpCode;
use crate::node::mond::Monitor;
use crate::observe::ClusterSetup;

/// A runner's outside world, and its permission to change it.
#[derive(Clone, Copy)]
pub struct Seams<'a> {
    /// Permission to submit jobs.
    pub armed: &'a Armed,
    /// For the times in reasons and records.
    pub clock: &'a dyn Clock,
    /// Reports how busy nodes are.
    pub monitor: &'a dyn Monitor,
    /// Whether an administrator wants the watcher to stop now.
    pub is_paused: &'a dyn Fn() -> Result<bool>,
}

impl fmt::Debug for Seams<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { armed, clock, monitor, is_paused: _ } = self;
        let mut debug = formatter.debug_struct("Seams");
        debug.field("armed", armed).field("clock", clock).field("monitor", monitor).finish_non_exhaustive()
    }
}

/// Turns actions into jobs.
#[derive(Debug)]
pub struct Runner<'a> {
    /// The group as last seen, and the connection to luxid.
    pub(super) view: View<'a>,
    pub(super) seams: Seams<'a>,
    pub(super) version: Option<GanetiVersion>,
    /// How many jobs the cluster runs at once, if known.
    ceiling: Option<usize>,
    /// The group's share of the slots for jobs.
    pub(super) share: Share<'a>,
    pub(super) governor: Governor,
    pub(super) loads: Loads<'a>,
}

impl<'a> Runner<'a> {
    /// A runner for the group that `view` shows, in a cluster of this setup, with its share of the job slots
    /// and the number of starts that `governor` allows each node.
    #[must_use]
    pub fn new(
        view: View<'a>,
        setup: &ClusterSetup,
        share: Share<'a>,
        governor: Governor,
        seams: Seams<'a>,
    ) -> Self {
        let ClusterSetup { version, max_running_jobs, max_tracked_jobs, tags: _ } = setup;
        let ceiling = max_running_jobs.iter().chain(max_tracked_jobs).min().copied();
        Self { view, seams, version: *version, ceiling, share, governor, loads: Loads::new(seams.monitor) }
    }

    /// The group as last seen.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.view.snapshot
    }

    /// The group as last seen, to be looked at again.
    pub fn view_mut(&mut self) -> &mut View<'a> {
        &mut self.view
    }

    /// The cluster's version, if known.
    #[must_use]
    pub fn version(&self) -> Option<GanetiVersion> {
        self.version
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.seams.clock.now()
    }

    /// Submits one opcode as a job of its own, unless the watcher was paused. The inner error means that no
    /// job is known for this opcode; others can still be submitted.
    ///
    /// # Errors
    /// See [`Stopped`].
    pub async fn submit(&mut self, opcode: &OpCode) -> Result<Result<JobId, SubmitError>, Stopped> {
        self.check_pause()?;
        let now_ns = self.seams.clock.now_ns();
        let opcodes = std::slice::from_ref(opcode);
        let (client, armed) = (&mut self.view.client, self.seams.armed);
        match jobs::submit(client, armed, opcodes, self.version, now_ns).await {
            Ok(mut jobs) => Ok(match jobs.pop() {
                Some(Ok(job)) => {
                    self.share.submitted(job);
                    Ok(job)
                }
                Some(Err(problem)) => Err(SubmitError::Refused(problem)),
                None => Err(SubmitError::Refused("luxid gave it no number".to_owned())),
            }),
            Err(SubmitError::NoJob(error)) if error.is_queue_drained() => Err(Stopped::Drained),
            Err(SubmitError::NoJob(error)) if !error.is_answer() => Err(error.into()),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Waits for one job, however long it takes.
    ///
    /// # Errors
    /// When luxid can no longer be asked, or gives answers for a minute that cannot be understood; the job
    /// may go on.
    pub async fn wait(&mut self, job: JobId) -> Result<JobResult, LuxiError> {
        following::wait(&mut self.view.client, job).await
    }

    /// Moves an ended job to the archive, as [`jobs::archive`] does.
    pub async fn archive(&mut self, job: JobId) {
        jobs::archive(&mut self.view.client, self.seams.armed, job).await;
    }

    pub(super) fn check_pause(&self) -> Result<(), Stopped> {
        if (self.seams.is_paused)().map_err(Stopped::Failed)? { Err(Stopped::Paused) } else { Ok(()) }
    }

    /// How many more jobs may be submitted now.
    pub(super) fn room(&self) -> usize {
        self.share.room(self.ceiling, &self.view.snapshot.pending_jobs)
    }

    /// How many starts of ours each node can take, in addition to those of others.
    pub(super) fn width(&self) -> impl Fn(&str) -> usize {
        self.governor.width_beside_others(&self.view.snapshot, |job| self.share.is_ours(job))
    }
}
