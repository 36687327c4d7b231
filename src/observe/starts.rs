//! What luxid knows about starts that an earlier run was about to submit.

use serde_json::{Value, json};

use super::rows::parted;
use crate::cluster::JobId;
use crate::luxi::opcodes::OpCode;
use crate::luxi::rows::{Cell, row};
use crate::luxi::{Client, LuxiError};

/// A job to look for: its opcode, and the time of its reason in nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoughtJob {
    /// The opcode.
    pub opcode: OpCode,
    /// The time of its reason.
    pub reason_ns: u64,
}

impl SoughtJob {
    fn is_one_of(&self, opcodes: &[Value]) -> bool {
        let text = self.opcode.reason();
        let reasons = opcodes.iter().filter_map(|opcode| opcode["reason"].as_array()).flatten();
        reasons.into_iter().any(|reason| reason[1] == *text && reason[2] == self.reason_ns)
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The number of each job, in the order of the request; `None` for one that is not among the unarchived
    /// jobs.
    pub jobs: Vec<Option<JobId>>,
    /// Whether every job could be read. If not, a job that was not found may still exist.
    pub is_complete: bool,
}

row! {
    struct JobRow {
        id: Cell<JobId> = "id",
        opcodes: Cell<Vec<Value>> = "ops",
    }
}

/// Looks for jobs among the unarchived ones, by the reasons they were submitted with. Without any `wanted`
/// nothing is asked.
///
/// # Errors
/// As [`Client::query`].
pub async fn find(client: &mut Client<'_>, wanted: &[SoughtJob]) -> Result<Found, LuxiError> {
    let mut found = Found { jobs: vec![None; wanted.len()], is_complete: true };
    if wanted.is_empty() {
        return Ok(found);
    }
    let each = wanted.iter().map(|wanted| json!(["=[]", "summary", wanted.opcode.summary()]));
    let filter: Vec<Value> = std::iter::once(json!("|")).chain(each).collect();
    let rows = client.query::<JobRow>("job", Some(Value::Array(filter))).await?;
    let (rows, unreadable) = parted(rows);
    found.is_complete = unreadable.is_empty();
    for row in rows {
        let (Some(id), Some(opcodes)) = (row.id.value(), row.opcodes.value()) else {
            found.is_complete = false;
            continue;
        };
        let carried = wanted.iter().zip(&mut found.jobs).filter(|(wanted, _)| wanted.is_one_of(&opcodes));
        carried.for_each(|(_, job)| *job = Some(id));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_by_the_text_and_the_time_of_its_reason() {
        let opcode = OpCode::InstanceStartup { instance: "i".into(), force: false };
        let wanted = SoughtJob { opcode, reason_ns: 1_795_343_883_732_168_711 };
        let ops = |text: &str, time: u64| {
            [
                json!({"OP_ID": "X"}),
                json!({"reason": [["gnt:watcher", text, time], ["gnt:opcode:x", "job=1", 5]]}),
            ]
        };
        assert!(wanted.is_one_of(&ops("Restarting instance i", 1_795_343_883_732_168_711)));
        assert!(!wanted.is_one_of(&ops("Restarting instance i", 1_795_343_883_732_168_712)));
        assert!(!wanted.is_one_of(&ops("Restarting instance j", 1_795_343_883_732_168_711)));
        assert!(!wanted.is_one_of(&[json!(7), json!({"reason": [null, "x"]})]));
    }
}
