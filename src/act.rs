//! Carries out plans: one job for each action, side by side within limits, and a second look before each. Makes no choice
//! that a plan could have made.

mod slots;
mod submissions;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures_util::future::join_all;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::armed::Armed;
use crate::clock::Clock;
use crate::cluster::{GanetiVersion, JobId, PendingJob, Timestamp};
use crate::decide::agenda::Agenda;
use crate::decide::budget::{Blamed, Detail};
use crate::decide::governor::{Governor, Load};
use crate::decide::second_look::{self, Changed};
use crate::decide::{Action, ActionKind, Note, NoteKind, Outcome, budget, full};
use crate::luxi::LuxiError;
use crate::luxi::client::LocalFuture;
use crate::luxi::jobs::{self, End, Follower, JobOutcome, JobResult, PollPace, SubmitError};
use crate::luxi::opcodes::OpCode;
use crate::node::mond::Monitor;
use submissions::{Answered, Submissions};

pub use slots::{Share, Slots};
pub use view::View;

/// How long luxid may give errors instead of the status of jobs before they are given up.
const POLL_PATIENCE: Duration = Duration::from_secs(60);
/// How long a run waits with nothing to do for the turn of what is left, before it leaves that to a later run.
const IDLE_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the nodes' load. What mond tells is a mean over some minutes.
const LOAD_INTERVAL: Duration = Duration::from_secs(10);
/// Between two looks whether another group has left slots.
const SLOT_INTERVAL: Duration = Duration::from_secs(1);
/// Before luxid is asked again what it answered with an error.
const ANSWER_INTERVAL: Duration = Duration::from_secs(1);
/// Whose fault a failure is, is judged by what was seen no longer ago than this.
const FOR_BLAME: Duration = Duration::from_secs(10);

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
    /// The jobs of these actions are about to be submitted, with `epoch_ns` as the time of their reasons.
    fn begin(&mut self, actions: &[Action], epoch_ns: u64);
    /// An action has ended. `now` is the time of that.
    fn ended(&mut self, action: &Action, outcome: &Outcome, now: Timestamp);
    /// What was heard until now should outlive a kill.
    fn checkpoint(&mut self) {}
}

/// Turns actions into jobs.
pub struct Runner<'a, 'c> {
    /// The group as it was seen last, and the connection to luxid.
    pub view: View<'c>,
    /// Permission to submit jobs.
    pub armed: &'a Armed,
    /// The cluster's version, when it is known.
    pub version: Option<GanetiVersion>,
    /// How many jobs the cluster runs at once, when that is known: the smaller of `max_running_jobs` and
    /// `max_tracked_jobs`.
    pub ceiling: Option<usize>,
    /// For the times of reasons and records.
    pub clock: &'a dyn Clock,
    /// Whether an administrator wants the watcher to stop now.
    pub is_paused: &'a dyn Fn() -> Result<bool>,
    /// The group's share of the slots for jobs.
    pub share: Share<'a>,
    /// How much each node bears.
    pub governor: Governor,
    /// Tells how busy nodes are.
    pub monitor: &'a dyn Monitor,
    /// Names of nodes for which that is unknown, and of which was told; empty at first.
    pub unknown_loads: BTreeSet<String>,
}

impl std::fmt::Debug for Runner<'_, '_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Runner").field("share", &self.share).finish_non_exhaustive()
    }
}

/// What a plan's carrying out has come to.
struct Progress<'a> {
    agenda: Agenda,
    submissions: Submissions<'a>,
    in_flight: BTreeMap<JobId, Action>,
    follower: Follower,
    pace: PollPace,
    stopped: Result<(), Stopped>,
    /// Since when there is nothing to do but to wait for somebody's turn.
    idle_since: Option<Instant>,
}

type Loads = Vec<(String, Option<Load>)>;

impl<'a, 'c: 'a> Runner<'a, 'c> {
    /// Carries out an agenda, and returns when everything that was submitted has ended.
    ///
    /// # Errors
    /// See [`Stopped`]. Nothing more is submitted then. What is in flight is followed to its end all the same, unless
    /// luxid itself is away.
    pub async fn carry_out(&mut self, agenda: Agenda, witness: &mut dyn Witness) -> Result<(), Stopped> {
        let mut progress = Progress {
            agenda,
            submissions: Submissions::new(self.armed, self.version),
            in_flight: BTreeMap::new(),
            follower: Follower::default(),
            pace: PollPace::new(),
            stopped: Ok(()),
            idle_since: None,
        };
        let mut loads = self.ask_loads(&progress.agenda);
        if self.governor.has_load_limit() && !progress.agenda.nodes_waited_for().is_empty() {
            // Nothing is begun on a node before its load is known.
            let seen = loads.await;
            self.heed_loads(seen);
            loads = Self::later(LOAD_INTERVAL);
        }
        loop {
            while progress.stopped.is_ok() && !progress.submissions.is_full() {
                match self.begin(&mut progress, witness).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(reason) => progress.stopped = Err(reason),
                }
            }
            if progress.in_flight.is_empty() && progress.submissions.is_empty() {
                match self.when_idle(&mut progress, witness) {
                    Some(wait) => {
                        sleep(wait).await;
                        // What others do may be what holds ours back.
                        if let Err(error) = self.view.renew_jobs().await {
                            progress.stopped = Err(error.into());
                        }
                    }
                    None => {
                        self.share.wants_more(false);
                        return progress.stopped;
                    }
                }
            } else {
                progress.idle_since = None;
            }
            let jobs = progress.in_flight.len();
            tokio::select! {
                biased;
                answered = progress.submissions.next() => self.answered(&mut progress, answered, witness),
                seen = &mut loads => {
                    loads = match seen.is_empty() {
                        true => self.ask_loads(&progress.agenda),
                        false => Self::later(LOAD_INTERVAL),
                    };
                    self.heed_loads(seen);
                }
                () = progress.pace.pause(jobs), if jobs > 0 => self.collect(&mut progress, witness).await,
                () = std::future::ready(()), if jobs == 0 && progress.submissions.is_empty() => {}
            }
        }
    }

    /// Submits one opcode as a job of its own, unless the watcher was paused. The inner error means that this opcode has
    /// no job that is known of; others may be submitted all the same.
    ///
    /// # Errors
    /// See [`Stopped`].
    pub async fn submit(&mut self, opcode: &OpCode) -> Result<Result<JobId, SubmitError>, Stopped> {
        self.check_pause()?;
        let now_ns = self.clock.now_ns();
        let opcodes = std::slice::from_ref(opcode);
        let submitted = jobs::submit(&mut self.view.client, self.armed, opcodes, self.version, now_ns).await;
        match submitted {
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

    fn check_pause(&self) -> Result<(), Stopped> {
        if (self.is_paused)().map_err(Stopped::Failed)? { Err(Stopped::Paused) } else { Ok(()) }
    }

    fn room(&self) -> usize {
        self.share.room(self.ceiling, &self.view.snapshot.pending_jobs)
    }

    /// Looks again at what may be begun next, and submits what is still wanted. Whether there was anything.
    async fn begin(
        &mut self,
        progress: &mut Progress<'a>,
        witness: &mut dyn Witness,
    ) -> Result<bool, Stopped> {
        let room = self.room().min(submissions::LARGEST);
        let (now, width) = (self.clock.now(), self.width());
        let actions = progress.agenda.take(now, room, &width);
        self.share.wants_more(progress.agenda.is_ready(now, &width));
        drop(width);
        if actions.is_empty() {
            return Ok(false);
        }
        // Before anything is awaited: other groups see the slots that are left.
        self.share.take(actions.len());
        let count = actions.len();
        let wanted = match self.look_again(progress, actions, witness).await {
            // What a paused watcher does not do, it does not say either.
            Ok(wanted) => self.check_pause().map(|()| wanted),
            Err(error) => Err(error),
        };
        let submitted = wanted.as_ref().map_or(0, Vec::len);
        (submitted..count).for_each(|_| self.share.release());
        let wanted = wanted?;
        if !wanted.is_empty() {
            let epoch_ns = self.clock.now_ns();
            witness.begin(&wanted, epoch_ns);
            progress.submissions.add(wanted, &self.view.client, epoch_ns);
            progress.pace.quicken();
        }
        Ok(true)
    }

    /// Looks again at these actions' instances; gives those that are still wanted.
    async fn look_again(
        &mut self,
        progress: &mut Progress<'a>,
        actions: Vec<Action>,
        witness: &mut dyn Witness,
    ) -> Result<Vec<Action>, Stopped> {
        let names: Vec<&str> = actions.iter().map(|action| action.instance.as_str()).collect();
        // An error of luxid's, such as one while it loads its configuration, may pass.
        let deadline = Instant::now() + POLL_PATIENCE;
        while let Err(error) = progress.submissions.during(self.view.look_again_at(&names)).await {
            if !error.is_answer() || Instant::now() >= deadline {
                return Err(error.into());
            }
            debug!("{error}, looking again");
            progress.submissions.during(sleep(ANSWER_INTERVAL)).await;
        }
        let mut wanted = Vec::new();
        for action in actions {
            let retagged = action.kind.is_start() && self.view.has_other_tags(&action.instance);
            let change = second_look::change(&action, &self.view.snapshot);
            match change.or(retagged.then_some(Changed::Tags)) {
                None => wanted.push(action),
                Some(change) => {
                    progress.agenda.ended(&action.instance, change.is_up());
                    witness.ended(&action, &Outcome::LeftAlone(change), self.clock.now());
                }
            }
        }
        witness.checkpoint();
        Ok(wanted)
    }

    /// How many starts of ours each node bears, next to those that an earlier run or an administrator began.
    fn width(&self) -> impl Fn(&str) -> usize {
        let snapshot = &self.view.snapshot;
        let of_others = |job: &&PendingJob| !self.share.is_ours(job.id);
        let others = snapshot.pending_jobs.iter().filter(of_others).flat_map(PendingJob::started_instances);
        let mut begun: BTreeMap<&str, usize> = BTreeMap::new();
        for instance in others.filter_map(|name| snapshot.instance(name)) {
            *begun.entry(&instance.primary).or_default() += 1;
        }
        move |node| self.governor.width(node).saturating_sub(begun.get(node).copied().unwrap_or(0))
    }

    /// luxid has answered a submission, or will not. When it refused the whole of one, nothing more is submitted: it would
    /// refuse the next one too.
    fn answered(&mut self, progress: &mut Progress<'a>, answered: Answered, witness: &mut dyn Witness) {
        let Answered { actions, result } = answered;
        let now = self.clock.now();
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
                            progress.in_flight.insert(job, action);
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
        progress.pace.quicken();
    }

    /// Tells the witness of the jobs that have ended. When luxid does not tell, nothing more is submitted.
    async fn collect(&mut self, progress: &mut Progress<'a>, witness: &mut dyn Witness) {
        let ids: Vec<JobId> = progress.in_flight.keys().copied().collect();
        let looked = self.finished(&mut progress.follower, &ids);
        let finished = match progress.submissions.during(looked).await {
            Ok(finished) => finished,
            Err(error) => {
                let now = self.clock.now();
                for (job, action) in std::mem::take(&mut progress.in_flight) {
                    self.share.release();
                    witness.ended(&action, &Outcome::Unknown(format!("job {job}: {error}")), now);
                }
                progress.stopped = Err(error.into());
                return;
            }
        };
        if finished.iter().any(|job| matches!(job.end, End::Known(Err(_), _)))
            && let Err(error) = progress.submissions.during(self.view.renew_if_older(FOR_BLAME)).await
        {
            debug!("{error}: whose fault a failure is will be judged by what was seen earlier");
        }
        let now = self.clock.now();
        for JobOutcome { job, end } in finished {
            let Some(action) = progress.in_flight.remove(&job) else { continue };
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
                change.iter().for_each(|change| debug!("{change}"));
            }
            witness.ended(&action, &outcome, now);
            if let Outcome::Failed { blamed, .. } = &outcome {
                self.leave_what_has_no_room(progress, &action, blamed, witness, now);
            }
            progress.pace.quicken();
        }
        witness.checkpoint();
    }

    /// After a start that failed for want of memory: what would fail in the same way has no turn in this run.
    fn leave_what_has_no_room(
        &self,
        progress: &mut Progress<'a>,
        failed: &Action,
        blamed: &Blamed,
        witness: &mut dyn Witness,
        now: Timestamp,
    ) {
        let snapshot = &self.view.snapshot;
        let (Detail::Memory(shortage), Some(instance)) =
            (&blamed.detail, snapshot.instance(&failed.instance))
        else {
            return;
        };
        for action in progress.agenda.is_full(&instance.primary, *shortage) {
            let Some(hold) = full::held(blamed, snapshot.instance(&action.instance)) else { continue };
            let note = Note { instance: action.instance, kind: NoteKind::LeftForLater(hold) };
            witness.noted(&note, now);
        }
    }

    /// The jobs that have ended. An error of luxid's, such as one while it loads its configuration, may pass.
    async fn finished(
        &mut self,
        follower: &mut Follower,
        ids: &[JobId],
    ) -> Result<Vec<JobOutcome>, LuxiError> {
        let deadline = Instant::now() + POLL_PATIENCE;
        let pace = PollPace::new();
        loop {
            match follower.look(&mut self.view.client, ids).await {
                Err(error) if Instant::now() < deadline => debug!("{error}, asking again"),
                finished => return finished,
            }
            pace.pause(ids.len()).await;
        }
    }

    /// Waits for one job, however long it takes.
    ///
    /// # Errors
    /// When luxid cannot be asked any more, or says for a minute what cannot be understood; the job may go on then.
    pub async fn wait(&mut self, job: JobId) -> Result<JobResult, LuxiError> {
        let pace = PollPace::unhurried();
        let mut follower = Follower::default();
        loop {
            pace.pause(1).await;
            match self.finished(&mut follower, &[job]).await?.pop() {
                Some(JobOutcome { end: End::Known(result, _), .. }) => return Ok(result),
                Some(JobOutcome { end: End::Unknown(problem), .. }) => {
                    let reason = format!("job {job}: {problem}");
                    return Err(LuxiError::Malformed { method: "QueryJobs", reason });
                }
                None => {}
            }
        }
    }

    /// With nothing in flight: how long to wait for the turn of what is left; `None` when there is nothing left, or
    /// nothing that is worth waiting for.
    fn when_idle(&mut self, progress: &mut Progress<'a>, witness: &mut dyn Witness) -> Option<Duration> {
        if progress.stopped.is_err() || progress.agenda.is_empty() {
            return None;
        }
        let idle_since = *progress.idle_since.get_or_insert_with(Instant::now);
        if self.room() == 0 {
            return Some(SLOT_INTERVAL);
        }
        let (now, width) = (self.clock.now(), self.width());
        let left = IDLE_PATIENCE.saturating_sub(idle_since.elapsed());
        let wait = match progress.agenda.next_moment(now, &width) {
            Some(moment) => Duration::try_from_secs_f64(moment - now).unwrap_or(SLOT_INTERVAL),
            // The load of a node, or jobs of others on it.
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

    /// Asks the nodes on which starts wait how busy they are.
    fn ask_loads(&self, agenda: &Agenda) -> LocalFuture<'a, Loads> {
        let address = |name: &str| self.view.snapshot.node(name).map(|node| node.address.clone());
        let nodes: Vec<(String, String)> = agenda
            .nodes_waited_for()
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), address(name)?)))
            .filter(|(_, address)| !address.is_empty())
            .collect();
        if nodes.is_empty() {
            return Self::later(LOAD_INTERVAL);
        }
        let monitor = self.monitor;
        Box::pin(async move {
            let ask = |(name, address): (String, String)| async move {
                let load = monitor.load(&name, &address).await;
                (name, load)
            };
            join_all(nodes.into_iter().map(ask)).await
        })
    }

    /// Nothing, after a while.
    fn later(wait: Duration) -> LocalFuture<'a, Loads> {
        Box::pin(async move {
            sleep(wait).await;
            Loads::new()
        })
    }

    fn heed_loads(&mut self, loads: Loads) {
        for (node, load) in loads {
            if load.is_none() && self.governor.has_load_limit() && self.unknown_loads.insert(node.clone()) {
                warn!(
                    "The load of node '{node}' is unknown (ganeti-mond does not tell it): --load-limit cannot be kept there"
                );
            }
            self.governor.load_seen(&node, load);
            if let (Some(load), true) = (load, self.governor.is_over_limit(&node)) {
                debug!("Node '{node}' is given no starts: {:.1} of its processors are busy", load.busy);
            }
        }
    }
}

fn opcode(action: &Action) -> OpCode {
    let instance = action.instance.clone();
    match action.kind {
        ActionKind::Restart { .. } => OpCode::InstanceStartup { instance, force: false },
        ActionKind::StartDegraded => OpCode::InstanceStartup { instance, force: true },
        ActionKind::CleanUp => OpCode::InstanceShutdownByUser { instance },
        ActionKind::ActivateDisks { .. } => OpCode::InstanceActivateDisks { instance },
    }
}
