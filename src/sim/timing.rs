//! How long things take in the box.

use serde::Deserialize;

use super::span::Span;

/// How long things take. The defaults are those of a small real cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Timing {
    /// An answer that involves no other node.
    pub answer: Span,
    /// A query that asks the nodes; 0.2 s to 0.45 s were measured.
    pub live_query: Span,
    /// `SubmitJob`, and each job of `SubmitManyJobs`; 0.2 s to 1 s were measured.
    pub submit: Span,
    /// The start of a job's process; they start one after another.
    pub fork: Span,
    /// Start of an instance.
    pub startup: Span,
    /// Shutdown of an instance.
    pub shutdown: Span,
    /// Activation of an instance's disks.
    pub activate_disks: Span,
    /// Verification of the disks of a group.
    pub verify_disks: Span,
    /// A look at instances and their disks (`OP_INSTANCE_QUERY_DATA`).
    pub query_data: Span,
    /// What fails before it begins.
    pub refusal: Span,
    /// Migration or failover of an instance.
    pub migrate: Span,
    /// From power-on to a node that answers.
    pub boot: Span,
    /// Resynchronisation of a mirror that missed writes.
    pub resync: Span,
    /// The delay caused by a node that does not answer at all: the limit for connecting to it.
    pub dead_node: Span,
    /// The delay of each write of the job queue or the configuration while a master candidate does not answer
    /// and is not marked offline: none, unless a scenario says so; about 5 s were measured.
    pub dead_candidate: Span,
    /// The delay caused by a node that accepts a call and never answers it: the limit for urgent calls.
    pub silent_node: Span,
    /// `check-and-start` of a daemon.
    pub daemon_start: Span,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            answer: Span::millis(5),
            live_query: Span::millis(300),
            submit: Span::millis(250),
            fork: Span::millis(400),
            startup: Span::millis(3000),
            shutdown: Span::millis(2000),
            activate_disks: Span::millis(2000),
            verify_disks: Span::millis(1500),
            query_data: Span::millis(500),
            refusal: Span::millis(300),
            migrate: Span::millis(10_000),
            boot: Span::millis(60_000),
            resync: Span::millis(60_000),
            dead_node: Span::millis(5000),
            dead_candidate: Span::millis(0),
            silent_node: Span::millis(60_000),
            daemon_start: Span::millis(2000),
        }
    }
}

impl Timing {
    /// All durations multiplied by `factor`: a comparison with the original takes real time.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let scale = |span: Span| span.scaled(factor);
        Self {
            answer: scale(self.answer),
            live_query: scale(self.live_query),
            submit: scale(self.submit),
            fork: scale(self.fork),
            startup: scale(self.startup),
            shutdown: scale(self.shutdown),
            activate_disks: scale(self.activate_disks),
            verify_disks: scale(self.verify_disks),
            query_data: scale(self.query_data),
            refusal: scale(self.refusal),
            migrate: scale(self.migrate),
            boot: scale(self.boot),
            resync: scale(self.resync),
            dead_node: scale(self.dead_node),
            dead_candidate: scale(self.dead_candidate),
            silent_node: scale(self.silent_node),
            daemon_start: scale(self.daemon_start),
        }
    }
}
