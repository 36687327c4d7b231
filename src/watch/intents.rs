//! Starts that an earlier run left on record and did not see the end of: luxid is asked, and the record is settled.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Options;
use crate::act::View;
use crate::cluster::{JobId, Timestamp};
use crate::decide::intent::{self, Evidence, Fate};
use crate::decide::report::LogLine;
use crate::luxi::following::{self, Answer};
use crate::luxi::opcodes::OpCode;
use crate::luxi::{Client, LuxiError};
use crate::memory::State;
use crate::memory::recovery::Intent;
use crate::observe::starts::{self, Found, SoughtJob};

/// Settles what is on record; gives what is to be said. Nothing is asked when nothing is on record. `master_boot_id` is
/// that of this node, `None` when it is unknown.
///
/// # Errors
/// When luxid cannot be asked.
pub(super) async fn settle(
    view: &mut View<'_>,
    state: &mut State,
    options: &Options,
    master_boot_id: Option<&str>,
    now: Timestamp,
) -> Result<Vec<LogLine>, LuxiError> {
    let fates = fates(&mut view.client, &state.recovery.starting).await?;
    // What this or another node's watcher archives, it archives by that age.
    let archived_after = u64::try_from(options.job_age).ok().map(Duration::from_secs);
    let evidence = Evidence { snapshot: &view.snapshot, fates: &fates, master_boot_id, archived_after, now };
    Ok(intent::settle(state, &evidence))
}

async fn fates(
    client: &mut Client<'_>,
    intents: &BTreeMap<String, Intent>,
) -> Result<BTreeMap<String, Fate>, LuxiError> {
    let wanted: Vec<SoughtJob> = intents
        .iter()
        .map(|(instance, Intent { reason_ns, degraded: force, .. })| SoughtJob {
            opcode: OpCode::InstanceStartup { instance: instance.clone(), force: *force },
            reason_ns: *reason_ns,
        })
        .collect();
    let Found { jobs, is_complete } = starts::find(client, &wanted).await?;
    let found: Vec<JobId> = jobs.iter().copied().flatten().collect();
    let answers = following::statuses(client, &found).await?;
    let mut answers: BTreeMap<JobId, Answer> = found.into_iter().zip(answers).collect();
    let fate = |job: Option<JobId>| match job {
        Some(job) => match answers.remove(&job) {
            Some(Answer::Ended { result, .. }) => Fate::Ended(job, result.map(drop)),
            Some(Answer::GoesOn) => Fate::AtWork(job),
            Some(Answer::Unknown(_)) | None => Fate::Unclear,
        },
        None if is_complete => Fate::NoJob,
        None => Fate::Unclear,
    };
    Ok(intents.keys().cloned().zip(jobs.into_iter().map(fate)).collect())
}
