//! Carries out plans: one job for each action, at most so many at once, and a second look before what was planned a
//! while ago. Makes no choice that a plan could have made.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use anyhow::Result;
use thiserror::Error;
use tokio::time::Instant;

use crate::armed::Armed;
use crate::clock::Clock;
use crate::cluster::{GanetiVersion, Instance, Timestamp};
use crate::decide::{Action, ActionKind, Note, Outcome, Step, second_look};
use crate::luxi::jobs::{self, JobId, PollPace};
use crate::luxi::opcodes::OpCode;
use crate::luxi::{Client, LuxiError};
use crate::observe;

/// What is known about the cluster gets no older than this before something is done because of it.
const FRESH: Duration = Duration::from_secs(60);

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
    /// Something else: a file cannot be read or written, for example.
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

/// What is needed to turn actions into jobs.
pub struct Jobs<'a, 'c> {
    /// Where jobs are submitted.
    pub client: &'a mut Client<'c>,
    /// Permission to submit them.
    pub armed: &'a Armed,
    /// The cluster's version, when it is known.
    pub version: Option<GanetiVersion>,
    /// For the times of reasons and records.
    pub clock: &'a dyn Clock,
    /// Whether an administrator wants the watcher to stop now.
    pub is_paused: &'a dyn Fn() -> Result<bool>,
    /// At most so many jobs are in flight.
    pub limit: usize,
    /// When luxid was last asked about the instances in the plans.
    pub looked_at: Instant,
}

impl std::fmt::Debug for Jobs<'_, '_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Jobs").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Jobs<'_, '_> {
    /// Takes the steps in order and returns when everything that was submitted has ended.
    ///
    /// # Errors
    /// See [`Stopped`]. Then nothing more is submitted; what was in flight goes on without being followed, unless
    /// the watcher was only paused or the queue drained.
    pub async fn carry_out(&mut self, steps: Vec<Step>, witness: &mut dyn Witness) -> Result<(), Stopped> {
        let mut waiting: VecDeque<Step> = steps.into();
        let mut in_flight: Vec<(JobId, Action)> = Vec::new();
        let mut second_look: Option<HashMap<String, Instance>> = None;
        let mut pace = PollPace::new();
        let mut stopped = Ok(());
        loop {
            while in_flight.len() < self.limit
                && let Some(step) = waiting.pop_front()
            {
                let action = match step {
                    Step::Act(action) => action,
                    Step::Note(note) => {
                        witness.noted(&note, self.clock.now());
                        continue;
                    }
                };
                if (self.is_paused)().map_err(Stopped::Failed)? {
                    stopped = Err(Stopped::Paused);
                    waiting.clear();
                    break;
                }
                if self.looked_at.elapsed() > FRESH {
                    second_look = Some(self.look_again(&action, &waiting).await?);
                }
                if let Some(instances) = &second_look
                    && let Some(change) = second_look::change(&action, instances.get(&action.instance))
                {
                    let outcome = Outcome::LeftAlone(change);
                    witness.ended(&action, &outcome, self.clock.now());
                    continue;
                }
                witness.begins(&action);
                match self.submit(&action).await {
                    Ok(job) => {
                        in_flight.push((job, action));
                        pace.quicken();
                    }
                    Err(error) if error.is_queue_drained() => {
                        stopped = Err(Stopped::Drained);
                        waiting.clear();
                    }
                    Err(error @ (LuxiError::Ganeti { .. } | LuxiError::Refused { .. })) => {
                        let outcome = Outcome::NotSubmitted(error.to_string());
                        witness.ended(&action, &outcome, self.clock.now());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if in_flight.is_empty() {
                return stopped;
            }
            pace.pause().await;
            if self.collect(&mut in_flight, witness).await? {
                pace.quicken();
            }
        }
    }

    async fn submit(&mut self, action: &Action) -> Result<JobId, LuxiError> {
        jobs::submit(self.client, self.armed, &opcode(action), self.version, self.clock.now_ns()).await
    }

    async fn look_again(
        &mut self,
        next: &Action,
        waiting: &VecDeque<Step>,
    ) -> Result<HashMap<String, Instance>, LuxiError> {
        let later = waiting.iter().filter_map(|step| match step {
            Step::Act(action) => Some(action.instance.as_str()),
            Step::Note(_) => None,
        });
        let names: Vec<&str> = std::iter::once(next.instance.as_str()).chain(later).collect();
        let instances = observe::instances_by_name(self.client, &names).await?;
        self.looked_at = Instant::now();
        Ok(instances.into_iter().map(|instance| (instance.name.clone(), instance)).collect())
    }

    /// Tells the witness of the jobs that have ended; whether there were any.
    async fn collect(
        &mut self,
        in_flight: &mut Vec<(JobId, Action)>,
        witness: &mut dyn Witness,
    ) -> Result<bool, LuxiError> {
        let ids: Vec<JobId> = in_flight.iter().map(|(job, _)| *job).collect();
        let finished = jobs::finished(self.client, &ids).await?;
        let now = self.clock.now();
        for (job, result) in &finished {
            let outcome = match result {
                Ok(_) => Outcome::Succeeded,
                Err(failure) => Outcome::Failed(format!("job {job}: {failure}")),
            };
            if let Some(at) = in_flight.iter().position(|(id, _)| id == job) {
                let (_, action) = in_flight.remove(at);
                witness.ended(&action, &outcome, now);
            }
        }
        Ok(!finished.is_empty())
    }
}

fn opcode(action: &Action) -> OpCode {
    let instance = action.instance.clone();
    match action.kind {
        ActionKind::Restart { .. } => OpCode::InstanceStartup { instance },
        ActionKind::CleanUp => OpCode::InstanceShutdownByUser { instance },
        ActionKind::ActivateDisks => OpCode::InstanceActivateDisks { instance },
    }
}
