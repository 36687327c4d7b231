use super::*;
use std::collections::BTreeMap;

use crate::memory::recovery::Activation;

const TEXT: &str = concat!(
    r#"{"instance": {"i4": {"restart_when": 1795343883.7321687, "restart_count": 2, "new": [1]}}, "#,
    r#""node": {"n1": {"bootid": "b1", "x": null}}, "extra": true}"#,
    "\n"
);

#[test]
fn unknown_keys_survive_a_change() {
    let mut state = State::parse(TEXT).unwrap();
    assert_eq!(state.to_text(), TEXT);
    state.record_restart_attempt("i4", 1_795_344_000.25);
    state.set_boot_id("n1", "b2");
    let expected = TEXT
        .replace("1795343883.7321687", "1795344000.25")
        .replace("\"restart_count\": 2", "\"restart_count\": 3")
        .replace("b1", "b2");
    assert_eq!(state.to_text(), expected);
}

#[test]
fn an_empty_text_is_an_empty_state() {
    let empty = "{\"instance\": {}, \"node\": {}}\n";
    assert_eq!(State::parse("").unwrap().to_text(), empty);
    assert_eq!(State::parse("\n").unwrap().to_text(), empty);
    assert_eq!(State::parse("{}").unwrap().to_text(), empty);
}

#[test]
fn every_wrong_shape_is_an_error_that_names_the_place() {
    for (text, words) in [
        ("[1]", "expected a JSON object, found a list"),
        ("{\"instance\": {", "EOF"),
        ("not json", "expected"),
        (r#"{"node": []}"#, "'node': expected an object, found a list"),
        (r#"{"instance": {"i": 5}}"#, "'instance' 'i': expected an object"),
        (r#"{"instance": {"i": {"restart_count": "5"}}}"#, "'restart_count': expected a count, found a text"),
        (r#"{"instance": {"i": {"restart_count": -1}}}"#, "expected a count, found another number"),
        (r#"{"instance": {"i": {"cleanup_when": null}}}"#, "expected a time, found null"),
        (r#"{"node": {"n": {"bootid": 1}}}"#, "'bootid': expected a text"),
        (r#"{"node": {"n": {"pending_activations": [1]}}}"#, "expected an object, found a list"),
    ] {
        let error = State::parse(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_record_without_the_time_of_a_start_counts_as_very_old() {
    let mut state = State::default();
    state.record_restart_attempt("started", 5.5);
    state.record_clean_up_attempt("cleaned", 5.5);
    assert_eq!(state.instances().collect::<Vec<_>>(), [("started", 5.5), ("cleaned", 0.0)]);
}

#[test]
fn a_try_that_is_given_back_leaves_what_was_before() {
    let mut state = State::default();
    state.give_back_restart_attempt("i");
    assert_eq!(state, State::default());
    state.record_restart_attempt("i", 5.5);
    state.record_restart_attempt("i", 6.5);
    state.give_back_restart_attempt("i");
    assert_eq!(state.restart_attempts("i"), 1);
    state.record_clean_up_attempt("i", 7.5);
    state.give_back_restart_attempt("i");
    assert_eq!((state.restart_attempts("i"), state.clean_up_attempts("i")), (0, 1));
    let mut state = State::default();
    state.record_restart_attempt("i", 5.5);
    state.give_back_restart_attempt("i");
    assert_eq!(state, State::default());
}

#[test]
fn a_pending_boot_ends_when_its_boot_id_is_stored() {
    let mut state = State::default();
    state.set_pending_boot_id("n", "b1");
    assert_eq!((state.pending_boot_id("n"), state.boot_id("n")), (Some("b1"), None));
    state.set_boot_id("n", "b1");
    assert_eq!(state.pending_boot_id("n"), None);
    assert_eq!(state.to_text(), "{\"instance\": {}, \"node\": {\"n\": {\"bootid\": \"b1\"}}}\n");
}

#[test]
fn activations_that_an_earlier_version_kept_below_the_nodes_are_taken_over() {
    let text = r#"{"node": {
        "n1": {"bootid": "a", "pending_bootid": "b", "pending_activations": {
            "i1": {"failures": 2, "last": 7.5}, "i2": {"failures": 0, "last": 0.0}}},
        "n2": {"pending_bootid": "c", "pending_activations": {"i1": {"failures": 1, "last": 9.5}}},
        "n3": {"bootid": "d", "pending_activations": {"i3": {"failures": 1, "last": 9.5}}}},
        "recovery": {"activations": {"i2": {"failures": 3, "last": 5.0}, "i4": {"failures": 1, "last": 6.0}}}}"#;
    let state = State::parse(text).unwrap();
    let entry = |failures, last, reboots: &[&str], found_broken| Activation {
        failures: Failures { failures, last },
        reboots: reboots.iter().map(|node| (*node).to_owned()).collect(),
        found_broken,
    };
    let expected = [
        ("i1".to_owned(), entry(2, 9.5, &["n1", "n2"], false)),
        ("i2".to_owned(), entry(3, 5.0, &["n1"], true)),
        ("i4".to_owned(), entry(1, 6.0, &[], true)),
    ];
    assert_eq!(state.recovery.activations, BTreeMap::from(expected));
    assert_eq!((state.boot_id("n1"), state.pending_boot_id("n1")), (Some("a"), Some("b")));
    assert_eq!(State::parse(&state.to_text()).unwrap(), state);
    assert!(!state.to_text().contains("pending_activations"), "{}", state.to_text());
}
