use std::collections::BTreeSet;

use super::testing::one_of_each;
use super::*;
use crate::cluster::testing::pending_job;
use crate::decide::blame::Blame;
use crate::decide::remedy::{Command, Condition, Culprit, Next};
use crate::memory::recovery::{BlockedBy, Failures};

/// The names of the variants as they stand in the source, as a code would have them.
fn variants() -> Vec<String> {
    let (_, text) = include_str!("../reason.rs").split_once("pub enum Reason {\n").unwrap();
    let (text, _) = text.split_once("\n}\n").unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    let name = |line: &str| {
        let name = line.split(|other: char| !other.is_ascii_alphanumeric()).next().unwrap_or_default();
        let mut code = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !code.is_empty() {
                code.push('_');
            }
            code.push(letter.to_ascii_lowercase());
        }
        code
    };
    names.map(name).collect()
}

#[test]
fn every_reason_has_its_code_and_every_code_its_reason_in_one_order() {
    assert_eq!(variants(), CODES);
    let codes: Vec<&str> = one_of_each().iter().map(Reason::code).collect();
    assert_eq!(codes, CODES);
    assert_eq!(CODES.iter().collect::<BTreeSet<_>>().len(), CODES.len(), "each once");
}

#[test]
fn only_flapping_and_mirrors_keep_nothing_from_being_started() {
    for reason in one_of_each() {
        let is_harmless = reason.code() == "flapping" || reason.code().starts_with("mirror_");
        assert_eq!(reason.prevents_start(), !is_harmless, "{reason:?}");
        assert_eq!(reason.is_about_a_mirror(), reason.code().starts_with("mirror_"), "{reason:?}");
    }
}

#[test]
fn a_human_is_needed_where_nothing_happens_by_itself() {
    let needy: Vec<&str> =
        one_of_each().iter().filter(|reason| reason.needs_human()).map(Reason::code).collect();
    let expected = [
        "primary_offline",
        "move_failed",
        "out_of_tries",
        "given_up",
        "clean_up_out_of_tries",
        "split_groups",
        "unreadable",
        "status_unknown",
        "mirror_not_active",
    ];
    assert_eq!(needy, expected);
    let last_try = Reason::StartFailed { tries: budget::MAX_TRIES };
    assert_eq!((last_try.next(), last_try.needs_human()), (Next::Never, true), "the next run gives it up");
    assert_eq!(last_try.commands("a"), [Command::Retry("a".into())]);
    let other_try = Reason::StartFailed { tries: budget::MAX_TRIES - 1 };
    assert_eq!((other_try.next(), other_try.commands("a")), (Next::InNextRun, vec![]));
}

#[test]
fn what_comes_next_has_the_facts_of_the_reason() {
    let named = |code: &str| one_of_each().into_iter().find(|reason| reason.code() == code).unwrap();
    for (code, next) in [
        ("primary_silent", Next::When(Condition::Answers("n1".into()))),
        ("secondary_silent", Next::When(Condition::Answers("n2".into()))),
        ("mirror_peer_away", Next::When(Condition::Answers("n2".into()))),
        ("shared_storage_unsure", Next::When(Condition::AllAnswer(vec!["n2".into()]))),
        ("job_running", Next::When(Condition::JobEnds(JobId(7)))),
        ("locked", Next::When(Condition::LockIsFree)),
        ("tag_never", Next::When(Condition::TagIsGone)),
        ("tag_hold", Next::At(500.0)),
        ("tier", Next::When(Condition::TierIsUp { behind: "dns".into(), until: 500.0 })),
        ("delay", Next::At(500.0)),
        ("backoff", Next::At(500.0)),
        ("no_memory", Next::At(500.0)),
        ("mirror_not_activated", Next::At(500.0)),
        ("paused", Next::When(Condition::PauseIsOver)),
        ("drained", Next::When(Condition::QueueIsOpen)),
        ("room", Next::InNextRun),
        ("start_failed", Next::InNextRun),
        ("not_submitted", Next::InNextRun),
        ("changed", Next::InNextRun),
        ("cut_short", Next::InNextRun),
        ("flapping", Next::InNextRun),
        ("mirror_degraded", Next::InNextRun),
        ("given_up", Next::Never),
    ] {
        assert_eq!(named(code).next(), next, "{code}");
    }
    assert_eq!(Reason::MirrorPeerAway { node: None }.next(), Next::InNextRun);
}

#[test]
fn whoever_is_to_blame_is_named() {
    let backoff = |blame| Reason::Backoff { by: BlockedBy::Known(blame), failures: 1, until: 5.0 };
    for (reason, culprit) in [
        (Reason::PrimarySilent { node: "n1".into(), since: None }, Some(Culprit::Node("n1".into()))),
        (Reason::SecondarySilent { node: "n2".into(), since: None }, Some(Culprit::Peer("n2".into()))),
        (Reason::GivenUp { until: 5.0 }, Some(Culprit::Instance)),
        (Reason::Drained, Some(Culprit::Queue)),
        (Reason::CutShort, Some(Culprit::Master)),
        (Reason::MirrorNotActive, Some(Culprit::Storage)),
        (backoff(Blame::Node), Some(Culprit::Node("primary".into()))),
        (backoff(Blame::Peer), Some(Culprit::Secondary)),
        (backoff(Blame::Queue), Some(Culprit::Queue)),
        (backoff(Blame::Master), Some(Culprit::Master)),
        (
            Reason::Backoff { by: BlockedBy::Other("weather".into()), failures: 1, until: 5.0 },
            Some(Culprit::Unknown),
        ),
        (Reason::PrimaryOffline { node: "n1".into() }, None),
        (Reason::TagNever(Place::Instance), None),
        (Reason::JobRunning(pending_job(7, "x")), None),
        (Reason::Changed, None),
    ] {
        assert_eq!(reason.blame("primary"), culprit, "{reason:?}");
    }
}

#[test]
fn commands_have_real_names_and_come_in_order() {
    let named = |code: &str| one_of_each().into_iter().find(|reason| reason.code() == code).unwrap();
    let (n1, n2, a) = (|| "n1".to_owned(), || "n2".to_owned(), || "a".to_owned());
    for (code, commands) in [
        ("primary_silent", vec![Command::MarkOffline(n1()), Command::FailOverNode(n1())]),
        ("primary_offline", vec![Command::FailOverNode(n1())]),
        ("secondary_silent", vec![Command::MarkOffline(n2())]),
        ("shared_storage_unsure", vec![Command::MarkOffline(n2())]),
        ("mirror_peer_away", vec![Command::MarkOffline(n2())]),
        ("move_failed", vec![Command::CleanUpMigration(a()), Command::StartUp(a())]),
        ("backoff", vec![Command::Retry(a())]),
        ("out_of_tries", vec![Command::Retry(a())]),
        ("mirror_not_activated", vec![Command::ActivateDisks(a())]),
        ("drained", vec![Command::OpenQueue]),
        ("tag_never", vec![]),
    ] {
        assert_eq!(named(code).commands("a"), commands, "{code}");
    }
}

#[test]
fn a_wait_is_for_memory_if_that_is_what_is_on_record() {
    let mut state = State::default();
    assert_eq!(of_wait(&state, "a", 100.0), None);
    let by = BlockedBy::Known(Blame::Node);
    let failures = Failures { failures: 2, last: 100.0 };
    let shortage = Shortage { needed: Some(5), available: None, asked: false };
    let mut blocked = crate::memory::recovery::Blocked {
        by: by.clone(),
        failures,
        cause: String::new(),
        alike: None,
        memory: Some(shortage),
    };
    state.recovery.blocked.insert("a".into(), blocked.clone());
    let until = 200.0 + budget::wait(&state, "a", 200.0).unwrap().seconds;
    assert_eq!(of_wait(&state, "a", 200.0), Some(Reason::NoMemory { failures: 2, shortage, until }));
    blocked.memory = None;
    state.recovery.blocked.insert("a".into(), blocked);
    assert_eq!(of_wait(&state, "a", 200.0), Some(Reason::Backoff { by, failures: 2, until }));
    assert_eq!(of_wait(&state, "a", until), None, "it is over");
}
