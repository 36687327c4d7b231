//! How fast a cluster comes back after a power cut, in a box, on virtual time: the figures are the same on
//! every machine. `cargo test --test speed -- --nocapture` prints them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by panicking, and tell figures"
)]

use std::time::{Duration, Instant};

use ganeti_watcher::armed::Armed;
use ganeti_watcher::decide::{Action, ActionKind, intent};
use ganeti_watcher::memory::state_file::StateFile;
use ganeti_watcher::sim::jobs::{Job, Status};
use ganeti_watcher::sim::opcodes::Work;
use ganeti_watcher::sim::scenario::Scenario;
use ganeti_watcher::sim::story::{Record, play_in_virtual_time};

/// The watcher's own limits, if no option changes them.
const STARTS_PER_NODE: usize = 4;
const PARALLEL_JOBS: usize = 16;

/// The result of a recovery.
struct Recovery {
    /// From the beginning of the run to the end of the last start.
    took: Duration,
    most_on_a_node: usize,
    most_in_the_cluster: usize,
}

/// Cuts the power of a whole cluster, and has one run bring it back.
fn recover(nodes: usize, instances: usize, startup: &str) -> Recovery {
    let text = format!(
        "[timing]\nstartup = \"{startup}\"\n[fill]\nnodes = {nodes}\ninstances = {instances}\nmemory = 64\n\
         [[step]]\npower-off = [\"all\"]\n[[step]]\npower-on = [\"all\"]\n[[step]]\nwait = \"2m\"\n\
         [[step]]\nrun = [\"--no-verify-disks\"]\n"
    );
    let scenario = Scenario::parse("speed", &text).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let record = play_in_virtual_time(&scenario, directory.path()).unwrap();
    let starts = starts(&record);
    assert_eq!(starts.len(), instances, "each is started once");
    assert!(starts.iter().all(|(_, job)| job.status() == Status::Success));
    let began = record.runs[0].time.0 - scenario.epoch;
    let ended = starts.iter().filter_map(|(_, job)| job.ended).max().unwrap();
    let all: Vec<&Job> = starts.iter().map(|(_, job)| *job).collect();
    let on = |node: &str| {
        let there = starts.iter().filter(|(primary, _)| primary == node);
        most_at_once(&there.map(|(_, job)| *job).collect::<Vec<_>>())
    };
    Recovery {
        took: ended - began,
        most_on_a_node: starts.iter().map(|(node, _)| on(node)).max().unwrap(),
        most_in_the_cluster: most_at_once(&all),
    }
}

/// The start jobs, each with its instance's primary node.
fn starts(record: &Record) -> Vec<(String, &Job)> {
    let jobs = record.runs.iter().flat_map(|run| &run.jobs);
    let start = |job| match &job_work(job)? {
        Work::Startup { instance, .. } => {
            let primary =
                record.stage.cluster.look(|engine| engine.model.instance(instance).unwrap().primary.clone());
            Some((primary, job))
        }
        _ => None,
    };
    jobs.filter_map(start).collect()
}

fn job_work(job: &Job) -> Option<&Work> {
    job.ops.first().map(|op| &op.opcode.work)
}

/// The most of these jobs in the queue at the same moment.
fn most_at_once(jobs: &[&Job]) -> usize {
    let is_there = |job: &Job, at: Duration| job.received <= at && job.ended.is_none_or(|ended| ended > at);
    let at = |moment: Duration| jobs.iter().filter(|job| is_there(job, moment)).count();
    jobs.iter().map(|job| at(job.received)).max().unwrap_or(0)
}

fn check_limits(recovery: &Recovery) {
    assert!(recovery.most_on_a_node <= STARTS_PER_NODE, "{} starts on a node", recovery.most_on_a_node);
    assert!(recovery.most_in_the_cluster <= PARALLEL_JOBS, "{} jobs", recovery.most_in_the_cluster);
}

/// The outage that this program is known for: with one start after another, it took half an hour.
#[test]
fn sixty_two_instances_on_four_nodes_are_back_within_three_minutes() {
    let recovery = recover(4, 62, "29s");
    println!(
        "62 instances, 4 nodes, 29 s a start: up after {:.0} s, at most {} starts on a node, {} in the cluster",
        recovery.took.as_secs_f64(),
        recovery.most_on_a_node,
        recovery.most_in_the_cluster
    );
    check_limits(&recovery);
    assert!(recovery.took <= Duration::from_secs(180), "{:?}", recovery.took);
}

/// The minimum possible: luxid starts the jobs' processes one after another, and each occupies a slot until
/// its start has ended.
fn bound(instances: u32, fork: f64, start: f64) -> f64 {
    let slots = PARALLEL_JOBS as f64;
    let instances = f64::from(instances);
    (instances * fork).max((instances / slots).ceil() * (fork + start))
}

#[test]
fn a_thousand_instances_are_back_as_fast_as_the_limits_allow() {
    let recovery = recover(40, 1000, "29s");
    let (took, bound) = (recovery.took.as_secs_f64(), bound(1000, 0.4, 29.0));
    println!(
        "1,000 instances, 40 nodes, 29 s a start: up after {took:.0} s, the bound is {bound:.0} s ({:+.1} %), at most {} \
         starts on a node, {} in the cluster",
        (took / bound - 1.0) * 100.0,
        recovery.most_on_a_node,
        recovery.most_in_the_cluster
    );
    check_limits(&recovery);
    assert!(took <= bound * 1.1, "{took:.0} s are more than 10 % above {bound:.0} s");
}

/// Every submission of starts is preceded by a save of the whole state, so this limits how much a big
/// cluster's recovery is delayed: with a submission every 0.8 s, the time that luxid takes to start the
/// processes of two jobs.
#[test]
fn a_save_of_ten_thousand_records_holds_up_a_submission_by_little() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.u.data");
    let armed = Armed::for_run(false).unwrap();
    let (mut file, mut state) = StateFile::open(&armed, &path, "1").unwrap();
    for number in 0..10_000 {
        state.record_restart_attempt(
            &format!("inst{number}.example.com"),
            1_795_343_883.5 + f64::from(number),
        );
    }
    let saves = 20_u32;
    let (mut texts, mut whole) = (Duration::ZERO, Duration::ZERO);
    for number in 0..saves {
        let start = |name: String| Action { instance: name, kind: ActionKind::Restart { attempt: 1 } };
        intent::record(&mut state, &[start(format!("inst{number}.example.com"))], 5, Some("b1"));
        let began = Instant::now();
        let length = state.to_text().len();
        texts += began.elapsed();
        assert!(length > 500_000);
        let began = Instant::now();
        file.save_change(&state).unwrap();
        whole += began.elapsed();
    }
    let millis = |all: Duration| (all / saves).as_secs_f64() * 1000.0;
    println!(
        "10,000 records: a save takes {:.1} ms, including {:.1} ms for the text",
        millis(whole),
        millis(texts)
    );
    // Far above what is measured, but a machine may be busy, and the build unoptimised.
    assert!(whole / saves < Duration::from_millis(800), "{whole:?}");
}
