//! Rows as luxid sends them, whole and with holes.

use super::*;

fn row(text: &str) -> InstanceRow {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_row_becomes_an_instance() {
    let instance = membership(row(
        r#"[[0,"i1"],[0,"ERROR_down"],[0,"up"],[0,true],[0,["n2"]],[0,"g"],[0,["g"]],[0,"drbd"],[0,"n1"],[0,["t"]],[0,512]]"#,
    ))
    .unwrap();
    assert_eq!(instance.status, InstanceStatus::ErrorDown);
    assert_eq!(instance.admin_state, AdminState::Up);
    assert_eq!((instance.primary.as_str(), instance.secondaries), ("n1", vec!["n2".to_owned()]));
    assert_eq!((instance.tags, instance.memory), (vec!["t".to_owned()], Some(512)));
}

#[test]
fn an_instance_with_nodes_in_two_groups_is_split() {
    let split = membership(row(
        r#"[[0,"i1"],[0,"running"],[0,"up"],[0,true],[0,["n2"]],[0,"g"],[0,["h"]],[0,"drbd"],[0,"n1"],[0,[]],[1,null]]"#,
    ));
    assert_eq!(
        split.unwrap_err(),
        SplitInstance { name: "i1".into(), primary_group: "g".into(), secondary_groups: vec!["h".into()] }
    );
}

#[test]
fn a_node_that_does_not_answer_or_is_offline_has_no_boot_id() {
    let parse = |text: &str| node(serde_json::from_str(text).unwrap());
    assert_eq!(parse(r#"[[0,"n1"],[2,null],[0,false],[0,true],[0,"192.0.2.1"],[0,"u"]]"#).boot_id, None);
    assert_eq!(parse(r#"[[0,"n1"],[4,null],[0,true],[0,true],[0,""],[0,"u"]]"#).offline, Some(true));
    assert_eq!(
        parse(r#"[[0,"n1"],[0,"b"],[0,false],[1,null],[1,null],[0,"u"]]"#).boot_id.as_deref(),
        Some("b")
    );
}

#[test]
fn a_node_of_which_luxid_does_not_say_whether_it_is_offline_is_neither() {
    let parse = |text: &str| node(serde_json::from_str(text).unwrap());
    let node = parse(r#"[[0,"n1"],[2,null],[2,null],[2,null],[0,"192.0.2.1"],[0,"u"]]"#);
    assert_eq!((node.offline, node.vm_capable), (None, None));
    assert!(!node.is_silent() && !node.is_offline() && node.may_be_silent() && node.may_run_instances());
    let answers = parse(r#"[[0,"n1"],[0,"b"],[2,null],[0,false],[0,"192.0.2.1"],[0,"u"]]"#);
    assert!(!answers.may_be_silent() && !answers.may_run_instances());
    assert!(
        serde_json::from_str::<NodeRow>(r#"[[0,"n1"],[0,"b"],[0,false],[0,true],[0,""],[2,null]]"#).is_err()
    );
}

#[test]
fn an_instance_without_primary_template_or_tags_cannot_be_read() {
    let good = r#"[[0,"i1"],[0,"running"],[0,"up"],[0,true],[0,[]],[0,"g"],[0,[]],[0,"rbd"],[0,"n1"],[0,["t"]],[2,null]]"#;
    assert!(serde_json::from_str::<InstanceRow>(good).is_ok());
    for cell in [r#"[0,"rbd"]"#, r#"[0,"n1"]"#, r#"[0,["t"]]"#, r#"[0,"running"]"#, r#"[0,"up"]"#] {
        let holed = good.replacen(cell, "[2,null]", 1);
        assert!(serde_json::from_str::<InstanceRow>(&holed).is_err(), "{holed}");
    }
}

#[test]
fn only_null_with_status_0_is_a_lock_that_nobody_holds() {
    let mode = |text: &str| lock_mode(&serde_json::from_str(text).unwrap());
    assert_eq!(mode("[0,null]"), None);
    assert_eq!(mode(r#"[0,"shared"]"#), Some(LockMode::Shared));
    assert_eq!(mode(r#"[0,"exclusive"]"#), Some(LockMode::Exclusive));
    for strange in ["[2,null]", r#"[0,"x"]"#, r#"[0,""]"#, "[0,7]"] {
        assert_eq!(mode(strange), Some(LockMode::Unknown), "{strange}");
    }
}

#[test]
fn an_opcode_with_a_status_that_is_none_ended_nobody_knows_how() {
    for status in ["queued", "waiting", "canceling", "running", "canceled"] {
        assert_eq!(end_of(status, &Value::Null), None, "{status}");
    }
    assert_eq!(end_of("success", &Value::Null), Some(OpEnd::Success));
    assert_eq!(end_of("error", &Value::Null), Some(OpEnd::Failed));
    assert_eq!(end_of("x", &Value::Null), Some(OpEnd::Unknown));
    assert_eq!(end_of("", &Value::Null), Some(OpEnd::Unknown));
}

#[test]
fn any_row_of_an_instance_or_node_is_read_or_not() {
    let seeds = [
        r#"[[0,"i1"],[0,"ERROR_down"],[0,"up"],[0,true],[0,["n2"]],[0,"u"],[0,["u"]],[0,"drbd"],[0,"n1"],[0,["t"]],[0,512]]"#,
        r#"[[0,"i1"],[0,"running"],[0,"down"],[0,false],[0,[]],[0,"u"],[0,[null]],[2,null],[4,null],[1,null],[0,-1]]"#,
        r#"[[0,"n1"],[0,"b"],[0,false],[0,true],[0,"192.0.2.1"],[0,"u"]]"#,
    ];
    crate::testing::fuzz::fuzz_text(&seeds, |text| {
        drop(serde_json::from_str::<InstanceRow>(text).map(membership));
        drop(serde_json::from_str::<NodeRow>(text).map(node));
        if let Ok(result) = serde_json::from_str(text) {
            let _end = end_of("error", &result);
        }
    });
}

#[test]
fn what_is_told_twice_is_told_in_no_way_that_can_be_read() {
    use crate::cluster::testing::{instance, node, snapshot};
    let mut seen = snapshot(
        [
            instance("a", "ERROR_down"),
            instance("b", "running"),
            instance("a", "running"),
            instance("a", "running"),
        ],
        [node("n1", Some("x")), node("n1", Some("y")), node("n2", None)],
    );
    leave_contradictions(&mut seen);
    let names: Vec<&str> = seen.instances.iter().map(|instance| instance.name.as_str()).collect();
    assert_eq!(names, ["b"]);
    assert_eq!(seen.unreadable_instances, ["a"]);
    assert_eq!((seen.nodes.len(), seen.unreadable_nodes), (1, vec!["n1".to_owned()]));
}
