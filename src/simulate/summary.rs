//! What a story that is over amounts to, in figures.

use std::time::Duration;

use crate::cluster::AdminState;
use crate::sim::engine::Engine;
use crate::sim::jobs::{Job, Status};
use crate::sim::model::{Instance, Power};
use crate::sim::story::Record;
use crate::tell::story::Recovery;

/// The recovery that a story tells of; `None` when no job has succeeded.
pub(super) fn recovery(record: &Record) -> Option<Recovery> {
    let jobs: Vec<&Job> = record.runs.iter().flat_map(|run| &run.jobs).filter(|job| repairs(job)).collect();
    let begin = jobs.iter().map(|job| job.received).min()?;
    let succeeded = jobs.iter().filter(|job| job.status() == Status::Success);
    let took = succeeded.filter_map(|job| job.ended).max()?.saturating_sub(begin);
    let one_by_one = jobs.iter().filter_map(|job| alone(job)).sum();
    Some(Recovery { took, jobs: jobs.len(), one_by_one })
}

/// Names of the instances that should run: those that do, and those that do not.
pub(super) fn up_and_down(engine: &Engine) -> (Vec<String>, Vec<String>) {
    let is_wanted = |instance: &&Instance| instance.admin_state == AdminState::Up && !instance.forthcoming;
    let wanted = engine.model.instances.values().filter(is_wanted);
    let (up, down): (Vec<&Instance>, Vec<&Instance>) = wanted.partition(|instance| instance.is_running());
    let names = |instances: Vec<&Instance>| instances.iter().map(|instance| instance.name.clone()).collect();
    (names(up), names(down))
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
