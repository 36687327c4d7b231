use super::*;

#[test]
fn any_row_of_a_job_is_an_answer() {
    let seeds = [
        r#"["error", ["error", "error"], [["OpExecError", ["no"]], ["OpExecError", ["Preceding opcode failed"]]],
            [[1795343883, 1], null], [[1795343884, 999999], null]]"#,
        r#"["success", ["success"], [true], [null], [null]]"#,
        "[null, null, null, null, null]",
    ];
    crate::testing::fuzz::fuzz_text(&seeds, |text| drop(answer(text)));
}

/// The result of a job with this status, opcode statuses and results.
fn result(row: &str) -> JobResult {
    let row = row.strip_suffix(']').unwrap();
    match answer(&format!("{row},null,null]")) {
        Answer::Ended { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_that_goes_on_has_no_result() {
    for status in ["queued", "waiting", "running"] {
        let row = format!(r#"["{status}",["{status}"],[null],[null],[null]]"#);
        assert_eq!(answer(&row), Answer::GoesOn);
    }
}

#[test]
fn a_status_that_is_none_of_ganeti_s_is_unknown() {
    for row in [
        r#"["x",["x"],[null],[null],[null]]"#,
        r#"["",[],[],[],[]]"#,
        r#"["SUCCESS",["success"],[null],[null],[null]]"#,
        "[7,null,null,null,null]",
        r#"[null,["running"],[null],[null],[null]]"#,
        r#"[["success"],["success"],[null],[null],[null]]"#,
        r#"["success",["success"],7,[null],[null]]"#,
        "[]",
        "null",
        r#"["success"]"#,
    ] {
        assert!(matches!(answer(row), Answer::Unknown(_)), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_status_for_a_minute_is_an_unknown_end() {
    let mut follower = Follower::default();
    let unknown = || Answer::Unknown("x".to_owned());
    assert_eq!(follower.heed(JobId(1), unknown()), None);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(follower.heed(JobId(1), unknown()), None);
    assert_eq!(follower.heed(JobId(1), Answer::GoesOn), None);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(follower.heed(JobId(1), unknown()), None, "a proper answer came between");
    tokio::time::advance(Duration::from_secs(60)).await;
    let end = End::Unknown("x".to_owned());
    assert_eq!(follower.heed(JobId(1), unknown()), Some(JobOutcome { job: JobId(1), end }));
    let ended = Answer::Ended { result: Ok(Vec::new()), worked: None };
    let end = End::Known(Ok(Vec::new()), None);
    assert_eq!(follower.heed(JobId(2), ended), Some(JobOutcome { job: JobId(2), end }));
}

#[test]
fn work_is_counted_from_the_locks_to_the_end() {
    let parse = |row: &str| match answer(row) {
        Answer::Ended { worked, .. } => worked,
        other => panic!("{other:?}"),
    };
    let row = r#"["success",["success"],[null],[[100,500000]],[[103,0]]]"#;
    assert_eq!(parse(row), Some(2.5));
    assert_eq!(parse(r#"["canceled",["canceled"],[null],[null],[[103,0]]]"#), None);
    assert_eq!(parse("[null,null,null,null,null]"), None);
}

#[test]
fn times_that_do_not_exist_are_unknown_and_hurt_nobody() {
    for stamp in [
        "[18446744073709551615,999999]",
        "[18446744073709551615,18446744073709551615]",
        "[18446744073709551616,0]",
        "[1e308,1e308]",
        "[-1,0]",
        "[100,1000000]",
        "[100]",
        "7",
        "\"x\"",
    ] {
        for times in
            [format!("[{stamp}],[[103,0]]"), format!("[[100,0]],[{stamp}]"), format!("{stamp},{stamp}")]
        {
            let row = format!(r#"["success",["success"],[null],{times}]"#);
            assert_eq!(answer(&row), Answer::Ended { result: Ok(vec![Value::Null]), worked: None }, "{row}");
        }
    }
}

#[test]
fn every_end_of_a_job_has_its_result() {
    assert_eq!(result(r#"["success",["success"],[null]]"#), Ok(vec![Value::Null]));
    assert_eq!(result("[null,null,null]"), Err(JobFailure::Lost));
    assert_eq!(result(r#"["canceled",["canceled"],[null]]"#), Err(JobFailure::Canceled));
    assert_eq!(result(r#"["canceling",["running"],[null]]"#), Err(JobFailure::Canceled));
}

#[test]
fn the_first_failed_opcode_explains_a_failed_job() {
    let failed = result(concat!(
        r#"["error",["success","error","error"],[null,"#,
        r#"["OpPrereqError",["Not enough memory on node n1","insufficient_resources"]],"#,
        r#"["OpExecError",["Preceding opcode failed"]]]]"#
    ));
    assert_eq!(
        failed.unwrap_err().to_string(),
        "OpPrereqError: Not enough memory on node n1 (insufficient_resources)"
    );
    let killed = result(r#"["error",["error"],["Job process vanished"]]"#);
    assert_eq!(killed, Err(JobFailure::Text("Job process vanished".into())));
    let strange = result(r#"["error",["success"],[[1]]]"#);
    assert_eq!(strange, Err(JobFailure::Text("[[1]]".into())));
}
