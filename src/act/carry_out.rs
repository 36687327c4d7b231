//! The loop: takes from an agenda what can begin, looks again, submits, and follows the jobs to their end.

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep, sleep_until};

use super::following::InFlight;
use super::runner::Runner;
use super::submissions::{self, Answered, Submissions};
use super::witness::{Stopped, Witness};
use crate::decide::agenda::Agenda;
use crate::decide::{Action, Note, NoteKind, Outcome, budget, second_look};
use crate::luxi::jobs::{End, JobOutcome, SubmitError};
use crate::{logging, tell};

/// How long luxid may return errors for a second look before the plan is abandoned.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// How long an idle run waits for the turn of what is left, before leaving it to a later run.
const IDLE_PATIENCE: Duration = Duration::from_secs(60);
/// Time between two checks whether another group has left slots.
const SLOT_INTERVAL: Duration = Duration::from_secs(1);
/// Time before luxid is asked again after an error.
const ANSWER_INTERVAL: Duration = Duration::from_secs(1);
/// The blame for a failure is judged by a snapshot no older than this.
const FOR_BLAME: Duration = Duration::from_secs(10);

/// The state of carrying out a plan.
struct Progress<'a> {
    agenda: Agenda,
    submissions: Submissions<'a>,
    in_flight: InFlight,
    stopped: Result<(), Stopped>,
    /// Since when there has been nothing to do but wait for something's turn.
    idle_since: Option<Instant>,
    /// When to look at the jobs again, if not later.
    next_look: Option<Instant>,
}

impl<'a> Runner<'a> {
    /// Carries out an agenda, and returns when everything that was submitted has ended.
    ///
    /// # Errors
    /// See [`Stopped`]. Nothing more is submitted then. What is in flight is still followed to its end,
    /// unless luxid itself is away.
    pub async fn carry_out(&mut self, agenda: Agenda, witness: &mut dyn Witness) -> Result<(), Stopped> {
        let mut progress = Progress {
            submissions: Submissions::new(self.seams.armed, self.version),
            in_flight: InFlight::new(),
            stopped: Ok(()),
            idle_since: None,
            next_look: None,
            agenda,
        };
        self.loads.begin(&progress.agenda, &self.view.snapshot, &mut self.governor).await;
        loop {
            while progress.stopped.is_ok() && !progress.submissions.is_full() {
                match self.begin(&mut progress, witness).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(reason) => progress.stopped = Err(reason),
                }
            }
            let jobs = progress.in_flight.len();
            let is_idle = jobs == 0 && progress.submissions.is_empty();
            let wait = match is_idle {
                true => self.when_idle(&mut progress, witness),
                false => Some(progress.in_flight.pause()),
            };
            let Some(wait) = wait else {
                self.loads.end();
                self.share.set_wants_more(false);
                return progress.stopped;
            };
            if !is_idle {
                progress.idle_since = None;
            }
            let moment = Instant::now() + wait;
            let next_look = progress.next_look.take().map_or(moment, |next| next.min(moment));
            loop {
                tokio::select! {
                    biased;
                    answered = progress.submissions.next() => self.answered(&mut progress, answered, witness),
                    heard = self.loads.next() => {
                        if !self.loads.heed(heard, &progress.agenda, &mut self.governor) {
                            continue;
                        }
                        // Loads may come all the time, and put nothing off.
                        progress.next_look = Some(next_look);
                    }
                    () = sleep_until(next_look), if jobs > 0 => self.collect(&mut progress, witness).await,
                    () = sleep_until(next_look), if is_idle => {
                        // What others do may be holding ours back.
                        if let Err(error) = self.view.renew_jobs().await {
                            progress.stopped = Err(error.into());
                        }
                    }
                }
                break;
            }
        }
    }

    /// Looks again at what can begin next, and submits what is still wanted. Returns whether there was
    /// anything.
    async fn begin(
        &mut self,
        progress: &mut Progress<'a>,
        witness: &mut dyn Witness,
    ) -> Result<bool, Stopped> {
        let room = self.room().min(submissions::LARGEST);
        let (now, width) = (self.now(), self.width());
        let actions = progress.agenda.take(now, room, &width);
        self.share.set_wants_more(progress.agenda.is_ready(now, &width));
        drop(width);
        if actions.is_empty() {
            return Ok(false);
        }
        // Before any await: other groups see the slots that are left.
        self.share.take(actions.len());
        let count = actions.len();
        let wanted = match self.look_again(progress, actions, witness).await {
            // A paused watcher does not announce what it will not do.
            Ok(wanted) => self.check_pause().map(|()| wanted),
            Err(error) => Err(error),
        };
        let submitted = wanted.as_ref().map_or(0, Vec::len);
        (submitted..count).for_each(|_| self.share.release());
        let wanted = wanted?;
        if !wanted.is_empty() {
            let epoch_ns = self.seams.clock.now_ns();
            witness.begin(&wanted, epoch_ns);
            progress.submissions.add(wanted, &self.view.client, epoch_ns);
            progress.in_flight.quicken();
        }
        Ok(true)
    }

    /// Looks again at these actions' instances; returns the actions that are still wanted.
    async fn look_again(
        &mut self,
        progress: &mut Progress<'a>,
        actions: Vec<Action>,
        witness: &mut dyn Witness,
    ) -> Result<Vec<Action>, Stopped> {
        let names: Vec<&str> = actions.iter().map(|action| action.instance.as_str()).collect();
        // An error from luxid, such as one while it loads its configuration, may pass.
        let deadline = Instant::now() + ANSWER_PATIENCE;
        while let Err(error) = progress.submissions.during(self.view.look_again_at(&names)).await {
            if !error.is_answer() || Instant::now() >= deadline {
                return Err(error.into());
            }
            logging::log(tell::answers::looked_again(&error));
            progress.submissions.during(sleep(ANSWER_INTERVAL)).await;
        }
        let mut wanted = Vec::new();
        for action in actions {
            let planned_by = self.view.first_tags(&action.instance);
            match second_look::change(&action, planned_by, &self.view.snapshot) {
                None => wanted.push(action),
                Some(change) => {
                    progress.agenda.ended(&action.instance, change.is_up());
                    witness.ended(&action, &Outcome::LeftAlone(change), self.now());
                }
            }
        }
        witness.checkpoint();
        Ok(wanted)
    }

    /// luxid has answered a submission, or never will. If it refused a whole submission, nothing more is
    /// submitted: it would refuse the next one too.
    fn answered(&mut self, progress: &mut Progress<'a>, answered: Answered, witness: &mut dyn Witness) {
        let Answered { actions, result } = answered;
        let now = self.now();
        let mut end = |action: Action, outcome: &Outcome| {
            self.share.release();
            progress.agenda.ended(&action.instance, false);
            witness.ended(&action, outcome, now);
        };
        match result {
            Ok(jobs) => {
                for (action, job) in actions.into_iter().zip(jobs) {
                    match job {
                        Ok(job) => {
                            self.share.submitted(job);
                            progress.in_flight.add(job, action);
                        }
                        Err(problem) => end(action, &Outcome::NotSubmitted(problem)),
                    }
                }
            }
            Err(error) => {
                let outcome = match &error {
                    SubmitError::Unknown(_) => Outcome::Unknown(error.to_string()),
                    SubmitError::NoJob(_) | SubmitError::Refused(_) => {
                        Outcome::NotSubmitted(error.to_string())
                    }
                };
                actions.into_iter().for_each(|action| end(action, &outcome));
                progress.stopped = Err(match error {
                    SubmitError::NoJob(error) if error.is_queue_drained() => Stopped::Drained,
                    SubmitError::NoJob(error) | SubmitError::Unknown(error) => error.into(),
                    SubmitError::Refused(problem) => Stopped::Failed(anyhow!(problem)),
                });
            }
        }
        witness.checkpoint();
        progress.in_flight.quicken();
    }

    /// Tells the witness about jobs that have ended. If luxid does not say, nothing more is submitted.
    async fn collect(&mut self, progress: &mut Progress<'a>, witness: &mut dyn Witness) {
        let looked = progress.in_flight.take_ended(&mut self.view.client);
        let ended = match progress.submissions.during(looked).await {
            Ok(ended) => ended,
            Err(error) => {
                let now = self.now();
                for (job, action) in progress.in_flight.take_all() {
                    self.share.release();
                    witness.ended(&action, &Outcome::Unknown(format!("job {job}: {error}")), now);
                }
                progress.stopped = Err(error.into());
                return;
            }
        };
        if ended.iter().any(|(_, job)| matches!(job.end, End::Known(Err(_), _)))
            && let Err(error) = progress.submissions.during(self.view.renew_if_older(FOR_BLAME)).await
        {
            logging::log(tell::answers::not_looked_at_for_blame(&error));
        }
        let now = self.now();
        for (action, JobOutcome { job, end }) in ended {
            self.share.release();
            let (outcome, worked) = match end {
                End::Known(Ok(_), worked) => (Outcome::Succeeded, worked),
                End::Known(Err(failure), worked) => {
                    let blamed = budget::blame(&failure, &action, &self.view.snapshot);
                    (Outcome::Failed { job, failure, blamed }, worked)
                }
                End::Unknown(problem) => (Outcome::Unknown(format!("job {job}: {problem}")), None),
            };
            let is_up = outcome == Outcome::Succeeded && action.kind.is_start();
            progress.agenda.ended(&action.instance, is_up);
            if is_up && let Some(instance) = self.view.snapshot.instance(&action.instance) {
                let change = worked.and_then(|seconds| self.governor.started(&instance.primary, seconds));
                logging::log_all(change.iter().map(tell::change_of_width));
            }
            witness.ended(&action, &outcome, now);
            if let Outcome::Failed { blamed, .. } = &outcome {
                let snapshot = &self.view.snapshot;
                let notes = progress.agenda.take_out_what_would_fail_alike(&action, blamed, snapshot);
                notes.iter().for_each(|note| witness.noted(note, now));
            }
            progress.in_flight.quicken();
        }
        witness.checkpoint();
    }

    /// With nothing in flight: how long to wait for the turn of what is left; `None` when nothing is left, or
    /// nothing worth waiting for.
    fn when_idle(&mut self, progress: &mut Progress<'a>, witness: &mut dyn Witness) -> Option<Duration> {
        if progress.stopped.is_err() || progress.agenda.is_empty() {
            return None;
        }
        if self.governor.waits_for_loads() {
            progress.idle_since = None;
        }
        let idle_since = *progress.idle_since.get_or_insert_with(Instant::now);
        if self.room() == 0 {
            return Some(SLOT_INTERVAL);
        }
        let (now, width) = (self.now(), self.width());
        let left = IDLE_PATIENCE.saturating_sub(idle_since.elapsed());
        let wait = match progress.agenda.next_moment(now, &width) {
            Some(moment) => Duration::try_from_secs_f64(moment - now).unwrap_or(SLOT_INTERVAL),
            // The node's load, or other people's jobs on it.
            None => SLOT_INTERVAL,
        };
        if wait <= left && !left.is_zero() {
            return Some(wait.max(Duration::from_millis(1)));
        }
        for (action, hold) in progress.agenda.give_up(now, &width) {
            let note = Note { instance: action.instance, kind: NoteKind::LeftForLater(hold) };
            witness.noted(&note, now);
        }
        None
    }
}
