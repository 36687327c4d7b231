//! Never run an instance twice: whether one that looks down may be alive on another node.
//!
//! luxid asks only nodes that are the primary of some instance (`Query/Instance.hs: collectLiveData`), and
//! does not hear from silent ones. DRBD does not let a second node write; other shared storage does.

use std::collections::BTreeMap;

use crate::cluster::{EndedOpCode, Instance, OpEnd, Snapshot};
use crate::memory::recovery::FailedMove;
use crate::memory::state::State;

/// Disk templates whose disks every node of the group can open, even while another node uses them.
const SHARED_TEMPLATES: [&str; 5] = ["sharedfile", "blockdev", "rbd", "ext", "gluster"];
const MOVES: [&str; 2] = ["INSTANCE_MIGRATE", "INSTANCE_FAILOVER"];
/// Success of one of these after a failed move means that somebody has made sure where the instance is.
const SETTLING: [&str; 5] =
    ["INSTANCE_MIGRATE", "INSTANCE_FAILOVER", "INSTANCE_STARTUP", "INSTANCE_SHUTDOWN", "INSTANCE_REBOOT"];

/// The instance that a summary moves, if it is about a move.
#[must_use]
pub fn moved_instance(summary: &str) -> Option<&str> {
    let (kind, rest) = summary.split_once('(')?;
    MOVES.contains(&kind).then(|| rest.strip_suffix(')')).flatten()
}

/// The summaries of all jobs that show where an instance is, such as `INSTANCE_MIGRATE(NAME)` and
/// `INSTANCE_STARTUP(NAME)`.
pub fn telling_summaries(instance: &str) -> impl Iterator<Item = String> {
    SETTLING.iter().map(move |kind| format!("{kind}({instance})"))
}

/// Remembers which instances may be elsewhere, and forgets those that are no longer down. `jobs` has, by
/// instance name, those of the [`telling_summaries`] that have ended. Ganeti archives jobs after a few hours;
/// the doubt stays.
pub fn remember_moves(state: &mut State, snapshot: &Snapshot, jobs: &BTreeMap<String, Vec<EndedOpCode>>) {
    let moves = &mut state.recovery.failed_moves;
    let instances = snapshot.instances_by_name();
    moves.retain(|name, _| match instances.get(name.as_str()) {
        Some(instance) => instance.status.may_be_down(),
        None => snapshot.has_unreadable_instances(),
    });
    for (name, jobs) in jobs {
        let telling = jobs.iter().filter(|job| match job.end {
            OpEnd::Success => true,
            OpEnd::Refused => false,
            OpEnd::Failed | OpEnd::Unknown => moved_instance(&job.summary).is_some(),
        });
        match telling.max_by_key(|opcode| opcode.job) {
            Some(EndedOpCode { end: OpEnd::Failed | OpEnd::Unknown, job, summary }) => {
                let failed = FailedMove { job: *job, summary: summary.clone() };
                moves.insert(name.clone(), failed);
            }
            Some(opcode) if moves.get(name).is_some_and(|failed| failed.job < opcode.job) => {
                drop(moves.remove(name));
            }
            _ => {}
        }
    }
}

/// Names of the silent nodes on which the instance could nevertheless be running; empty when its storage lets
/// only its own nodes write, as DRBD does.
#[must_use]
pub fn may_run_on(instance: &Instance, snapshot: &Snapshot) -> Vec<String> {
    if !SHARED_TEMPLATES.contains(&instance.disk_template.as_str()) {
        return Vec::new();
    }
    let silent = snapshot.nodes.iter().filter(|node| node.may_run_instances() && node.may_be_silent());
    silent.map(|node| &node.name).chain(&snapshot.unreadable_nodes).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::JobId;
    use crate::cluster::testing::{instance, node, snapshot};

    fn job(id: u64, kind: &str, end: OpEnd) -> EndedOpCode {
        EndedOpCode { job: JobId(id), summary: format!("{kind}(i)"), end }
    }

    fn suspected(jobs: &[EndedOpCode], state: &mut State) -> Option<u64> {
        let cluster = snapshot([instance("i", "ERROR_down")], []);
        remember_moves(state, &cluster, &BTreeMap::from([("i".to_owned(), jobs.to_vec())]));
        state.recovery.failed_moves.get("i").map(|failed| failed.job.0)
    }

    #[test]
    fn the_last_word_about_where_an_instance_is_counts() {
        let failed = job(5, "INSTANCE_MIGRATE", OpEnd::Failed);
        for (jobs, expected) in [
            (vec![], None),
            (vec![failed.clone()], Some(5)),
            (vec![failed.clone(), job(3, "INSTANCE_STARTUP", OpEnd::Success)], Some(5)),
            (vec![failed.clone(), job(7, "INSTANCE_STARTUP", OpEnd::Failed)], Some(5)),
            (vec![failed.clone(), job(7, "INSTANCE_STARTUP", OpEnd::Success)], None),
            (vec![failed.clone(), job(7, "INSTANCE_MIGRATE", OpEnd::Success)], None),
            (vec![failed.clone(), job(7, "INSTANCE_FAILOVER", OpEnd::Refused)], Some(5)),
            (vec![job(5, "INSTANCE_FAILOVER", OpEnd::Refused)], None),
            (vec![failed.clone(), job(7, "INSTANCE_FAILOVER", OpEnd::Failed)], Some(7)),
        ] {
            assert_eq!(suspected(&jobs, &mut State::default()), expected, "{jobs:?}");
        }
    }

    #[test]
    fn the_doubt_outlives_the_job_and_ends_with_a_newer_one_or_when_the_instance_is_seen() {
        let mut state = State::default();
        assert_eq!(suspected(&[job(5, "INSTANCE_MIGRATE", OpEnd::Failed)], &mut state), Some(5));
        assert_eq!(suspected(&[], &mut state), Some(5));
        assert_eq!(suspected(&[job(4, "INSTANCE_REBOOT", OpEnd::Success)], &mut state), Some(5));
        assert_eq!(suspected(&[job(9, "INSTANCE_SHUTDOWN", OpEnd::Success)], &mut state), None);
        assert_eq!(suspected(&[job(12, "INSTANCE_MIGRATE", OpEnd::Failed)], &mut state), Some(12));
        remember_moves(&mut state, &snapshot([instance("i", "running")], []), &BTreeMap::new());
        assert_eq!(state.recovery.failed_moves, BTreeMap::new());
    }

    #[test]
    fn the_doubt_outlives_a_row_that_cannot_be_read_and_may_be_any_instance_s() {
        let mut state = State::default();
        suspected(&[job(5, "INSTANCE_MIGRATE", OpEnd::Failed)], &mut state);
        let mut unread = snapshot([instance("other", "running")], []);
        for row in ["i", "instance row 0: invalid length 3"] {
            unread.unreadable_instances = vec![row.into()];
            remember_moves(&mut state, &unread, &BTreeMap::new());
            assert!(state.recovery.failed_moves.contains_key("i"), "{row}");
        }
        unread.unreadable_instances.clear();
        remember_moves(&mut state, &unread, &BTreeMap::new());
        assert!(state.recovery.failed_moves.is_empty(), "it is gone");
    }

    #[test]
    fn only_shared_storage_without_a_fence_needs_every_nodes_answer() {
        let mut nodes = [node("n1", Some("b")), node("n2", None), node("n3", None), node("n4", None)];
        nodes[2].offline = Some(true);
        nodes[3].vm_capable = Some(false);
        for (template, expected) in
            [("rbd", &["n2"][..]), ("ext", &["n2"]), ("sharedfile", &["n2"]), ("drbd", &[]), ("plain", &[])]
        {
            let mut down = instance("i", "ERROR_down");
            down.disk_template = template.into();
            let cluster = snapshot([down], nodes.clone());
            assert_eq!(may_run_on(&cluster.instances[0], &cluster), expected, "{template}");
        }
    }
}
