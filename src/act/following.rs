//! Submitted jobs, until they end.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::JobId;
use crate::decide::Action;
use crate::luxi::jobs::{End, Follower, JobOutcome, JobResult, PollPace};
use crate::luxi::{Client, LuxiError};
use crate::{logging, tell};

/// How long luxid may return errors instead of job statuses before the jobs are given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The jobs in flight, each with its action.
#[derive(Debug)]
pub(super) struct InFlight {
    jobs: BTreeMap<JobId, Action>,
    follower: Follower,
    pace: PollPace,
}

impl InFlight {
    pub(super) fn new() -> Self {
        Self { jobs: BTreeMap::new(), follower: Follower::default(), pace: PollPace::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn add(&mut self, job: JobId, action: Action) {
        self.jobs.insert(job, action);
    }

    /// Something has happened, so more may follow soon.
    pub(super) fn quicken(&mut self) {
        self.pace.quicken();
    }

    /// How long to wait before luxid is asked about them again.
    pub(super) fn pause(&self) -> Duration {
        self.pace.length(self.jobs.len())
    }

    /// Takes out the jobs that have ended.
    ///
    /// # Errors
    /// As [`ended`].
    pub(super) async fn take_ended(
        &mut self,
        client: &mut Client<'_>,
    ) -> Result<Vec<(Action, JobOutcome)>, LuxiError> {
        let ids: Vec<JobId> = self.jobs.keys().copied().collect();
        let ended = ended(client, &mut self.follower, &ids).await?.into_iter();
        Ok(ended.filter_map(|finished| Some((self.jobs.remove(&finished.job)?, finished))).collect())
    }

    /// Takes all of them out: how they end will remain unknown.
    pub(super) fn take_all(&mut self) -> BTreeMap<JobId, Action> {
        std::mem::take(&mut self.jobs)
    }
}

/// Those of `jobs` that have ended. An error from luxid, such as one while it loads its configuration, may
/// pass.
///
/// # Errors
/// luxid's error, when it returns nothing else for [`PATIENCE`].
async fn ended(
    client: &mut Client<'_>,
    follower: &mut Follower,
    jobs: &[JobId],
) -> Result<Vec<JobOutcome>, LuxiError> {
    let deadline = Instant::now() + PATIENCE;
    let pace = PollPace::new();
    loop {
        match follower.look(client, jobs).await {
            Err(error) if Instant::now() < deadline => logging::log(tell::answers::asked_again(&error)),
            finished => return finished,
        }
        pace.pause(jobs.len()).await;
    }
}

/// Waits for one job, however long it takes.
///
/// # Errors
/// When luxid can no longer be asked, or gives answers for a minute that cannot be understood; the job may go
/// on.
pub(super) async fn wait(client: &mut Client<'_>, job: JobId) -> Result<JobResult, LuxiError> {
    let pace = PollPace::unhurried();
    let mut follower = Follower::default();
    loop {
        pace.pause(1).await;
        match ended(client, &mut follower, &[job]).await?.pop() {
            Some(JobOutcome { end: End::Known(result, _), .. }) => return Ok(result),
            Some(JobOutcome { end: End::Unknown(problem), .. }) => {
                let reason = format!("job {job}: {problem}");
                return Err(LuxiError::Malformed { method: "QueryJobs", reason });
            }
            None => {}
        }
    }
}
