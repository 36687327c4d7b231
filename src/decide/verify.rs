//! The verify pass: whether Ganeti is asked to verify the group's disks, and what is done about its findings.
//!
//! Source: `watcher/__init__.py: _VerifyDisks, _GroupWatcher`; the rule about pending jobs is that of 3.1.

use super::{Action, ActionKind, Note, NoteKind, Step};
use crate::cluster::Snapshot;

const EXT: &str = "ext";

/// Whether there is anything to verify: not in a group without instances, nor in one whose disks all come from
/// external storage, which Ganeti cannot verify.
#[must_use]
pub fn is_worthwhile(snapshot: &Snapshot) -> bool {
    snapshot.instances.iter().any(|instance| instance.disk_template != EXT)
}

/// Whether one of a pending job's opcodes already verifies the group. `summaries` has one entry an opcode: a job may
/// have several.
#[must_use]
pub fn is_pending_in(summaries: &[String], verify_summary: &str) -> bool {
    summaries.iter().any(|summary| summary == verify_summary)
}

/// What verify-disks found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Nodes that could not be asked, and why; by UUID.
    pub node_errors: Vec<(String, String)>,
    /// Instances with a disk that is not assembled, or whose link is broken.
    pub need_activation: Vec<String>,
    /// Instances with a volume that does not exist on its node.
    pub missing_volumes: Vec<MissingVolumes>,
}

/// Volumes that should exist and do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingVolumes {
    /// Name of the instance.
    pub instance: String,
    /// `(UUID of the node, volume group/logical volume)`.
    pub volumes: Vec<(String, String)>,
}

/// What to do about the findings: an activation for every instance that needs one and can have one.
#[must_use]
pub fn plan(snapshot: &Snapshot, findings: &Findings) -> Vec<Step> {
    let step = |name: &String| {
        let note = |kind| Step::Note(Note { instance: name.clone(), kind });
        match snapshot.instance(name) {
            None => note(NoteKind::Unknown),
            Some(instance) if instance.status.is_helpless() || snapshot.has_offline_secondary(instance) => {
                note(NoteKind::VerifyHelpless)
            }
            Some(_) => Step::Act(Action { instance: name.clone(), kind: ActionKind::ActivateDisks }),
        }
    };
    findings.need_activation.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{drbd_instance, instance, node, snapshot};

    #[test]
    fn empty_and_external_groups_are_not_verified() {
        let mut ext = instance("i", "running");
        ext.disk_template = "ext".into();
        assert!(!is_worthwhile(&snapshot([], [])));
        assert!(!is_worthwhile(&snapshot([ext.clone()], [])));
        assert!(is_worthwhile(&snapshot([ext, instance("j", "running")], [])));
    }

    #[test]
    fn a_pending_verification_is_found_in_any_opcode_of_a_job() {
        let summary = "GROUP_VERIFY_DISKS(u)";
        let pending = |summaries: &[&str]| {
            let summaries: Vec<String> = summaries.iter().map(|op| (*op).to_owned()).collect();
            is_pending_in(&summaries, summary)
        };
        assert!(pending(&[summary]));
        assert!(pending(&["CLUSTER_VERIFY", summary]));
        assert!(!pending(&["GROUP_VERIFY_DISKS(other)", "X"]));
        assert!(!pending(&[]));
    }

    #[test]
    fn findings_are_acted_on_unless_nothing_can_be_done() {
        let mut offline = node("n3", None);
        offline.offline = true;
        let cluster = snapshot(
            [
                drbd_instance("broken", "running", "n2"),
                drbd_instance("alone", "running", "n3"),
                drbd_instance("away", "ERROR_nodedown", "n1"),
            ],
            [node("n1", Some("b")), node("n2", None), offline],
        );
        let findings = Findings {
            need_activation: ["broken", "alone", "away", "split"].map(str::to_owned).to_vec(),
            ..Findings::default()
        };
        let note = |instance: &str, kind| Step::Note(Note { instance: instance.into(), kind });
        assert_eq!(
            plan(&cluster, &findings),
            [
                Step::Act(Action { instance: "broken".into(), kind: ActionKind::ActivateDisks }),
                note("alone", NoteKind::VerifyHelpless),
                note("away", NoteKind::VerifyHelpless),
                note("split", NoteKind::Unknown),
            ]
        );
    }
}
