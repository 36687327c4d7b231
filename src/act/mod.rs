//! Carries out plans: one job for each action, at most so many at once, and a second look before each. Makes no choice
//! that a plan could have made.

mod view;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Result;
use thiserror::Error;
use tokio::time::Instant;
use tracing::debug;

use crate::armed::Armed;
use crate::clock::Clock;
use crate::cluster::{GanetiVersion, JobId, Timestamp};
use crate::decide::{Action, ActionKind, Note, Outcome, Step, second_look};
use crate::luxi::LuxiError;
use crate::luxi::jobs::{self, JobResult, PollPace, SubmitError};
use crate::luxi::opcodes::OpCode;

pub use view::View;

/// How long luxid may give errors instead of the status of jobs before they are given up.
const POLL_PATIENCE: Duration = Duration::from_secs(60);

/// Why a plan was not carried out to its end. Jobs that were submitted go on.
#[derive(Debug, Error)]
pub enum Stopped {
    /// An administrator paused the watcher meanwhile.
    #[error("the watcher was paused")]
    Paused,
    /// The job queue was drained meanwhile.
    #[error("the job queue was drained")]
    Drained,
    /// luxid cannot be talked to.
    #[error(transparent)]
    Luxi(#[from] LuxiError),
    /// Something else: a file cannot be read, for example.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

/// Hears what happens while a plan is carried out, and remembers it.
pub trait Witness {
    /// A note's turn has come.
    fn noted(&mut self, note: &Note, now: Timestamp);
    /// An action's job is about to be submitted.
    fn begins(&mut self, action: &Action);
    /// An action has ended. `now` is the time of that.
    fn ended(&mut self, action: &Action, outcome: &Outcome, now: Timestamp);
}

/// Turns actions into jobs.
pub struct Runner<'a, 'c> {
    /// The group as it was seen last, and the connection to luxid.
    pub view: View<'c>,
    /// Permission to submit jobs.
    pub armed: &'a Armed,
    /// The cluster's version, when it is known.
    pub version: Option<GanetiVersion>,
    /// For the times of reasons and records.
    pub clock: &'a dyn Clock,
    /// Whether an administrator wants the watcher to stop now.
    pub is_paused: &'a dyn Fn() -> Result<bool>,
    /// At most so many jobs are in flight.
    pub limit: usize,
}

impl std::fmt::Debug for Runner<'_, '_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Runner").field("limit", &self.limit).finish_non_exhaustive()
    }
}

type InFlight = Vec<(JobId, Action)>;

impl Runner<'_, '_> {
    /// Takes the steps in order and returns when everything that was submitted has ended.
    ///
    /// # Errors
    /// See [`Stopped`]. Nothing more is submitted then. What is in flight is followed to its end all the same, unless
    /// luxid itself is away.
    pub async fn carry_out(&mut self, steps: Vec<Step>, witness: &mut dyn Witness) -> Result<(), Stopped> {
        let mut waiting: VecDeque<Step> = steps.into();
        let mut in_flight = InFlight::new();
        let mut pace = PollPace::new();
        let mut stopped = Ok(());
        loop {
            while stopped.is_ok() && in_flight.len() < self.limit {
                let Some(step) = waiting.pop_front() else { break };
                match step {
                    Step::Note(note) => witness.noted(&note, self.clock.now()),
                    Step::Act(action) => match self.begin(action, witness).await {
                        Ok(begun) => {
                            in_flight.extend(begun);
                            pace.quicken();
                        }
                        Err(reason) => stopped = Err(reason),
                    },
                }
            }
            if in_flight.is_empty() {
                return stopped;
            }
            pace.pause().await;
            match self.collect(&mut in_flight, witness).await {
                Ok(false) => {}
                Ok(true) => pace.quicken(),
                Err(error) => {
                    let now = self.clock.now();
                    for (job, action) in in_flight {
                        witness.ended(&action, &Outcome::Unknown(format!("job {job}: {error}")), now);
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// Submits one opcode as a job of its own, unless the watcher was paused.
    ///
    /// # Errors
    /// See [`Stopped`].
    pub async fn submit(&mut self, opcode: &OpCode) -> Result<Result<JobId, SubmitError>, Stopped> {
        self.check_pause()?;
        let now_ns = self.clock.now_ns();
        let submitted = jobs::submit(&mut self.view.client, self.armed, opcode, self.version, now_ns).await;
        match submitted {
            Err(SubmitError::NoJob(error)) if error.is_queue_drained() => Err(Stopped::Drained),
            Err(SubmitError::NoJob(error)) if !error.is_answer() => Err(error.into()),
            submitted => Ok(submitted),
        }
    }

    fn check_pause(&self) -> Result<(), Stopped> {
        if (self.is_paused)().map_err(Stopped::Failed)? { Err(Stopped::Paused) } else { Ok(()) }
    }

    /// Looks again, and submits the action's job if it is still wanted.
    async fn begin(
        &mut self,
        action: Action,
        witness: &mut dyn Witness,
    ) -> Result<Option<(JobId, Action)>, Stopped> {
        self.view.look_again_at(&action.instance).await?;
        let outcome = match second_look::change(&action, &self.view.snapshot) {
            Some(change) => Outcome::LeftAlone(change),
            None => {
                // Before it is told: what a paused watcher does not do, it does not say either.
                self.check_pause()?;
                witness.begins(&action);
                match self.submit(&opcode(&action)).await? {
                    Ok(job) => return Ok(Some((job, action))),
                    Err(SubmitError::NoJob(error)) => Outcome::NotSubmitted(error.to_string()),
                    Err(error @ SubmitError::Unknown(_)) => Outcome::Unknown(error.to_string()),
                }
            }
        };
        witness.ended(&action, &outcome, self.clock.now());
        Ok(None)
    }

    /// Tells the witness of the jobs that have ended; whether there were any.
    async fn collect(
        &mut self,
        in_flight: &mut InFlight,
        witness: &mut dyn Witness,
    ) -> Result<bool, LuxiError> {
        let ids: Vec<JobId> = in_flight.iter().map(|(job, _)| *job).collect();
        let finished = self.finished(&ids).await?;
        let now = self.clock.now();
        let any = !finished.is_empty();
        for (job, result) in finished {
            if let Some(at) = in_flight.iter().position(|(id, _)| *id == job) {
                let (_, action) = in_flight.remove(at);
                let outcome = match result {
                    Ok(_) => Outcome::Succeeded,
                    Err(failure) => Outcome::Failed { job, failure },
                };
                witness.ended(&action, &outcome, now);
            }
        }
        Ok(any)
    }

    /// The jobs that have ended. An error of luxid's, such as one while it loads its configuration, may pass.
    async fn finished(&mut self, ids: &[JobId]) -> Result<Vec<(JobId, JobResult)>, LuxiError> {
        let deadline = Instant::now() + POLL_PATIENCE;
        let pace = PollPace::new();
        loop {
            match jobs::finished(&mut self.view.client, ids).await {
                Err(error) if Instant::now() < deadline => debug!("{error}, asking again"),
                finished => return finished,
            }
            pace.pause().await;
        }
    }

    /// Waits for one job, however long it takes.
    ///
    /// # Errors
    /// When luxid cannot be asked any more; the job goes on in that case.
    pub async fn wait(&mut self, job: JobId) -> Result<JobResult, LuxiError> {
        let pace = PollPace::new();
        loop {
            if let Some((_, result)) = self.finished(&[job]).await?.pop() {
                return Ok(result);
            }
            pace.pause().await;
        }
    }
}

fn opcode(action: &Action) -> OpCode {
    let instance = action.instance.clone();
    match action.kind {
        ActionKind::Restart { .. } => OpCode::InstanceStartup { instance },
        ActionKind::CleanUp => OpCode::InstanceShutdownByUser { instance },
        ActionKind::ActivateDisks { .. } => OpCode::InstanceActivateDisks { instance },
    }
}
