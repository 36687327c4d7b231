//! Disks whose other side is away, and what luxid says about them.

use super::*;

/// The status and result of `OP_INSTANCE_QUERY_DATA`.
async fn look(talk: &mut Talk, instances: &[&str], is_static: bool) -> (Value, Value) {
    let opcode = json!({
        "OP_ID": "OP_INSTANCE_QUERY_DATA",
        "instances": instances,
        "use_locking": false,
        "static": is_static,
        "reason": [],
    });
    let job = talk.call("SubmitJob", json!([[opcode]])).await.as_u64().unwrap();
    talk.follow(job).await;
    let row = talk.call("QueryJobs", json!([[job], ["status", "opresult", "summary"]])).await;
    assert_eq!(row[0][2], json!(["INSTANCE_QUERY_DATA"]));
    (row[0][0].clone(), row[0][1][0].clone())
}

/// A start with `force`, or an activation; returns its final status.
async fn repair(talk: &mut Talk, opcode: &str, instance: &str, force: bool) -> String {
    let mut opcode = json!({"OP_ID": opcode, "instance_name": instance, "reason": []});
    if force {
        opcode["force"] = json!(true);
    }
    let job = talk.call("SubmitJob", json!([[opcode]])).await.as_u64().unwrap();
    talk.follow(job).await.pop().unwrap()
}

fn disks_active(cluster: &ClusterInABox, name: &str) -> bool {
    cluster.look(|engine| engine.model.instance(name).unwrap().disks_active)
}

const INST3: &str = "inst3.example.com";
const SECONDARY: &str = "node2.example.com";

#[tokio::test(start_paused = true)]
async fn devices_are_described_as_ganeti_does() {
    let cluster = start();
    let mut talk = Talk::with(&cluster);
    let (status, result) = look(&mut talk, &[INST3, "inst1.example.com"], false).await;
    assert_eq!((status, result.as_object().unwrap().len()), (json!("success"), 2));
    let inst3 = &result[INST3];
    assert_eq!((&inst3["pnode"], &inst3["snodes"]), (&json!("node1.example.com"), &json!([SECONDARY])));
    assert_eq!((&inst3["run_state"], &inst3["config_state"]), (&json!("up"), &json!("up")));
    let disk = &inst3["disks"][0];
    assert_eq!((&disk["iv_name"], &disk["dev_type"]), (&json!("disk/0"), &json!("drbd")));
    assert_eq!(disk["pstatus"], json!(["/dev/drbd1", 147, 1, null, null, false, 1]));
    assert_eq!(disk["children"][1]["sstatus"][6], 1);
    assert_eq!(result["inst1.example.com"]["disks"], json!([]));
    cluster.apply(&Event::LoseDisk(INST3.into(), SECONDARY.into()));
    cluster.apply(&Event::StandAlone(INST3.into()));
    let disk = look(&mut talk, &[INST3], false).await.1[INST3]["disks"][0].clone();
    assert_eq!((&disk["pstatus"][5], &disk["pstatus"][6]), (&json!(true), &json!(1)));
    assert_eq!((&disk["sstatus"][5], &disk["sstatus"][6]), (&json!(true), &json!(4)));
}

#[tokio::test(start_paused = true)]
async fn one_node_that_does_not_answer_spoils_the_whole_look() {
    let cluster = start();
    let mut talk = Talk::with(&cluster);
    cluster.apply(&Event::PowerOff(SECONDARY.into()));
    let (status, result) = look(&mut talk, &[INST3], false).await;
    assert_eq!(status, "error");
    let text = "Can't compute disk status for inst3.example.com: node node2.example.com: Error 7: Failed to \
                connect to node2.example.com port 1811: No route to host";
    assert_eq!(result, json!(["OpExecError", [text]]));
    let (status, result) = look(&mut talk, &[INST3], true).await;
    assert_eq!((status, &result[INST3]["disks"][0]["pstatus"]), (json!("success"), &Value::Null));
    assert_eq!(result[INST3]["run_state"], Value::Null);
    cluster.apply(&Event::Offline(SECONDARY.into(), true));
    let disk = look(&mut talk, &[INST3], false).await.1[INST3]["disks"][0].clone();
    assert_eq!((&disk["pstatus"][5], &disk["pstatus"][6]), (&json!(true), &json!(1)));
    assert_eq!((&disk["sstatus"], &disk["children"][0]["sstatus"]), (&Value::Null, &Value::Null));
    assert_eq!(look(&mut talk, &["nobody"], false).await.1[0], "OpPrereqError");
}

#[tokio::test(start_paused = true)]
async fn a_look_waits_for_who_holds_the_instance() {
    let cluster = start();
    let mut talk = Talk::with(&cluster);
    cluster.apply(&Event::Occupy(INST3.into(), Duration::from_secs(600)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = cluster.clock().elapsed();
    look(&mut talk, &[INST3], true).await;
    assert!(cluster.clock().elapsed() - before < Duration::from_secs(5));
    look(&mut talk, &[INST3], false).await;
    assert!(cluster.clock().elapsed() > Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn a_degraded_start_leaves_the_other_side_behind_until_it_is_activated() {
    let cluster = start();
    let mut talk = Talk::with(&cluster);
    cluster.apply(&Event::Crash(INST3.into()));
    cluster.apply(&Event::PowerOff(SECONDARY.into()));
    assert_eq!(repair(&mut talk, "OP_INSTANCE_STARTUP", INST3, false).await, "error");
    assert!(!disks_active(&cluster, INST3));
    let is_attached = |place: usize| {
        cluster.look(|engine| {
            let disks = &engine.model.instance(INST3).unwrap().disks;
            disks[0].mirror.as_ref().unwrap().sides[place].attached
        })
    };
    assert!(!is_attached(0), "a failed start shuts the disks down again");
    assert_eq!(repair(&mut talk, "OP_INSTANCE_ACTIVATE_DISKS", INST3, false).await, "error");
    assert!(is_attached(0) && !disks_active(&cluster, INST3), "a failed activation leaves them assembled");
    assert_eq!(repair(&mut talk, "OP_INSTANCE_STARTUP", INST3, true).await, "success");
    assert!(disks_active(&cluster, INST3));
    cluster.apply(&Event::PowerOn(SECONDARY.into()));
    tokio::time::sleep(Duration::from_secs(70)).await;
    let disk = look(&mut talk, &[INST3], false).await.1[INST3]["disks"][0].clone();
    assert_eq!((&disk["pstatus"][5], &disk["sstatus"]), (&json!(true), &Value::Null));
    assert_eq!(repair(&mut talk, "OP_INSTANCE_ACTIVATE_DISKS", INST3, false).await, "success");
    let disk = look(&mut talk, &[INST3], false).await.1[INST3]["disks"][0].clone();
    assert_eq!((&disk["pstatus"][5], &disk["pstatus"][6]), (&json!(true), &json!(1)));
    assert_eq!((&disk["sstatus"][5], &disk["sstatus"][6]), (&json!(true), &json!(2)));
    assert!(disk["sstatus"][3].as_f64().is_some_and(|percent| percent < 100.0), "{disk}");
    tokio::time::sleep(Duration::from_secs(70)).await;
    let disk = look(&mut talk, &[INST3], false).await.1[INST3]["disks"][0].clone();
    assert_eq!((&disk["pstatus"][5], &disk["sstatus"][5]), (&json!(false), &json!(false)));
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_missed_writes_is_not_started_alone_even_with_force() {
    let text = CLUSTER.to_owned() + "behind = \"node1\"\nlive = \"absent\"\n";
    let cluster = box_of(&text);
    let mut talk = Talk::with(&cluster);
    cluster.apply(&Event::PowerOff(SECONDARY.into()));
    assert_eq!(repair(&mut talk, "OP_INSTANCE_STARTUP", INST3, true).await, "error");
    assert_eq!(repair(&mut talk, "OP_INSTANCE_ACTIVATE_DISKS", INST3, false).await, "error");
    cluster.apply(&Event::Offline(SECONDARY.into(), true));
    let disk = look(&mut talk, &[INST3], false).await.1[INST3]["disks"][0].clone();
    assert_eq!((&disk["pstatus"][5], &disk["pstatus"][6]), (&json!(true), &json!(3)));
    cluster.apply(&Event::Offline(SECONDARY.into(), false));
    cluster.apply(&Event::PowerOn(SECONDARY.into()));
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(repair(&mut talk, "OP_INSTANCE_STARTUP", INST3, false).await, "success");
}
