//! Jobs as values: their numbers, and why one did not succeed.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::excerpt::{LONGEST_NAME, LONGEST_TEXT, excerpt, few};

/// Number of a job; luxid counts from 1 and never reuses one. A plain number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A job that is queued, waiting for locks or running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingJob {
    pub id: JobId,
    /// What its opcodes do, one entry each, such as `INSTANCE_STARTUP(name)` (`opcodes.py: OpCode.Summary`);
    /// `None` when luxid did not say. It may then do anything.
    pub summaries: Option<Vec<String>>,
    /// Whether it has a process, and so takes one of the cluster's `max_running_jobs`.
    pub has_process: bool,
}

impl PendingJob {
    /// Whether one of its opcodes has this summary, or may have it.
    #[must_use]
    pub fn does(&self, summary: &str) -> bool {
        self.summaries.as_ref().is_none_or(|summaries| summaries.iter().any(|own| own == summary))
    }

    /// Whether one of its opcodes is, or might be, about this instance, which may be named without its
    /// domain.
    #[must_use]
    pub fn touches(&self, instance: &str) -> bool {
        let Some(summaries) = &self.summaries else { return true };
        let mut objects = summaries.iter().filter_map(|summary| object(summary, ""));
        objects.any(|object| {
            instance.strip_prefix(object).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// Names of the instances that it starts, as in the summaries.
    pub fn started_instances(&self) -> impl Iterator<Item = &str> {
        let known = self.summaries.iter().flatten();
        known.filter_map(|summary| object(summary, "INSTANCE_STARTUP"))
    }
}

/// What an opcode with this summary is about, if its name begins with this.
fn object<'s>(summary: &'s str, name: &str) -> Option<&'s str> {
    let (_, object) = summary.strip_prefix(name)?.split_once('(')?;
    object.strip_suffix(')').filter(|object| !object.is_empty())
}

impl fmt::Display for PendingJob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.summaries {
            Some(summaries) => {
                write!(formatter, "job {} ({})", self.id, few(summaries.iter().map(String::as_str)))
            }
            None => write!(formatter, "job {} (luxid does not say what it does)", self.id),
        }
    }
}

/// An opcode that has ended, in a job that may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedOpCode {
    /// Its job.
    pub job: JobId,
    /// Its summary, such as `INSTANCE_MIGRATE(name)`.
    pub summary: String,
    pub end: OpEnd,
}

/// How an opcode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpEnd {
    /// Well.
    Success,
    /// It was refused before it had changed anything (`OpPrereqError`, `HooksAbort`).
    Refused,
    /// It failed under way.
    Failed,
    /// luxid gives it an unknown status.
    Unknown,
}

/// Why a job did not succeed (`cli.py: GenericPollJob`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobFailure {
    /// Somebody, or a job filter, canceled it.
    Canceled,
    /// luxid no longer knows it.
    Lost,
    /// An opcode failed with a Ganeti error.
    Error(GanetiError),
    /// It ended without an encoded error: its process died, for example.
    Text(String),
}

impl JobFailure {
    /// From a result that may be an encoded error; any other is reported as is, cut to fit a log line.
    #[must_use]
    pub fn of_result(result: &Value) -> Self {
        let cut = |text: &str| Self::Text(excerpt(text, LONGEST_TEXT));
        match (GanetiError::decode(result), result) {
            (Some(error), _) => Self::Error(error),
            (None, Value::String(text)) => cut(text),
            (None, other) => cut(&other.to_string()),
        }
    }
}

impl fmt::Display for JobFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canceled => formatter.write_str("it was canceled"),
            Self::Lost => formatter.write_str("luxid no longer knows it"),
            Self::Error(error) => error.fmt(formatter),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// A Ganeti exception as it crosses the wire: `["Class", [argument, …]]` (`errors.py: GetEncodedError`). Its
/// texts are cut to fit a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GanetiError {
    /// Name of the class in `errors.py`.
    pub class: String,
    /// The first argument if it is a string, otherwise all of them.
    pub message: String,
    /// The error code that `OpPrereqError` carries, such as `insufficient_resources` (`errors.py:
    /// ECODE_NORES` and others).
    pub code: Option<String>,
}

impl GanetiError {
    /// Reads the encoded form; `None` when the value has a different shape.
    #[must_use]
    pub fn decode(value: &Value) -> Option<Self> {
        let [Value::String(class), Value::Array(arguments)] = value.as_array()?.as_slice() else {
            return None;
        };
        let message = match arguments.first() {
            Some(Value::String(text)) => excerpt(text, LONGEST_TEXT),
            // Lists and texts can always be written.
            Some(_) => {
                let all = serde_json::to_string(arguments).unwrap_or_default();
                excerpt(&all, LONGEST_TEXT)
            }
            None => String::new(),
        };
        let word = |text: &str| excerpt(text, LONGEST_NAME);
        let code = match (class.as_str(), arguments.get(1)) {
            ("OpPrereqError", Some(Value::String(code))) => Some(word(code)),
            _ => None,
        };
        Some(Self { class: word(class), message, code })
    }
}

impl fmt::Display for GanetiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.class)?;
        if !self.message.is_empty() {
            write!(formatter, ": {}", self.message)?;
        }
        match &self.code {
            Some(code) => write!(formatter, " ({code})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_megabytes_are_cut_where_they_come_in() {
        let long = "x".repeat(1 << 20);
        let error = serde_json::json!([long, [long, long]]);
        let nested = serde_json::json!(["HooksAbort", [[long, [long]]]]);
        for result in
            [&error, &nested, &Value::String(long.clone()), &Value::Array(vec![long.clone().into()])]
        {
            let told = JobFailure::of_result(result).to_string();
            assert!(told.len() <= 4096, "{}", told.len());
        }
        let refused = serde_json::json!(["OpPrereqError", ["no", long]]);
        assert!(JobFailure::of_result(&refused).to_string().len() <= 4096);
        let job = PendingJob { id: JobId(7), summaries: Some(vec![long; 10]), has_process: true };
        assert!(job.to_string().len() <= 4096);
    }

    #[test]
    fn a_job_touches_the_instances_that_its_opcodes_name() {
        let job = PendingJob {
            id: JobId(7),
            summaries: Some(
                ["CLUSTER_VERIFY", "INSTANCE_MIGRATE(i1)", "GROUP_VERIFY_DISKS(u)"].map(Into::into).into(),
            ),
            has_process: true,
        };
        assert!(job.touches("i1") && job.touches("i1.example.com") && job.does("GROUP_VERIFY_DISKS(u)"));
        for other in ["i", "i11", "", "INSTANCE_MIGRATE(i1)"] {
            assert!(!job.touches(other), "{other}");
        }
        let unknown = PendingJob { summaries: None, ..job.clone() };
        assert!(unknown.touches("i2") && unknown.does("GROUP_VERIFY_DISKS(v)"), "it may do anything");
        assert_eq!(unknown.started_instances().count(), 0);
        assert_eq!(job.to_string(), "job 7 (CLUSTER_VERIFY, INSTANCE_MIGRATE(i1), GROUP_VERIFY_DISKS(u))");
    }
}
