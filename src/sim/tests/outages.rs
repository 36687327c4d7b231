//! What an outage costs: dead master candidates, busy nodes, troubles that end, and past jobs.

use super::*;

const SLOW: &str = r#"
[timing]
dead-candidate = "5s"
submit = "0s"
fork = "0s"
startup = "10s"
[[node]]
name = "node1"
cpus = 2
load = 0.5
slows-down = true
[[node]]
name = "node2"
[[node]]
name = "node3"
candidate = false
monitor = false
[[instance]]
name = "inst1"
primary = "node1"
template = "diskless"
[[instance]]
name = "inst2"
primary = "node1"
template = "diskless"
[[instance]]
name = "inst3"
primary = "node1"
template = "diskless"
fails-to-start = { until = "5m", message = "not yet" }
"#;

async fn timed(cluster: &ClusterInABox, talk: &mut Talk, method: &str, args: Value) -> u64 {
    let before = cluster.clock().elapsed();
    talk.call(method, args).await;
    (cluster.clock().elapsed() - before).as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_dead_master_candidate_makes_every_write_wait() {
    let cluster = box_of(SLOW);
    let mut talk = Talk::with(&cluster);
    let verify = || {
        let group = cluster.look(|engine| engine.model.groups.values().next().unwrap().uuid.clone());
        OpCode::GroupVerifyDisks { group, strict: true }.encode(None, 1)
    };
    cluster.apply(&Event::PowerOff("node3.example.com".into()));
    assert_eq!(
        timed(&cluster, &mut talk, "SubmitJob", json!([[verify()]])).await,
        0,
        "it is not a candidate"
    );
    cluster.apply(&Event::PowerOff("node2.example.com".into()));
    assert_eq!(timed(&cluster, &mut talk, "SubmitJob", json!([[verify()]])).await, 10);
    let jobs = json!([[[verify()], [verify()], [verify()]]]);
    assert_eq!(timed(&cluster, &mut talk, "SubmitManyJobs", jobs).await, 20);
    for (offline, seconds) in [(false, 10 + 3 * 5), (true, 10)] {
        cluster.apply(&Event::Offline("node2.example.com".into(), offline));
        cluster.apply(&Event::Crash("inst1.example.com".into()));
        let job = talk.submit(&[startup("inst1.example.com")]).await;
        talk.follow(job).await;
        let took = cluster.look(|engine| {
            let op = &engine.jobs()[&job].ops[0];
            op.end.unwrap() - op.exec.unwrap()
        });
        assert_eq!(took.as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_have_a_load_and_starts_slow_down_with_it() {
    let cluster = box_of(SLOW);
    let mut talk = Talk::with(&cluster);
    let load = |name: &str| cluster.look(|engine| engine.model.load(&format!("{name}.example.com")));
    assert_eq!(load("node1"), Some((0.56, 2)));
    assert_eq!((load("node2"), load("node3"), load("nobody")), (Some((0.0, 4)), None, None));
    for number in 1..=3 {
        cluster.apply(&Event::Crash(format!("inst{number}.example.com")));
    }
    cluster.apply(&Event::Repair("inst3.example.com".into()));
    let jobs: Vec<Value> = (1..=3)
        .map(|number| json!([startup(&format!("inst{number}.example.com")).encode(None, 1)]))
        .collect();
    talk.call("SubmitManyJobs", json!([jobs])).await;
    assert_eq!(load("node1"), Some((3.5, 2)));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(load("node1"), Some((0.56, 2)));
    let took = |job: u64| {
        cluster.look(|engine| {
            let op = &engine.jobs()[&job].ops[0];
            (op.end.unwrap() - op.exec.unwrap()).as_secs()
        })
    };
    assert_eq!([1, 2, 3].map(took), [10, 10, 15]);
    cluster.apply(&Event::Link("node1.example.com".into(), crate::sim::model::Link::Silent));
    assert_eq!(load("node1"), None);
}

#[tokio::test(start_paused = true)]
async fn trouble_ends_when_it_is_time() {
    let cluster = box_of(SLOW);
    cluster.apply(&Event::Crash("inst3.example.com".into()));
    for (wait, status) in [(0, "error"), (200, "error"), (200, "success")] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let mut talk = Talk::with(&cluster);
        let job = talk.submit(&[startup("inst3.example.com")]).await;
        assert_eq!(talk.follow(job).await.last().unwrap(), status, "after {wait} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_has_a_past() {
    let steps = r#"
[[step]]
failed-job = "INSTANCE_MIGRATE(inst2)"
class = "OpPrereqError"
message = "no"
code = "wrong_state"
[[step]]
succeeded-job = "INSTANCE_FAILOVER(inst3)"
"#;
    let cluster = box_of(&(CLUSTER.to_owned() + steps));
    let mut talk = Talk::with(&cluster);
    let fields = ["status", "summary", "opresult", "opend"];
    let jobs = talk.call("QueryJobs", json!([[1, 2], fields])).await;
    assert_eq!(jobs[0][0], "error");
    assert_eq!(jobs[0][1], json!(["INSTANCE_MIGRATE(inst2.example.com)"]));
    assert_eq!(jobs[0][2], json!([["OpPrereqError", ["no", "wrong_state"]]]));
    assert!(jobs[0][3][0].is_array(), "{jobs}");
    assert_eq!((&jobs[1][0], &jobs[1][2]), (&json!("success"), &json!([null])));
    let instance = cluster.look(|engine| engine.model.instance("inst3.example.com").unwrap().primary.clone());
    assert_eq!(instance, "node1.example.com", "it is only reported");
}
