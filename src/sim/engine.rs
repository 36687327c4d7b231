//! The box at work: cluster, jobs and locks, moved on from event to event. Knows no runtime; time comes from outside,
//! as the time since the box started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::trace;

use super::events::{Event, Trigger};
use super::faults::Faults;
use super::jobs::{Job, Phase, Status};
use super::locks::Locks;
use super::model::{Live, Model};
use super::opcodes::Opcode;
use super::work::{self, Verdict};

/// The cluster with everything that goes on in it.
#[derive(Debug)]
pub struct Engine {
    /// The cluster.
    pub model: Model,
    /// luxid's misbehaviours.
    pub faults: Faults,
    /// Where the master keeps the pause file, when it has one.
    pub pause_file: Option<PathBuf>,
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) locks: Locks,
    pub(super) epoch: Duration,
    pub(super) now: Duration,
    pub(super) luxid: Luxid,
    /// How many calls luxid has taken.
    pub(super) calls: u64,
    due: BTreeMap<(Duration, u64), Due>,
    due_count: u64,
    planned: Vec<(Trigger, Event)>,
    fork_free: Duration,
    log_serial: u64,
}

/// luxid itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Luxid {
    /// Whether it listens.
    pub(super) runs: bool,
    /// Whether it can be started.
    pub(super) can_start: bool,
    /// How often it died; connections of an earlier life are closed.
    pub(super) life: u32,
}

#[derive(Debug, Clone)]
enum Due {
    /// A job's process is there.
    Forked(u64),
    /// The present opcode of a job ends.
    OpEnds(u64, Option<Verdict>),
    /// An instance dies by itself.
    Dies(String),
    /// Something happens.
    Event(Event),
}

impl Engine {
    /// A box that starts at `epoch` (since 1970).
    #[must_use]
    pub fn new(mut model: Model, epoch: Duration) -> Self {
        model.settle(Duration::ZERO);
        Self {
            model,
            faults: Faults::default(),
            pause_file: None,
            jobs: BTreeMap::new(),
            locks: Locks::default(),
            epoch,
            now: Duration::ZERO,
            luxid: Luxid { runs: true, can_start: true, life: 0 },
            calls: 0,
            due: BTreeMap::new(),
            due_count: 0,
            planned: Vec::new(),
            fork_free: Duration::ZERO,
            log_serial: 0,
        }
    }

    /// The jobs by number, archived ones too.
    #[must_use]
    pub fn jobs(&self) -> &BTreeMap<u64, Job> {
        &self.jobs
    }

    /// How long the box has been running, as far as it was moved on.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The moment at which the box started, since 1970.
    #[must_use]
    pub fn epoch(&self) -> Duration {
        self.epoch
    }

    /// Has something happen.
    pub fn plan(&mut self, trigger: Trigger, event: Event) {
        match trigger {
            Trigger::At(at) => self.schedule(at, Due::Event(event)),
            trigger => self.planned.push((trigger, event)),
        }
    }

    /// Forgets what was planned and did not happen; says what that was.
    pub fn drop_plans(&mut self) -> Vec<Trigger> {
        self.planned.drain(..).map(|(trigger, _)| trigger).collect()
    }

    /// When something happens next.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        let due = self.due.keys().next().map(|(at, _)| *at);
        due.into_iter().chain(self.model.next_change()).min()
    }

    /// Whether nothing goes on any more but what was planned.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.jobs.values().all(Job::is_final)
    }

    /// Lets time pass until `now`, with everything that happens meanwhile, in order. Whether anything did.
    pub fn advance(&mut self, now: Duration) -> bool {
        let mut happened = false;
        while let Some(next) = self.next().filter(|next| *next <= now) {
            happened = true;
            self.now = self.now.max(next);
            self.model.settle(self.now);
            while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let due = entry.remove();
                self.happen(due);
            }
            self.settle();
        }
        self.now = self.now.max(now);
        happened
    }

    /// Draws the consequences of a change: in the cluster, then in the queue.
    pub(super) fn settle(&mut self) {
        self.model.settle(self.now);
        self.fork_jobs();
        self.grant_locks();
    }

    fn schedule(&mut self, at: Duration, due: Due) {
        self.due_count += 1;
        self.due.insert((at.max(self.now), self.due_count), due);
    }

    fn happen(&mut self, due: Due) {
        trace!("box at {:?}: {due:?}", self.now);
        match due {
            Due::Forked(id) => {
                if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.phase == Phase::Forking) {
                    job.started = Some(self.now);
                    self.begin_locking(id);
                }
            }
            Due::OpEnds(id, verdict) => self.end_op(id, verdict),
            Due::Dies(instance) => self.apply(&Event::Crash(instance)),
            Due::Event(event) => self.apply(&event),
        }
    }

    /// Takes a job in, and gives it the next number.
    pub(super) fn submit(&mut self, mut opcodes: Vec<Opcode>) -> u64 {
        let id = self.jobs.keys().next_back().map_or(1, |last| last + 1);
        for (job, _) in opcodes.iter_mut().flat_map(|opcode| &mut opcode.depends) {
            if *job < 0 {
                *job += i64::try_from(id).unwrap_or(i64::MAX);
            }
        }
        let stamp = (self.epoch + self.now).as_nanos();
        for (index, opcode) in opcodes.iter_mut().enumerate() {
            let name = opcode.input.get("OP_ID").and_then(Value::as_str).unwrap_or_default().to_lowercase();
            let text = format!("job={id};index={index}");
            if let Some(Value::Array(reason)) = opcode.input.get_mut("reason") {
                let stamp = u64::try_from(stamp).unwrap_or(u64::MAX);
                reason.push(json!([format!("gnt:opcode:{}", name.trim_start_matches("op_")), text, stamp]));
            }
        }
        let summary = opcodes.first().map(|opcode| opcode.summary.clone());
        self.jobs.insert(id, Job::new(id, opcodes, self.now));
        if let Some(summary) = summary {
            self.fire(&Trigger::OnSubmit(summary));
        }
        id
    }

    fn fire(&mut self, trigger: &Trigger) {
        // At the same moment, but after what is going on now.
        while let Some(at) = self.planned.iter().position(|(planned, _)| planned == trigger) {
            let (_, event) = self.planned.remove(at);
            self.schedule(self.now, Due::Event(event));
        }
    }

    /// Gives processes to the jobs whose turn it is: by priority, then by number, at most `max_running_jobs` at once.
    fn fork_jobs(&mut self) {
        if !self.luxid.runs {
            return;
        }
        let has_process = |job: &&Job| !matches!(job.phase, Phase::Queued | Phase::Ended);
        let mut running = self.jobs.values().filter(has_process).count();
        let mut queued: Vec<(i64, u64)> = self
            .jobs
            .values()
            .filter(|job| job.phase == Phase::Queued)
            .map(|job| (job.priority(), job.id))
            .collect();
        queued.sort_unstable();
        for (_, id) in queued {
            if running >= self.model.max_running_jobs {
                break;
            }
            match self.dependencies(id) {
                Dependencies::Wait => continue,
                Dependencies::Cancel => {
                    self.end_job(id, Status::Canceled, &Value::Null);
                    continue;
                }
                Dependencies::Fail(text) => {
                    self.end_job(id, Status::Error, &json!(text));
                    continue;
                }
                Dependencies::Met => {}
            }
            running += 1;
            let fork = self.model.seed.duration(self.model.timing.fork, &format!("fork of job {id}"));
            self.fork_free = self.fork_free.max(self.now) + fork;
            self.schedule(self.fork_free, Due::Forked(id));
            if let Some(job) = self.jobs.get_mut(&id) {
                job.phase = Phase::Forking;
            }
        }
    }

    fn dependencies(&self, id: u64) -> Dependencies {
        let depends =
            self.jobs.get(&id).into_iter().flat_map(|job| &job.ops).flat_map(|op| &op.opcode.depends);
        for (on, allowed) in depends {
            let Some(on) = u64::try_from(*on).ok().and_then(|on| self.jobs.get(&on)) else {
                return Dependencies::Fail(format!("Dependency job {on} is unknown"));
            };
            let status = on.status();
            let word = status.as_word();
            if !on.is_final() {
                return Dependencies::Wait;
            }
            if !allowed.is_empty() && !allowed.iter().any(|allowed| allowed == word) {
                return match status {
                    Status::Canceled => Dependencies::Cancel,
                    _ => Dependencies::Fail(format!("Dependency job {} finished with status {word}", on.id)),
                };
            }
        }
        Dependencies::Met
    }

    fn begin_locking(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(op) = job.present().and_then(|present| job.ops.get_mut(present)) else { return };
        op.status = Status::Waiting;
        op.start = Some(self.now);
        let levels = work::locks(&self.model, &op.opcode.work, &self.locks, id);
        match levels {
            Ok(levels) => job.phase = Phase::Acquiring(levels),
            Err(failure) => {
                job.phase = Phase::Running;
                self.schedule(self.now, Due::OpEnds(id, Some(failure.into())));
            }
        }
    }

    /// Hands out locks: by priority, then by number.
    fn grant_locks(&mut self) {
        let acquiring = |job: &&Job| matches!(job.phase, Phase::Acquiring(_));
        let mut waiting: Vec<(i64, u64)> =
            self.jobs.values().filter(acquiring).map(|job| (job.priority(), job.id)).collect();
        waiting.sort_unstable();
        for (_, id) in waiting {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            let Phase::Acquiring(levels) = &mut job.phase else { continue };
            while let Some(level) = levels.first()
                && self.locks.acquire(id, level)
            {
                levels.remove(0);
            }
            if levels.is_empty() {
                self.begin_op(id);
            }
        }
    }

    fn begin_op(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.phase = Phase::Running;
        let Some(op) = job.present().and_then(|present| job.ops.get_mut(present)) else { return };
        op.status = Status::Running;
        op.exec = Some(self.now);
        let summary = op.opcode.summary.clone();
        let (takes, begun) = work::begin(&mut self.model, &op.opcode.work, &self.locks, id);
        self.schedule(self.now + takes, Due::OpEnds(id, begun.err().map(Verdict::from)));
        self.fire(&Trigger::OnStart(summary));
    }

    fn end_op(&mut self, id: u64, verdict: Option<Verdict>) {
        let Some(present) = self.jobs.get(&id).and_then(Job::present) else { return };
        let Some(op) = self.jobs.get_mut(&id).and_then(|job| job.ops.get_mut(present)) else { return };
        let verdict = verdict.unwrap_or_else(|| work::finish(&mut self.model, &op.opcode.work));
        op.end = Some(self.now);
        let summary = op.opcode.summary.clone();
        let instance = op.opcode.work.instance().map(str::to_owned);
        self.locks.release(id);
        match verdict {
            Verdict::Success(result) => {
                op.status = Status::Success;
                op.result = result;
                let is_startup = matches!(op.opcode.work, super::opcodes::Work::Startup { .. });
                if is_startup && let Some(instance) = instance {
                    self.let_die(&instance);
                }
                let more = self.jobs.get(&id).is_some_and(|job| job.present().is_some());
                if more {
                    self.begin_locking(id);
                } else if let Some(job) = self.jobs.get_mut(&id) {
                    job.phase = Phase::Ended;
                    job.ended = Some(self.now);
                }
            }
            Verdict::Failure(failure) => {
                self.log_serial += 1;
                let text = failure.arguments.first().and_then(Value::as_str).unwrap_or_default().to_owned();
                op.log.push((self.log_serial, self.now, text));
                op.status = Status::Error;
                op.result = failure.encode();
                self.end_job(id, Status::Error, &json!(["OpExecError", ["Preceding opcode failed"]]));
            }
            Verdict::Died(text) => self.end_job(id, Status::Error, &json!(text)),
        }
        self.fire(&Trigger::OnEnd(summary));
    }

    fn let_die(&mut self, name: &str) {
        let instance = self.model.instance(name);
        if let Some(after) = instance.and_then(|instance| instance.habits.dies_after) {
            self.schedule(self.now + after, Due::Dies(name.to_owned()));
        }
    }

    /// Ends a job; its opcodes that have no end yet get this status and result.
    pub(super) fn end_job(&mut self, id: u64, status: Status, result: &Value) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        for op in job.ops.iter_mut().filter(|op| !op.status.is_final()) {
            op.status = status;
            op.result = result.clone();
            op.end = Some(self.now);
        }
        job.phase = Phase::Ended;
        job.ended = Some(self.now);
        self.locks.release(id);
    }

    /// Cancels a job that has not begun; whether it could be.
    pub(super) fn cancel(&mut self, id: u64) -> bool {
        let has_not_begun = |job: &Job| matches!(job.status(), Status::Queued | Status::Waiting);
        let can = self.jobs.get(&id).is_some_and(has_not_begun);
        if can {
            self.end_job(id, Status::Canceled, &Value::Null);
        }
        can
    }

    /// Summaries of the opcodes that are at work or wait for locks, by the nodes that have to do with them.
    #[must_use]
    pub fn busy_nodes(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut busy: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for job in self.jobs.values().filter(|job| !matches!(job.phase, Phase::Queued | Phase::Ended)) {
            let Some(op) = job.present().and_then(|present| job.ops.get(present)) else { continue };
            let instance = op.opcode.work.instance().and_then(|name| self.model.instance(name));
            if let Some(instance) = instance {
                busy.entry(&instance.primary).or_default().insert(&op.opcode.summary);
            }
        }
        busy
    }

    /// How many instances run.
    #[must_use]
    pub fn running_instances(&self) -> usize {
        self.model.instances.values().filter(|instance| matches!(instance.live, Live::Running(_))).count()
    }
}

enum Dependencies {
    Met,
    Wait,
    Cancel,
    Fail(String),
}
