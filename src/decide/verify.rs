//! Whether Ganeti should verify the group's disks, and what it finds.
//!
//! Source: `watcher/__init__.py: _VerifyDisks, _GroupWatcher`; the rule about pending jobs is that of 3.1.

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
}
