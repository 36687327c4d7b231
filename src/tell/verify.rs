//! The verification of a group's disks.

use super::line::LogLine;
use super::words::list;
use crate::cluster::{JobId, Snapshot};
use crate::decide::verify::{Findings, Verification};

/// `--no-strict` is not possible.
#[must_use]
pub fn strict_anyway() -> LogLine {
    LogLine::warning("--no-strict needs Ganeti 3.1 or later; verifying disks strictly")
}

/// The line of a dry run for a verification that is wanted.
#[must_use]
pub fn would(group: &str) -> LogLine {
    LogLine::info(format!("Would verify the disks of group '{group}', and activate those found broken"))
}

/// The line for a verification that is skipped; `None` for one that is wanted. `group` is the group's name.
#[must_use]
pub fn skipped(verification: &Verification, group: &str) -> Option<LogLine> {
    match verification {
        Verification::Wanted => None,
        Verification::NothingToVerify => {
            Some(LogLine::debug(format!("Group '{group}' has no disks that Ganeti can verify")))
        }
        Verification::Pending(job) => Some(LogLine::info(format!(
            "There are verify disks jobs already pending, not verifying group '{group}': {job}"
        ))),
    }
}

/// Without strictness, another job kept this one from looking.
#[must_use]
pub fn node_was_busy(group: &str, job: JobId) -> LogLine {
    LogLine::info(format!("Disks of group '{group}' not verified this time: a node is busy (job {job})"))
}

/// The lines for what was found. Without strictness the volumes of nodes that were busy are listed as missing
/// too, so nothing is said about them.
#[must_use]
pub fn findings(findings: &Findings, strict: bool, snapshot: &Snapshot) -> Vec<LogLine> {
    let node = |uuid: &str| snapshot.nodes.iter().find(|node| node.uuid == uuid);
    let node_errors = findings.node_errors.iter().map(|(uuid, error)| {
        let name = node(uuid).map_or(uuid, |node| &node.name);
        let text = format!("Disks on node '{name}' could not be verified: {error}");
        // What is away is told already.
        let is_away = node(uuid).is_some_and(|node| node.boot_id.is_none());
        if is_away { LogLine::debug(text) } else { LogLine::warning(text) }
    });
    let missing = findings.missing_volumes.iter().filter(|_| strict);
    let named = |volume: &String| match volume.rsplit_once(" on ") {
        Some((volume, uuid)) => format!("{volume} on {}", node(uuid).map_or(uuid, |node| &node.name)),
        None => volume.clone(),
    };
    let missing = missing.map(|(instance, volumes)| {
        let volumes: Vec<String> = volumes.iter().map(named).collect();
        LogLine::warning(format!(
            "Instance '{instance}' has volumes that do not exist: {}",
            volumes.join(", ")
        ))
    });
    let mut lines: Vec<LogLine> = node_errors.chain(missing).collect();
    lines.push(LogLine::debug(match findings.need_activation.as_slice() {
        [] => "Verify-disks reported no offline disks, nothing to do".to_owned(),
        names => format!("Will activate disks for instance(s) {}", list(names.iter().map(String::as_str))),
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tell::Severity;

    #[test]
    fn missing_volumes_are_told_only_when_all_nodes_were_asked() {
        let found = Findings {
            node_errors: vec![("n1".into(), "down".into())],
            missing_volumes: vec![("i".into(), vec!["vg/lv on n1".into()])],
            ..Findings::default()
        };
        let warnings = |strict| {
            let cluster = Snapshot::default();
            findings(&found, strict, &cluster)
                .iter()
                .filter(|line| line.severity == Severity::Warning)
                .count()
        };
        assert_eq!((warnings(true), warnings(false)), (2, 1));
    }
}
