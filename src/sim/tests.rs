//! The box as a whole: its protocol on a stream, and our own watcher in it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ClusterInABox;
use super::engine::Engine;
use super::events::{Event, Trigger};
use super::faults::{Fault, FaultKind};
use super::jobs::Job;
use super::scenario::{Scenario, ScenarioStep};
use super::story::{Record, play_in_virtual_time};
use super::testing::CLUSTER;
use crate::luxi::opcodes::OpCode;
use crate::luxi::wire::END_OF_MESSAGE;

mod disks;
mod fields;
mod outages;

fn start() -> ClusterInABox {
    let scenario = Scenario::parse("test", CLUSTER).unwrap();
    ClusterInABox::start(Engine::new(scenario.model, scenario.epoch))
}

/// The box after the steps of the scenario, which all happen at once.
fn box_of(text: &str) -> ClusterInABox {
    let scenario = Scenario::parse("test", text).unwrap();
    let cluster = ClusterInABox::start(Engine::new(scenario.model, scenario.epoch));
    for step in &scenario.steps {
        let ScenarioStep::Happen(events) = step else { panic!("{step:?}") };
        events.iter().for_each(|event| cluster.apply(event));
    }
    cluster
}

struct Talk(tokio::io::DuplexStream);

impl Talk {
    fn with(cluster: &ClusterInABox) -> Self {
        Self(cluster.connect().unwrap())
    }

    /// The whole answer; `None` when the connection was closed.
    async fn say(&mut self, text: &str) -> Option<String> {
        self.0.write_all(text.as_bytes()).await.ok()?;
        self.0.write_all(&[END_OF_MESSAGE]).await.ok()?;
        let mut answer = Vec::new();
        loop {
            match self.0.read_u8().await {
                Ok(END_OF_MESSAGE) => return Some(String::from_utf8(answer).unwrap()),
                Ok(byte) => answer.push(byte),
                Err(_) => return None,
            }
        }
    }

    async fn call(&mut self, method: &str, args: Value) -> Value {
        let answer = self.say(&json!({"method": method, "args": args}).to_string()).await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["success"], true, "{method}: {answer}");
        answer["result"].clone()
    }

    async fn submit(&mut self, opcodes: &[OpCode]) -> u64 {
        let opcodes: Vec<Value> = opcodes.iter().map(|opcode| opcode.encode(None, 7)).collect();
        self.call("SubmitJob", json!([opcodes])).await.as_u64().unwrap()
    }

    /// Follows a job as the original does, and returns the statuses that it saw.
    async fn follow(&mut self, job: u64) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        let mut previous = Value::Null;
        while !["success", "error", "canceled"].contains(&seen.last().map_or("", String::as_str)) {
            let answer = self.call("WaitForJobChange", json!([job, ["status"], previous, null, 60])).await;
            previous = answer[0].clone();
            seen.push(previous[0].as_str().unwrap().to_owned());
        }
        seen
    }
}

fn startup(instance: &str) -> OpCode {
    OpCode::InstanceStartup { instance: instance.into(), force: false }
}

fn activate(instance: &str) -> OpCode {
    OpCode::InstanceActivateDisks { instance: instance.into() }
}

#[tokio::test(start_paused = true)]
async fn answers_have_luxid_s_form() {
    let cluster = start();
    let mut talk = Talk::with(&cluster);
    assert_eq!(
        talk.say(
            r#"{"method":"QueryConfigValues","args":[["master_node","drain_flag","nonsense"]],"version":7}"#
        )
        .await
        .unwrap(),
        r#"{"success":true,"result":["node1.example.com",false,null]}"#
    );
    let error = r#"{"success":false,"result":["ParameterError",["Can't find field named 'nofield'"]]}"#;
    let query = r#"{"method":"Query","args":["node",["name"],["==","nofield","x"]]}"#;
    assert_eq!(talk.say(query).await.unwrap(), error);
    let unknown = talk.call("Query", json!(["node", ["nofield"], ["==", "name", "node2"]])).await;
    assert_eq!(unknown["data"], json!([[[1, null]]]));
    let refused = talk.say("nonsense").await.unwrap();
    assert!(refused.starts_with(r#"{"success":false,"result":"Failed to parse request: "#), "{refused}");
    assert_eq!(talk.say("{}").await, None, "the connection is closed after that");
}

#[tokio::test(start_paused = true)]
async fn nodes_that_do_not_answer_cost_time_and_give_no_data() {
    let cluster = start();
    cluster.apply(&Event::PowerOff("node2.example.com".into()));
    let mut talk = Talk::with(&cluster);
    let before = cluster.clock().elapsed();
    let answer = talk.call("Query", json!(["node", ["name", "bootid"], null])).await;
    assert_eq!(answer["data"][1], json!([[0, "node2.example.com"], [2, null]]));
    assert!(cluster.clock().elapsed() - before > Duration::from_secs(5));
    cluster.apply(&Event::Offline("node2.example.com".into(), true));
    let answer = talk.call("Query", json!(["node", ["bootid"], ["==", "name", "node2"]])).await;
    assert_eq!(answer["data"], json!([[[4, null]]]));
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_its_way_and_can_be_followed() {
    let cluster = start();
    cluster.apply(&Event::Crash("inst3.example.com".into()));
    let mut talk = Talk::with(&cluster);
    let job = talk.submit(&[startup("inst3.example.com")]).await;
    assert_eq!(talk.follow(job).await, ["queued", "running", "success"]);
    assert_eq!(cluster.look(Engine::running_instances), 3);
    let row = talk.call("QueryJobs", json!([[job, 99], ["status", "opresult", "summary"]])).await;
    assert_eq!(
        row,
        json!([["success", [null], ["INSTANCE_STARTUP(inst3.example.com)"]], [null, null, null]])
    );
    assert_eq!(talk.call("ArchiveJob", json!([job])).await, true);
    assert_eq!(talk.call("QueryJobs", json!([[job], ["status"]])).await, json!([["success"]]));
    let call = json!({"method": "WaitForJobChange", "args": [job, ["status"], null, null, 1]}).to_string();
    assert_eq!(
        talk.say(&call).await.unwrap(),
        r#"{"success":false,"result":["JobLost",["Can't load job file"]]}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_opcode_fails_those_after_it() {
    let cluster = start();
    let mut talk = Talk::with(&cluster);
    let job = talk
        .submit(&[activate("inst3.example.com"), activate("nobody"), activate("inst2.example.com")])
        .await;
    talk.follow(job).await;
    let row = talk.call("QueryJobs", json!([[job], ["status", "opstatus", "opresult"]])).await;
    assert_eq!(row[0][0], "error");
    assert_eq!(row[0][1], json!(["success", "error", "error"]));
    assert_eq!(row[0][2][1], json!(["OpPrereqError", ["Instance 'nobody' not known", "unknown_entity"]]));
    assert_eq!(row[0][2][2], json!(["OpExecError", ["Preceding opcode failed"]]));
}

#[tokio::test(start_paused = true)]
async fn activations_exclude_each_other_and_starts_do_not() {
    let cluster = start();
    cluster.apply(&Event::Crash("inst1.example.com".into()));
    let mut talk = Talk::with(&cluster);
    let jobs: Vec<Value> = [
        vec![activate("inst2.example.com").encode(None, 1)],
        vec![activate("inst3.example.com").encode(None, 1)],
        vec![startup("inst1.example.com").encode(None, 1)],
        vec![
            OpCode::GroupVerifyDisks {
                group: cluster.look(|e| e.model.groups.values().next().unwrap().uuid.clone()),
                strict: true,
            }
            .encode(None, 1),
        ],
    ]
    .into_iter()
    .map(Value::from)
    .collect();
    let ids = talk.call("SubmitManyJobs", json!([jobs])).await;
    assert_eq!(ids, json!([[true, 1], [true, 2], [true, 3], [true, 4]]));
    tokio::time::sleep(Duration::from_millis(2300)).await;
    let status = talk.call("QueryJobs", json!([[1, 2, 3, 4], ["status"]])).await;
    assert_eq!(status, json!([["running"], ["waiting"], ["running"], ["waiting"]]));
    let locks = talk
        .call("Query", json!(["lock", ["name", "mode"], ["==", "name", "instance/inst3.example.com"]]))
        .await;
    assert_eq!(locks["data"], json!([[[0, "instance/inst3.example.com"], [0, "exclusive"]]]));
    tokio::time::sleep(Duration::from_secs(20)).await;
    let ended = talk.call("QueryJobs", json!([[1, 2, 3, 4], ["opstatus"]])).await;
    assert_eq!(ended, json!([[["success"]], [["success"]], [["success"]], [["success"]]]));
}

#[tokio::test(start_paused = true)]
async fn dependencies_drained_queues_and_canceled_jobs() {
    let cluster = start();
    let mut talk = Talk::with(&cluster);
    let mut second = activate("inst3.example.com").encode(None, 1);
    second["depends"] = json!([[-1, ["success"]]]);
    talk.call("SubmitManyJobs", json!([[[activate("nobody").encode(None, 1)], [second]]])).await;
    talk.follow(2).await;
    let row = talk.call("QueryJobs", json!([[2], ["status", "opresult"]])).await;
    assert_eq!(row, json!([["error", ["Dependency job 1 finished with status error"]]]));
    cluster.apply(&Event::Drain(true));
    let call =
        json!({"method": "SubmitJob", "args": [[activate("inst3.example.com").encode(None, 1)]]}).to_string();
    assert_eq!(
        talk.say(&call).await.unwrap(),
        r#"{"success":false,"result":["GenericError",["Queue drained"]]}"#
    );
    cluster.apply(&Event::Drain(false));
    let job = talk.submit(&[activate("inst3.example.com")]).await;
    cluster.apply(&Event::Cancel("INSTANCE_ACTIVATE_DISKS(inst3.example.com)".into()));
    assert_eq!(talk.follow(job).await, ["canceled"]);
}

#[tokio::test(start_paused = true)]
async fn faults_strike_and_luxid_can_die() {
    let cluster = start();
    let fault = |kind, method: &str| {
        Event::Fault(Fault { kind, method: Some(method.into()), what: None, after: 0, times: Some(1) })
    };
    cluster.apply(&fault(FaultKind::CloseAfter, "SubmitJob"));
    let submit =
        json!({"method": "SubmitJob", "args": [[activate("inst3.example.com").encode(None, 1)]]}).to_string();
    assert_eq!(Talk::with(&cluster).say(&submit).await, None);
    assert_eq!(cluster.look(|engine| engine.jobs().len()), 1, "it was carried out");
    cluster.apply(&fault(FaultKind::Answer("garbage".into()), "QueryClusterInfo"));
    let mut talk = Talk::with(&cluster);
    let call = r#"{"method":"QueryClusterInfo","args":[]}"#;
    assert_eq!(talk.say(call).await.unwrap(), "garbage");
    assert!(talk.say(call).await.unwrap().contains(r#""software_version":"3.0.2""#));
    cluster.apply(&Event::StopLuxid { can_start: true });
    assert_eq!(talk.say(call).await, None);
    assert!(cluster.connect().is_err());
    assert!(cluster.start_luxid() && cluster.connect().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_planned_for_a_job_happens_with_it() {
    let cluster = start();
    let instance = "inst3.example.com";
    cluster.apply(&Event::Crash(instance.into()));
    cluster.plan(
        Trigger::OnStart(format!("INSTANCE_STARTUP({instance})")),
        Event::PowerOff("node1.example.com".into()),
    );
    let mut talk = Talk::with(&cluster);
    let job = talk.submit(&[startup(instance)]).await;
    assert_eq!(talk.follow(job).await.last().unwrap(), "error");
    assert_eq!(cluster.look(Engine::running_instances), 1);
}

fn play(text: &str) -> (tempfile::TempDir, Record) {
    let directory = tempfile::tempdir().unwrap();
    let scenario = Scenario::parse("test", text).unwrap();
    let record = play_in_virtual_time(&scenario, directory.path()).unwrap();
    (directory, record)
}

const OUTAGE: &str = r#"
[fill]
nodes = 4
instances = 62
template = "drbd"
[timing]
startup = "25s..33s"
[[step]]
power-off = ["all"]
[[step]]
power-on = ["all"]
[[step]]
wait = "2m"
[[step]]
run = []
[[step]]
wait = "5m"
[[step]]
run = []
"#;

#[test]
fn our_watcher_brings_a_cluster_back_after_a_power_cut() {
    let (_directory, record) = play(OUTAGE);
    let [first, second] = record.runs.as_slice() else { panic!("two runs") };
    assert_eq!(first.log.matches("(attempt #1)").count(), 62, "{}", first.log);
    let told: Vec<&str> = second.log.lines().filter(|line| line.contains("succeeded")).collect();
    let [together] = told.as_slice() else { panic!("{}", second.log) };
    for number in 1..=62 {
        let name = format!(" inst{number}.example.com");
        assert!(together.split(',').any(|part| part.ends_with(&name)), "{name} {together}");
    }
    assert_eq!(record.stage.cluster.look(Engine::running_instances), 62);
    assert!(first.time.1 - first.time.0 > Duration::from_secs(60));
    let started = first.jobs.iter().flat_map(Job::summaries).filter(|summary| summary.contains("STARTUP"));
    assert_eq!(started.count(), 62);
}

#[test]
fn the_same_seed_tells_the_same_story_byte_for_byte() {
    let outage = OUTAGE.replace("instances = 62", "instances = 8");
    let told = || {
        let (_directory, record) = play(&outage);
        record.runs
    };
    assert_eq!(told(), told());
}
