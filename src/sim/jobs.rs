//! Jobs, and the rows that luxid makes from them.
//!
//! Source: `jqueue/__init__.py`, `JQueue.hs`, `Query/Job.hs`.

use std::time::Duration;

use serde_json::{Value, json};

use super::locks::Request;
use super::opcodes::Opcode;

/// Status of a job or of an opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It has no process yet.
    Queued,
    /// It waits for locks.
    Waiting,
    /// It is running.
    Running,
    /// Somebody canceled it before it began.
    Canceled,
    /// It did what it was asked to.
    Success,
    /// It failed.
    Error,
}

impl Status {
    /// luxid's word for it.
    #[must_use]
    pub fn as_word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Canceled => "canceled",
            Self::Success => "success",
            Self::Error => "error",
        }
    }

    /// Whether it is final.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Canceled | Self::Success | Self::Error)
    }
}

/// How far a job has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a process.
    Queued,
    /// Its process is being started.
    Forking,
    /// Its process is taking the locks of the current opcode; these levels remain.
    Acquiring(Vec<Request>),
    /// Its current opcode is being carried out.
    Running,
    /// It has ended.
    Ended,
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// Its opcodes.
    pub ops: Vec<Op>,
    /// How far it has come.
    pub phase: Phase,
    /// When it was submitted, started and ended, since the box started.
    pub received: Duration,
    /// See `received`.
    pub started: Option<Duration>,
    /// See `received`.
    pub ended: Option<Duration>,
    /// Whether it was moved to the archive.
    pub archived: bool,
}

/// An opcode of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// What was submitted.
    pub opcode: Opcode,
    /// How far it is.
    pub status: Status,
    /// Its result, or its encoded error.
    pub result: Value,
    /// What it said.
    pub log: Vec<LogEntry>,
    /// When it began to take locks, to work, and when it ended, since the box started.
    pub start: Option<Duration>,
    /// See `start`.
    pub exec: Option<Duration>,
    /// See `start`.
    pub end: Option<Duration>,
}

/// Something that an opcode said.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Its number, unique in the box.
    pub serial: u64,
    /// When it was said, since the box started.
    pub at: Duration,
    /// The text.
    pub text: String,
}

impl Job {
    /// A newly submitted job.
    #[must_use]
    pub fn new(id: u64, opcodes: Vec<Opcode>, received: Duration) -> Self {
        let op = |opcode| Op {
            opcode,
            status: Status::Queued,
            result: Value::Null,
            log: Vec::new(),
            start: None,
            exec: None,
            end: None,
        };
        let ops = opcodes.into_iter().map(op).collect();
        Self { id, ops, phase: Phase::Queued, received, started: None, ended: None, archived: false }
    }

    /// The first status that is not success, or "running" between two opcodes; success when all have
    /// succeeded.
    #[must_use]
    pub fn status(&self) -> Status {
        let pending = self.ops.iter().map(|op| op.status).find(|status| *status != Status::Success);
        match pending {
            None => Status::Success,
            // Between two opcodes.
            Some(Status::Queued) if self.ops.iter().any(|op| op.status == Status::Success) => Status::Running,
            Some(status) => status,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The index of the opcode being carried out, or next; `None` when the job has none left.
    #[must_use]
    pub fn present(&self) -> Option<usize> {
        self.ops.iter().position(|op| !op.status.is_final())
    }

    /// The most urgent priority of the opcodes that have not ended; 0 without any.
    #[must_use]
    pub fn priority(&self) -> i64 {
        let pending = self.ops.iter().filter(|op| !op.status.is_final());
        pending.map(|op| op.opcode.priority).min().unwrap_or(0)
    }

    /// The summaries of its opcodes.
    #[must_use]
    pub fn summaries(&self) -> Vec<&str> {
        self.ops.iter().map(|op| op.opcode.summary.as_str()).collect()
    }

    /// A field of it, with times as `[seconds, microseconds]` since 1970. `epoch` is the moment at which the
    /// box started, since 1970. `None` for an unknown field.
    #[must_use]
    pub fn field(&self, name: &str, epoch: Duration) -> Option<Value> {
        let time = |at: Option<Duration>| at.map(|at| stamp(epoch + at));
        let each = |of: &dyn Fn(&Op) -> Value| Value::Array(self.ops.iter().map(of).collect());
        Some(match name {
            "id" => json!(self.id),
            "status" => json!(self.status().as_word()),
            "ops" => each(&|op| Value::Object(op.opcode.input.clone())),
            "opresult" => each(&|op| op.result.clone()),
            "opstatus" => each(&|op| json!(op.status.as_word())),
            "opexec" => each(&|op| json!(time(op.exec))),
            "opend" => each(&|op| json!(time(op.end))),
            "summary" => json!(self.summaries()),
            _ => return None,
        })
    }

    /// What it said since the entry with number `after`: `[number, time, "message", text]` each.
    #[must_use]
    pub fn log_after(&self, after: Option<u64>, epoch: Duration) -> Vec<Value> {
        let entries = self.ops.iter().flat_map(|op| &op.log);
        entries
            .filter(|entry| after.is_none_or(|after| entry.serial > after))
            .map(|entry| log_entry(entry, epoch))
            .collect()
    }
}

fn log_entry(LogEntry { serial, at, text }: &LogEntry, epoch: Duration) -> Value {
    json!([serial, stamp(epoch + *at), "message", text])
}

fn stamp(at: Duration) -> [u64; 2] {
    [at.as_secs(), u64::from(at.subsec_micros())]
}
