//! Numbers and amounts that no genuine state file has: nothing overflows, panics or takes long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::cluster::testing::{drbd_instance, instance, node, pending_job, snapshot};
use crate::cluster::{Seen, Snapshot};
use crate::decide::pass::{Pass, PassOptions};
use crate::decide::{Action, Note, NoteKind, Outcome, instances};
use crate::memory::state::State;
use crate::tell::run::Done;
use crate::tell::{self, Times};

const NOW: f64 = 1_795_343_883.5;

fn time() -> impl Strategy<Value = Value> {
    let numbers = ["0", "-1", "1795343880.25", "1795343884", "1e308", "-1e308", "5e-324", "9e15", "1.7e10"];
    let integers = ["18446744073709551615", "-9223372036854775808", "1"];
    select([&numbers[..], &integers[..]].concat()).prop_map(|text| serde_json::from_str(text).unwrap())
}

fn count() -> impl Strategy<Value = Value> {
    select(vec![0, 1, 4, 5, 6, u64::from(u32::MAX), i64::MAX as u64, u64::MAX - 1, u64::MAX])
        .prop_map(Value::from)
}

fn failures() -> impl Strategy<Value = Value> {
    (count(), time()).prop_map(|(failures, last)| json!({"failures": failures, "last": last}))
}

fn record() -> impl Strategy<Value = Value> {
    (count(), time(), count(), time()).prop_map(|(restarts, when, clean_ups, cleaned)| {
        json!({"restart_count": restarts, "restart_when": when, "cleanup_count": clean_ups, "cleanup_when": cleaned})
    })
}

fn document() -> impl Strategy<Value = Value> {
    let blocked = (failures(), select(vec!["the node", "the master", "?"])).prop_map(|(mut failures, by)| {
        failures["by"] = json!(by);
        failures["cause"] = json!("n1 b1");
        failures
    });
    let records = proptest::collection::vec(record(), 4);
    (records, blocked, failures(), failures(), time(), time(), count()).prop_map(
        |(records, blocked, pending, activation, seen, since, job)| {
            let names = ["down", "user", "mirror", "gone"];
            let instances: BTreeMap<_, _> = names.iter().zip(records).collect();
            json!({
                "instance": instances,
                "node": {"n1": {"bootid": "b0", "pending_bootid": "b1", "pending_activations": {"mirror": pending}}},
                "recovery": {
                    "down": {"down": since}, "blocked": {"down": blocked}, "seen": seen, "silent": {"n2": since},
                    "failed_moves": {"gone": {"job": job, "summary": "INSTANCE_MIGRATE(gone)"}},
                    "degraded": {"mirror": since}, "activations": {"mirror": activation},
                    "last_failures": {"down": {"job": job, "error": "no kernel", "at": since}},
                    "starts": {"down": [since, since, since, since, since, since]},
                    "told": {"backoff down": {"mark": 5, "at": since}},
                },
            })
        },
    )
}

fn cluster() -> Snapshot {
    let mut user = instance("user", "USER_down");
    user.tags = vec![
        "ganeti:watcher:start:delay:9223372036854775807".into(),
        "ganeti:watcher:start:hold:9223372036854775807".into(),
    ];
    let mut down = drbd_instance("down", "ERROR_down", "n2");
    down.tags = vec!["ganeti:watcher:start:tier:4294967295".into()];
    let mirror = drbd_instance("mirror", "running", "n1");
    snapshot([down, user, mirror], [node("n1", Some("b1")), node("n2", None)])
}

/// Everything that a run decides from what is remembered, and all the text for it. Returns what is remembered
/// then.
fn decide(state: State, snapshot: &Snapshot, now: f64) -> State {
    let options = PassOptions { start_degraded: Some(Duration::MAX), archived_after: None };
    let mut pass = Pass::new(state, options);
    let (moves, fates) = (BTreeMap::new(), BTreeMap::new());
    let seen = Seen { snapshot, cluster_tags: &[], master_boot_id: Some("b"), moves: &moves, fates: &fates };
    let plan = pass.plan(&seen, now);
    let times = Times::utc(now);
    plan.events.iter().for_each(|event| drop(tell::event(event, &tell::Times::utc(0.0))));
    drop(tell::notes(&plan.notes));
    drop(tell::verdicts(pass.verdicts(), &times));
    let (verdicts, told) = pass.verdicts_and_told();
    drop(tell::conditions(verdicts, &times).news(told, now));
    tell::conditions(verdicts, &times).forget_others(told);
    drop(tell::run::over(verdicts, &Done::default(), now, now));
    let mut agenda = plan.into_agenda(snapshot);
    assert!(agenda.next_moment(now, &|_| 1).is_none_or(f64::is_finite));
    for action in agenda.take(now, usize::MAX, &|_| usize::MAX) {
        for outcome in [Outcome::Unknown("?".into()), Outcome::Succeeded] {
            drop(pass.ended(&action, &outcome, now));
        }
    }
    for (Action { instance, .. }, hold) in agenda.give_up(now, &|_| 0) {
        pass.noted(&Note { instance, kind: NoteKind::LeftForLater(hold) }, now);
    }
    pass.end(now);
    let mut state = pass.to_save().clone();
    for name in ["down", "user", "mirror"] {
        state.record_restart_attempt(name, now);
        state.record_clean_up_attempt(name, now);
    }
    state
}

proptest! {
    #[test]
    fn extreme_numbers_in_a_state_file_hurt_nobody(document in document(), now in select(vec![NOW, 0.0, 1e18])) {
        let state = State::parse(&document.to_string()).unwrap();
        let state = decide(state, &cluster(), now);
        let text = state.to_text();
        prop_assert_eq!(State::parse(&text).unwrap().to_text(), text);
    }
}

#[test]
fn a_time_that_does_not_exist_is_not_taken_for_long_ago() {
    for since in ["-1e308", "-1", "1e308"] {
        let text =
            format!(r#"{{"recovery":{{"seen":{NOW},"silent":{{"n2":{since}}},"down":{{"down":{since}}}}}}}"#);
        let mut state = State::parse(&text).unwrap();
        state.recovery.see(NOW);
        assert!(state.recovery.silent.is_empty() && state.recovery.down.is_empty(), "{since}");
    }
}

/// It used to take half a minute or more; the limit is far above what a slow machine needs.
#[test]
fn a_hundred_and_twenty_thousand_stale_records_are_dropped_in_linear_time() {
    const RECORDS: usize = 120_000;
    let names = || (0..RECORDS).map(|index| format!("gone{index}"));
    let records: BTreeMap<_, _> =
        names().map(|name| (name, json!({"restart_count": 1, "restart_when": 5.0}))).collect();
    let failures = json!({"failures": 1, "last": 5.0});
    let blocked = json!({"by": "the node", "failures": 1, "last": 5.0, "cause": ""});
    let moved = json!({"job": 1, "summary": "INSTANCE_MIGRATE(x)"});
    let failed = json!({"job": 1, "error": "no kernel", "at": 5.0});
    let told = json!({"mark": 1, "at": 5.0});
    let of = |value: &Value| -> BTreeMap<_, _> { names().map(|name| (name, value.clone())).collect() };
    let document = json!({"instance": records, "recovery": {
        "blocked": of(&blocked), "failed_moves": of(&moved), "activations": of(&failures), "degraded": of(&json!(5.0)),
        "last_failures": of(&failed), "starts": of(&json!([NOW, 5.0])), "told": of(&told),
    }});
    let mut state = State::parse(&document.to_string()).unwrap();
    let mut cluster = cluster();
    cluster.instances.extend((0..2000).map(|index| instance(&format!("i{index}"), "running")));
    let began = Instant::now();
    assert_eq!(instances::drop_stale_records(&cluster, &mut state, NOW).len(), RECORDS);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let state = decide(state, &cluster, NOW);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(state.recovery.blocked.is_empty() && state.recovery.degraded.is_empty());
    assert!(state.recovery.last_failures.is_empty() && state.recovery.starts.is_empty());
    assert!(state.recovery.told.len() < 10, "only what holds now");
}

/// The limit is far above what a slow machine needs.
#[test]
fn ten_thousand_instances_that_are_down_have_their_verdicts_in_no_time() {
    let down = |number: usize| {
        let status = if number.is_multiple_of(2) { "ERROR_down" } else { "ERROR_nodedown" };
        let mut instance = drbd_instance(&format!("inst{number}.example.com"), status, "n2");
        instance.primary = format!("n{}", number % 200);
        instance
    };
    let nodes = (0..200).map(|number| node(&format!("n{number}"), (number % 2 == 0).then_some("b")));
    let jobs = (0..500).map(|number| pending_job(number, &format!("INSTANCE_REBOOT(other{number})")));
    let cluster = Snapshot {
        instances: (0..10_000).map(down).collect(),
        nodes: nodes.collect(),
        pending_jobs: jobs.collect(),
        ..Snapshot::default()
    };
    let began = Instant::now();
    let state = decide(State::default(), &cluster, NOW);
    assert_eq!(state.recovery.down.len(), 10_000);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}
