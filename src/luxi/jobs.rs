//! Jobs, submitted at most once; [`super::following`] follows them.
//!
//! Source: `cli.py: SubmitJob`, `JQueue.hs`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::client::{CALL_TIMEOUT, Client};
pub use super::following::{End, Follower, JobOutcome, JobResult, PollPace};
use super::messages::LuxiError;
use super::opcodes::OpCode;
use super::rows::{Cell, row};
use crate::armed::Armed;
use crate::cluster::{GanetiVersion, LONGEST_TEXT, excerpt};
pub use crate::cluster::{JobFailure, JobId};

/// Why a submission did not yield a job number.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// There is no job.
    #[error(transparent)]
    NoJob(LuxiError),
    /// luxid accepted others of the same submission, and refused this one.
    #[error("luxid refused it: {0}")]
    Refused(String),
    /// There may be a job, but its number could not be found out.
    #[error("the job may exist nevertheless: {0}")]
    Unknown(LuxiError),
}

/// What became of each opcode of a submission, in the order given: the number of its job, or why luxid
/// refused that one.
pub type Submitted = Vec<Result<JobId, String>>;

/// Submits one job for each opcode, all by one call. `epoch_ns` is the time of the jobs' reasons, in
/// nanoseconds since the epoch; together with a reason's text it identifies this submission, so it must be
/// unique.
///
/// Without a proper answer it is unknown which jobs exist. They are then looked up by their reasons, and only
/// the missing ones are submitted again.
///
/// # Errors
/// See [`SubmitError`]; it applies to all of them.
pub async fn submit(
    client: &mut Client<'_>,
    _armed: &Armed,
    opcodes: &[OpCode],
    version: Option<GanetiVersion>,
    epoch_ns: u64,
) -> Result<Submitted, SubmitError> {
    // If the connection could not even be opened, no job was sent.
    client.ensure_connected().await.map_err(SubmitError::NoJob)?;
    let encoded: Vec<Value> = opcodes.iter().map(|opcode| opcode.encode(version, epoch_ns)).collect();
    let error = match submit_once(client, &encoded).await {
        Ok(submitted) => return Ok(submitted),
        Err(error) if error.is_answer() => return Err(SubmitError::NoJob(error)),
        Err(error) => error,
    };
    let reasons: Vec<String> = opcodes.iter().map(OpCode::reason).collect();
    warn!("{error}; checking whether the job '{}' was submitted", reasons.join("', '"));
    // A luxid thread may still be writing the jobs that it was asked for.
    sleep(Duration::from_secs(1)).await;
    let mut found = Vec::new();
    for opcode in opcodes {
        found.push(find_by_reason(client, opcode, epoch_ns).await.map_err(SubmitError::Unknown)?);
    }
    // A job that is merely slow may still appear, and would then exist twice.
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
            // Those that were found go on without being followed. So all of them are in doubt.
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

/// One call: `SubmitJob` for one, as in the original, and `SubmitManyJobs` for several, which costs less per
/// job.
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
            .map_err(|error| LuxiError::malformed(method, &error.to_string())),
        (false, Value::String(problem)) => Ok(Err(excerpt(&problem, LONGEST_TEXT))),
        (false, other) => Ok(Err(excerpt(&other.to_string(), LONGEST_TEXT))),
    };
    rows.into_iter().map(row).collect()
}

/// Only the reason of an opcode matters.
#[derive(Deserialize)]
struct Op {
    #[serde(default)]
    reason: Value,
}

row! {
    struct JobRow {
        id: Cell<JobId> = "id",
        ops: Cell<Vec<Op>> = "ops",
    }
}

async fn find_by_reason(
    client: &mut Client<'_>,
    opcode: &OpCode,
    epoch_ns: u64,
) -> Result<Option<JobId>, LuxiError> {
    let filter = json!(["=[]", "summary", opcode.summary()]);
    let wanted = opcode.reason();
    let carries_reason = |op: &Op| {
        let reasons = op.reason.as_array();
        reasons
            .is_some_and(|reasons| reasons.iter().any(|reason| reason[1] == wanted && reason[2] == epoch_ns))
    };
    for row in client.query::<JobRow>("job", Some(filter)).await? {
        // An unreadable row may be the one.
        let JobRow { id, ops } =
            row.map_err(|row| LuxiError::Malformed { method: "Query", reason: row.problem })?;
        if ops.value().iter().flatten().any(carries_reason) {
            return Ok(id.value());
        }
    }
    Ok(None)
}

/// Archives the jobs that ended more than `age` seconds ago (`AutoArchiveJobs`); returns how many were
/// archived, and how many were not looked at because luxid's time for it ran out (`watcher/__init__.py:
/// _ArchiveJobs`).
///
/// # Errors
/// As [`Client::query`].
pub async fn auto_archive(
    client: &mut Client<'_>,
    _armed: &Armed,
    age: i64,
) -> Result<(u64, u64), LuxiError> {
    // luxid's own limit for the call, as in the original.
    let time_limit = (CALL_TIMEOUT.as_secs() - 1) / 2;
    client.call("AutoArchiveJobs", &(age, time_limit)).await
}

/// Moves an ended job to the archive. A failure is only worth a debug line: Ganeti archives old jobs on its
/// own.
pub async fn archive(client: &mut Client<'_>, _armed: &Armed, job: JobId) {
    if let Err(error) = client.call_once::<bool>("ArchiveJob", &(job,)).await {
        debug!("Error while archiving job {job}: {error}");
    }
}
