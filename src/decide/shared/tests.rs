use super::*;
use crate::cluster::testing::{drbd_instance, instance, node, snapshot};
use crate::cluster::{GanetiError, InstanceStatus, JobFailure, JobId};
use crate::decide::ActionKind;
use crate::memory::recovery::BlockedBy;

const NOW: Timestamp = 10_000.0;
const DISKS: &str = "Disk consistency error";

fn cluster() -> Snapshot {
    let down = ["a", "b", "c"].map(|name| instance(name, "ERROR_down"));
    snapshot(down, [node("n1", Some("boot")), node("n2", Some("boot2"))])
}

/// What remains after these instances fail one after another with these errors.
struct Run {
    state: State,
    shared: Shared,
    cluster: Snapshot,
    events: Vec<Event>,
    relieved: Vec<String>,
}

impl Run {
    fn on(cluster: Snapshot, state: State) -> Self {
        Self { state, shared: Shared::new(&cluster), cluster, events: Vec::new(), relieved: Vec::new() }
    }

    fn new() -> Self {
        Self::on(cluster(), State::default())
    }

    fn fails(&mut self, name: &str, message: &str) -> Blame {
        let error = GanetiError { class: "OpExecError".into(), message: message.into(), code: None };
        let failure = JobFailure::Error(error);
        let action = Action { instance: name.into(), kind: ActionKind::Restart { attempt: 1 } };
        let blamed = budget::blame(&failure, &action, &self.cluster);
        self.ends(&action, &Outcome::Failed { job: JobId(7), failure, blamed })
    }

    fn starts(&mut self, name: &str) {
        let action = Action { instance: name.into(), kind: ActionKind::Restart { attempt: 1 } };
        self.ends(&action, &Outcome::Succeeded);
    }

    fn ends(&mut self, action: &Action, outcome: &Outcome) -> Blame {
        let Settled { outcome, event, relieved } = self.shared.settle(&mut self.state, action, outcome, NOW);
        self.relieved.extend(relieved);
        self.events.extend(event);
        crate::decide::instances::remember_outcome(&mut self.state, action, &outcome, NOW);
        match outcome {
            Outcome::Failed { blamed, .. } => blamed.what,
            _ => Blame::Unknown,
        }
    }

    fn tries(&self) -> [u64; 3] {
        ["a", "b", "c"].map(|name| self.state.restart_attempts(name))
    }
}

#[test]
fn two_that_fail_alike_on_storage_that_carries_nobody_lose_no_try() {
    let mut run = Run::new();
    assert_eq!(run.fails("a", DISKS), Blame::Instance);
    assert_eq!(run.tries(), [1, 0, 0], "charged before the second is seen");
    assert_eq!((run.fails("b", DISKS), run.tries()), (Blame::Node, [0, 0, 0]));
    assert_eq!((run.fails("c", DISKS), run.tries()), (Blame::Node, [0, 0, 0]));
    let concluded = Event::NodeToBlame {
        node: "n1".into(),
        storage: "plain".into(),
        first: "a".into(),
        second: "b".into(),
    };
    assert_eq!(run.events, [concluded], "once");
    assert_eq!(run.relieved, ["a"], "the only one that was charged");
    for name in ["a", "b", "c"] {
        let wait = budget::wait(&run.state, name, NOW).unwrap();
        assert_eq!((wait.by, wait.failures), (BlockedBy::Known(Blame::Node), 1), "{name}");
    }
}

#[test]
fn one_that_fails_alone_or_otherwise_is_charged() {
    let mut run = Run::new();
    run.fails("a", DISKS);
    run.fails("b", "ErrorOfTheFuture");
    run.fails("a", DISKS);
    assert_eq!((run.tries(), run.events.len()), ([2, 1, 0], 0));
}

#[test]
fn two_guests_without_a_kernel_are_two_guests_without_a_kernel() {
    let mut run = Run::new();
    for name in ["a", "b"] {
        let text = format!(
            "Could not start instance '{name}': Hypervisor error: Failed to start instance {name}: exited with exit code 1 \
             (qemu: could not load kernel '/boot/{name}': No such file or directory)"
        );
        assert_eq!(run.fails(name, &text), Blame::Instance);
    }
    assert_eq!((run.tries(), run.events.len()), ([1, 1, 0], 0));
}

#[test]
fn storage_that_carries_somebody_is_not_to_blame() {
    let mut runs = cluster();
    runs.instances[2].status = InstanceStatus::Running;
    let mut run = Run::on(runs, State::default());
    run.fails("a", DISKS);
    run.fails("b", DISKS);
    assert_eq!(run.tries(), [1, 1, 0]);

    let mut run = Run::new();
    run.starts("c");
    run.fails("a", DISKS);
    run.fails("b", DISKS);
    assert_eq!(run.tries(), [1, 1, 1], "it was started in this run, after the look");
}

#[test]
fn another_node_and_other_storage_are_another_matter() {
    let mut other_node = cluster();
    other_node.instances[1].primary = "n2".into();
    let mut other_storage = cluster();
    other_storage.instances[1] = drbd_instance("b", "ERROR_down", "n2");
    for cluster in [other_node, other_storage] {
        let mut run = Run::on(cluster, State::default());
        run.fails("a", DISKS);
        run.fails("b", DISKS);
        assert_eq!(run.tries(), [1, 1, 0]);
    }
}

#[test]
fn names_numbers_and_paths_make_no_difference() {
    let mut run = Run::new();
    for (name, minor) in [("a", 3), ("b", 17)] {
        let text = format!(
            "Could not start instance '{name}': Block device error: drbd{minor}: can't attach local disk: /dev/drbd{minor}: \
             Failure: (127) Device minor not allocated"
        );
        run.fails(name, &text);
    }
    assert_eq!((run.tries(), run.events.len()), ([0, 0, 0], 1));
}

#[test]
fn one_alone_in_a_later_run_still_fails_with_those_on_record_until_somebody_runs() {
    let mut run = Run::new();
    run.fails("a", DISKS);
    run.fails("b", DISKS);
    let mut run = Run::on(cluster(), run.state);
    assert_eq!((run.fails("a", DISKS), run.tries()), (Blame::Node, [0, 0, 0]));
    assert_eq!(budget::wait(&run.state, "a", NOW).unwrap().failures, 2);

    let mut back = cluster();
    back.instances[2].status = InstanceStatus::Running;
    assert_eq!(budget::forgive(&mut run.state, &back), ["a", "b"], "storage that is back ends the wait");
    let mut run = Run::on(back, run.state);
    run.fails("a", DISKS);
    assert_eq!(run.tries(), [1, 0, 0]);
}

#[test]
fn a_node_that_booted_anew_begins_anew() {
    let mut run = Run::new();
    run.fails("a", DISKS);
    run.fails("b", DISKS);
    let mut booted = cluster();
    booted.nodes[0].boot_id = Some("another".into());
    let mut run = Run::on(booted, run.state);
    assert_eq!(run.fails("a", DISKS), Blame::Instance);
}
