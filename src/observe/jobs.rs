//! Jobs: those that have not ended, and how the opcodes of others ended.

use serde_json::{Value, json};

use super::rows::{malformed, readable};
use crate::cluster::{EndedOpCode, GanetiError, JobId, OpEnd, PendingJob};
use crate::luxi::rows::{Cell, Required, UnreadableRow, row};
use crate::luxi::{Client, LuxiError};

row! {
    struct PendingRow {
        id: Required<JobId> = "id",
        summary: Cell<Value> = "summary",
        status: Cell<Value> = "status",
    }
}

row! {
    /// All but the number are lists with one entry per opcode.
    struct OpCodesRow {
        id: Required<JobId> = "id",
        summaries: Cell<Vec<String>> = "summary",
        statuses: Cell<Vec<String>> = "opstatus",
        results: Cell<Vec<Value>> = "opresult",
    }
}

/// Every job that has not ended, with the summaries of its opcodes.
///
/// # Errors
/// As [`Client::query`]; also when a job has no number.
pub async fn pending_jobs(client: &mut Client<'_>) -> Result<Vec<PendingJob>, LuxiError> {
    let filter =
        json!(["|", ["==", "status", "running"], ["==", "status", "queued"], ["==", "status", "waiting"]]);
    let job = |row: Result<PendingRow, UnreadableRow>| match row {
        Ok(row) => Ok(PendingJob {
            id: row.id.value(),
            summaries: row.summary.value().and_then(|summary| serde_json::from_value(summary).ok()),
            has_process: row.status.value().is_none_or(|status| status != "queued"),
        }),
        Err(unreadable) => Err(malformed("Query", unreadable.problem)),
    };
    client.query("job", Some(filter)).await?.into_iter().map(job).collect()
}

/// The ended opcodes of failed jobs that Ganeti has not archived, in the order of the jobs.
///
/// # Errors
/// As [`Client::query`].
pub async fn failed_jobs(client: &mut Client<'_>) -> Result<Vec<EndedOpCode>, LuxiError> {
    jobs_about(client, json!(["==", "status", "error"]), None).await
}

/// The ended opcodes that have one of these summaries, of jobs that Ganeti has not archived, in the order of
/// the jobs.
///
/// # Errors
/// As [`Client::query`].
pub async fn ended_jobs(
    client: &mut Client<'_>,
    summaries: &[String],
) -> Result<Vec<EndedOpCode>, LuxiError> {
    let each = summaries.iter().map(|summary| json!(["=[]", "summary", summary]));
    let any: Vec<Value> = std::iter::once(json!("|")).chain(each).collect();
    jobs_about(client, Value::Array(any), Some(summaries)).await
}

/// Every ended opcode of the jobs that pass the filter; with `summaries` only those that have one of them.
async fn jobs_about(
    client: &mut Client<'_>,
    filter: Value,
    summaries: Option<&[String]>,
) -> Result<Vec<EndedOpCode>, LuxiError> {
    let mut ended = Vec::new();
    for OpCodesRow { id, summaries: own, statuses, results } in
        readable(client.query("job", Some(filter)).await?)
    {
        let job = id.value();
        let own = own.value().unwrap_or_default();
        let ends = statuses.value().unwrap_or_default().into_iter().zip(results.value().unwrap_or_default());
        for (summary, (status, result)) in own.into_iter().zip(ends) {
            if let Some(end) = end_of(&status, &result)
                && summaries.is_none_or(|wanted| wanted.contains(&summary))
            {
                ended.push(EndedOpCode { job, summary, end });
            }
        }
    }
    Ok(ended)
}

fn end_of(status: &str, result: &Value) -> Option<OpEnd> {
    match status {
        "success" => Some(OpEnd::Success),
        "error" => match GanetiError::decode(result) {
            Some(error) if ["OpPrereqError", "HooksAbort"].contains(&error.class.as_str()) => {
                Some(OpEnd::Refused)
            }
            // `jqueue: _JobProcessor` says this of every opcode after the one that failed.
            Some(error) if error.message == "Preceding opcode failed" => Some(OpEnd::Refused),
            Some(_) | None => Some(OpEnd::Failed),
        },
        // `jqueue: OpStatus`. A canceled one has not begun.
        "queued" | "waiting" | "canceling" | "running" | "canceled" => None,
        _ => Some(OpEnd::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opcode_with_a_status_that_is_none_ended_nobody_knows_how() {
        for status in ["queued", "waiting", "canceling", "running", "canceled"] {
            assert_eq!(end_of(status, &Value::Null), None, "{status}");
        }
        assert_eq!(end_of("success", &Value::Null), Some(OpEnd::Success));
        assert_eq!(end_of("error", &Value::Null), Some(OpEnd::Failed));
        assert_eq!(end_of("x", &Value::Null), Some(OpEnd::Unknown));
        assert_eq!(end_of("", &Value::Null), Some(OpEnd::Unknown));
    }

    #[test]
    fn any_result_of_an_opcode_that_failed_is_an_end() {
        crate::testing::fuzz::fuzz_text(&[r#"["OpPrereqError", ["no", "wrong_state"]]"#], |text| {
            if let Ok(result) = serde_json::from_str(text) {
                assert!(end_of("error", &result).is_some());
            }
        });
    }
}
