//! Jobs: submitted at most once, followed many at a time.
//!
//! Source: `cli.py: GenericPollJob, SubmitJob`, `JQueue.hs`.

use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::client::{CALL_TIMEOUT, Client};
use super::messages::{Cell, LuxiError, Rows};
use super::opcodes::OpCode;
use crate::armed::Armed;
use crate::cluster::{GanetiError, GanetiVersion};
pub use crate::cluster::{JobFailure, JobId};

/// What became of a job: the results of its opcodes, in their order and as Ganeti encodes each, or why there are none.
pub type JobResult = Result<Vec<Value>, JobFailure>;

/// Why a submission did not give the number of a job.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// There is no job.
    #[error(transparent)]
    NoJob(LuxiError),
    /// luxid took others of the same submission, and refused this one.
    #[error("luxid refused it: {0}")]
    Refused(String),
    /// There may be a job, but its number could not be learnt.
    #[error("the job may exist all the same: {0}")]
    Unknown(LuxiError),
}

/// What became of each opcode of a submission, in the order given: the number of its job, or why luxid refused that one.
pub type Submitted = Vec<Result<JobId, String>>;

/// Submits one job for each opcode, all by one call. `epoch_ns` is the time of the jobs' reasons, in nanoseconds since the
/// epoch; together with a reason's text it tells this submission from all others, so no two may have the same.
///
/// Without a proper answer nobody knows which jobs exist. They are then looked for by their reasons, and only what is
/// not there is submitted again.
///
/// # Errors
/// See [`SubmitError`]; it is about all of them.
pub async fn submit(
    client: &mut Client<'_>,
    _armed: &Armed,
    opcodes: &[OpCode],
    version: Option<GanetiVersion>,
    epoch_ns: u64,
) -> Result<Submitted, SubmitError> {
    // A connection that cannot even be opened carries no job.
    client.ensure_connected().await.map_err(SubmitError::NoJob)?;
    let encoded: Vec<Value> = opcodes.iter().map(|opcode| opcode.encode(version, epoch_ns)).collect();
    let error = match submit_once(client, &encoded).await {
        Ok(submitted) => return Ok(submitted),
        Err(error) if error.is_answer() => return Err(SubmitError::NoJob(error)),
        Err(error) => error,
    };
    let reasons: Vec<String> = opcodes.iter().map(OpCode::reason).collect();
    warn!("{error}; looking whether the job '{}' was submitted", reasons.join("', '"));
    // A thread of luxid's may still be writing the jobs that it was asked for.
    sleep(Duration::from_secs(1)).await;
    let mut found = Vec::new();
    for opcode in opcodes {
        found.push(find_by_reason(client, opcode, epoch_ns).await.map_err(SubmitError::Unknown)?);
    }
    // One that luxid is only slow with may still come, and would then be there twice.
    if found.iter().any(Option::is_none) && !error.is_connection_loss() {
        return Err(SubmitError::Unknown(error));
    }
    let missing: Vec<Value> = encoded
        .into_iter()
        .zip(&found)
        .filter(|(_, found)| found.is_none())
        .map(|(opcode, _)| opcode)
        .collect();
    let mut again = match missing.is_empty() {
        true => Vec::new(),
        false => submit_once(client, &missing).await.map_err(|error| match error.is_answer() {
            // Those that were found go on, and are followed by nobody. So all of them are in doubt.
            true if missing.len() == opcodes.len() => SubmitError::NoJob(error),
            _ => SubmitError::Unknown(error),
        })?,
    }
    .into_iter();
    let submitted = found.into_iter().map(|found| match found {
        Some(job) => Ok(job),
        None => again.next().unwrap_or_else(|| Err("luxid gave it no number".to_owned())),
    });
    Ok(submitted.collect())
}

/// One call: `SubmitJob` for one, as the original has it, and `SubmitManyJobs` for several, which costs less for each.
async fn submit_once(client: &mut Client<'_>, opcodes: &[Value]) -> Result<Submitted, LuxiError> {
    if let [opcode] = opcodes {
        return Ok(vec![Ok(client.call_once("SubmitJob", &([opcode],)).await?)]);
    }
    let jobs: Vec<[&Value; 1]> = opcodes.iter().map(|opcode| [opcode]).collect();
    let rows: Vec<(bool, Value)> = client.call_once("SubmitManyJobs", &(jobs,)).await?;
    let method = "SubmitManyJobs";
    if rows.len() != opcodes.len() {
        let reason = format!("{} rows for {} jobs", rows.len(), opcodes.len());
        return Err(LuxiError::Malformed { method, reason });
    }
    let row = |(accepted, value): (bool, Value)| match (accepted, value) {
        (true, value) => serde_json::from_value(value)
            .map(Ok)
            .map_err(|error| LuxiError::Malformed { method, reason: error.to_string() }),
        (false, Value::String(problem)) => Ok(Err(problem)),
        (false, other) => Ok(Err(other.to_string())),
    };
    rows.into_iter().map(row).collect()
}

type JobRow = (Cell<JobId>, Cell<Vec<Value>>);

async fn find_by_reason(
    client: &mut Client<'_>,
    opcode: &OpCode,
    epoch_ns: u64,
) -> Result<Option<JobId>, LuxiError> {
    let filter = json!(["=[]", "summary", opcode.summary()]);
    let Rows(rows) = client.query::<JobRow>("job", &["id", "ops"], Some(filter)).await?;
    let wanted = opcode.reason();
    let carries_reason = |op: &Value| {
        let reasons = op["reason"].as_array();
        reasons
            .is_some_and(|reasons| reasons.iter().any(|reason| reason[1] == wanted && reason[2] == epoch_ns))
    };
    for row in rows {
        // A row that cannot be read may be the one.
        let (id, ops) = row.map_err(|row| LuxiError::Malformed { method: "Query", reason: row.problem })?;
        if ops.value().iter().flatten().any(carries_reason) {
            return Ok(id.value());
        }
    }
    Ok(None)
}

/// Seconds and microseconds since 1970.
type Stamp = (u64, u64);
type JobStatusRow = (
    Option<String>,
    Option<Vec<String>>,
    Option<Vec<Value>>,
    Option<Vec<Option<Stamp>>>,
    Option<Vec<Option<Stamp>>>,
);

/// A job that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The job.
    pub job: JobId,
    /// What became of it.
    pub result: JobResult,
    /// How long its opcodes were at work once they had their locks, in seconds, if luxid knows.
    pub worked: Option<f64>,
}

/// Those of `jobs` that have ended, by one `QueryJobs` for all of them; none of them is an ordinary answer. Without any
/// `jobs` nothing is asked. A job that luxid does not know has ended, as [`JobFailure::Lost`].
///
/// # Errors
/// As [`Client::query`].
pub async fn finished(client: &mut Client<'_>, jobs: &[JobId]) -> Result<Vec<Finished>, LuxiError> {
    // luxid reads an empty list as "all jobs".
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let fields = ["status", "opstatus", "opresult", "opexec", "opend"];
    let rows: Vec<JobStatusRow> = client.call("QueryJobs", &(jobs, fields)).await?;
    if rows.len() != jobs.len() {
        let reason = format!("{} rows for {} jobs", rows.len(), jobs.len());
        return Err(LuxiError::Malformed { method: "QueryJobs", reason });
    }
    let finished = jobs.iter().zip(rows).filter_map(|(job, row)| {
        let worked = worked(&row);
        Some(Finished { job: *job, result: result_of(row)?, worked })
    });
    Ok(finished.collect())
}

fn worked((_, _, _, begun, ended): &JobStatusRow) -> Option<f64> {
    let seconds = |(seconds, micros): Stamp| Duration::from_secs(seconds) + Duration::from_micros(micros);
    let first = begun.as_ref()?.iter().copied().find_map(|stamp| stamp)?;
    let last = ended.as_ref()?.iter().rev().copied().find_map(|stamp| stamp)?;
    Some(seconds(last).saturating_sub(seconds(first)).as_secs_f64())
}

/// `None` while the job has not ended. `canceling` counts as ended, as it does for the original.
fn result_of((status, opcode_status, results, ..): JobStatusRow) -> Option<JobResult> {
    let results = results.unwrap_or_default();
    match status.as_deref() {
        None => Some(Err(JobFailure::Lost)),
        Some("success") => Some(Ok(results)),
        Some("canceled" | "canceling") => Some(Err(JobFailure::Canceled)),
        Some("error") => Some(Err(failure_of(&opcode_status.unwrap_or_default(), &results))),
        Some(_) => None,
    }
}

/// The error of the first opcode that failed; those after it only say that it did.
fn failure_of(opcode_status: &[String], results: &[Value]) -> JobFailure {
    let failed = opcode_status.iter().position(|status| status == "error").and_then(|at| results.get(at));
    match failed {
        Some(result) => match (GanetiError::decode(result), result) {
            (Some(error), _) => JobFailure::Error(error),
            (None, Value::String(text)) => JobFailure::Text(text.clone()),
            (None, other) => JobFailure::Text(other.to_string()),
        },
        None => JobFailure::Text(Value::Array(results.to_vec()).to_string()),
    }
}

/// How often jobs are asked about: soon after something happened, then ever more rarely. A pause is a tenth of the time
/// since then, so that the end of a job is noticed with that much delay, however long it takes.
#[derive(Debug, Clone)]
pub struct PollPace {
    since: Instant,
    shortest: Duration,
}

impl PollPace {
    const SHORTEST: Duration = Duration::from_millis(50);
    /// With many jobs in flight some end all the time, and luxid has better things to do than to tell of each at once.
    const SHORTEST_OF_MANY: Duration = Duration::from_millis(250);
    const SHORTEST_UNHURRIED: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Starts with the shortest pause.
    #[must_use]
    pub fn new() -> Self {
        Self { since: Instant::now(), shortest: Self::SHORTEST }
    }

    /// Begins again with the shortest pause, because something happened.
    pub fn quicken(&mut self) {
        self.since = Instant::now();
    }

    /// With pauses for a job whose end nobody is in a hurry to learn.
    #[must_use]
    pub fn unhurried() -> Self {
        Self { shortest: Self::SHORTEST_UNHURRIED, ..Self::new() }
    }

    /// Makes one pause, while so many jobs are in flight: between 50 ms and 1 s, with more than two jobs not below 250 ms.
    pub async fn pause(&self, jobs: usize) {
        let shortest = if jobs > 2 { Self::SHORTEST_OF_MANY } else { self.shortest };
        sleep((self.since.elapsed() / 10).clamp(shortest, Self::LONGEST)).await;
    }
}

impl Default for PollPace {
    fn default() -> Self {
        Self::new()
    }
}

/// Archives the jobs that ended more than `age` seconds ago (`AutoArchiveJobs`); gives how many were archived, and how many
/// were not looked at because luxid's time for it was over (`watcher/__init__.py: _ArchiveJobs`).
///
/// # Errors
/// As [`Client::query`].
pub async fn auto_archive(
    client: &mut Client<'_>,
    _armed: &Armed,
    age: i64,
) -> Result<(u64, u64), LuxiError> {
    // luxid's own limit for the call, as the original has it.
    let time_limit = (CALL_TIMEOUT.as_secs() - 1) / 2;
    client.call("AutoArchiveJobs", &(age, time_limit)).await
}

/// Moves an ended job to the archive. A failure is only worth a debug line: Ganeti archives old jobs by itself.
pub async fn archive(client: &mut Client<'_>, _armed: &Armed, job: JobId) {
    if let Err(error) = client.call_once::<bool>("ArchiveJob", &(job,)).await {
        debug!("Error while archiving job {job}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_row_of_a_job_is_an_outcome_or_none() {
        let seeds = [
            r#"["error", ["error", "error"], [["OpExecError", ["no"]], ["OpExecError", ["Preceding opcode failed"]]],
                [[1795343883, 1], null], [[1795343884, 999999], null]]"#,
            r#"["success", ["success"], [true], [null], [null]]"#,
            "[null, null, null, null, null]",
        ];
        crate::fuzz_tests::fuzz_text(&seeds, |text| {
            if let Ok(row) = serde_json::from_str::<JobStatusRow>(text) {
                let _seconds = worked(&row);
                drop(result_of(row));
            }
        });
    }

    fn row(text: &str) -> Option<JobResult> {
        let (status, opcode_status, results) = serde_json::from_str(text).unwrap();
        result_of((status, opcode_status, results, None, None))
    }

    #[test]
    fn a_job_that_goes_on_has_no_result() {
        for status in ["queued", "waiting", "running"] {
            assert_eq!(row(&format!(r#"["{status}",["{status}"],[null]]"#)), None);
        }
    }

    #[test]
    fn work_is_counted_from_the_locks_to_the_end() {
        let parse = |text: &str| worked(&serde_json::from_str(text).unwrap());
        let row = r#"["success",["success"],[null],[[100,500000]],[[103,0]]]"#;
        assert_eq!(parse(row), Some(2.5));
        assert_eq!(parse(r#"["canceled",["canceled"],[null],[null],[[103,0]]]"#), None);
        assert_eq!(parse("[null,null,null,null,null]"), None);
    }

    #[test]
    fn every_end_of_a_job_has_its_result() {
        assert_eq!(row(r#"["success",["success"],[null]]"#), Some(Ok(vec![Value::Null])));
        assert_eq!(row("[null,null,null]"), Some(Err(JobFailure::Lost)));
        assert_eq!(row(r#"["canceled",["canceled"],[null]]"#), Some(Err(JobFailure::Canceled)));
        assert_eq!(row(r#"["canceling",["running"],[null]]"#), Some(Err(JobFailure::Canceled)));
    }

    #[test]
    fn the_first_failed_opcode_explains_a_failed_job() {
        let failed = row(concat!(
            r#"["error",["success","error","error"],[null,"#,
            r#"["OpPrereqError",["Not enough memory on node n1","insufficient_resources"]],"#,
            r#"["OpExecError",["Preceding opcode failed"]]]]"#
        ));
        assert_eq!(
            failed.unwrap().unwrap_err().to_string(),
            "OpPrereqError: Not enough memory on node n1 (insufficient_resources)"
        );
        let killed = row(r#"["error",["error"],["Job process vanished"]]"#);
        assert_eq!(killed, Some(Err(JobFailure::Text("Job process vanished".into()))));
        let strange = row(r#"["error",["success"],[[1]]]"#);
        assert_eq!(strange, Some(Err(JobFailure::Text("[[1]]".into()))));
    }
}
