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

/// What became of a job: the results of its opcodes, or why there are none.
pub type JobResult = Result<Vec<Value>, JobFailure>;

/// Why a submission did not give the number of a job.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// There is no job.
    #[error(transparent)]
    NoJob(LuxiError),
    /// There may be a job, but its number could not be learnt.
    #[error("the job may exist all the same: {0}")]
    Unknown(LuxiError),
}

/// Submits one job with one opcode. `epoch_ns` is the time of the job's reason; together with the reason's text it
/// tells this submission from all others.
///
/// Without a proper answer nobody knows whether the job exists. It is then looked for by its reason, and submitted
/// again only when it is not there.
///
/// # Errors
/// See [`SubmitError`].
pub async fn submit(
    client: &mut Client<'_>,
    _armed: &Armed,
    opcode: &OpCode,
    version: Option<GanetiVersion>,
    epoch_ns: u64,
) -> Result<JobId, SubmitError> {
    // A connection that cannot even be opened carries no job.
    client.ensure_connected().await.map_err(SubmitError::NoJob)?;
    let args = ([opcode.encode(version, epoch_ns)],);
    let error = match client.call_once("SubmitJob", &args).await {
        Ok(job) => return Ok(job),
        Err(error) if error.is_answer() => return Err(SubmitError::NoJob(error)),
        Err(error) => error,
    };
    warn!("{error}; looking whether the job '{}' was submitted", opcode.reason());
    // A thread of luxid's may still be writing the job that it was asked for.
    sleep(Duration::from_secs(1)).await;
    match find_by_reason(client, opcode, epoch_ns).await.map_err(SubmitError::Unknown)? {
        Some(job) => Ok(job),
        None => client.call_once("SubmitJob", &args).await.map_err(|error| match error.is_answer() {
            true => SubmitError::NoJob(error),
            false => SubmitError::Unknown(error),
        }),
    }
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

type JobStatusRow = (Option<String>, Option<Vec<String>>, Option<Vec<Value>>);

/// The jobs of `jobs` that have ended, each with its result, by one `QueryJobs` for all of them.
///
/// # Errors
/// As [`Client::query`].
pub async fn finished(client: &mut Client<'_>, jobs: &[JobId]) -> Result<Vec<(JobId, JobResult)>, LuxiError> {
    // luxid reads an empty list as "all jobs".
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let fields = ["status", "opstatus", "opresult"];
    let rows: Vec<JobStatusRow> = client.call("QueryJobs", &(jobs, fields)).await?;
    if rows.len() != jobs.len() {
        let reason = format!("{} rows for {} jobs", rows.len(), jobs.len());
        return Err(LuxiError::Malformed { method: "QueryJobs", reason });
    }
    let results = jobs.iter().zip(rows).filter_map(|(job, row)| Some((*job, result_of(row)?)));
    Ok(results.collect())
}

/// `None` while the job has not ended. `canceling` counts as ended, as it does for the original.
fn result_of((status, opcode_status, results): JobStatusRow) -> Option<JobResult> {
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
}

impl PollPace {
    const SHORTEST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Starts with the shortest pause.
    #[must_use]
    pub fn new() -> Self {
        Self { since: Instant::now() }
    }

    /// Begins again with the shortest pause, because something happened.
    pub fn quicken(&mut self) {
        self.since = Instant::now();
    }

    /// Waits.
    pub async fn pause(&self) {
        sleep((self.since.elapsed() / 10).clamp(Self::SHORTEST, Self::LONGEST)).await;
    }
}

impl Default for PollPace {
    fn default() -> Self {
        Self::new()
    }
}

/// Archives the jobs that ended more than `age` seconds ago: `(archived, not looked at)`.
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

    fn row(text: &str) -> Option<JobResult> {
        result_of(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_job_that_goes_on_has_no_result() {
        for status in ["queued", "waiting", "running"] {
            assert_eq!(row(&format!(r#"["{status}",["{status}"],[null]]"#)), None);
        }
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
