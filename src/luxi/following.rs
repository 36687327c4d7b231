//! Follows submitted jobs to their end, many at a time.
//!
//! Source: `cli.py: GenericPollJob`, `constants.py: JOB_STATUS_ALL`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::messages::{LuxiError, parse_shape};
use super::rows::{Row as _, row};
use crate::cluster::{JobFailure, JobId, LONGEST_NAME, excerpt};

/// What became of a job: the results of its opcodes, in order and as Ganeti encodes each, or why there are
/// none.
pub type JobResult = Result<Vec<Value>, JobFailure>;

/// How long luxid's answers about a job may be incomprehensible before its outcome counts as unknown.
const DOUBT_PATIENCE: Duration = Duration::from_secs(60);
/// The year 10000, in seconds since 1970: later times count as impossible.
const END_OF_TIME: u64 = 253_402_300_800;

/// What luxid says about a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It has ended. `worked` is how long its opcodes worked once they had their locks, in seconds; `None`
    /// when luxid does not know, or gives impossible times.
    Ended {
        /// What became of it.
        result: JobResult,
        /// In seconds.
        worked: Option<f64>,
    },
    /// It has not ended.
    GoesOn,
    /// Unknown: luxid said something other than Ganeti's words for it. With the problem.
    Unknown(String),
}

/// A job that is no longer followed.
#[derive(Debug, Clone, PartialEq)]
pub struct JobOutcome {
    /// The job.
    pub job: JobId,
    /// How it ended, if known.
    pub end: End,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// luxid said so; with the seconds that the job worked, as in [`Answer::Ended`].
    Known(JobResult, Option<f64>),
    /// luxid's answers were incomprehensible for a minute, and the job may go on: what is wrong with the last
    /// one.
    Unknown(String),
}

/// Follows jobs, and knows since when luxid's answers about one have been incomprehensible.
#[derive(Debug, Default)]
pub struct Follower {
    doubtful_since: BTreeMap<JobId, Instant>,
}

impl Follower {
    /// Those of `jobs` that have ended, or whose end will never be known, by one `QueryJobs` for all; an
    /// empty result is normal. Without any `jobs` nothing is asked.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn look(
        &mut self,
        client: &mut Client<'_>,
        jobs: &[JobId],
    ) -> Result<Vec<JobOutcome>, LuxiError> {
        let answers = statuses(client, jobs).await?;
        Ok(jobs.iter().zip(answers).filter_map(|(job, answer)| self.heed(*job, answer)).collect())
    }

    fn heed(&mut self, job: JobId, answer: Answer) -> Option<JobOutcome> {
        let end = match answer {
            Answer::Unknown(problem) => {
                let since = *self.doubtful_since.entry(job).or_insert_with(Instant::now);
                if since.elapsed() < DOUBT_PATIENCE {
                    return None;
                }
                End::Unknown(problem)
            }
            Answer::Ended { result, worked } => End::Known(result, worked),
            Answer::GoesOn => {
                self.doubtful_since.remove(&job);
                return None;
            }
        };
        self.doubtful_since.remove(&job);
        Some(JobOutcome { job, end })
    }
}

/// What luxid says about each of these jobs, in order, by one `QueryJobs`. Without any `jobs` nothing is
/// asked. A job that luxid does not know has ended, as [`JobFailure::Lost`].
///
/// # Errors
/// As [`Client::query`].
pub async fn statuses(client: &mut Client<'_>, jobs: &[JobId]) -> Result<Vec<Answer>, LuxiError> {
    // luxid reads an empty list as "all jobs".
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Box<RawValue>> = client.call("QueryJobs", &(jobs, JobRow::FIELDS)).await?;
    if rows.len() != jobs.len() {
        let reason = format!("{} rows for {} jobs", rows.len(), jobs.len());
        return Err(LuxiError::Malformed { method: "QueryJobs", reason });
    }
    Ok(rows.into_iter().map(|row| answer(row.get())).collect())
}

row! {
    /// Bare values, all null for a job that luxid does not know; all but the first are lists with one entry
    /// per opcode.
    struct JobRow {
        status: Value = "status",
        opcode_status: Value = "opstatus",
        results: Value = "opresult",
        begun: Value = "opexec",
        ended: Value = "opend",
    }
}

/// What a [`JobRow`] says. `canceling` counts as ended, as it does for the original.
fn answer(row: &str) -> Answer {
    let JobRow { status, opcode_status, results, begun, ended } = match parse_shape(row, "the job") {
        Ok(row) => row,
        Err(problem) => return Answer::Unknown(problem),
    };
    let ends = |result: JobResult| Answer::Ended { result, worked: worked(&begun, &ended) };
    let is_null = [&opcode_status, &results, &begun, &ended].into_iter().all(Value::is_null);
    let results = match results {
        Value::Array(results) => results,
        Value::Null => Vec::new(),
        _ => return Answer::Unknown("its results are not a list".to_owned()),
    };
    match status {
        Value::Null if is_null => ends(Err(JobFailure::Lost)),
        Value::String(status) => match status.as_str() {
            "queued" | "waiting" | "running" => Answer::GoesOn,
            "success" => ends(Ok(results)),
            "canceled" | "canceling" => ends(Err(JobFailure::Canceled)),
            "error" => ends(Err(failure_of(&opcode_status, results))),
            _ => Answer::Unknown(strange(&Value::String(status))),
        },
        other => Answer::Unknown(strange(&other)),
    }
}

fn strange(status: &Value) -> String {
    let status = status.to_string();
    format!("its status is {}, which is not one of Ganeti's", excerpt(&status, LONGEST_NAME))
}

/// From the first lock to the last end. Impossible times count as none.
fn worked(begun: &Value, ended: &Value) -> Option<f64> {
    let first = begun.as_array()?.iter().find(|stamp| !stamp.is_null())?;
    let last = ended.as_array()?.iter().rev().find(|stamp| !stamp.is_null())?;
    Some(moment(last)?.saturating_sub(moment(first)?).as_secs_f64())
}

/// `[SECONDS, MICROSECONDS]` since 1970.
fn moment(stamp: &Value) -> Option<Duration> {
    let [seconds, micros] = stamp.as_array()?.as_slice() else { return None };
    let seconds = seconds.as_u64().filter(|seconds| *seconds < END_OF_TIME)?;
    let micros = micros.as_u64().filter(|micros| *micros < 1_000_000)?;
    Some(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// The error of the first opcode that failed; those after it only say that it did.
fn failure_of(opcode_status: &Value, results: Vec<Value>) -> JobFailure {
    let statuses = opcode_status.as_array().into_iter().flatten();
    let failed = statuses.zip(&results).find(|(status, _)| *status == "error");
    match failed {
        Some((_, result)) => JobFailure::of_result(result),
        None => JobFailure::of_result(&Value::Array(results)),
    }
}

/// How often to ask about jobs: soon after something happened, then at growing intervals. A pause is a tenth
/// of the time since then, so that the delay in noticing a job's end is proportional to its duration.
#[derive(Debug, Clone)]
pub struct PollPace {
    since: Instant,
    shortest: Duration,
}

impl PollPace {
    const SHORTEST: Duration = Duration::from_millis(50);
    /// With many jobs in flight some end all the time, and luxid has better things to do than to report each
    /// at once.
    const SHORTEST_OF_MANY: Duration = Duration::from_millis(250);
    const SHORTEST_UNHURRIED: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Starts with the shortest pause.
    #[must_use]
    pub fn new() -> Self {
        Self { since: Instant::now(), shortest: Self::SHORTEST }
    }

    /// Starts over with the shortest pause, because something happened.
    pub fn quicken(&mut self) {
        self.since = Instant::now();
    }

    /// With pauses for a job that nobody is in a hurry for.
    #[must_use]
    pub fn unhurried() -> Self {
        Self { shortest: Self::SHORTEST_UNHURRIED, ..Self::new() }
    }

    /// The length of a pause, with this many jobs in flight: between 50 ms and 1 s, with more than two jobs
    /// not below 250 ms.
    #[must_use]
    pub fn length(&self, jobs: usize) -> Duration {
        let shortest = if jobs > 2 { Self::SHORTEST_OF_MANY } else { self.shortest };
        (self.since.elapsed() / 10).clamp(shortest, Self::LONGEST)
    }

    /// Makes one pause of [`Self::length`].
    pub async fn pause(&self, jobs: usize) {
        sleep(self.length(jobs)).await;
    }
}

impl Default for PollPace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
