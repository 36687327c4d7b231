use super::*;
use crate::cluster::testing::{instance, node, snapshot};
use crate::cluster::{GanetiError, JobFailure, JobId};
use crate::decide::{ActionKind, budget};

fn refused(message: &str) -> JobFailure {
    let code = Some("insufficient_resources".to_owned());
    JobFailure::Error(GanetiError { class: "OpPrereqError".into(), message: message.into(), code })
}

fn cluster() -> Snapshot {
    let down = ["a", "b", "c"].map(|name| instance(name, "ERROR_down"));
    snapshot(down, [node("n1", Some("boot"))])
}

fn start(name: &str) -> Action {
    Action { instance: name.into(), kind: ActionKind::Restart { attempt: 1 } }
}

fn outcome(cluster: &Snapshot, name: &str) -> Outcome {
    let failure = refused("Not enough memory on node n1 for x: needed 1024 MiB, available 100 MiB");
    let blamed = budget::blame(&failure, &start(name), cluster);
    Outcome::Failed { job: JobId(7), failure, blamed }
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn one_line_says_how_many_wait_for_how_much() {
    let cluster = cluster();
    let mut full = FullNodes::default();
    let outcome = outcome(&cluster, "a");
    full.ended(&start("a"), &outcome, Some("n1"));
    assert_eq!(texts(&full.lines()), Vec::<&str>::new(), "the failure has its own line");
    let Outcome::Failed { blamed, .. } = &outcome else { panic!("it failed") };
    for name in ["b", "c"] {
        let hold = held(blamed, cluster.instance(name)).unwrap();
        full.noted(&Note { instance: name.into(), kind: NoteKind::LeftForLater(hold) });
    }
    let lines = full.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].text.contains("for 3 instances (they need 3072 MiB in all, and 100 MiB were free)"));
}

#[test]
fn a_later_run_has_one_line_for_a_node_and_not_one_for_each_instance() {
    let mut cluster = cluster();
    let mut state = State::default();
    let Outcome::Failed { blamed, .. } = outcome(&cluster, "a") else { panic!("it failed") };
    for name in ["a", "b", "c"] {
        budget::remember_failure(&mut state, name, &blamed, 1_000.0);
    }
    let note = |name: &str| {
        let wait = budget::wait(&state, name, 1_000.0).unwrap();
        let kind = NoteKind::Blocked { by: wait.by, failures: wait.failures, wait: wait.seconds };
        Step::Note(Note { instance: name.into(), kind })
    };
    let steps = ["a", "b", "c"].map(note);
    let lines = blocked_by_nodes(&steps, &cluster, &state);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].text.contains("Not starting 3 instances on node 'n1' for another"), "{lines:?}");
    assert!(lines[0].text.contains("they need 3072 MiB in all, and 100 MiB were free"), "{lines:?}");
    let alone = blocked_by_nodes(&steps[..1], &cluster, &state);
    assert!(alone[0].text.contains("'ganeti-watcher retry a' ends the wait"), "{alone:?}");

    state.recovery.blocked.values_mut().for_each(|blocked| blocked.memory = None);
    cluster.instances[0].primary = "n2".into();
    let lines = blocked_by_nodes(&steps, &cluster, &state);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].text.contains("because of that node, which costs no try: b, c;"), "{lines:?}");
}
