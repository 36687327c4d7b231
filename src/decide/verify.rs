//! Whether Ganeti should verify the group's disks, and what it finds.
//!
//! Source: `watcher/__init__.py: _VerifyDisks, _GroupWatcher`; the rule about pending jobs is that of 3.1.

use super::report::{LogLine, Severity};
use crate::cluster::{PendingJob, Snapshot};

const EXT: &str = "ext";

/// Whether the group's disks are verified now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// They are.
    Wanted,
    /// The group has no instances, or all its disks come from external storage, which Ganeti cannot verify.
    NothingToVerify,
    /// A job that has not ended already does it.
    Pending(PendingJob),
}

/// Decides whether to verify. `summary` is the summary of the opcode that would do it, such as
/// `GROUP_VERIFY_DISKS(UUID)`.
#[must_use]
pub fn decide(snapshot: &Snapshot, summary: &str) -> Verification {
    if snapshot.instances.iter().all(|instance| instance.disk_template == EXT) {
        return Verification::NothingToVerify;
    }
    match snapshot.pending_jobs.iter().find(|job| job.does(summary)) {
        Some(job) => Verification::Pending(job.clone()),
        None => Verification::Wanted,
    }
}

impl Verification {
    /// The line for a verification that is skipped; `None` for one that is wanted.
    #[must_use]
    pub fn log_line(&self, group: &str) -> Option<LogLine> {
        match self {
            Self::Wanted => None,
            Self::NothingToVerify => Some(LogLine::new(
                Severity::Debug,
                format!("Group '{group}' has no disks that Ganeti can verify"),
            )),
            Self::Pending(job) => Some(LogLine::new(
                Severity::Info,
                format!("There are verify disks jobs already pending, not verifying group '{group}': {job}"),
            )),
        }
    }
}

/// What verify-disks found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Names of instances with a disk that is not assembled, or whose link is broken.
    pub need_activation: Vec<String>,
    /// Nodes that could not be asked, each as `(UUID, why)`.
    pub node_errors: Vec<(String, String)>,
    /// Names of instances with volumes that do not exist on their node, each as `vg/volume on NODE_UUID`.
    pub missing_volumes: Vec<(String, Vec<String>)>,
}

impl Findings {
    /// The lines for the findings. Without strictness the volumes of nodes that were busy are listed as
    /// missing too, so nothing is said about them.
    #[must_use]
    pub fn log_lines(&self, strict: bool) -> Vec<LogLine> {
        let node_errors = self
            .node_errors
            .iter()
            .map(|(node, error)| format!("Disks on node {node} could not be verified: {error}"));
        let missing = self.missing_volumes.iter().filter(|_| strict);
        let missing = missing.map(|(instance, volumes)| {
            format!("Instance '{instance}' has volumes that do not exist: {}", volumes.join(", "))
        });
        let mut lines: Vec<LogLine> =
            node_errors.chain(missing).map(|text| LogLine::new(Severity::Warning, text)).collect();
        let activation = match self.need_activation.as_slice() {
            [] => "Verify-disks reported no offline disks, nothing to do".to_owned(),
            names => format!("Will activate disks for instance(s) {}", names.join(", ")),
        };
        lines.push(LogLine::new(Severity::Debug, activation));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{instance, pending_job, snapshot};

    const SUMMARY: &str = "GROUP_VERIFY_DISKS(u)";

    #[test]
    fn empty_and_external_groups_are_not_verified() {
        let mut ext = instance("i", "running");
        ext.disk_template = "ext".into();
        assert_eq!(decide(&snapshot([], []), SUMMARY), Verification::NothingToVerify);
        assert_eq!(decide(&snapshot([ext.clone()], []), SUMMARY), Verification::NothingToVerify);
        assert_eq!(decide(&snapshot([ext, instance("j", "running")], []), SUMMARY), Verification::Wanted);
    }

    #[test]
    fn a_pending_verification_is_found_in_any_opcode_of_a_job() {
        let mut cluster = snapshot([instance("i", "running")], []);
        cluster.pending_jobs.push(pending_job(6, "GROUP_VERIFY_DISKS(other)"));
        assert_eq!(decide(&cluster, SUMMARY), Verification::Wanted);
        let mut job = pending_job(7, "CLUSTER_VERIFY");
        job.summaries.get_or_insert_default().push(SUMMARY.into());
        cluster.pending_jobs.push(job.clone());
        assert_eq!(decide(&cluster, SUMMARY), Verification::Pending(job));
    }

    #[test]
    fn missing_volumes_are_told_only_when_all_nodes_were_asked() {
        let findings = Findings {
            node_errors: vec![("n1".into(), "down".into())],
            missing_volumes: vec![("i".into(), vec!["vg/lv on n1".into()])],
            ..Findings::default()
        };
        let warnings = |strict| {
            findings.log_lines(strict).iter().filter(|line| line.severity == Severity::Warning).count()
        };
        assert_eq!((warnings(true), warnings(false)), (2, 1));
    }
}
