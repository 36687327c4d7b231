//! Whole passes: a cluster is seen, planned for and acted on, and what is remembered goes into the next run.

use std::collections::BTreeMap;

use super::*;
use crate::cluster::testing::{drbd_instance, instance, node, pending_job, snapshot};
use crate::cluster::{
    AdminState, EndedOpCode, Fate, GanetiError, Instance, InstanceStatus, JobFailure, JobId, OpEnd,
};
use crate::decide::second_look::Changed;
use crate::decide::{ActionKind, budget};
use crate::memory::recovery::{FailedMove, Intent};

const RUN: f64 = 300.0;

/// A group with what its runs remember.
struct Group {
    cluster: Snapshot,
    state: State,
    now: Timestamp,
    options: PassOptions,
    master_boot_id: Option<String>,
    moves: BTreeMap<String, Vec<EndedOpCode>>,
    fates: BTreeMap<String, Fate>,
    cluster_tags: Vec<String>,
    /// What verify-disks names; `None` when it is not run.
    broken: Option<Vec<String>>,
    /// The watcher is paused, or luxid lost, after this many actions.
    stops_after: usize,
    /// What another run does to the state file while disks are verified.
    meanwhile: Option<fn(&mut State)>,
}

/// What a run did, as `WHAT instance`, and what it said.
#[derive(Debug, Default)]
struct Run {
    did: Vec<String>,
    said: Vec<String>,
    ended: Vec<(Action, Outcome)>,
}

impl Run {
    fn says(&self, words: &str) -> bool {
        self.said.iter().any(|line| line.contains(words))
    }
}

impl Group {
    fn new<const I: usize, const N: usize>(
        instances: [Instance; I],
        nodes: [crate::cluster::Node; N],
    ) -> Self {
        let cluster = snapshot(instances, nodes);
        let mut state = State::default();
        for node in &cluster.nodes {
            node.boot_id.iter().for_each(|boot_id| state.set_boot_id(&node.name, boot_id));
        }
        Self {
            cluster,
            state,
            now: 1_000_000.0,
            options: PassOptions {
                archived_after: Some(Duration::from_secs(21_600)),
                ..PassOptions::default()
            },
            master_boot_id: Some("master".to_owned()),
            moves: BTreeMap::new(),
            fates: BTreeMap::new(),
            cluster_tags: Vec::new(),
            broken: None,
            stops_after: usize::MAX,
            meanwhile: None,
        }
    }

    /// Two DRBD instances, both with `n1` as primary; all is well.
    fn healthy() -> Self {
        let instances = [drbd_instance("i1", "running", "n2"), drbd_instance("i2", "running", "n2")];
        Self::new(instances, [node("n1", Some("b1")), node("n2", Some("b2"))])
    }

    fn instance(&mut self, name: &str) -> &mut Instance {
        self.cluster.instances.iter_mut().find(|instance| instance.name == name).unwrap()
    }

    fn set(&mut self, names: &[&str], status: &str) {
        for name in names {
            self.instance(name).status = InstanceStatus::from_word(status);
        }
    }

    fn boot(&mut self, name: &str, boot_id: Option<&str>) {
        let node = self.cluster.nodes.iter_mut().find(|node| node.name == name).unwrap();
        node.boot_id = boot_id.map(str::to_owned);
    }

    /// One run, five minutes after the last one. `outcome` gives the end of each action, with `None` for
    /// success. What succeeds takes effect.
    fn run(&mut self, outcome: impl Fn(&Action) -> Option<JobFailure>) -> Run {
        let mut run = Run::default();
        let mut pass = Pass::new(std::mem::take(&mut self.state), self.options);
        let cluster = self.cluster.clone();
        let seen = Seen {
            snapshot: &cluster,
            cluster_tags: &self.cluster_tags,
            master_boot_id: self.master_boot_id.as_deref(),
            moves: &self.moves,
            fates: &self.fates,
        };
        let plan = pass.plan(&seen, self.now);
        let mut goes_on = self.carry_out(&mut pass, plan, &outcome, &mut run);
        if goes_on && pass.had_starts() {
            let plan = pass.plan_after_starts(&self.cluster, self.now);
            goes_on = self.carry_out(&mut pass, plan, &outcome, &mut run);
        }
        if goes_on {
            let whole: Vec<String> = pass.to_inspect().to_vec();
            let notes = pass.inspected(&whole);
            run.said.extend(notes.iter().filter_map(Note::log_line).map(|line| line.text));
        }
        run.said.extend(pass.lines_after_starts().into_iter().map(|line| line.text));
        pass.end(self.now);
        self.state = State::parse(&pass.to_save().to_text()).unwrap();
        run.ended.clear();
        if let Some(broken) = self.broken.take().filter(|_| goes_on) {
            assert_eq!(pass.verification(&self.cluster, "GROUP_VERIFY_DISKS(u)"), Verification::Wanted);
            let findings = Findings { need_activation: broken, ..Findings::default() };
            let plan = pass.plan_after_verification(&self.cluster, &findings);
            // The lock is given back: another run may have changed the state meanwhile.
            if let Some(change) = self.meanwhile.take() {
                change(&mut self.state);
            }
            self.carry_out(&mut pass, plan, &outcome, &mut run);
            for (action, outcome) in run.ended.drain(..) {
                activations::remember_found(&mut self.state, &action, &outcome, self.now);
            }
        }
        self.fates.clear();
        self.now += RUN;
        run
    }

    /// Whether the run can go on.
    fn carry_out(
        &mut self,
        pass: &mut Pass,
        plan: Plan,
        outcome: impl Fn(&Action) -> Option<JobFailure>,
        run: &mut Run,
    ) -> bool {
        run.said.extend(plan.lines.iter().map(|line| line.text.clone()));
        run.said.extend(plan.notes.iter().filter_map(Note::log_line).map(|line| line.text));
        let cluster = self.cluster.clone();
        let mut agenda = plan.into_agenda(&cluster);
        loop {
            let actions = agenda.take(self.now, 1, &|_| 1);
            let Some(action) = actions.first() else { break };
            if run.did.len() >= self.stops_after {
                return false;
            }
            pass.begin(&actions, 1);
            let outcome = match outcome(action) {
                None => Outcome::Succeeded,
                Some(failure) => {
                    let blamed = budget::blame(&failure, action, &self.cluster);
                    Outcome::Failed { job: JobId(1), failure, blamed }
                }
            };
            self.comes_true(action, &outcome);
            let mark = if outcome == Outcome::Succeeded { "" } else { " fails" };
            run.did.push(format!("{}{mark}", words(action)));
            run.said.extend(pass.ended(action, &outcome, self.now).into_iter().map(|line| line.text));
            agenda.ended(&action.instance, outcome == Outcome::Succeeded && action.kind.is_start());
            run.ended.push((action.clone(), outcome));
        }
        for (action, hold) in agenda.give_up(self.now, &|_| 1) {
            let note = Note { instance: action.instance, kind: NoteKind::LeftForLater(hold) };
            pass.noted(&note, self.now);
            run.said.extend(note.log_line().map(|line| line.text));
        }
        true
    }

    fn comes_true(&mut self, action: &Action, outcome: &Outcome) {
        let instance = self.instance(&action.instance);
        let succeeded = *outcome == Outcome::Succeeded;
        match action.kind {
            ActionKind::Restart { .. } | ActionKind::StartDegraded if succeeded => {
                instance.status = InstanceStatus::Running;
                instance.disks_active = true;
            }
            ActionKind::CleanUp if succeeded => {
                instance.status = InstanceStatus::AdminDown;
                instance.admin_state = AdminState::Down;
                instance.disks_active = false;
            }
            // Ganeti marks the disks of a failed activation as not active.
            ActionKind::ActivateDisks { .. } => instance.disks_active = succeeded,
            _ => {}
        }
    }
}

fn words(action: &Action) -> String {
    let what = match action.kind {
        ActionKind::Restart { attempt } => format!("start #{attempt}"),
        ActionKind::StartDegraded => "start alone".to_owned(),
        ActionKind::CleanUp => "clean up".to_owned(),
        ActionKind::ActivateDisks { .. } => "activate".to_owned(),
    };
    format!("{what} {}", action.instance)
}

fn well(_: &Action) -> Option<JobFailure> {
    None
}

fn error(message: &str) -> JobFailure {
    let class = "OpExecError".to_owned();
    JobFailure::Error(GanetiError { class, message: message.to_owned(), code: None })
}

/// Every start fails through the instance's own fault.
fn no_kernel(action: &Action) -> Option<JobFailure> {
    let name = &action.instance;
    action.kind.is_start().then(|| {
        error(&format!(
            "Could not start instance '{name}': Hypervisor error: Instance disks: kernel {name} not found"
        ))
    })
}

fn activations_fail(action: &Action) -> Option<JobFailure> {
    matches!(action.kind, ActionKind::ActivateDisks { .. }).then(|| error("Cannot activate block devices"))
}

#[test]
fn a_cluster_that_is_well_is_left_alone_and_nothing_is_remembered_of_it() {
    let mut group = Group::healthy();
    let before = group.state.clone();
    let run = group.run(well);
    assert_eq!((run.did, run.said), (vec![], vec![]));
    assert_eq!(group.state, before);
}

#[test]
fn after_a_power_cut_everything_is_started_and_the_starts_assemble_the_disks() {
    let mut group = Group::healthy();
    group.set(&["i1", "i2"], "ERROR_down");
    group.boot("n1", Some("b1'"));
    group.boot("n2", Some("b2'"));
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i1", "start #1 i2"]);
    assert_eq!((group.state.boot_id("n1"), group.state.boot_id("n2")), (Some("b1'"), Some("b2'")));
    assert!(group.state.recovery.activations.is_empty());
    let run = group.run(well);
    assert_eq!(run.did, [""; 0]);
    assert!(run.says("Restart of instance 'i1' succeeded"), "{run:?}");
    assert_eq!(group.state.restart_attempts("i1"), 0);
}

#[test]
fn an_instance_that_never_comes_up_is_tried_five_times_and_then_given_up() {
    let mut group = Group::new([instance("i", "ERROR_down")], [node("n1", Some("b1"))]);
    let did: Vec<Vec<String>> = (0..8).map(|_| group.run(no_kernel).did).collect();
    let tried = did.iter().filter(|did| !did.is_empty()).count();
    assert_eq!(tried, 5, "{did:?}");
    assert_eq!(did[4], ["start #5 i fails"]);
    let run = group.run(no_kernel);
    assert!(run.says("retries exhausted"), "{run:?}");
    group.now += 8.0 * 3600.0;
    assert_eq!(group.run(well).did, ["start #1 i"]);
}

#[test]
fn instances_of_a_dead_node_wait_and_its_secondaries_are_not_reactivated() {
    let mut group = Group::healthy();
    group
        .cluster
        .instances
        .push(Instance { primary: "n2".into(), ..drbd_instance("i3", "ERROR_nodedown", "n1") });
    group.boot("n2", None);
    let run = group.run(well);
    assert_eq!(run.did, [""; 0]);
    assert!(run.says("Node 'n2' missing boot ID"), "{run:?}");
    assert_eq!(group.state.recovery.silent.keys().collect::<Vec<_>>(), ["n2"]);
    group.boot("n2", Some("b2'"));
    group.set(&["i3"], "ERROR_down");
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i3", "activate i1", "activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn a_failed_activation_after_a_reboot_holds_the_boot_id_back_and_is_tried_again_alone() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    let only_i1 = |action: &Action| activations_fail(action).filter(|_| action.instance == "i1");
    assert_eq!(group.run(only_i1).did, ["activate i1 fails", "activate i2"]);
    assert_eq!((group.state.boot_id("n2"), group.state.pending_boot_id("n2")), (Some("b2"), Some("b2'")));
    assert!(!group.instance("i1").disks_active, "as Ganeti leaves it");
    let run = group.run(well);
    assert_eq!(run.did, ["activate i1"]);
    assert_eq!((group.state.boot_id("n2"), group.state.pending_boot_id("n2")), (Some("b2'"), None));
}

#[test]
fn a_disk_that_stays_broken_is_tried_ever_more_rarely_and_told_of_meanwhile() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.run(activations_fail);
    group.run(activations_fail);
    let run = group.run(activations_fail);
    assert_eq!(run.did, ["activate i1 fails", "activate i2 fails"]);
    let run = group.run(activations_fail);
    assert_eq!(run.did, [""; 0]);
    assert!(run.says("Disks of instance 'i1' could not be activated 3 times, next try in"), "{run:?}");
}

#[test]
fn a_second_reboot_does_not_wait_for_what_failed_before_it() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    for _ in 0..3 {
        group.run(activations_fail);
    }
    assert_eq!(group.run(well).did, [""; 0], "it would have to wait");
    group.boot("n2", Some("b2''"));
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2''"));
}

#[test]
fn where_a_start_fails_the_activation_that_a_reboot_calls_for_is_made_in_the_same_run() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.boot("n2", Some("b2'"));
    let run = group.run(no_kernel);
    assert_eq!(run.did, ["start #1 i1 fails", "activate i2", "activate i1"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
    assert_eq!(group.state.restart_attempts("i1"), 1);
}

#[test]
fn what_a_pause_in_the_middle_leaves_undone_is_done_by_the_next_run() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.boot("n2", Some("b2'"));
    group.stops_after = 1;
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i1"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2"), "i2's mirror is still to be activated");
    group.stops_after = usize::MAX;
    assert_eq!(group.run(well).did, ["activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn what_verify_disks_names_is_activated_and_a_failure_is_tried_again_without_it() {
    let mut group = Group::healthy();
    group.broken = Some(vec!["i1".into(), "unknown".into()]);
    let run = group.run(activations_fail);
    assert_eq!(run.did, ["activate i1 fails"]);
    assert!(run.says("Can't find instance 'unknown'"), "{run:?}");
    assert_eq!(group.state.recovery.activations["i1"].failures.failures, 1);
    assert_eq!(group.run(well).did, ["activate i1"]);
    assert!(group.state.recovery.activations.is_empty());
}

#[test]
fn verify_disks_after_starts_leaves_alone_what_a_job_is_working_on() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.cluster.pending_jobs.push(pending_job(7, "INSTANCE_REPLACE_DISKS(i2)"));
    group.broken = Some(vec!["i1".into(), "i2".into()]);
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 i1", "activate i1"]);
    assert!(run.says("Leaving instance 'i2' alone"), "{run:?}");
}

#[test]
fn what_verify_disks_called_for_is_forgotten_when_the_instance_is_stopped() {
    let mut group = Group::healthy();
    group.broken = Some(vec!["i1".into()]);
    group.run(activations_fail);
    group.set(&["i1"], "ADMIN_down");
    group.instance("i1").admin_state = AdminState::Down;
    assert_eq!(group.run(well).did, [""; 0]);
    assert!(group.state.recovery.activations.is_empty());
}

#[test]
fn a_node_without_memory_costs_no_try_and_what_needs_as_much_waits_with_it() {
    let full = |action: &Action| {
        let message = format!(
            "Not enough memory on node n1 for starting instance {}: needed 1024 MiB, available 12 MiB",
            action.instance
        );
        let code = Some("insufficient_resources".to_owned());
        Some(JobFailure::Error(GanetiError { class: "OpPrereqError".into(), message, code }))
    };
    let mut group =
        Group::new([instance("i1", "ERROR_down"), instance("i2", "ERROR_down")], [node("n1", Some("b1"))]);
    let run = group.run(full);
    assert_eq!(run.did.len(), 2, "{run:?}");
    assert!(run.says("Node 'n1' does not have enough memory for 2 instances"), "{run:?}");
    assert_eq!((group.state.restart_attempts("i1"), group.state.restart_attempts("i2")), (0, 0));
    let memory = group.state.recovery.blocked["i1"].memory.unwrap();
    assert_eq!((memory.needed, memory.available), (Some(1024), Some(12)));
    // Not before the wait is over.
    group.now -= RUN - 10.0;
    assert_eq!(group.run(full).did, [""; 0]);
    group.boot("n1", Some("b1'"));
    assert_eq!(group.run(well).did, ["start #1 i1", "start #1 i2"], "the node has changed");
}

#[test]
fn two_that_fail_alike_on_a_node_where_nothing_runs_lose_no_try() {
    let lvm = |action: &Action| {
        let name = &action.instance;
        Some(error(&format!(
            "Could not start instance '{name}': Block device error: can't find the volume group xenvg"
        )))
    };
    let mut group =
        Group::new([instance("i1", "ERROR_down"), instance("i2", "ERROR_down")], [node("n1", Some("b1"))]);
    let run = group.run(lvm);
    assert!(run.says("the node is to blame"), "{run:?}");
    assert_eq!((group.state.restart_attempts("i1"), group.state.restart_attempts("i2")), (0, 0));
}

#[test]
fn a_silent_secondary_keeps_an_instance_down_until_the_option_s_time_is_over() {
    let mut group = Group::healthy();
    group.options.start_degraded = Some(Duration::from_secs(600));
    group.set(&["i1"], "ERROR_down");
    group.boot("n2", None);
    for _ in 0..2 {
        let run = group.run(well);
        assert_eq!(run.did, [""; 0]);
        assert!(run.says("Node 'n2' does not answer, and without it these instances cannot be started: i1"));
    }
    assert_eq!(group.run(well).did, ["start alone i1"]);
    let run = group.run(well);
    assert!(run.says("Instance 'i1' was started without its secondary node"), "{run:?}");
    group.boot("n2", Some("b2'"));
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
    assert!(group.state.recovery.degraded.is_empty(), "its mirror was found whole");
}

#[test]
fn an_instance_that_may_run_elsewhere_since_a_failed_migration_is_not_started() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    let summary = "INSTANCE_MIGRATE(i1)".to_owned();
    group.moves.insert("i1".into(), vec![EndedOpCode { job: JobId(5), summary, end: OpEnd::Failed }]);
    let run = group.run(well);
    assert_eq!(run.did, [""; 0]);
    assert!(run.says("job 5 (INSTANCE_MIGRATE(i1)) failed"), "{run:?}");
    group.moves.clear();
    assert_eq!(group.run(well).did, [""; 0], "the doubt outlives the job");
    group.set(&["i1"], "running");
    group.run(well);
    assert_eq!(group.state.recovery.failed_moves, BTreeMap::<String, FailedMove>::new());
}

#[test]
fn tags_that_say_never_and_hold_are_obeyed_and_tiers_keep_their_order() {
    let mut group = Group::new(
        [instance("held", "ERROR_down"), instance("late", "ERROR_down"), instance("soon", "ERROR_down")],
        [node("n1", Some("b1"))],
    );
    group.instance("held").tags = vec!["ganeti:watcher:start:never".into()];
    group.instance("late").tags = vec!["ganeti:watcher:start:tier:9".into()];
    let run = group.run(well);
    assert_eq!(run.did, ["start #1 soon", "start #1 late"]);
    assert!(run.says("Not starting instance 'held': a tag of"), "{run:?}");
}

#[test]
fn one_that_its_user_shut_down_is_cleaned_up_and_not_started() {
    let mut group = Group::healthy();
    group.set(&["i1"], "USER_down");
    assert_eq!(group.run(well).did, ["clean up i1"]);
    assert_eq!(group.run(well).did, [""; 0]);
    assert_eq!(group.state.clean_up_attempts("i1"), 0);
}

#[test]
fn a_start_that_the_master_did_not_outlive_twice_costs_a_try() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    for (run, tries) in [(1, 0), (2, 1)] {
        let intent = Intent { reason_ns: 1, master_boot_id: Some("earlier".into()), degraded: false };
        group.state.recovery.starting.insert("i1".into(), intent);
        group.fates.insert("i1".into(), Fate::NoJob);
        group.stops_after = 0;
        let run_said = group.run(well);
        assert!(run_said.says("The master died"), "{run_said:?}");
        assert_eq!(group.state.restart_attempts("i1"), tries, "run {run}");
    }
}

#[test]
fn a_job_of_an_earlier_run_that_goes_on_is_waited_for_and_then_taken_over() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    let intent = Intent { reason_ns: 1, master_boot_id: Some("master".into()), degraded: false };
    group.state.recovery.starting.insert("i1".into(), intent);
    group.fates.insert("i1".into(), Fate::AtWork(JobId(9)));
    group.cluster.pending_jobs.push(pending_job(9, "INSTANCE_STARTUP(i1)"));
    assert_eq!(group.run(well).did, [""; 0]);
    assert!(group.state.recovery.starting.contains_key("i1"));
    group.cluster.pending_jobs.clear();
    group.fates.insert("i1".into(), Fate::Ended(JobId(9), Err(error("Disk consistency error"))));
    let run = group.run(well);
    assert!(run.says("Error while restarting instance 'i1': job 9"), "{run:?}");
    assert_eq!(run.did, ["start #2 i1"]);
}

#[test]
fn what_cannot_be_read_is_neither_forgotten_nor_acted_on() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.run(no_kernel);
    group.boot("n2", Some("b2'"));
    let unread = group.cluster.instances.remove(0);
    group.cluster.unreadable_instances.push(unread.name.clone());
    assert_eq!(group.run(well).did, ["activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2"), "i1 may have n2 as its secondary");
    assert_eq!(group.state.restart_attempts("i1"), 1);
    group.cluster.unreadable_instances.clear();
    group.cluster.instances.insert(0, unread);
    assert_eq!(group.run(well).did, ["start #2 i1"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn what_was_left_alone_keeps_its_tries_and_its_activation() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    let mut pass = Pass::new(std::mem::take(&mut group.state), group.options);
    let (moves, fates) = (BTreeMap::new(), BTreeMap::new());
    let seen = Seen {
        snapshot: &group.cluster,
        cluster_tags: &[],
        master_boot_id: None,
        moves: &moves,
        fates: &fates,
    };
    let plan = pass.plan(&seen, group.now);
    for action in &plan.actions {
        pass.begin(std::slice::from_ref(action), 1);
        pass.ended(action, &Outcome::LeftAlone(Changed::Locked), group.now);
    }
    assert_eq!(pass.to_save().boot_id("n2"), Some("b2"));
    let waiting = &pass.to_save().recovery.activations;
    assert!(waiting.len() == 2 && waiting.values().all(|activation| activation.failures.failures == 0));
}

#[test]
fn the_same_input_gives_the_same_plan_again() {
    let mut group = Group::healthy();
    group.set(&["i1"], "ERROR_down");
    group.boot("n2", Some("b2'"));
    let text = group.state.to_text();
    let (moves, fates) = (BTreeMap::new(), BTreeMap::new());
    let seen = Seen {
        snapshot: &group.cluster,
        cluster_tags: &[],
        master_boot_id: None,
        moves: &moves,
        fates: &fates,
    };
    let plan = || {
        let mut pass = Pass::new(State::parse(&text).unwrap(), group.options);
        let plan = pass.plan(&seen, group.now);
        (plan.actions, plan.notes, plan.lines, pass.to_save().to_text())
    };
    assert_eq!(plan(), plan());
}

#[test]
fn what_verify_disks_called_for_outlives_a_reboot_of_a_node_that_is_no_secondary_any_more() {
    let mut group = Group::healthy();
    group.cluster.nodes.push(node("n3", Some("b3")));
    group.state.set_boot_id("n3", "b3");
    group.boot("n2", Some("b2'"));
    group.run(activations_fail);
    group.boot("n2", None);
    for name in ["i1", "i2"] {
        let instance = group.instance(name);
        (instance.secondaries, instance.disks_active) = (vec!["n3".to_owned()], true);
    }
    group.broken = Some(vec!["i1".into()]);
    group.run(activations_fail);
    assert!(!group.instance("i1").disks_active);
    assert_eq!(group.run(well).did, ["activate i1"], "although n2 is away");
}

#[test]
fn a_success_after_verify_disks_leaves_alone_what_another_run_put_on_record_meanwhile() {
    let mut group = Group::healthy();
    group.broken = Some(vec!["i1".into()]);
    group.meanwhile = Some(|state| {
        state.set_pending_boot_id("n2", "b2'");
        let activation = state.recovery.activations.entry("i1".to_owned()).or_default();
        activation.reboots.insert("n2".to_owned());
    });
    assert_eq!(group.run(well).did, ["activate i1"]);
    group.boot("n2", Some("b2'"));
    assert_eq!(group.state.boot_id("n2"), Some("b2"));
    assert_eq!(group.run(well).did, ["activate i1"], "n2 has rebooted since");
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn a_boot_id_that_the_original_stored_in_between_is_never_taken_back() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b3"));
    group.state.set_boot_id("n2", "b3");
    group.state.set_pending_boot_id("n2", "b2'");
    let activation = group.state.recovery.activations.entry("i1".to_owned()).or_default();
    activation.reboots.insert("n2".to_owned());
    assert_eq!(group.run(well).did, [""; 0]);
    assert_eq!((group.state.boot_id("n2"), group.state.pending_boot_id("n2")), (Some("b3"), None));
    assert!(group.state.recovery.activations.is_empty());
}

#[test]
fn a_node_that_one_answer_leaves_out_keeps_what_waits_for_it() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.run(activations_fail);
    let n2 = group.cluster.nodes.pop().unwrap();
    group.cluster.unreadable_nodes.push("node row 1: 'x\\n' is no name".into());
    assert_eq!(group.run(well).did, [""; 0]);
    assert_eq!(group.state.boot_id("n2"), Some("b2"));
    group.cluster.nodes.push(n2);
    group.cluster.unreadable_nodes.clear();
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn what_verify_disks_called_for_outlives_a_run_that_cannot_read_the_instance_while_a_node_reboots() {
    let mut group = Group::healthy();
    group.broken = Some(vec!["i1".into()]);
    group.run(activations_fail);
    let unread = group.cluster.instances.remove(0);
    group.cluster.unreadable_instances.push("i1".into());
    group.boot("n1", Some("b1'"));
    assert_eq!(group.run(well).did, [""; 0]);
    assert_eq!(group.state.boot_id("n1"), Some("b1"), "i1 may have n1 as its secondary");
    group.cluster.unreadable_instances.clear();
    group.cluster.instances.insert(0, unread);
    assert_eq!(group.run(well).did, ["activate i1"]);
    assert_eq!(group.state.boot_id("n1"), Some("b1'"));
}

#[test]
fn a_pending_boot_id_without_anything_on_record_calls_for_all_activations_again() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.state.set_pending_boot_id("n2", "b2'");
    assert_eq!(group.state.boot_id("n2"), Some("b2"));
    assert_eq!(group.run(well).did, ["activate i1", "activate i2"]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn records_of_an_instance_that_is_gone_go_with_it() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.run(activations_fail);
    group.cluster.instances.clear();
    assert_eq!(group.run(well).did, [""; 0]);
    assert!(group.state.recovery.activations.is_empty());
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}

#[test]
fn one_that_is_gone_does_not_make_the_others_be_activated_again() {
    let mut group = Group::healthy();
    group.boot("n2", Some("b2'"));
    group.run(|action| activations_fail(action).filter(|_| action.instance == "i1"));
    group.cluster.instances.remove(0);
    assert_eq!(group.run(well).did, [""; 0]);
    assert_eq!(group.state.boot_id("n2"), Some("b2'"));
}
