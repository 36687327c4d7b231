//! The job queue: which job gets a process, which gets its locks, and what becomes of it.
//!
//! Source: `JQScheduler.hs`, `jqueue/__init__.py: _JobProcessor`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::engine::{Due, Engine};
use super::events::Trigger;
use super::failure::Failure;
use super::jobs::{Job, LogEntry, Phase, Status};
use super::opcodes::{Opcode, Work};
use super::work::{self, Verdict};

impl Engine {
    /// Accepts a job, and gives it the next number.
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
        self.queued.insert(id);
        if let Some(summary) = summary {
            self.fire(&Trigger::OnSubmit(summary));
        }
        id
    }

    pub(super) fn fire(&mut self, trigger: &Trigger) {
        // At the same moment, but after what is happening now.
        while let Some(at) = self.planned.iter().position(|(planned, _)| planned == trigger) {
            let (_, event) = self.planned.remove(at);
            self.schedule(self.now, Due::Event(event));
        }
    }

    /// Gives processes to the jobs whose turn it is: by priority, then by number, at most `max_running_jobs`
    /// at once.
    pub(super) fn fork_jobs(&mut self) {
        if !self.luxid.runs {
            return;
        }
        if self.queued.is_empty() || self.at_work.len() >= self.model.max_running_jobs {
            return;
        }
        for (_, id) in self.in_order(&self.queued) {
            if self.at_work.len() >= self.model.max_running_jobs {
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
            let fork = self.model.seed.duration(self.model.timing.fork, &format!("fork of job {id}"));
            self.fork_free = self.fork_free.max(self.now) + fork;
            self.schedule(self.fork_free, Due::Forked(id));
            if let Some(job) = self.jobs.get_mut(&id) {
                job.phase = Phase::Forking;
            }
            self.queued.remove(&id);
            self.at_work.insert(id);
        }
    }

    /// These jobs as luxid serves them: by priority, then by number.
    fn in_order(&self, ids: &BTreeSet<u64>) -> Vec<(i64, u64)> {
        let jobs = ids.iter().filter_map(|id| self.jobs.get(id));
        let mut order: Vec<(i64, u64)> = jobs.map(|job| (job.priority(), job.id)).collect();
        order.sort_unstable();
        order
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

    pub(super) fn begin_locking(&mut self, id: u64) {
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
    pub(super) fn grant_locks(&mut self) {
        for (_, id) in self.in_order(&self.at_work) {
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

    pub(super) fn end_op(&mut self, id: u64, verdict: Option<Verdict>) {
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
                let is_startup = matches!(op.opcode.work, Work::Startup { .. });
                if is_startup && let Some(instance) = instance {
                    self.let_die(&instance);
                }
                let more = self.jobs.get(&id).is_some_and(|job| job.present().is_some());
                if more {
                    self.begin_locking(id);
                } else {
                    self.leave(id);
                }
            }
            Verdict::Failure(failure) => {
                self.log_serial += 1;
                let text = failure.arguments.first().and_then(Value::as_str).unwrap_or_default().to_owned();
                op.log.push(LogEntry { serial: self.log_serial, at: self.now, text });
                op.status = Status::Error;
                op.result = failure.encode();
                self.end_job(id, Status::Error, &json!(["OpExecError", ["Preceding opcode failed"]]));
            }
            Verdict::Died(text) => self.end_job(id, Status::Error, &json!(text)),
        }
        self.fire(&Trigger::OnEnd(summary));
    }

    /// Puts a job into the queue that has already ended.
    pub(super) fn put_ended(&mut self, opcode: Opcode, failure: Option<&Failure>) {
        let id = self.submit(vec![opcode]);
        let (status, result) = match failure {
            Some(failure) => (Status::Error, failure.encode()),
            None => (Status::Success, Value::Null),
        };
        let now = Some(self.now);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.started = now;
            job.ops.iter_mut().for_each(|op| (op.start, op.exec) = (now, now));
        }
        self.end_job(id, status, &result);
    }

    fn let_die(&mut self, name: &str) {
        let instance = self.model.instance(name);
        if let Some(after) = instance.and_then(|instance| instance.habits.dies_after) {
            self.schedule(self.now + after, Due::Dies(name.to_owned()));
        }
    }

    /// Ends a job; its unfinished opcodes get this status and result.
    pub(super) fn end_job(&mut self, id: u64, status: Status, result: &Value) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        for op in job.ops.iter_mut().filter(|op| !op.status.is_final()) {
            op.status = status;
            op.result = result.clone();
            op.end = Some(self.now);
        }
        self.leave(id);
        self.locks.release(id);
    }

    /// A job is over.
    fn leave(&mut self, id: u64) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.phase = Phase::Ended;
            job.ended = Some(self.now);
        }
        self.queued.remove(&id);
        self.at_work.remove(&id);
    }

    /// Cancels a job, unless it has begun.
    pub(super) fn cancel(&mut self, id: u64) {
        let has_not_begun = |job: &Job| matches!(job.status(), Status::Queued | Status::Waiting);
        if self.jobs.get(&id).is_some_and(has_not_begun) {
            self.end_job(id, Status::Canceled, &Value::Null);
        }
    }
}

enum Dependencies {
    Met,
    Wait,
    Cancel,
    Fail(String),
}
