//! What the loop's tests give a runner: a small luxid, a clock, loads, a pause and a witness.
//!
//! Time is tokio's, which the tests pause, so that everything happens at the same moment in every run. The
//! first letter of a node's name is the UUID of its group.

mod luxid;

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::{Runner, Seams, Slots, Stopped, View, Witness};
use crate::armed::Armed;
use crate::clock::Clock;
use crate::cluster::testing::{instance, node};
use crate::cluster::{Instance, Timestamp};
use crate::decide::agenda::Agenda;
use crate::decide::governor::{Governor, Load};
use crate::decide::schedule::Schedule;
use crate::decide::{Action, ActionKind, Note, Outcome};
use crate::luxi::Client;
use crate::luxi::client::LocalFuture;
use crate::node::mond::Monitor;
use crate::observe::ClusterSetup;
use crate::tell::{self, LogLine};
pub(super) use luxid::{Fault, Job};
use luxid::{Luxid, World};

/// Seconds since the epoch when a test begins.
pub(super) const EPOCH: u32 = 1_000_000;

#[derive(Debug)]
struct TestClock(Instant);

impl Clock for TestClock {
    fn since_epoch(&self) -> Duration {
        Duration::from_secs(EPOCH.into()) + self.0.elapsed()
    }
}

/// The loads of nodes; each applies from this many seconds after the start.
#[derive(Debug)]
struct TestLoads {
    start: Instant,
    nodes: BTreeMap<&'static str, Vec<(u64, f64)>>,
    /// How long nodes take to tell it, in seconds.
    delays: BTreeMap<&'static str, u64>,
    /// When nodes were asked, in seconds after the start.
    asked: RefCell<Vec<(String, u64)>>,
}

impl Monitor for TestLoads {
    fn load<'a>(&'a self, node: &'a str, _address: &'a str) -> LocalFuture<'a, Option<Load>> {
        self.asked.borrow_mut().push((node.to_owned(), self.start.elapsed().as_secs()));
        Box::pin(async move {
            let delay = self.delays.get(node).copied().unwrap_or(0);
            sleep(Duration::from_secs(delay)).await;
            let now = self.start.elapsed().as_secs();
            let known = self.nodes.get(node).into_iter().flatten().rev();
            let busy = known.copied().find(|(from, _)| *from <= now).map(|(_, busy)| busy);
            Some(Load { busy: busy?, processors: 8.0 })
        })
    }
}

/// Everything around a runner.
pub(super) struct Scene {
    luxid: Luxid,
    armed: Armed,
    clock: TestClock,
    loads: TestLoads,
    /// Seconds after the start at which the watcher is paused.
    pub(super) paused_after: Option<u64>,
}

impl Scene {
    /// Instances that are down, with their nodes. A job takes ten seconds.
    pub(super) fn new(instances: &[(&str, &str)]) -> Self {
        let start = Instant::now();
        let down = |(name, primary): &(&str, &str)| Instance {
            primary: (*primary).to_owned(),
            ..instance(name, "ERROR_down")
        };
        let world = World {
            start,
            instances: instances.iter().map(down).collect(),
            nodes: ["a1", "a2", "b1"].map(|name| node(name, Some("boot"))).into(),
            jobs: Vec::new(),
            takes: Duration::from_secs(10),
            failures: BTreeMap::new(),
            fault: None,
            drained_after: None,
            away_after: None,
        };
        Self {
            luxid: Luxid(Rc::new(RefCell::new(world))),
            armed: Armed::for_test(),
            clock: TestClock(start),
            loads: TestLoads {
                start,
                nodes: BTreeMap::new(),
                delays: BTreeMap::new(),
                asked: RefCell::default(),
            },
            paused_after: None,
        }
    }

    pub(super) fn world(&self) -> RefMut<'_, World> {
        self.luxid.0.borrow_mut()
    }

    /// This many of the node's processors are busy from this many seconds after the start. Without this its
    /// load is unknown.
    pub(super) fn set_load(&mut self, node: &'static str, from: u64, busy: f64) {
        self.loads.nodes.entry(node).or_default().push((from, busy));
    }

    /// The node takes this many seconds to tell its load.
    pub(super) fn set_load_delay(&mut self, node: &'static str, seconds: u64) {
        self.loads.delays.insert(node, seconds);
    }

    /// When the node was asked for its load, in seconds after the start.
    pub(super) fn asked_for_load(&self, node: &str) -> Vec<u64> {
        let asked = self.loads.asked.borrow();
        asked.iter().filter(|(asked, _)| asked == node).map(|(_, when)| *when).collect()
    }

    /// When the starts began, in seconds after the start, by name.
    pub(super) fn begun(&self) -> BTreeMap<String, u64> {
        let world = self.world();
        let begun = |job: &Job| {
            let name = job.summary.strip_prefix("INSTANCE_STARTUP(")?.strip_suffix(')')?;
            Some((name.to_owned(), (job.begun - world.start).as_secs()))
        };
        world.jobs.iter().filter_map(begun).collect()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Seconds since the start.
    pub(super) fn passed(&self) -> u64 {
        self.clock.0.elapsed().as_secs()
    }

    pub(super) fn is_paused(&self) -> Result<bool> {
        let passed = self.passed();
        Ok(self.paused_after.is_some_and(|seconds| passed >= seconds))
    }

    /// Looks at the group, plans to start everything in it that is down, does what `meanwhile` says, and
    /// carries the plan out.
    pub(super) async fn carry_out(
        &self,
        Limits { group, slots, governor }: Limits<'_>,
        plan: impl FnOnce(&View<'_>, Vec<Action>) -> Agenda,
        meanwhile: impl FnOnce(&mut World),
    ) -> Carried {
        let is_paused = || self.is_paused();
        let seams =
            Seams { armed: &self.armed, clock: &self.clock, monitor: &self.loads, is_paused: &is_paused };
        let client = Client::connect(&self.luxid).await.unwrap();
        let view = View::take(client, group).await.unwrap();
        let agenda =
            plan(&view, view.snapshot.instances.iter().map(|instance| start(&instance.name)).collect());
        meanwhile(&mut self.world());
        let mut runner = Runner::new(view, &ClusterSetup::default(), slots.share(), governor, seams);
        let mut witness = Recorder::default();
        let result = runner.carry_out(agenda, &mut witness).await;
        Carried { result, told: witness.0 }
    }

    /// The names of the instances that were started, in that order.
    pub(super) fn started(&self) -> Vec<String> {
        let world = self.world();
        let name = |job: &Job| {
            let name = job.summary.strip_prefix("INSTANCE_STARTUP(")?.strip_suffix(')')?;
            Some(name.to_owned())
        };
        world.jobs.iter().filter(|job| job.is_ours()).filter_map(name).collect()
    }

    /// The most jobs in flight at the same moment, of those that start an instance in `names`.
    pub(super) fn most_at_once(&self, names: &[&str]) -> usize {
        let world = self.world();
        let is_about =
            |job: &&Job| names.iter().any(|name| job.summary == format!("INSTANCE_STARTUP({name})"));
        let jobs: Vec<&Job> = world.jobs.iter().filter(is_about).collect();
        let at =
            |moment: Instant| jobs.iter().filter(|job| job.begun <= moment && moment < job.ended).count();
        jobs.iter().map(|job| at(job.begun)).max().unwrap_or(0)
    }
}

/// The setting in which a plan is carried out.
pub(super) struct Limits<'s> {
    /// The group that is looked at.
    pub(super) group: &'static str,
    pub(super) slots: &'s Slots,
    pub(super) governor: Governor,
}

/// The result of carrying out a plan.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) result: Result<(), Stopped>,
    /// What the witness heard.
    pub(super) told: Vec<String>,
}

pub(super) fn start(instance: &str) -> Action {
    Action { instance: instance.to_owned(), kind: ActionKind::Restart { attempt: 1 } }
}

/// Everything at once, with nothing that has to come first.
pub(super) fn in_any_order(view: &View<'_>, actions: Vec<Action>) -> Agenda {
    Agenda::new(actions, &view.snapshot, Schedule::default())
}

/// Writes down what it hears.
#[derive(Debug, Default)]
struct Recorder(Vec<String>);

impl Witness for Recorder {
    fn noted(&mut self, note: &Note, _now: Timestamp) {
        self.0.push(format!("{}: {:?}", note.instance, note.kind));
    }

    fn begin(&mut self, actions: &[Action], _epoch_ns: u64) {
        let names: Vec<&str> = actions.iter().map(|action| action.instance.as_str()).collect();
        self.0.push(format!("begin {}", names.join(" ")));
    }

    fn ended(&mut self, action: &Action, outcome: &Outcome, _now: Timestamp) {
        let what = match outcome {
            Outcome::Succeeded => "succeeded".to_owned(),
            Outcome::Failed { .. } => "failed".to_owned(),
            Outcome::Unknown(_) => "unknown".to_owned(),
            Outcome::NotSubmitted(_) => "not submitted".to_owned(),
            Outcome::LeftAlone(_) => {
                let LogLine { text, .. } = tell::ended(action, outcome);
                format!("left alone, {}", text.split_once(": ").unwrap().1)
            }
        };
        self.0.push(format!("{}: {what}", action.instance));
    }
}
