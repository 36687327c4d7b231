//! Plays the scenarios that allow it with Debian's original ganeti-watcher 3.0.2 too, and compares: exit
//! codes, jobs, state, status files and log. What may differ is in `allowed.toml`. Started by
//! `tests/oracle/run`; `cargo test` alone leaves it out.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what was not run must be said")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the scenarios need more of it")]
mod support;

mod allowed;
mod original;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use ganeti_watcher::sim::scenario::Scenario;
use ganeti_watcher::sim::story::{Record, WaitSteps, play, play_in_virtual_time};
use libtest_mimic::{Arguments, Failed, Trial};
use similar::TextDiff;

use allowed::{Allowed, What, Whose};
use original::{Original, Rapi};
use support::topics::{CLUSTER, ScenarioDirectory, scenarios};
use support::utc::in_utc;

/// How much faster the box is with the original, for which time is real.
const FACTOR: f64 = 0.02;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(cache) = std::env::var_os("GANETI_WATCHER_ORACLE").map(PathBuf::from) else {
        println!(
            "\nleft out: tests/oracle/run (comparison with Debian's original) and tests/lab/run (real Ganeti)"
        );
        return ExitCode::SUCCESS;
    };
    let prepared = || -> Result<(Rapi, Allowed, Vec<ScenarioDirectory>)> {
        in_utc()?;
        let allowed = Allowed::load(&root.join("tests/oracle/allowed.toml"))?;
        Ok((Rapi::start(&cache)?, allowed, comparable()?))
    };
    let (rapi, allowed, comparable) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("oracle: not run: {error:#}");
            return ExitCode::from(2);
        }
    };
    let allowed = Arc::new(allowed);
    let original = Original::below(&cache);
    let trials = comparable.into_iter().map(|ScenarioDirectory { name, path }| {
        let (allowed, original) = (Arc::clone(&allowed), original.clone());
        Trial::test(name.clone(), move || compare(&name, &path.join(CLUSTER), &allowed, &original))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    drop(rapi);
    let (entries, unused) = allowed.unused();
    println!("{} comparisons, {entries} allowed differences", conclusion.num_passed + conclusion.num_failed);
    if !unused.is_empty() && conclusion.num_filtered_out == 0 {
        println!("allowed, but no longer needed: {unused:#?}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// The scenarios that the original can play.
fn comparable() -> Result<Vec<ScenarioDirectory>> {
    let mut comparable = Vec::new();
    for scenario in scenarios().map_err(anyhow::Error::msg)? {
        if Scenario::load(&scenario.path.join(CLUSTER))?.oracle {
            comparable.push(scenario);
        }
    }
    Ok(comparable)
}

fn compare(name: &str, path: &Path, allowed: &Allowed, original: &Original) -> Result<(), Failed> {
    let (ours, theirs) = records(path, original).map_err(|error| format!("{error:#}"))?;
    let mut report = String::new();
    if ours.record.runs.len() != theirs.record.runs.len() {
        return Err(format!(
            "{} runs of ours, {} of the original's",
            ours.record.runs.len(),
            theirs.record.runs.len()
        )
        .into());
    }
    for number in 0..ours.record.runs.len() {
        for what in [What::Exit, What::Jobs, What::State, What::Status, What::Log] {
            let ours = part(name, &ours.record, number, what, Whose::Ours, allowed);
            let theirs = part(name, &theirs.record, number, what, Whose::Original, allowed);
            if ours != theirs && !allowed.differs(name, what) {
                let diff = TextDiff::from_lines(theirs.as_str(), ours.as_str());
                let title = format!("original: {what:?} of run {}", number + 1);
                let _written = writeln!(report, "{}", diff.unified_diff().header(&title, "ours"));
            }
        }
    }
    if report.is_empty() { Ok(()) } else { Err(report.into()) }
}

/// A record, and the directory that it needs.
struct Played {
    record: Record,
    _directory: tempfile::TempDir,
}

fn records(path: &Path, original: &Original) -> Result<(Played, Played)> {
    let scenario = Scenario::load(path)?;
    let directory = tempfile::tempdir()?;
    let ours = Played { record: play_in_virtual_time(&scenario, directory.path())?, _directory: directory };
    let directory = tempfile::tempdir()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scaled = scenario.scaled(FACTOR, now);
    let record = runtime.block_on(play(&scaled, directory.path(), original, WaitSteps::Skip))?;
    Ok((ours, Played { record, _directory: directory }))
}

/// A part of a run as text.
fn part(
    scenario: &str,
    record: &Record,
    number: usize,
    what: What,
    whose: Whose,
    allowed: &Allowed,
) -> String {
    let run = &record.runs[number];
    let redactor = support::Redactor::new(record);
    match what {
        What::Exit => format!("exit {}\n", run.exit),
        What::Jobs => {
            let mut ops: Vec<(String, String)> = Vec::new();
            for job in &run.jobs {
                let group = group_of(record, job);
                ops.extend(support::job_lines(job).iter().map(|op| (group.clone(), redactor.redact(op))));
            }
            // Groups are independent of each other.
            ops.sort_by(|(one, _), (other, _)| one.cmp(other));
            in_any_order(ops.into_iter().map(|(_, op)| op).collect())
        }
        What::State => {
            let mut state = support::run_states(record, run);
            allowed.trim(&mut state);
            redactor.redact(&serde_json::to_string_pretty(&sorted(&state)).unwrap_or_default()) + "\n"
        }
        What::Status => run.statuses.iter().map(|(name, content)| format!("{name}: {content:?}\n")).collect(),
        What::Log => {
            let is_entry = |line: &&str| line.contains(": ganeti-watcher pid=");
            let lines = run.log.lines().filter(is_entry).map(support::without_prefix);
            let lines = lines.filter(|line| !line.starts_with("DEBUG ")).map(|line| redactor.redact(&line));
            let mut lines: Vec<String> =
                lines.filter_map(|line| allowed.line(scenario, whose, &line)).collect();
            if run.states.len() > 1 {
                lines.sort();
            }
            in_any_order(lines)
        }
    }
}

/// The lines, with consecutive ones about activations sorted: the original goes through a node's secondary
/// instances in the arbitrary order of a Python set.
fn in_any_order(mut lines: Vec<String>) -> String {
    let is_activation = |line: &String| {
        line.contains("ctivating disks for instance")
            || line.contains("Skipping disk activation for instance")
    };
    lines.chunk_by_mut(|one, next| is_activation(one) && is_activation(next)).for_each(<[String]>::sort);
    lines.into_iter().map(|line| line + "\n").collect()
}

fn group_of(record: &Record, job: &ganeti_watcher::sim::jobs::Job) -> String {
    let subject = job.ops.first().map(|op| op.opcode.summary.clone()).unwrap_or_default();
    let subject =
        subject.split_once('(').map(|(_, rest)| rest.trim_end_matches(')').to_owned()).unwrap_or_default();
    record.stage.cluster.look(|engine| {
        let primary = engine.model.instance(&subject).map(|instance| instance.primary.clone());
        let group = primary.and_then(|node| engine.model.group_of_node(&node).map(str::to_owned));
        group.unwrap_or(subject)
    })
}

/// The value with its keys in order.
fn sorted(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let ordered: std::collections::BTreeMap<_, _> =
                map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        other => other.clone(),
    }
}
