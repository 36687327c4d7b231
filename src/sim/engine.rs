//! The box at work: cluster, jobs and locks, moved from event to event. Knows no runtime; time comes from
//! outside, as the time since the box started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tracing::trace;

use super::events::{Event, Trigger};
use super::faults::Faults;
use super::jobs::{Job, Phase};
use super::locks::Locks;
use super::model::{Live, Model};
use super::work::Verdict;

/// The cluster with everything that happens in it.
#[derive(Debug)]
pub struct Engine {
    /// The cluster.
    pub model: Model,
    /// luxid's misbehaviours.
    pub faults: Faults,
    /// Whether the current watcher run was killed.
    pub watcher_is_killed: bool,
    /// Where the master keeps the pause file, if it has one.
    pub pause_file: Option<PathBuf>,
    pub(super) jobs: BTreeMap<u64, Job>,
    /// The jobs that have no process yet.
    pub(super) queued: BTreeSet<u64>,
    /// The jobs that have one.
    pub(super) at_work: BTreeSet<u64>,
    pub(super) locks: Locks,
    pub(super) epoch: Duration,
    pub(super) now: Duration,
    pub(super) luxid: Luxid,
    /// How many calls luxid has taken.
    pub(super) calls: u64,
    due: BTreeMap<(Duration, u64), Due>,
    due_count: u64,
    pub(super) planned: Vec<(Trigger, Event)>,
    /// When the next process can be started: one after another.
    pub(super) fork_free: Duration,
    pub(super) log_serial: u64,
}

/// luxid itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Luxid {
    /// Whether it listens.
    pub(super) runs: bool,
    /// Whether it can be started.
    pub(super) can_start: bool,
    /// How often it died; connections from an earlier life are closed.
    pub(super) life: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Due {
    /// A job's process has started.
    Forked(u64),
    /// A job's current opcode ends.
    OpEnds(u64, Option<Verdict>),
    /// An instance dies on its own.
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
            watcher_is_killed: false,
            pause_file: None,
            jobs: BTreeMap::new(),
            queued: BTreeSet::new(),
            at_work: BTreeSet::new(),
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

    /// How long the box has been running, up to where it was moved.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The moment at which the box started, since 1970.
    #[must_use]
    pub fn epoch(&self) -> Duration {
        self.epoch
    }

    /// Makes something happen later; times count from the start of the box.
    pub fn plan(&mut self, trigger: Trigger, event: Event) {
        match trigger {
            Trigger::At(at) => self.schedule(at, Due::Event(event)),
            trigger => self.planned.push((trigger, event)),
        }
    }

    /// Forgets what was planned and did not happen; returns it.
    pub fn drop_plans(&mut self) -> Vec<Trigger> {
        self.planned.drain(..).map(|(trigger, _)| trigger).collect()
    }

    /// When something happens next, since the box started; `None` when nothing ever will on its own.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        let due = self.due.keys().next().map(|(at, _)| *at);
        due.into_iter().chain(self.model.next_change()).min()
    }

    /// Lets time pass until `now`, with everything that happens in between, in order. Returns whether
    /// anything did.
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

    pub(super) fn schedule(&mut self, at: Duration, due: Due) {
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

    /// Summaries of the opcodes that are running or waiting for locks, by the nodes involved.
    #[must_use]
    pub fn busy_nodes(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut busy: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for job in self.at_work.iter().filter_map(|id| self.jobs.get(id)) {
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
