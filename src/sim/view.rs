//! What can be seen in the box at one moment, for whoever tells its story.

use std::time::Duration;

use super::engine::Engine;
use super::jobs::{Phase, Status};
use super::model::{Link, Power};

/// The box at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// How long the box has been running.
    pub elapsed: Duration,
    /// The nodes, in natural order of names.
    pub nodes: Vec<NodeView>,
    /// How many instances run.
    pub running: usize,
    /// How many instances should be up.
    pub wanted: usize,
    /// The jobs that have not ended, by number.
    pub jobs: Vec<JobView>,
    /// How many jobs have ended so far.
    pub jobs_ended: usize,
}

/// A node at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub power: Power,
    /// Its reachability.
    pub link: Link,
    /// Whether it is marked offline.
    pub offline: bool,
    /// How many instances run there.
    pub running: usize,
    /// How many instances that should be up have it as primary node.
    pub wanted: usize,
    /// Summaries of what jobs are doing for instances that have it as primary node.
    pub doing: Vec<String>,
}

/// A job at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// Its number.
    pub id: u64,
    /// Summary of its current opcode.
    pub summary: String,
    /// How far it is.
    pub status: Status,
    /// How long its current opcode has been running.
    pub at_work: Option<Duration>,
}

/// Looks at the box.
#[must_use]
pub fn view(engine: &Engine) -> View {
    use crate::cluster::AdminState;
    let model = &engine.model;
    let busy = engine.busy_nodes();
    let count = |test: &dyn Fn(&super::model::Instance) -> bool| {
        model.instances.values().filter(|instance| test(instance)).count()
    };
    let nodes = model.nodes.values().map(|node| NodeView {
        name: node.name.clone(),
        power: node.power,
        link: node.link,
        offline: node.offline,
        running: count(&|instance| instance.runs_on(&node.name)),
        wanted: count(&|i| i.primary == node.name && i.admin_state == AdminState::Up),
        doing: busy.get(node.name.as_str()).into_iter().flatten().map(|text| (*text).to_owned()).collect(),
    });
    let in_flight = engine.jobs().values().filter(|job| job.phase != Phase::Ended).map(|job| {
        let present = job.present().and_then(|present| job.ops.get(present));
        JobView {
            id: job.id,
            summary: present.map(|op| op.opcode.summary.clone()).unwrap_or_default(),
            status: job.status(),
            at_work: present.and_then(|op| op.exec).map(|since| engine.now().saturating_sub(since)),
        }
    });
    let jobs: Vec<JobView> = in_flight.collect();
    View {
        elapsed: engine.now(),
        nodes: nodes.collect(),
        running: engine.running_instances(),
        wanted: count(&|instance| instance.admin_state == AdminState::Up),
        jobs_ended: engine.jobs().len() - jobs.len(),
        jobs,
    }
}
