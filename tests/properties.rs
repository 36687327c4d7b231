//! What must hold for every cluster, tested on random ones in a box: nothing is done twice or to what must be
//! left alone, every run ends, a second run has nothing left to do, and a killed run leaves a state that the
//! next one can read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]

use std::fmt::Write as _;
use std::time::Duration;

use ganeti_watcher::luxi::client::LocalFuture;
use ganeti_watcher::sim::engine::Engine;
use ganeti_watcher::sim::jobs::{Job, Status};
use ganeti_watcher::sim::opcodes::Work;
use ganeti_watcher::sim::scenario::{Run, Scenario};
use ganeti_watcher::sim::stage::Stage;
use ganeti_watcher::sim::story::{InProcess, Record, WaitSteps, Watcher, play};
use proptest::prelude::*;
use proptest::sample::select;

/// The exit code of a killed watcher, as a shell shows it.
const KILLED: u8 = 137;
/// The most jobs that a watcher may have in flight.
const AT_ONCE: usize = 20;

#[derive(Debug, Clone)]
struct NodeSketch {
    second_group: bool,
    condition: &'static str,
}

#[derive(Debug, Clone)]
struct InstanceSketch {
    primary: usize,
    secondary: Option<usize>,
    template: &'static str,
    condition: &'static str,
    trouble: &'static str,
    crashed: bool,
}

#[derive(Debug, Clone)]
struct ClusterSketch {
    nodes: Vec<NodeSketch>,
    instances: Vec<InstanceSketch>,
    user_shutdown: bool,
    version: &'static str,
    max_running: usize,
    seed: u64,
    steps: String,
}

/// How much a watcher may have in flight.
#[derive(Debug, Clone, Copy)]
struct Limits {
    starts_per_node: usize,
    jobs: usize,
}

fn node() -> impl Strategy<Value = NodeSketch> {
    let condition = prop_oneof![
        6 => Just(""),
        1 => Just("power = false\n"),
        1 => Just("power = false\noffline = true\n"),
        1 => Just("link = \"cut\"\n"),
    ];
    (any::<bool>(), condition).prop_map(|(second_group, condition)| NodeSketch { second_group, condition })
}

fn instance() -> impl Strategy<Value = InstanceSketch> {
    let condition = prop_oneof![
        6 => Just(""),
        1 => Just("admin = \"down\"\n"),
        1 => Just("admin = \"down\"\nby-user = true\n"),
        1 => Just("admin = \"offline\"\n"),
        1 => Just("live = \"stopped\"\n"),
        1 => Just("disks-active = false\n"),
    ];
    let trouble = prop_oneof![
        6 => Just(""),
        1 => Just("fails-to-start = {}\n"),
        1 => Just("fails-to-start = { times = 1 }\n"),
        1 => Just("fails-to-start = { times = 1, kills-job = true }\n"),
        1 => Just("fails-to-activate = { times = 1 }\n"),
        1 => Just("fails-to-shut-down = {}\n"),
        1 => Just("memory = 40000\n"),
    ];
    let template = select(vec!["plain", "diskless", "ext"]);
    (0..5_usize, proptest::option::of(0..5_usize), template, condition, trouble, any::<bool>()).prop_map(
        |(primary, secondary, template, condition, trouble, crashed)| InstanceSketch {
            primary,
            secondary,
            template,
            condition,
            trouble,
            crashed,
        },
    )
}

fn cluster() -> impl Strategy<Value = ClusterSketch> {
    let nodes = proptest::collection::vec(node(), 1..5);
    let instances = proptest::collection::vec(instance(), 0..10);
    (nodes, instances, any::<bool>(), select(vec!["2.16.2", "3.0.2", "3.1.0"]), 0..1000_u64).prop_map(
        |(nodes, instances, user_shutdown, version, seed)| ClusterSketch {
            nodes,
            instances,
            user_shutdown,
            version,
            max_running: 20,
            seed,
            steps: String::new(),
        },
    )
}

impl ClusterSketch {
    /// The scenario. The master is a separate node, to which nothing happens.
    fn scenario(&self) -> Scenario {
        let mut text = format!(
            "seed = {}\n[cluster]\nmaster = \"master\"\nversion = \"{}\"\nuser-shutdown = {}\n\
             max-running-jobs = {}\n",
            self.seed, self.version, self.user_shutdown, self.max_running
        );
        text += "[[group]]\nname = \"default\"\n[[group]]\nname = \"second\"\n[[node]]\nname = \"master\"\n";
        for (index, node) in self.nodes.iter().enumerate() {
            let group = if node.second_group { "second" } else { "default" };
            let _written =
                write!(text, "[[node]]\nname = \"node{index}\"\ngroup = \"{group}\"\n{}", node.condition);
        }
        let mut crashed = Vec::new();
        for (index, instance) in self.instances.iter().enumerate() {
            let count = self.nodes.len();
            let primary = instance.primary % count;
            let secondary =
                instance.secondary.map(|secondary| secondary % count).filter(|other| *other != primary);
            let kind = match secondary {
                Some(secondary) => format!("secondary = \"node{secondary}\""),
                None => format!("template = \"{}\"", instance.template),
            };
            let _written = write!(
                text,
                "[[instance]]\nname = \"inst{index}\"\nprimary = \"node{primary}\"\n{kind}\n{}{}",
                instance.condition, instance.trouble
            );
            if instance.crashed {
                crashed.push(format!("\"inst{index}\""));
            }
        }
        let _written = write!(text, "[[step]]\ncrash = [{}]\n{}", crashed.join(", "), self.steps);
        match Scenario::parse("sketch", &text) {
            Ok(scenario) => scenario,
            Err(error) => panic!("{error}\n{text}"),
        }
    }

    fn with(mut self, steps: &str) -> Self {
        self.steps += steps;
        self
    }
}

const RUN: &str = "[[step]]\nrun = []\n";
const WAIT: &str = "[[step]]\nwait = \"5m\"\n";

fn told(sketch: &ClusterSketch, watcher: &dyn Watcher) -> Record {
    let directory = tempfile::tempdir().unwrap();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let record =
        runtime.block_on(play(&sketch.scenario(), directory.path(), watcher, WaitSteps::Wait)).unwrap();
    let strange: Vec<_> =
        std::fs::read_dir(record.stage.directory("master.example.com").join("var/lib/ganeti"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains(".bad-"))
            .collect();
    assert_eq!(strange, Vec::<String>::new(), "a state file could not be read");
    record
}

/// The jobs that watchers submitted.
fn ours(record: &Record) -> Vec<&Job> {
    let by_watcher = |job: &&Job| {
        let mut reasons =
            job.ops.iter().flat_map(|op| op.opcode.input["reason"].as_array().into_iter().flatten());
        reasons.any(|reason| reason[0] == "gnt:watcher")
    };
    record.runs.iter().flat_map(|run| &run.jobs).filter(by_watcher).collect()
}

fn instance_of(job: &Job) -> Option<&str> {
    job.ops.first().and_then(|op| op.opcode.work.instance())
}

/// Nothing is done twice at the same time, and never too much.
fn check_side_by_side(jobs: &[&Job]) {
    for (index, job) in jobs.iter().enumerate() {
        // Jobs left behind by a killed run end later than that run's record knows.
        let ended = job.ended.unwrap_or(Duration::MAX);
        let meanwhile: Vec<_> = jobs[index + 1..]
            .iter()
            .filter(|later| later.received >= job.received && later.received < ended)
            .collect();
        assert!(meanwhile.len() < AT_ONCE, "{} jobs at once", meanwhile.len() + 1);
        for later in meanwhile {
            assert!(
                instance_of(job).is_none() || instance_of(job) != instance_of(later),
                "two jobs at a time: {:?} and {:?}",
                job.summaries(),
                later.summaries()
            );
        }
    }
}

/// Never more than the limits, and no two activations on one node: the second would only wait for locks.
fn check_limits(record: &Record, limits: Limits) {
    record.stage.cluster.look(|engine| {
        let jobs = ours(record);
        let of_instances: Vec<&Job> = jobs.into_iter().filter(|job| instance_of(job).is_some()).collect();
        for job in &of_instances {
            let is_there = |other: &&&Job| {
                other.received <= job.received && other.ended.is_none_or(|ended| ended > job.received)
            };
            let meanwhile: Vec<&&Job> = of_instances.iter().filter(is_there).collect();
            assert!(meanwhile.len() <= limits.jobs, "{} jobs at once, {limits:?}", meanwhile.len());
            let nodes = |job: &Job| {
                let instance = instance_of(job).and_then(|name| engine.model.instance(name)).unwrap();
                instance.all_nodes().into_iter().map(str::to_owned).collect::<Vec<_>>()
            };
            let is_activation = |job: &Job| matches!(job.ops[0].opcode.work, Work::ActivateDisks { .. });
            let primary = nodes(job).remove(0);
            let starts = meanwhile.iter().filter(|other| !is_activation(other) && nodes(other)[0] == primary);
            let starts = starts.count();
            assert!(starts <= limits.starts_per_node, "{starts} starts at once on {primary}, {limits:?}");
            let mut locked: Vec<String> = meanwhile
                .iter()
                .filter(|other| is_activation(other))
                .flat_map(|other| nodes(other))
                .collect();
            let count = locked.len();
            locked.sort();
            locked.dedup();
            assert_eq!(locked.len(), count, "activations share a node: {meanwhile:?}");
        }
    });
}

/// Without force Ganeti needs the secondary node, so a start would fail, and leave the disks marked as not
/// active.
fn check_no_doomed_start(record: &Record) {
    record.stage.cluster.look(|engine| {
        for job in ours(record) {
            let Work::Startup { instance, force, .. } = &job.ops[0].opcode.work else { continue };
            let secondaries = engine.model.instance(instance).unwrap().secondaries();
            let silent = secondaries.iter().filter_map(|name| engine.model.node(name));
            let silent = silent.filter(|node| !node.answers() && !node.offline).count();
            assert!(!force, "nobody asked for {:?}", job.summaries());
            assert_eq!(silent, 0, "{instance} cannot be started");
        }
    });
}

/// What must be left alone is left alone: split and offline instances, and those whose primary node is away.
fn check_left_alone(record: &Record, engine: &Engine) {
    let model = &engine.model;
    for job in ours(record) {
        let Some(name) = instance_of(job) else { continue };
        let Some(instance) = model.instance(name) else { panic!("{name} does not exist") };
        let groups: Vec<_> = instance.all_nodes().iter().map(|node| model.group_of_node(node)).collect();
        assert!(groups.windows(2).all(|pair| pair[0] == pair[1]), "{name} is split: {:?}", job.summaries());
        let Some(primary) = model.node(&instance.primary) else { panic!("no primary") };
        assert!(!primary.offline && primary.answers(), "{} is away: {:?}", primary.name, job.summaries());
        assert_ne!(
            instance.admin_state,
            ganeti_watcher::cluster::AdminState::Offline,
            "{name} is offline: {:?}",
            job.summaries()
        );
    }
}

fn check(record: &Record) {
    record.stage.cluster.look(|engine| {
        check_left_alone(record, engine);
        // As they ended, and not as last seen by the run that submitted them.
        let now: Vec<&Job> = ours(record).iter().filter_map(|job| engine.jobs().get(&job.id)).collect();
        check_side_by_side(&now);
    });
}

/// Kills the watcher after a while, the first time.
struct KilledOnce(Duration);

impl Watcher for KilledOnce {
    fn run<'a>(
        &'a self,
        stage: &'a Stage,
        node: &'a str,
        run: &'a Run,
    ) -> LocalFuture<'a, anyhow::Result<u8>> {
        Box::pin(async move {
            if stage.layout(node)?.log_dir().join("killed").exists() {
                return InProcess.run(stage, node, run).await;
            }
            std::fs::create_dir(stage.layout(node)?.log_dir().join("killed"))?;
            let watched = tokio::time::timeout(self.0, InProcess.run(stage, node, run));
            watched.await.unwrap_or(Ok(KILLED))
        })
    }
}

fn without_a_kernel(primary: usize) -> InstanceSketch {
    let trouble = "fails-to-start = { message = \"Could not start instance 'i': Hypervisor error: cannot find the kernel\" }\n";
    InstanceSketch { primary, secondary: None, template: "plain", condition: "", trouble, crashed: true }
}

fn config(cases: u32) -> ProptestConfig {
    // The same cases every time; a failure is printed as a cluster that can be turned into a scenario.
    ProptestConfig {
        cases,
        rng_algorithm: proptest::test_runner::RngAlgorithm::ChaCha,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_261_122),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn nothing_is_done_twice_or_to_what_must_be_left_alone(sketch in cluster()) {
        let record = told(&sketch.with(&[RUN, WAIT, RUN, WAIT, RUN].concat()), &InProcess);
        check(&record);
        check_limits(&record, Limits { starts_per_node: 4, jobs: 16 });
        check_no_doomed_start(&record);
    }

    #[test]
    fn limits_are_kept(
        mut sketch in cluster(),
        more in proptest::collection::vec(instance(), 10..20),
        starts_per_node in 1..5_usize,
        parallel_jobs in 1..9_usize,
        max_running in 1..12_usize,
    ) {
        sketch.instances.extend(more);
        sketch.max_running = max_running;
        let run = format!(
            "[[step]]\nrun = [\"--starts-per-node={starts_per_node}\", \"--parallel-jobs={parallel_jobs}\"]\n"
        );
        let record = told(&sketch.with(&[&run, WAIT, &run].concat()), &InProcess);
        check(&record);
        // One slot is left to an administrator, unless there is only one.
        let jobs = parallel_jobs.min(max_running.saturating_sub(1)).max(1);
        check_limits(&record, Limits { starts_per_node, jobs });
        check_no_doomed_start(&record);
    }

    #[test]
    fn a_run_after_one_that_succeeded_has_nothing_to_do(sketch in cluster()) {
        let record = told(&sketch.with(&[RUN, WAIT, RUN].concat()), &InProcess);
        let [first, second] = record.runs.as_slice() else { panic!("two runs") };
        let succeeded = first.jobs.iter().all(|job| job.status() == Status::Success) && first.exit == 0;
        if succeeded {
            let more: Vec<_> =
                second.jobs.iter().flat_map(Job::summaries).filter(|op| !op.starts_with("GROUP_")).collect();
            prop_assert_eq!(more, Vec::<&str>::new());
        }
    }

    #[test]
    fn a_paused_watcher_submits_nothing(sketch in cluster()) {
        let record = told(&sketch.with(&["[[step]]\npause = \"1h\"\n", RUN].concat()), &InProcess);
        prop_assert_eq!(ours(&record).len(), 0);
    }

    #[test]
    fn what_somebody_holds_is_left_alone(sketch in cluster()) {
        prop_assume!(!sketch.instances.is_empty());
        let hold = "[[step]]\noccupy = [\"inst0\"]\nfor = \"8h\"\n[[step]]\nwait = \"1s\"\n";
        let run = "[[step]]\nrun = [\"--no-verify-disks\"]\n";
        let record = told(&sketch.with(&[hold, run].concat()), &InProcess);
        let about: Vec<_> = ours(&record).into_iter().filter(|job| instance_of(job) == Some("inst0.example.com")).collect();
        prop_assert_eq!(about.len(), 0);
    }

    #[test]
    fn whatever_luxid_does_nothing_is_done_twice(
        sketch in cluster(),
        fault in select(vec!["close-before", "close-after", "close-within", "silent", "answer", "error", "slow"]),
        method in select(vec!["SubmitJob", "QueryJobs", "Query", "QueryConfigValues", "ArchiveJob"]),
        calls_before in 0..8_u32,
        times in 1..4_u32,
    ) {
        let fault = format!(
            "[[step]]\nluxid = \"{fault}\"\nmethod = \"{method}\"\ncalls-before = {calls_before}\ntimes = {times}\n\
             text = \"[\"\n"
        );
        let record = told(&sketch.with(&[&fault, RUN, WAIT, RUN].concat()), &InProcess);
        check(&record);
    }

    #[test]
    fn a_killed_run_leaves_what_the_next_one_reads(sketch in cluster(), millis in 0..30_000_u64) {
        let watcher = KilledOnce(Duration::from_millis(millis));
        let record = told(&sketch.with(&[RUN, RUN, WAIT, RUN].concat()), &watcher);
        check(&record);
        prop_assert_ne!(record.runs[2].exit, KILLED);
        for run in &record.runs {
            for (group, state) in &run.states {
                let readable = state.as_ref().is_none_or(|state| state.is_object() || state == "");
                prop_assert!(readable, "the state of {} is {:?}", group, state);
            }
        }
    }

    #[test]
    fn no_kill_makes_a_try_forgotten_or_a_start_made_twice(
        instances in 1..6_usize,
        ends in proptest::collection::vec((any::<bool>(), 0..45_000_u64, 1..400_u64), 1..9),
        seed in 0..1000_u64,
    ) {
        let sketch = ClusterSketch {
            nodes: vec![NodeSketch { second_group: false, condition: "" }; 2],
            instances: (0..instances).map(without_a_kernel).collect(),
            user_shutdown: false,
            version: "3.0.2",
            max_running: 20,
            seed,
            steps: String::new(),
        };
        let killed = ends.iter().map(|(with_master, millis, wait)| match with_master {
            true => format!(
                "[[step]]\nrun = [\"--no-verify-disks\"]\nexit = 137\n[[step.during]]\nafter = \"{millis}ms\"\n\
                 crash-master = true\n[[step]]\nwait = \"{wait}s\"\n"
            ),
            false => format!(
                "[[step]]\nrun = [\"--no-verify-disks\"]\nkill-after = \"{millis}ms\"\n[[step]]\nwait = \"{wait}s\"\n"
            ),
        });
        let last = "[[step]]\nwait = \"20m\"\n[[step]]\nrun = [\"--no-verify-disks\"]\n";
        let record = told(&sketch.with(&killed.chain([last.to_owned()]).collect::<String>()), &InProcess);
        check(&record);
        let state = record.runs.last().unwrap().states[0].1.clone().unwrap();
        prop_assert!(state["recovery"]["starting"].is_null(), "what has ended is settled: {}", state);
        for index in 0..instances {
            let name = format!("inst{index}.example.com");
            let (starts, deaths) = record.stage.cluster.look(|engine| {
                let starts: Vec<&Job> =
                    engine.jobs().values().filter(|job| instance_of(job) == Some(&name)).collect();
                let died = |job: &&&Job| job.ops[0].result.as_str().is_some_and(|text| text.starts_with("detected death"));
                (starts.len() as u64, starts.iter().filter(died).count() as u64)
            });
            let tries = state["instance"][&name]["restart_count"].as_u64().unwrap_or(0);
            // Consecutive deaths of the master cost a try each, except for the first.
            let counted = if starts == deaths { deaths.saturating_sub(1) } else { starts - deaths };
            prop_assert!(tries >= counted, "{}: {} starts, {} deaths, {} tries", name, starts, deaths, tries);
            prop_assert!(tries <= starts + u64::from(tries == 6), "{}: {} starts, {} tries", name, starts, tries);
        }
    }
}
