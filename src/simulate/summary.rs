//! The outcome of a story, in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::progress::time;
use crate::cluster::{AdminState, GanetiError};
use crate::sim::engine::Engine;
use crate::sim::jobs::{Job, Status};
use crate::sim::model::{Instance, Power};
use crate::sim::story::Record;

/// The summary of a story that is over.
pub(super) fn summary(record: &Record) -> String {
    let jobs: Vec<&Job> = record.runs.iter().flat_map(|run| &run.jobs).filter(|job| repairs(job)).collect();
    let begin = jobs.iter().map(|job| job.received).min();
    let end = jobs.iter().filter(|job| job.status() == Status::Success).filter_map(|job| job.ended).max();
    let mut text = record.stage.cluster.look(back);
    if let (Some(begin), Some(end)) = (begin, end) {
        let one_by_one: Duration = jobs.iter().filter_map(|job| alone(job)).sum();
        // Writing to a String does not fail.
        let _written = writeln!(
            text,
            "Recovery took {}; one at a time, the {} jobs would have taken {}.",
            time(end.saturating_sub(begin)),
            jobs.len(),
            time(one_by_one)
        );
    }
    text.push_str(&record.stage.cluster.look(|engine| left_over(engine, &jobs)));
    let _written = writeln!(text, "The watcher ran {} times.", record.runs.len());
    text
}

/// Whether a node has power and is not up yet.
pub(super) fn is_booting(engine: &Engine) -> bool {
    engine.model.nodes.values().any(|node| matches!(node.power, Power::Booting(_)))
}

/// How long a job takes on its own: from process start to end, without waiting for locks.
fn alone(job: &Job) -> Option<Duration> {
    let waited = job.ops.iter().filter_map(|op| Some(op.exec?.saturating_sub(op.start?))).sum();
    Some((job.ended? - job.started?).saturating_sub(waited))
}

fn repairs(job: &Job) -> bool {
    !job.summaries().iter().all(|summary| summary.starts_with("GROUP_VERIFY_DISKS("))
}

fn back(engine: &Engine) -> String {
    let wanted = engine.model.instances.values().filter(|instance| instance.admin_state == AdminState::Up);
    let (running, down): (Vec<&Instance>, Vec<&Instance>) =
        wanted.partition(|instance| instance.is_running());
    format!("\n{} of {} instances run.\n", running.len(), running.len() + down.len())
}

/// The instances that need a human, and why.
fn left_over(engine: &Engine, jobs: &[&Job]) -> String {
    let mut errors: BTreeMap<String, String> = BTreeMap::new();
    for (summary, error) in jobs.iter().flat_map(|job| job.summaries().into_iter().zip(errors_of(job))) {
        if let (Some((_, rest)), Some(error)) = (summary.split_once('('), error) {
            errors.insert(rest.trim_end_matches(')').to_owned(), error);
        }
    }
    let mut text = String::new();
    for instance in engine.model.instances.values() {
        if instance.admin_state != AdminState::Up || instance.is_running() {
            continue;
        }
        let primary = engine.model.node(&instance.primary);
        let why = match (primary.filter(|node| !node.answers()), errors.get(&instance.name)) {
            (Some(node), _) => format!("its primary node {} does not answer", node.name),
            (None, Some(error)) => error.clone(),
            (None, None) if primary.is_some_and(|node| engine.model.free_memory(node) < instance.memory) => {
                format!("its primary node {} does not have enough memory for it", instance.primary)
            }
            (None, None) => "no start was attempted".to_owned(),
        };
        let _written = writeln!(text, "{} needs a human: {why}", instance.name);
    }
    text
}

/// For every opcode the error with which it failed, if it did.
fn errors_of(job: &Job) -> Vec<Option<String>> {
    job.ops
        .iter()
        .map(|op| {
            let failed = op.status == Status::Error;
            failed.then(|| {
                GanetiError::decode(&op.result).map_or(op.result.to_string(), |error| error.to_string())
            })
        })
        .collect()
}
