use super::*;
use crate::memory::State;

/// What the program at commit f6ee7af wrote: a sample of everything it remembers, and keys that it did not
/// know itself.
const OLD: &str = include_str!("f6ee7af.json");

/// Codes, the words that they replaced, and their meanings.
const BLAMES: [(&str, &str, Blame); 6] = [
    ("instance", "the instance itself", Blame::Instance),
    ("node", "its primary node", Blame::Node),
    ("secondary", "its secondary node", Blame::Peer),
    ("job-queue", "the job queue", Blame::Queue),
    ("master", "the master", Blame::Master),
    ("unknown", "an unknown cause", Blame::Unknown),
];

/// A state in which instance `i` waits, with `by` as JSON.
fn waits_because_of(by: &str) -> String {
    format!(
        "{{\"instance\": {{}}, \"node\": {{}}, \"recovery\": {{\"blocked\": {{\"i\": {{\"by\": {by}, \
         \"failures\": 3, \"last\": 7.5, \"cause\": \"n1 b1\"}}}}}}}}\n"
    )
}

fn blocked(state: &State, instance: &str) -> (BlockedBy, u64, Timestamp, String) {
    let Blocked { by, failures, cause, alike, memory } = state.recovery.blocked[instance].clone();
    assert_eq!((alike, memory), (None, None), "{instance}");
    (by, failures.failures, failures.last, cause)
}

/// Everything that [`OLD`] says, except what it did not know itself.
fn check_what_f6ee7af_knew(state: &State) {
    let boot_id = |number: u8| format!("4ffab6ca-0000-4000-8000-{number:012}");
    assert_eq!(state.restart_attempts("tried.example.com"), 4);
    assert_eq!(state.restart_attempts("once.example.com"), 1);
    assert_eq!(state.clean_up_attempts("cleaned.example.com"), 2);
    let last_starts: Vec<_> = state.instances().collect();
    let expected = [
        ("tried.example.com", 1_795_344_180.5),
        ("cleaned.example.com", 0.0),
        ("once.example.com", 1_795_344_180.75),
    ];
    assert_eq!(last_starts, expected);

    assert_eq!(state.boot_id("node1.example.com"), Some(boot_id(1).as_str()));
    assert_eq!(state.boot_id("node2.example.com"), Some(boot_id(2).as_str()));
    assert_eq!(state.boot_id("node3.example.com"), None);
    let pending =
        ["node1", "node2", "node3"].map(|node| state.pending_boot_id(&format!("{node}.example.com")));
    assert_eq!(pending, [None, Some(boot_id(3).as_str()), Some(boot_id(4).as_str())]);

    let Recovery { down, blocked: all_blocked, seen, silent, failed_moves, degraded, activations, .. } =
        &state.recovery;
    assert_eq!(*down, BTreeMap::from([("down.example.com".to_owned(), 1_795_343_580.5)]));
    assert_eq!(*seen, Some(1_795_344_181.25));
    assert_eq!(*silent, BTreeMap::from([("node4.example.com".to_owned(), 1_795_343_280.0)]));
    let moved = FailedMove { job: JobId(4711), summary: "INSTANCE_MIGRATE(moved.example.com)".to_owned() };
    assert_eq!(*failed_moves, BTreeMap::from([("moved.example.com".to_owned(), moved)]));
    assert_eq!(*degraded, BTreeMap::from([("alone.example.com".to_owned(), 1_795_343_000.0)]));
    let activation = |failures, last, reboots: &[&str]| Activation {
        failures: Failures { failures, last },
        reboots: reboots.iter().map(|node| (*node).to_owned()).collect(),
        found_broken: reboots.is_empty(),
    };
    let expected = [
        ("mirrored.example.com".to_owned(), activation(2, 1_795_344_000.25, &["node2.example.com"])),
        ("verified.example.com".to_owned(), activation(4, 1_795_344_100.0, &[])),
        ("waiting.example.com".to_owned(), activation(0, 0.0, &["node2.example.com"])),
    ];
    assert_eq!(*activations, BTreeMap::from(expected));

    let node_then = format!("node1.example.com {}", boot_id(1));
    let waits = [
        ("instance.example.com", Blame::Instance, 1, ""),
        ("node.example.com", Blame::Node, 2, node_then.as_str()),
        ("secondary.example.com", Blame::Peer, 3, "node4.example.com silent"),
        ("queue.example.com", Blame::Queue, 4, ""),
        ("master.example.com", Blame::Master, 5, ""),
        ("unknown.example.com", Blame::Unknown, 6, ""),
    ];
    assert_eq!(all_blocked.len(), waits.len());
    for (number, (instance, blame, failures, cause)) in (0_u8..).zip(waits) {
        let expected =
            (BlockedBy::Known(blame), failures, 1_795_344_000.5 + f64::from(number), cause.to_owned());
        assert_eq!(blocked(state, instance), expected, "{instance}");
    }
}

#[test]
fn a_state_of_f6ee7af_is_taken_over_without_losing_a_try_a_boot_id_or_a_wait() {
    let state = State::parse(OLD).unwrap();
    check_what_f6ee7af_knew(&state);
    let written = state.to_text();
    let again = State::parse(&written).unwrap();
    check_what_f6ee7af_knew(&again);
    assert_eq!(again, state);
    // What it did not know itself is at the top level, next to an instance's counters and in `recovery`.
    assert_eq!(written.matches("of_a_later_version").count(), 3);
    let mut expected = OLD.to_owned();
    for (code, words, _) in BLAMES {
        expected = expected.replace(&format!("\"by\": \"{words}\""), &format!("\"by\": \"{code}\""));
    }
    // Activations now have one place; their meaning was checked above.
    let without_activations = |text: &str| {
        let mut document: Value = serde_json::from_str(text).unwrap();
        document["recovery"].as_object_mut().unwrap().shift_remove("activations");
        for node in document["node"].as_object_mut().unwrap().values_mut() {
            node.as_object_mut().unwrap().shift_remove("pending_activations");
        }
        document.to_string()
    };
    assert_eq!(
        without_activations(&written),
        without_activations(&expected),
        "nothing else but the words for what is to blame has changed"
    );
}

#[test]
fn what_is_to_blame_is_stored_as_a_code_and_read_from_the_words_of_old_too() {
    for (code, words, blame) in BLAMES {
        let new = waits_because_of(&format!("\"{code}\""));
        for text in [&new, &waits_because_of(&format!("\"{words}\""))] {
            let state = State::parse(text).unwrap();
            assert_eq!(blocked(&state, "i"), (BlockedBy::Known(blame), 3, 7.5, "n1 b1".to_owned()));
            assert_eq!(state.to_text(), new);
        }
    }
}

#[test]
fn a_code_that_is_not_known_is_kept_with_its_wait() {
    for by in ["the-weather", "Node", "its primary node ", "", "its primary n\u{1}\\de"] {
        let text = waits_because_of(&serde_json::to_string(by).unwrap());
        let state = State::parse(&text).unwrap();
        assert_eq!(blocked(&state, "i"), (BlockedBy::Other(by.to_owned()), 3, 7.5, "n1 b1".to_owned()));
        assert_eq!(state.to_text(), text);
    }
}

#[test]
fn what_is_no_text_cannot_be_what_is_to_blame() {
    for by in ["1", "null", "[]"] {
        let error = State::parse(&waits_because_of(by)).unwrap_err();
        assert!(error.contains("blocked.i.by: expected a text that says what is to blame"), "{by}: {error}");
    }
}

#[test]
fn what_verdicts_need_survives_the_state_file_and_leaves_no_trace_when_it_is_over() {
    let mut state = State::default();
    let empty = state.to_text();
    let failure = LastFailure { job: JobId(78), error: "no \"kernel\"".to_owned(), at: 7.5 };
    state.recovery.last_failures.insert("i".to_owned(), failure);
    state.recovery.note_start("i", 8.5);
    state.recovery.note_start("i", 9.5);
    state.recovery.told.insert("tier dns".to_owned(), Told { mark: u32::MAX, at: 10.5 });
    let text = state.to_text();
    assert!(text.contains("\"starts\": {\"i\": [8.5, 9.5]}"), "{text}");
    let mut read = State::parse(&text).unwrap();
    assert_eq!(read, state);
    read.recovery.last_failures.clear();
    read.recovery.starts.clear();
    read.recovery.told.clear();
    assert_eq!(read.to_text(), empty);
}

#[test]
fn starts_count_for_an_hour_and_not_when_a_clock_puts_them_elsewhere() {
    let mut recovery = Recovery::default();
    for time in [6399.0, 6400.0, 9999.0, 10_000.0, 10_001.0, -1e308, 1e308, f64::NAN, f64::INFINITY] {
        recovery.note_start("i", time);
        recovery.note_start("other", 5.0);
    }
    recovery.forget_old_starts(10_000.0);
    assert_eq!(recovery.starts, BTreeMap::from([("i".to_owned(), vec![6400.0, 9999.0, 10_000.0])]));
    assert_eq!((recovery.starts_within_an_hour("i"), recovery.starts_within_an_hour("other")), (3, 0));
}
