//! The verify pass of a group part: Ganeti looks at every disk of the group, and what it finds broken is
//! activated.
//!
//! Source: `watcher/__init__.py: _VerifyDisks`. Unlike the original, every activation is a job of its own, so
//! that one broken disk does not keep the others from being repaired, and what verify-disks finds is logged.

use std::collections::BTreeMap;

use anyhow::anyhow;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Context;
use super::ledger::{Activations, carry_out};
use crate::act::{Runner, Stopped};
use crate::cluster::{GanetiVersion, LONGEST_TEXT, Name, Snapshot, excerpt};
use crate::decide::pass::Pass;
use crate::decide::verify::{Findings, Verification};
use crate::luxi::jobs::{JobFailure, JobResult};
use crate::luxi::messages::parse_shape;
use crate::luxi::opcodes::OpCode;
use crate::luxi::rows::EXPLAINED;
use crate::{logging, tell};

/// Verifies the group's disks, unless that is pointless or already under way, and activates those that need
/// it.
///
/// # Errors
/// See [`Stopped`].
pub(super) async fn run(
    context: &Context<'_>,
    runner: &mut Runner<'_>,
    pass: &Pass,
    activations: &mut Activations,
) -> Result<(), Stopped> {
    let strict = is_strict(context.options.no_strict, runner.version());
    runner.view_mut().renew_jobs().await?;
    let Some(opcode) = wanted(pass, runner.snapshot(), strict) else {
        return Ok(());
    };
    let group = &pass.verdicts().group_name;
    let failed = |problem: &dyn std::fmt::Display| {
        let problem = excerpt(&problem.to_string(), LONGEST_TEXT);
        Stopped::Failed(anyhow!("cannot verify disks of group '{group}': {problem}"))
    };
    let job = runner.submit(&opcode).await?.map_err(|error| failed(&error))?;
    let result = runner.wait(job).await?;
    if let Err(failure) = &result
        && !strict
        && is_busy_node(failure)
    {
        logging::log(tell::verify::node_was_busy(group, job));
        return Ok(());
    }
    let findings = findings(result).map_err(|problem| failed(&format!("job {job}: {problem}")))?;
    // One that failed stays in the queue, where an administrator can look at it.
    runner.archive(job).await;
    logging::log_all(tell::verify::findings(&findings, strict, runner.snapshot()));
    // The job may have waited for locks a long time.
    runner.view_mut().renew().await?;
    let plan = pass.plan_after_verification(runner.snapshot(), &findings);
    logging::log_all(tell::notes(&plan.notes));
    carry_out(runner, plan, activations).await
}

/// The verification that the group needs now; if none, that is logged.
pub(super) fn wanted(pass: &Pass, snapshot: &Snapshot, strict: bool) -> Option<OpCode> {
    let opcode = OpCode::GroupVerifyDisks { group: snapshot.group.clone(), strict };
    let verification = pass.verification(snapshot, &opcode.summary());
    logging::log_all(tell::verify::skipped(&verification, &pass.verdicts().group_name));
    (verification == Verification::Wanted).then_some(opcode)
}

/// Versions before 3.1 always verify strictly.
pub(super) fn is_strict(no_strict: bool, version: Option<GanetiVersion>) -> bool {
    if no_strict && !version.is_some_and(GanetiVersion::knows_is_strict) {
        logging::log(tell::verify::strict_anyway());
        return true;
    }
    !no_strict
}

/// Ganeti 3.1 fails this way, instead of waiting, when another job holds a node's lock (`cmdlib/common.py:
/// CheckInstancesNodeGroups`).
fn is_busy_node(failure: &JobFailure) -> bool {
    matches!(failure, JobFailure::Error(error) if error.message.contains("nodes changed while we kept the lock"))
}

/// Reads `[{node: error}, [instance, …], {instance: [[node, volume], …]}]`. Only the second part leads to
/// repairs, so a malformed first or third one only causes a debug line.
fn findings(result: JobResult) -> Result<Findings, String> {
    let results = result.map_err(|failure| failure.to_string())?;
    let [result] = results.as_slice() else {
        return Err(format!("expected one result, found {}", results.len()));
    };
    let (node_errors, need_activation, missing): (Value, Vec<String>, Value) =
        parse_shape(&result.to_string(), "result")?;
    let (need_activation, nameless): (Vec<_>, Vec<_>) =
        need_activation.into_iter().map(Name::try_from).partition(Result::is_ok);
    let rest = nameless.len().saturating_sub(EXPLAINED);
    for problem in nameless.into_iter().filter_map(Result::err).take(EXPLAINED) {
        logging::log(tell::answers::name_from_verify_disks(&problem));
    }
    if rest > 0 {
        logging::log(tell::answers::more_names_from_verify_disks(rest));
    }
    let missing: BTreeMap<String, Vec<(String, String)>> = lenient("missing volumes", missing);
    let volumes = |volumes: Vec<(String, String)>| {
        volumes.into_iter().map(|(node, volume)| format!("{volume} on {node}")).collect()
    };
    Ok(Findings {
        need_activation: need_activation.into_iter().flatten().map(String::from).collect(),
        node_errors: lenient::<BTreeMap<_, _>>("node errors", node_errors).into_iter().collect(),
        missing_volumes: missing.into_iter().map(|(instance, list)| (instance, volumes(list))).collect(),
    })
}

fn lenient<T: DeserializeOwned + Default>(what: &str, value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| {
        logging::log(tell::answers::part_from_verify_disks(what, &error));
        T::default()
    })
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
        assert_eq!(found.missing_volumes, [("i2".to_owned(), vec!["vg/lv on n1".to_owned()])]);
    }

    #[test]
    fn a_strange_side_of_a_result_does_not_hide_what_needs_repair() {
        let found = findings(Ok(vec![json!([[], ["i1"], null])])).unwrap();
        assert_eq!(found, Findings { need_activation: vec!["i1".into()], ..Findings::default() });
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
