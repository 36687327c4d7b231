use super::*;
use crate::cluster::Timestamp;
use crate::cluster::testing::{drbd_instance, instance, node, pending_job, snapshot};
use crate::cluster::{Instance, JobFailure, JobId, Snapshot};
use crate::decide::budget::RETRY_EXPIRATION;
use crate::decide::budget::{Blamed, Detail};
use crate::decide::hold::Hold;
use crate::decide::instances::{self, Outlook};
use crate::decide::policy::Policies;
use crate::decide::second_look::Changed;
use crate::decide::tags::Place;
use crate::decide::{Action, ActionKind, Note, NoteKind, Outcome, Step};
use crate::memory::recovery::{FailedMove, LastFailure, Shortage};
use crate::memory::state::State;
use crate::tell::Severity;

/// 2026-11-25 03:00:00 UTC.
const NOW: Timestamp = 1_795_575_600.0;

/// The verdicts of a cluster whose instances that are down are to be started.
fn verdicts(cluster: &Snapshot) -> Verdicts {
    planned(cluster, &State::default())
}

/// The verdicts that a pass makes.
fn planned(snapshot: &Snapshot, state: &State) -> Verdicts {
    let (policies, _) = Policies::read(snapshot, &[], NOW);
    let steps = instances::plan(&Outlook { snapshot, state, policies: &policies, now: NOW });
    Verdicts::of(snapshot, state, &steps, NOW)
}

fn start(name: &str) -> Action {
    Action { instance: name.into(), kind: ActionKind::Restart { attempt: 1 } }
}

fn three() -> Snapshot {
    snapshot(["a", "b", "c"].map(|name| instance(name, "ERROR_down")), [node("n1", Some("boot"))])
}

fn lines(verdicts: &Verdicts) -> Vec<(Severity, String)> {
    let lines = conditions(verdicts, &Times::utc(NOW)).lines();
    lines.map(|LogLine { severity, text }| (severity, text)).collect()
}

fn only_line(verdicts: &Verdicts) -> (Severity, String) {
    let mut lines = lines(verdicts);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// The line for instances that are not started for this reason.
fn not_started(names: &[&str], reason: &Reason) -> (Severity, String) {
    let cluster = three();
    let state = State::default();
    let note = |name: &&str| {
        let kind = NoteKind::NotStarted(vec![reason.clone()]);
        Step::Note(Note { instance: (*name).into(), kind })
    };
    let steps: Vec<Step> = names.iter().map(note).collect();
    only_line(&Verdicts::of(&cluster, &state, &steps, NOW))
}

fn blamed(what: Blame, detail: Detail) -> Blamed {
    Blamed { what, cause: "n1 boot".into(), detail }
}

/// Fails the starts of these instances, for a reason that is not theirs.
fn fail(verdicts: &mut Verdicts, state: &mut State, names: &[&str], blamed: &Blamed) {
    for name in names {
        let failure = JobFailure::Text("no".into());
        let outcome = Outcome::Failed { job: JobId(7), failure, blamed: blamed.clone() };
        instances::remember_outcome(state, &start(name), &outcome, NOW);
        verdicts.ended(&start(name), &outcome, state, NOW);
    }
}

fn shortage(needed: Option<u64>, available: Option<u64>) -> Detail {
    Detail::Memory(Shortage { needed, available, asked: true })
}

#[test]
fn one_line_says_how_many_wait_for_how_much_memory_of_a_node() {
    let cluster = three();
    let mut verdicts = verdicts(&cluster);
    let mut state = State::default();
    let refused = blamed(Blame::Node, shortage(Some(1024), Some(100)));
    fail(&mut verdicts, &mut state, &["a"], &refused);
    for name in ["b", "c"] {
        let hold = Hold::Memory { node: "n1".into(), blamed: refused.clone() };
        let note = Note { instance: name.into(), kind: NoteKind::LeftForLater(hold) };
        instances::remember_note(&mut state, &note, NOW);
        verdicts.noted(&note, &state, NOW);
    }
    let line = only_line(&verdicts);
    let words = "Not starting 3 instances on node 'n1' until the first run after 03:03: it does not have enough memory (they need \
                 3072 MiB in all, and 100 MiB were free), which costs no try; free memory there, or move some \
                 of them: a, b, c; 'ganeti-watcher retry' with a name ends the wait [no_memory]";
    assert_eq!(line, (Severity::Warning, words.to_owned()));
}

#[test]
fn amounts_of_memory_that_are_unknown_are_not_made_up() {
    for (needed, available, words) in [
        (Some(1024), Some(100), "(it needs 1024 MiB, and 100 MiB were free)"),
        (Some(1024), None, "(it needs 1024 MiB, which was not free)"),
        (None, Some(100), "(how much is needed is unknown)"),
    ] {
        let mut verdicts = verdicts(&three());
        let refused = blamed(Blame::Node, shortage(needed, available));
        fail(&mut verdicts, &mut State::default(), &["a"], &refused);
        let (_, line) = only_line(&verdicts);
        assert!(line.contains(words) && line.contains("'ganeti-watcher retry a' ends the wait"), "{line}");
    }
}

#[test]
fn starts_that_fail_because_of_a_node_are_one_line_for_each_node() {
    let mut cluster = three();
    cluster.instances[0].primary = "n2".into();
    let mut verdicts = verdicts(&cluster);
    fail(&mut verdicts, &mut State::default(), &["a", "b", "c"], &blamed(Blame::Node, Detail::None));
    let lines = lines(&verdicts);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let alone = "Not starting instance 'a' until the first run after 03:03: its last starts failed because of its primary node (1 \
                 in a row), which costs no try; 'ganeti-watcher retry a' ends the wait [backoff]";
    assert_eq!(lines[0].1, alone);
    let both = "Not starting 2 instances on node 'n1' until the first run after 03:04: their last starts failed because of that \
                node, which costs no try: b, c; 'ganeti-watcher retry' with a name ends the wait [backoff]";
    assert_eq!(lines[1].1, both);
}

#[test]
fn a_silent_primary_is_one_warning_with_its_instances_and_what_to_type() {
    let mut cluster = snapshot(
        [
            drbd_instance("a", "ERROR_nodedown", "n2"),
            instance("b", "ERROR_nodedown"),
            Instance { admin_state: crate::cluster::AdminState::Down, ..instance("off", "ERROR_nodedown") },
            instance("c", "running"),
        ],
        [node("n1", None), node("n2", Some("b2"))],
    );
    let mut state = State::default();
    state.recovery.silent.insert("n1".into(), NOW - 600.0);
    let line = |cluster: &Snapshot| only_line(&planned(cluster, &state));
    let words = "Node 'n1' does not answer, first seen at 02:50. 2 instances on it are out of reach, and may still \
                 be running. The first run after the node answers starts what is down. If it is dead, first make \
                 sure that its power is off, then run 'gnt-node modify --offline yes n1' and 'gnt-node failover \
                 n1', which starts 1 of them elsewhere. Out of reach: a, b [primary_silent]";
    assert_eq!(line(&cluster), (Severity::Warning, words.to_owned()));
    cluster.instances.remove(0);
    let words = "Node 'n1' does not answer, first seen at 02:50. 1 instance on it is out of reach, and may still be \
                 running. The first run after the node answers starts what is down. If it is dead, first make sure \
                 that its power is off, then run 'gnt-node modify --offline yes n1'. Out of reach: b \
                 [primary_silent]";
    assert_eq!(line(&cluster).1, words, "it has no other node");
}

#[test]
fn an_offline_primary_is_one_warning_too() {
    let line = |instances: Vec<Instance>| {
        let cluster = Snapshot { instances, ..Snapshot::default() };
        only_line(&planned(&cluster, &State::default())).1
    };
    let both = vec![drbd_instance("a", "ERROR_nodeoffline", "n2"), instance("b", "ERROR_nodeoffline")];
    let words = "Node 'n1' is marked offline, and 2 instances on it are down; the watcher starts none of them; \
                 'gnt-node failover n1' starts 1 of them elsewhere: a, b [primary_offline]";
    assert_eq!(line(both), words);
    let words = "Node 'n1' is marked offline, and 1 instance on it is down; the watcher does not start it; it has \
                 no other node that answers, so it waits for this one: b [primary_offline]";
    assert_eq!(line(vec![instance("b", "ERROR_nodeoffline")]), words);
}

#[test]
fn giving_up_says_the_last_error_and_when_all_begins_anew() {
    let mut state = State::default();
    let error = "Could not start instance 'a': Hypervisor error: cannot find the kernel".to_owned();
    let failure = LastFailure { job: JobId(78), error, at: NOW - 300.0 };
    state.recovery.last_failures.insert("a".into(), failure);
    let line = |reason| {
        let kind = NoteKind::NotStarted(vec![reason]);
        let steps = [Step::Note(Note { instance: "a".into(), kind })];
        only_line(&Verdicts::of(&three(), &state, &steps, NOW))
    };
    let until = NOW + RETRY_EXPIRATION;
    let words = "Could not restart instance 'a' after 5 attempts, giving up for 8 h, until 11:00: at 02:55 job 78 \
                 failed: Could not start instance 'a': Hypervisor error: cannot find the kernel; fix that, then run \
                 'ganeti-watcher retry a' [given_up]";
    assert_eq!(line(Reason::GivenUp { until }), (Severity::Error, words.to_owned()));
    let words = "Not restarting instance 'a', retries exhausted until 11:00: at 02:55 job 78 failed: Could not start \
                 instance 'a': Hypervisor error: cannot find the kernel; to try again now: 'ganeti-watcher retry \
                 a' [out_of_tries]";
    assert_eq!(line(Reason::OutOfTries { until }), (Severity::Warning, words.to_owned()));
}

#[test]
fn one_that_is_given_up_and_stays_so_is_told_once_an_hour() {
    let mut told = BTreeMap::new();
    let mut is_told = |reason: Reason, now: Timestamp| {
        let kind = NoteKind::NotStarted(vec![reason]);
        let steps = [Step::Note(Note { instance: "a".into(), kind })];
        let verdicts = Verdicts::of(&three(), &State::default(), &steps, now);
        let lines = conditions(&verdicts, &Times::utc(now)).news(&mut told, now);
        lines[0].severity != Severity::Debug
    };
    let until = NOW + RETRY_EXPIRATION;
    assert!(is_told(Reason::GivenUp { until }, NOW));
    assert!(!is_told(Reason::OutOfTries { until }, NOW + 300.0));
    assert!(is_told(Reason::OutOfTries { until }, NOW + 3600.0));
}

#[test]
fn reasons_have_their_words_for_one_instance_and_for_several() {
    let holds = Reason::TagHold { until: NOW + 3600.0, on: Place::Instance };
    let tier = Reason::Tier { behind: "dns".into(), until: NOW + 600.0 };
    let unsure = Reason::SharedStorageUnsure { nodes: vec!["n2".into(), "n3".into()] };
    let silent = Reason::SecondarySilent { node: "n2".into(), since: Some(NOW - 86_400.0) };
    for (names, reason, words) in [
        (
            &["a"][..],
            Reason::TagNever(Place::Group),
            "Not starting instance 'a': a tag of its node group says never [tag_never]",
        ),
        (
            &["a", "b"],
            Reason::TagNever(Place::Group),
            "Not starting instances a, b: a tag of their node group says never [tag_never]",
        ),
        (&["a", "b"], holds, "Not starting instances a, b: a tag of each holds them until 04:00 [tag_hold]"),
        (
            &["a"],
            tier,
            "Leaving instance 'a' to a later run: its tier waits for instance 'dns', until 03:10 at most [tier]",
        ),
        (
            &["a", "b"],
            Reason::Delay { until: NOW + 60.0 },
            "Leaving instances a, b to a later run: their delay is not over, 03:01 at the earliest [delay]",
        ),
        (
            &["a"],
            Reason::Room,
            "Leaving instance 'a' to a later run: its node 'n1' or the job queue had no room [room]",
        ),
        (
            &["a"],
            unsure,
            "Not starting instance 'a': its storage does not keep it from running twice, and no answer comes \
             from n2, n3; repair that, or make sure that what is silent is off and then run 'gnt-node modify --offline yes' with \
             its name [shared_storage_unsure]",
        ),
        (
            &["a", "b"],
            silent,
            "Node 'n2' does not answer, first seen at 24 Nov 03:00, and without it these instances cannot be started: a, \
             b; repair the node, or make sure it is off and then run 'gnt-node modify --offline yes n2' \
             [secondary_silent]",
        ),
        (
            &["a"],
            Reason::JobRunning(pending_job(7, "INSTANCE_REBOOT(a)")),
            "Leaving instance 'a' alone, job 7 (INSTANCE_REBOOT(a)) is working on it [job_running]",
        ),
        (
            &["a"],
            Reason::MoveFailed(FailedMove { job: JobId(5), summary: "INSTANCE_MIGRATE(a)".into() }),
            "Not starting instance 'a': job 5 (INSTANCE_MIGRATE(a)) failed, so it may be running on another \
             node; find out where it is, then run 'gnt-instance migrate --cleanup a' or 'gnt-instance startup \
             a' [move_failed]",
        ),
        (
            &["a"],
            Reason::Paused,
            "Leaving instance 'a' to a later run: the watcher was paused before its turn [paused]",
        ),
        (
            &["a"],
            Reason::Drained,
            "Not starting instance 'a': the job queue is drained; 'gnt-cluster queue undrain' opens it [drained]",
        ),
    ] {
        assert_eq!(not_started(names, &reason).1, words);
    }
}

#[test]
fn what_keeps_nothing_from_being_started_is_told_besides() {
    let mut cluster = three();
    cluster.instances.truncate(1);
    let kind = NoteKind::NotStarted(vec![
        Reason::TagNever(Place::Instance),
        Reason::OutOfTries { until: NOW },
        Reason::Flapping { times: 6 },
    ]);
    let steps = [Step::Note(Note { instance: "a".into(), kind })];
    let lines = lines(&Verdicts::of(&cluster, &State::default(), &steps, NOW));
    let codes: Vec<&str> = lines.iter().map(|(_, line)| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(codes, ["[tag_never]", "[flapping]"]);
    let words = "Instance 'a' came up and went down again 6 times within an hour; its console and its log on node \
                 'n1' may tell why";
    assert!(lines[1].1.starts_with(words), "{lines:?}");
}

#[test]
fn a_lock_is_told_by_what_it_is_in_the_way_of() {
    let mut cluster = three();
    cluster.instances.truncate(1);
    let mut verdicts = verdicts(&cluster);
    let outcome = Outcome::LeftAlone(Changed::Locked);
    verdicts.ended(&start("a"), &outcome, &State::default(), NOW);
    assert_eq!(only_line(&verdicts).1, "Not starting instance 'a', instance is locked [locked]");

    cluster.instances[0] = instance("a", "USER_down");
    let kind = NoteKind::NotCleanedUp(vec![Reason::Locked]);
    let steps = [Step::Note(Note { instance: "a".into(), kind })];
    let verdicts = Verdicts::of(&cluster, &State::default(), &steps, NOW);
    assert_eq!(only_line(&verdicts).1, "Not cleaning up instance 'a', instance is locked [locked]");
}

#[test]
fn what_fails_in_a_run_is_told_as_it_comes_and_not_again() {
    let mut verdicts = verdicts(&three());
    fail(&mut verdicts, &mut State::default(), &["a"], &blamed(Blame::Instance, Detail::None));
    let outcome = Outcome::NotSubmitted("queue full".into());
    verdicts.ended(&start("b"), &outcome, &State::default(), NOW);
    assert_eq!(lines(&verdicts), []);
}

#[test]
fn starts_that_fail_because_of_the_secondary_name_it_and_are_news_only_when_another_one_waits() {
    let cluster = snapshot(
        ["a", "b", "c"].map(|name| drbd_instance(name, "ERROR_down", "n2")),
        [node("n1", Some("boot")), node("n2", Some("boot"))],
    );
    let mut state = State::default();
    let mut before = verdicts(&cluster);
    let peer = blamed(Blame::Peer, Detail::None);
    fail(&mut before, &mut state, &["a", "b"], &peer);
    let (_, text) = only_line(&before);
    assert!(text.contains("their last starts failed because of their secondary node 'n2', which"), "{text}");
    let mut told = BTreeMap::new();
    let mut news = |verdicts: &Verdicts| {
        let lines = conditions(verdicts, &Times::utc(NOW)).news(&mut told, NOW);
        lines.iter().filter(|line| line.severity == Severity::Warning).count()
    };
    assert_eq!(news(&before), 1);
    fail(&mut before, &mut state, &["a"], &peer);
    assert_eq!(news(&before), 0, "the try that failed has its own line");
    fail(&mut before, &mut state, &["c"], &peer);
    assert_eq!(news(&before), 1);
}

#[test]
fn of_a_silent_node_with_an_instance_that_a_tag_keeps_down_it_is_not_said_that_it_has_none() {
    let tags = vec!["ganeti:watcher:start:never".into()];
    let never = Instance { tags, ..instance("never", "ERROR_nodedown") };
    let lines = lines(&verdicts(&snapshot([never], [node("n1", None)])));
    let of_node: Vec<&String> =
        lines.iter().map(|(_, text)| text).filter(|text| text.ends_with("[node_silent]")).collect();
    assert_eq!(of_node.len(), 1, "{lines:?}");
    assert!(of_node[0].contains("; no instance is known to run without its mirror there"), "{lines:?}");
}
