//! What luxid says about objects: tags, locks and their owners, and jobs by their summaries.

use super::*;

const TAGGED: &str = r#"
[cluster]
tags = ["c"]
max-running-jobs = 7
[[group]]
name = "default"
tags = ["g2", "g1"]
[[node]]
name = "node1"
[[node]]
name = "node2"
vm-capable = false
candidate = false
[[instance]]
name = "inst1"
primary = "node1"
tags = ["i"]
[[step]]
add-tag = "late"
of = "inst1"
[[step]]
remove-tag = "g1"
of = "default"
[[step]]
add-tag = "d"
of = "cluster"
"#;

#[tokio::test(start_paused = true)]
async fn tags_are_given_and_change() {
    let cluster = box_of(TAGGED);
    let mut talk = Talk::with(&cluster);
    let info = talk.call("QueryClusterInfo", json!([])).await;
    assert_eq!(info["tags"], json!(["c", "d"]));
    assert_eq!((&info["max_running_jobs"], &info["max_tracked_jobs"]), (&json!(7), &json!(25)));
    for (what, expected) in [
        ("instance", json!([[[0, ["i", "late"]]]])),
        ("group", json!([[[0, ["g2"]]]])),
        ("node", json!([[[0, []]], [[0, []]]])),
    ] {
        let answer = talk.call("Query", json!([what, ["tags"], null])).await;
        assert_eq!(answer["data"], expected, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_have_addresses_and_some_run_no_instances() {
    let cluster = box_of(TAGGED);
    let mut talk = Talk::with(&cluster);
    let fields = ["pip", "vm_capable"];
    let answer = talk.call("Query", json!(["node", fields, null])).await;
    let rows = json!([[[0, "192.0.2.1"], [0, true]], [[0, "192.0.2.2"], [0, false]]]);
    assert_eq!(answer["data"], rows);
}

#[tokio::test(start_paused = true)]
async fn locks_have_owners_and_those_who_wait() {
    let cluster = start();
    let mut talk = Talk::with(&cluster);
    let jobs =
        [[activate("inst2.example.com").encode(None, 1)], [activate("inst3.example.com").encode(None, 1)]];
    talk.call("SubmitManyJobs", json!([jobs])).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let uuid = cluster.look(|engine| engine.model.node("node1.example.com").unwrap().uuid.clone());
    let fields = ["name", "mode", "owner", "pending"];
    let locks = talk.call("Query", json!(["lock", fields, null])).await;
    let rows = locks["data"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row[0][1] == name).unwrap().clone();
    let node = format!("node/{uuid}");
    assert_eq!(row(&node), json!([[0, node], [0, "exclusive"], [0, ["1"]], [0, [["exclusive", ["2"]]]]]));
    assert_eq!(row("cluster/BGL"), json!([[0, "cluster/BGL"], [0, "shared"], [0, ["1", "2"]], [0, []]]));
}

#[tokio::test(start_paused = true)]
async fn jobs_are_found_by_summary_and_status() {
    let cluster = start();
    let mut talk = Talk::with(&cluster);
    for instance in ["inst3.example.com", "inst2.example.com", "nobody"] {
        talk.submit(&[activate(instance)]).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let of = |instance: &str| json!(["=[]", "summary", format!("INSTANCE_ACTIVATE_DISKS({instance})")]);
    for (filter, expected) in [
        (of("inst2.example.com"), json!([[[0, 2]]])),
        (json!(["|", of("inst3.example.com"), of("nobody")]), json!([[[0, 1]], [[0, 3]]])),
        (
            json!(["&", ["==", "status", "error"], ["|", of("inst3.example.com"), of("nobody")]]),
            json!([[[0, 3]]]),
        ),
        (json!(["&", ["==", "status", "error"], of("inst2.example.com")]), json!([])),
    ] {
        let answer = talk.call("Query", json!(["job", ["id"], filter])).await;
        assert_eq!(answer["data"], expected, "{filter}");
    }
}
