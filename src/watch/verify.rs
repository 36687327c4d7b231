//! The verify pass of a group part: Ganeti looks at every disk of the group, and what it finds broken is activated.
//!
//! Source: `watcher/__init__.py: _VerifyDisks`. Unlike the original, every activation is a job of its own, so that one
//! broken disk does not keep the others from being repaired, and what verify-disks finds is logged.

use std::collections::BTreeMap;

use anyhow::anyhow;
use tracing::{debug, info, warn};

use super::{Context, LogWitness};
use crate::act::{Jobs, Stopped};
use crate::cluster::{GanetiVersion, Snapshot};
use crate::decide::verify::{self, Findings, MissingVolumes};
use crate::luxi::jobs::{self, JobFailure, JobResult};
use crate::luxi::messages::parse_shape;
use crate::luxi::opcodes::OpCode;
use crate::luxi::{Client, LuxiError};
use crate::observe;

/// Verifies the group's disks, unless that is useless or already under way, and activates what needs it.
///
/// # Errors
/// See [`Stopped`].
pub(super) async fn run(
    context: &Context<'_>,
    work: &mut Jobs<'_, '_>,
    snapshot: &Snapshot,
) -> Result<(), Stopped> {
    let strict = is_strict(context.options.no_strict, work.version);
    let Some(opcode) = wanted(work.client, snapshot, strict).await? else {
        return Ok(());
    };
    if (work.is_paused)().map_err(Stopped::Failed)? {
        return Err(Stopped::Paused);
    }
    let submitted = jobs::submit(work.client, work.armed, &opcode, work.version, work.clock.now_ns()).await;
    let job = match submitted {
        Err(error) if error.is_queue_drained() => return Err(Stopped::Drained),
        job => job?,
    };
    let result = jobs::wait(work.client, job).await?;
    jobs::archive(work.client, work.armed, job).await;
    let findings = match result {
        Err(failure) if !strict && is_busy_node(&failure) => {
            info!("Disks of group '{}' not verified this time: a node is busy (job {job})", snapshot.group);
            return Ok(());
        }
        result => findings(result).map_err(|problem| {
            Stopped::Failed(anyhow!(
                "cannot verify disks of group '{}': job {job}: {problem}",
                snapshot.group
            ))
        })?,
    };
    report(&findings, strict);
    work.carry_out(verify::plan(snapshot, &findings), &mut LogWitness).await
}

/// The verification that the group needs now: none when there is nothing to verify or a job is already at it.
///
/// # Errors
/// As [`Client::call`].
pub(super) async fn wanted(
    client: &mut Client<'_>,
    snapshot: &Snapshot,
    strict: bool,
) -> Result<Option<OpCode>, LuxiError> {
    if !verify::is_worthwhile(snapshot) {
        debug!("Group '{}' has no disks that Ganeti can verify", snapshot.group);
        return Ok(None);
    }
    let opcode = OpCode::GroupVerifyDisks { group: snapshot.group.clone(), strict };
    let pending = observe::pending_jobs(client).await?;
    let summary = opcode.summary();
    if let Some(job) = pending.iter().find(|job| verify::is_pending_in(&job.summaries, &summary)) {
        let group = &snapshot.group;
        info!("There are verify disks jobs already pending (job {}), not verifying group '{group}'", job.id);
        return Ok(None);
    }
    Ok(Some(opcode))
}

/// Versions before 3.1 always verify strictly.
pub(super) fn is_strict(no_strict: bool, version: Option<GanetiVersion>) -> bool {
    if no_strict && !version.is_some_and(GanetiVersion::knows_is_strict) {
        warn!("--no-strict needs Ganeti 3.1 or later; verifying disks strictly");
        return true;
    }
    !no_strict
}

/// Ganeti 3.1 fails this way when a node's lock is held by another job and is not waited for (contract 4.7).
fn is_busy_node(failure: &JobFailure) -> bool {
    matches!(failure, JobFailure::Error(error) if error.message.contains("nodes changed while we kept the lock"))
}

fn findings(result: JobResult) -> Result<Findings, String> {
    type Volumes = BTreeMap<String, Vec<(String, String)>>;
    let results = result.map_err(|failure| failure.to_string())?;
    let [result] = results.as_slice() else {
        return Err(format!("expected one result, found {}", results.len()));
    };
    let (node_errors, need_activation, missing): (BTreeMap<String, String>, Vec<String>, Volumes) =
        parse_shape(&result.to_string(), "result")?;
    let missing_volumes =
        missing.into_iter().map(|(instance, volumes)| MissingVolumes { instance, volumes }).collect();
    Ok(Findings { node_errors: node_errors.into_iter().collect(), need_activation, missing_volumes })
}

fn report(findings: &Findings, strict: bool) {
    for (node, error) in &findings.node_errors {
        warn!("Disks on node {node} could not be verified: {error}");
    }
    for MissingVolumes { instance, volumes } in &findings.missing_volumes {
        let volumes: Vec<String> =
            volumes.iter().map(|(node, volume)| format!("{volume} on {node}")).collect();
        // Without strictness the volumes of nodes that were busy are listed too.
        if strict {
            warn!("Instance '{instance}' misses volumes: {}", volumes.join(", "));
        }
    }
    if findings.need_activation.is_empty() {
        debug!("Verify-disks reported no offline disks, nothing to do");
    } else {
        debug!("Will activate disks for instance(s) {}", findings.need_activation.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_three_parts_of_a_result_are_read() {
        let result = json!([{"n1": "down"}, ["i1"], {"i2": [["n1", "vg/lv"]]}]);
        let found = findings(Ok(vec![result])).unwrap();
        assert_eq!(found.node_errors, [("n1".to_owned(), "down".to_owned())]);
        assert_eq!(found.need_activation, ["i1"]);
        assert_eq!(found.missing_volumes[0].volumes, [("n1".to_owned(), "vg/lv".to_owned())]);
    }

    #[test]
    fn a_strange_result_is_an_error_with_its_place() {
        assert_eq!(findings(Ok(vec![])).unwrap_err(), "expected one result, found 0");
        let problem = findings(Ok(vec![json!([{}, [7], {}])])).unwrap_err();
        assert!(problem.starts_with("result[1][0]: invalid type"), "{problem}");
        assert_eq!(findings(Err(JobFailure::Canceled)).unwrap_err(), "it was canceled");
    }

    #[test]
    fn old_versions_are_always_strict() {
        let version = |text| GanetiVersion::parse(text);
        assert!(is_strict(true, version("3.0.2")));
        assert!(is_strict(true, None));
        assert!(!is_strict(true, version("3.1.0")));
        assert!(is_strict(false, version("3.1.0")));
    }
}
