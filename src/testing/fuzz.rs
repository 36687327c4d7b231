//! A fuzzing loop for every parser of outside input: good texts, changed at random but the same way every
//! time. Nothing may panic or take long. Parsers that are private to a file have their loop in that file's
//! tests.
//!
//! `cargo test` tries a few thousand inputs for each; `tests/faults/fuzz` sets [`COUNT`] and tries ten
//! million.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::timespec::parse_timespec;
use crate::cluster::{GanetiError, GanetiVersion, JobFailure};
use crate::decide::blame::Blame;
use crate::decide::tags::Rules;
use crate::luxi::messages::parse_answer;
use crate::luxi::rows::{Cell, RawRows, row};
use crate::luxi::wire::FrameDecoder;
use crate::memory::State;
use crate::node::confd::packet::{self, Key, testing};
use crate::node::maintenance::drbd::ProcDrbd;
use crate::node::systemd::Unit;

/// Environment variable: how many inputs each parser is given.
const COUNT: &str = "GANETI_WATCHER_FUZZ";
const FEW: u64 = 3000;
const MOST_CHANGES: usize = 6;
const LONGEST: usize = 8 << 10;
/// Now and then an input is this many times as long, to reveal anything that takes more than linear time.
const REPEATED: usize = 500;
const REPEATED_EVERY: u64 = 20_000;
/// For one input; a loaded machine can pause longer than a parser takes.
const LIMIT: Duration = Duration::from_secs(5);

/// Fragments that parsers treat specially.
const PIECES: [&[u8]; 34] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\x03",
    b" ",
    b"\t",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"[",
    b"]",
    b"{",
    b"}",
    b"[[[[[[[[[[[[[[[[",
    b",",
    b":",
    b"=",
    b"-",
    b"/",
    b".",
    b"(",
    b")",
    b"null",
    b"true",
    b"-1",
    b"1e308",
    b"1e999",
    b"18446744073709551615",
    b"99999999999999999999999",
    b"\xff",
    b"\xe2\x80\xae",
    b"\xc3",
];

/// Gives `attempt` changed copies of the seeds. A panic, or taking too long, is reported with the input.
pub(crate) fn fuzz<S: AsRef<[u8]>>(seeds: &[S], mut attempt: impl FnMut(&[u8])) {
    let count = std::env::var(COUNT).ok().and_then(|count| count.parse().ok()).unwrap_or(FEW);
    let mut chance = fastrand::Rng::with_seed(1);
    let mut input = Vec::new();
    for number in 1..=count {
        input.clear();
        input.extend_from_slice(seeds[chance.usize(0..seeds.len())].as_ref());
        for _ in 0..chance.usize(1..=MOST_CHANGES) {
            change(&mut input, seeds, &mut chance);
        }
        input.truncate(LONGEST);
        if number % REPEATED_EVERY == 0 {
            input = input.repeat(REPEATED);
        }
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| attempt(&input)));
        let told = || input[..input.len().min(LONGEST)].escape_ascii().to_string();
        if let Err(panic) = outcome {
            eprintln!("input {number}: {}", told());
            resume_unwind(panic);
        }
        assert!(began.elapsed() < LIMIT, "input {number} takes {:?}: {}", began.elapsed(), told());
    }
}

/// As [`fuzz`], for functions that take text.
pub(crate) fn fuzz_text<S: AsRef<[u8]>>(seeds: &[S], mut attempt: impl FnMut(&str)) {
    fuzz(seeds, |input| attempt(&String::from_utf8_lossy(input)));
}

fn change<S: AsRef<[u8]>>(input: &mut Vec<u8>, seeds: &[S], chance: &mut fastrand::Rng) {
    let at = chance.usize(0..=input.len());
    let to = chance.usize(at..=input.len().min(at + 16));
    match chance.usize(0..7) {
        0 => drop(input.splice(at..at, PIECES[chance.usize(0..PIECES.len())].iter().copied())),
        1 => drop(input.splice(at..to, PIECES[chance.usize(0..PIECES.len())].iter().copied())),
        2 => drop(input.drain(at..to)),
        3 => {
            let again = input[at..to].to_vec();
            input.splice(at..at, again);
        }
        4 => input.truncate(at),
        5 => {
            let other = seeds[chance.usize(0..seeds.len())].as_ref();
            let from = chance.usize(0..=other.len());
            input.splice(at.., other[from..].iter().copied());
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << chance.u8(0..8);
            }
        }
    }
}

const STATE: &str = r#"{"instance": {"i1": {"restart_count": 2, "restart_when": 1795343883.7, "cleanup_count": 1,
    "cleanup_when": 1.0}}, "node": {"n1": {"bootid": "b", "pending_bootid": "c", "pending_activations": {"i1":
    {"failures": 1, "last": 2.5}}}}, "recovery": {"down": {"i1": 1.5}, "blocked": {"i1": {"by": "node", "failures": 1,
    "last": 2.0, "cause": "x"}}, "seen": 3.0, "silent": {"n1": 4.0}, "failed_moves": {"i1": {"job": 7, "summary":
    "INSTANCE_MIGRATE(i1)"}}, "degraded": {"i1": 1.0}, "activations": {"i1": {"failures": 1, "last": 2.0}}, "new": []}}"#;

#[test]
fn any_state_file_is_refused_or_comes_back_as_it_was() {
    fuzz_text(&[STATE, "{}", " \n"], |text| {
        if let Ok(state) = State::parse(text) {
            let written = state.to_text();
            assert_eq!(State::parse(&written).as_ref().map(State::to_text), Ok(written));
        }
    });
}

const ROWS: &str = r#"{"success": true, "result": {"fields": [{"name": "name", "title": "x", "kind": "text"}], "data":
    [[[0, "i1"], [0, 5]], [[0, "i2"], [2, null]]]}}"#;
const ERROR: &str = r#"{"success": false, "result": ["OpPrereqError", ["disks", "insufficient_resources"]]}"#;

row! {
    struct ParametersRow {
        name: Value = "name",
        parameters: Cell<u64> = "beparams",
    }
}

#[test]
fn any_answer_of_luxids_is_rows_or_an_error() {
    fuzz(&[ROWS, ERROR, r#"{"success": true, "result": []}"#], |frame| {
        if let Ok(raw) = parse_answer::<RawRows>("Query", frame) {
            for ParametersRow { name, parameters } in raw.typed("instance").into_iter().flatten() {
                drop((name, parameters.value()));
            }
        }
        drop(parse_answer::<Vec<(String, String)>>("QueryGroups", frame).map_err(|error| error.to_string()));
    });
}

#[test]
fn any_stream_is_cut_into_frames() {
    fuzz(&["{\"success\": true}\x03{}\x03\x03", "x\x03"], |bytes| {
        let mut decoder = FrameDecoder::new(1000);
        let mut whole = 0;
        for part in bytes.chunks(7) {
            decoder.push(part);
            while let Ok(Some(frame)) = decoder.next_frame() {
                assert!(frame.len() <= 1000 && !frame.contains(&3));
                whole += frame.len() + 1;
            }
        }
        assert!(whole <= bytes.len());
    });
}

#[test]
fn any_error_of_ganetis_is_read_and_somebody_blamed() {
    let seeds = [
        r#"["OpExecError", ["Could not start instance: Hypervisor error: out of memory"]]"#,
        r#"["OpPrereqError", ["needed 1024 MiB, available 0", "insufficient_resources"]]"#,
        r#"["HypervisorError", [["a", 1], null]]"#,
    ];
    fuzz_text(&seeds, |text| {
        let failure = match serde_json::from_str(text).ok().as_ref().and_then(GanetiError::decode) {
            Some(error) => JobFailure::Error(error),
            None => JobFailure::Text(text.to_owned()),
        };
        for (primary, secondary) in [(true, false), (false, true)] {
            let _counts = Blame::of(&failure, primary, secondary).uses_up_a_try();
        }
        assert!(failure.to_string().len() < 8 * text.len() + 100);
    });
}

#[test]
fn any_tags_are_rules_or_problems() {
    let seeds = [
        "ganeti:watcher:start:tier:10",
        "ganeti:watcher:start:delay:1h30m\nganeti:watcher:start:never",
        "ganeti:watcher:start:hold:1795343883\nganeti:watcher:start:always",
        "ganeti:watcher:start:degraded:5m",
        "1h30m",
    ];
    fuzz_text(&seeds, |text| {
        let (rules, problems) = Rules::parse(text.split('\n'));
        drop((format!("{rules:?}"), problems));
        drop(parse_timespec(text));
    });
}

#[test]
fn any_software_version_is_read() {
    fuzz_text(&["3.0.2", "3.1.0~rc2", "2.16.2-1"], |text| {
        let _knows = GanetiVersion::parse(text).map(GanetiVersion::knows_is_strict);
    });
}

#[test]
fn no_datagram_counts_that_was_not_signed() {
    let key = Key::new(b"deadbeef\n");
    let message = r#"{"protocol":1,"status":0,"answer":2,"serial":20}"#;
    let good = testing::reply(&key, message, "salt");
    let answer = packet::read_answer(&key, &good, "salt");
    fuzz(&[good, b"plj0[]".to_vec()], |datagram| {
        if let Ok(other) = packet::read_answer(&key, datagram, "salt") {
            assert_eq!(Ok(other), answer);
        }
    });
}

#[test]
fn any_words_of_systemds_have_a_verdict() {
    let seed = "LoadState=loaded\nActiveState=failed\nSubState=failed\nUnitFileState=enabled\nResult=signal\nCanStart=yes\n";
    fuzz_text(&[seed, "LoadState=not-found\nActiveState=inactive\n"], |text| {
        if let Ok(unit) = Unit::parse(text) {
            drop((unit.verdict(), unit.can_be_restarted(), unit.result().len()));
        }
    });
}

#[test]
fn any_proc_drbd_has_minors_or_no_version() {
    let seed = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: X\n 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate \
                C r-----\n    ns:0 nr:0\n 1: cs:Unconfigured\n12: cs:WFConnection ro:Primary/Unknown\n";
    fuzz_text(&[seed], |text| {
        if let Ok(drbd) = ProcDrbd::parse(text) {
            let _syntax = drbd.syntax();
        }
    });
}
