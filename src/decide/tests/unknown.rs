//! Kind A: what luxid did not say is neither a yes nor a no. Nothing is begun or forgotten because of such an
//! answer.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cluster::testing::{drbd_instance, instance, node, snapshot};
use crate::cluster::{JobId, OpEnd, PendingJob, Snapshot};
use crate::decide::blame::Blame;
use crate::decide::instances::Outlook;
use crate::decide::policy::Policies;
use crate::decide::reason::Reason;
use crate::decide::*;
use crate::memory::recovery::{Activation, FailedMove};
use crate::memory::state::State;

const NOW: f64 = 1000.0;

fn plan(snapshot: &Snapshot, state: &State) -> Vec<Step> {
    let (policies, _) = Policies::read(snapshot, &[], NOW);
    instances::plan(&Outlook { snapshot, state, policies: &policies, now: NOW })
}

fn only_note(steps: &[Step]) -> NoteKind {
    match steps {
        [Step::Note(note)] => note.kind.clone(),
        other => panic!("{other:?}"),
    }
}

/// The only reason why an instance is not started.
fn only_reason(steps: &[Step]) -> Reason {
    match only_note(steps) {
        NoteKind::NotStarted(reasons) if reasons.len() == 1 => reasons[0].clone(),
        other => panic!("{other:?}"),
    }
}

/// A mirrored instance that is down, and its secondary node, doubtful in every possible way.
fn doubtful() -> [Snapshot; 2] {
    let whole =
        || snapshot([drbd_instance("i", "ERROR_down", "n2")], [node("n1", Some("b1")), node("n2", None)]);
    let (mut unsaid, mut unreadable) = (whole(), whole());
    unsaid.nodes[1].offline = None;
    unreadable.nodes.pop();
    unreadable.unreadable_nodes.push("n2".into());
    [unsaid, unreadable]
}

#[test]
fn an_instance_waits_for_a_secondary_of_which_nobody_knows_whether_it_is_offline() {
    for cluster in doubtful() {
        let waits = Reason::SecondarySilent { node: "n2".into(), since: None };
        assert_eq!(only_reason(&plan(&cluster, &State::default())), waits);
    }
    // A node that answers is not in doubt, whatever else luxid did not say about it.
    let [mut cluster, _] = doubtful();
    cluster.nodes[1].boot_id = Some("b2".into());
    assert!(matches!(plan(&cluster, &State::default()).as_slice(), [Step::Act(_)]));
}

#[test]
fn no_instance_is_started_without_a_mirror_that_is_only_in_doubt() {
    let action = Action { instance: "i".into(), kind: ActionKind::StartDegraded };
    for cluster in doubtful() {
        let mut state = State::default();
        degraded::remember_silent(&mut state, &cluster, NOW);
        assert!(state.recovery.silent.is_empty());
        let (policies, _) = Policies::read(&cluster, &[], NOW);
        let steps = plan(&cluster, &state);
        let allowed = degraded::allow(steps.clone(), &state, &policies, Some(Duration::ZERO), NOW);
        assert_eq!(allowed, steps);
        let changed = second_look::change(&action, &[], &cluster);
        assert!(matches!(changed, Some(second_look::Changed::SecondarySilent(_))), "{changed:?}");
    }
}

#[test]
fn an_instance_on_shared_storage_may_run_on_a_node_in_doubt() {
    for mut cluster in doubtful() {
        cluster.instances[0] = instance("i", "ERROR_down");
        cluster.instances[0].disk_template = "rbd".into();
        assert_eq!(elsewhere::may_run_on(&cluster.instances[0], &cluster), ["n2"]);
    }
}

#[test]
fn a_failure_on_a_primary_in_doubt_is_not_the_instance_s() {
    let [_, mut cluster] = doubtful();
    cluster.unreadable_nodes = vec!["n1".into()];
    cluster.nodes.clear();
    let action = Action { instance: "i".into(), kind: ActionKind::Restart { attempt: 1 } };
    let failure = crate::cluster::JobFailure::Text("no reason".into());
    assert_eq!(budget::blame(&failure, &action, &cluster).what, Blame::Node);
}

#[test]
fn a_status_that_is_not_known_begins_nothing_and_forgets_nothing() {
    let mut cluster = snapshot([drbd_instance("i", "ERROR_new", "n2")], [node("n2", Some("b2"))]);
    let mut state = State::default();
    state.record_restart_attempt("i", NOW);
    let failed = FailedMove { job: JobId(7), summary: "INSTANCE_MIGRATE(i)".into() };
    state.recovery.failed_moves.insert("i".into(), failed);
    state.recovery.degraded.insert("i".into(), 5.0);
    state.recovery.activations.insert("i".into(), Activation { found_broken: true, ..Activation::default() });
    state.recovery.down.insert("i".into(), 5.0);
    let before = state.clone();
    assert_eq!(plan(&cluster, &state), []);
    elsewhere::remember_moves(&mut state, &cluster, &BTreeMap::new());
    degraded::review(&mut state, &cluster);
    activations::forget_stopped(&mut state, &cluster);
    schedule::remember_down(&mut state, &cluster, NOW);
    assert_eq!(state, before);
    let disks = activations::plan(&mut state, &cluster, &activations::Starts::default(), NOW);
    assert!(disks.steps.iter().all(|step| matches!(step, Step::Note(_))), "{:?}", disks.steps);
    assert_eq!(state.recovery.activations["i"].reboots.len(), 1, "the boot id waits for it");
    // A known status settles it.
    cluster.instances[0].status = crate::cluster::InstanceStatus::Running;
    assert_eq!(only_note(&plan(&cluster, &state)), NoteKind::Recovered);
}

#[test]
fn a_job_of_which_luxid_does_not_say_what_it_does_may_be_at_any_instance() {
    let mut cluster = snapshot([instance("i", "ERROR_down")], []);
    let job = PendingJob { id: JobId(7), summaries: None, has_process: true };
    cluster.pending_jobs.push(job.clone());
    assert_eq!(only_reason(&plan(&cluster, &State::default())), Reason::JobRunning(job));
}

#[test]
fn a_migration_that_ended_nobody_knows_how_leaves_a_doubt() {
    let cluster = snapshot([instance("i", "ERROR_down")], []);
    let ended = crate::cluster::EndedOpCode {
        job: JobId(7),
        summary: "INSTANCE_MIGRATE(i)".into(),
        end: OpEnd::Unknown,
    };
    let mut state = State::default();
    elsewhere::remember_moves(&mut state, &cluster, &BTreeMap::from([("i".to_owned(), vec![ended])]));
    assert!(matches!(only_reason(&plan(&cluster, &state)), Reason::MoveFailed(_)));
}
