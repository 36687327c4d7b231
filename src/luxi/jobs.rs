//! Jobs: submitted at most once, followed many at a time.
//!
//! Source: `cli.py: GenericPollJob, SubmitJob`, `JQueue.hs`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::client::Client;
use super::messages::{Cell, GanetiError, LuxiError, Rows};
use super::opcodes::OpCode;
use crate::armed::Armed;
use crate::cluster::GanetiVersion;

/// Number of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What became of a job: the results of its opcodes, or why there are none.
pub type JobResult = Result<Vec<Value>, JobFailure>;

/// Why a job did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobFailure {
    /// Somebody, or a job filter, canceled it.
    Canceled,
    /// luxid does not know it any more.
    Lost,
    /// An opcode failed with an error of Ganeti's.
    Error(GanetiError),
    /// It ended without an encoded error: its process died, for example.
    Text(String),
}

impl fmt::Display for JobFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canceled => formatter.write_str("it was canceled"),
            Self::Lost => formatter.write_str("luxid does not know it any more"),
            Self::Error(error) => error.fmt(formatter),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// Submits one job with one opcode. `epoch_ns` is the time of the job's reason; together with the reason's text it
/// tells this submission from all others.
///
/// When the connection breaks before the answer, nobody knows whether the job exists. It is then looked for by its
/// reason, and submitted again only when it is not there.
///
/// # Errors
/// As [`Client::call`]. After an error the job may exist, but only when the connection was lost twice.
pub async fn submit(
    client: &mut Client<'_>,
    _armed: &Armed,
    opcode: &OpCode,
    version: Option<GanetiVersion>,
    epoch_ns: u64,
) -> Result<JobId, LuxiError> {
    let args = ([opcode.encode(version, epoch_ns)],);
    match client.call_once("SubmitJob", &args).await {
        Err(error) if error.is_connection_loss() => {
            warn!("{error}; looking whether the job '{}' was submitted", opcode.reason());
            client.reconnect().await?;
            // A thread of luxid's may still be writing the job that it was asked for.
            sleep(Duration::from_secs(1)).await;
            match find_by_reason(client, opcode, epoch_ns).await? {
                Some(job) => Ok(job),
                None => client.call_once("SubmitJob", &args).await,
            }
        }
        answer => answer,
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
    let found = rows.into_iter().flatten().find(|(_, ops)| ops.1.iter().flatten().any(carries_reason));
    Ok(found.and_then(|(id, _)| id.value()))
}

type JobStatusRow = (Option<String>, Option<Vec<String>>, Option<Vec<Value>>);

/// The jobs of `jobs` that have ended, each with its result, by one `QueryJobs` for all of them.
///
/// # Errors
/// As [`Client::call`].
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

/// How often jobs are asked about: soon after something happened, then ever more rarely.
#[derive(Debug, Clone)]
pub struct PollPace {
    next: Duration,
}

impl PollPace {
    const FIRST: Duration = Duration::from_millis(100);
    const LAST: Duration = Duration::from_secs(1);

    /// Starts with the shortest pause.
    #[must_use]
    pub fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// Begins again with the shortest pause, because something happened.
    pub fn quicken(&mut self) {
        self.next = Self::FIRST;
    }

    /// Waits, and makes the next pause half as long again, up to a second.
    pub async fn pause(&mut self) {
        sleep(self.next).await;
        self.next = (self.next * 3 / 2).min(Self::LAST);
    }
}

impl Default for PollPace {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits for one job, however long it takes.
///
/// # Errors
/// As [`Client::call`]; the job goes on in that case.
pub async fn wait(client: &mut Client<'_>, job: JobId) -> Result<JobResult, LuxiError> {
    let mut pace = PollPace::new();
    loop {
        if let Some((_, result)) = finished(client, &[job]).await?.pop() {
            return Ok(result);
        }
        pace.pause().await;
    }
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
