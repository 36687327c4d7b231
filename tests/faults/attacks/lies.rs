//! luxid lies: at every place in every answer that a run gets, on the wire, and with far too many rows.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ganeti_watcher::cluster::Name;
use serde_json::{Value, json};

use super::{Bench, Case, Verdict};
use crate::judge::{self, Allowed, Problems};
use crate::luxid::{Lie, Recorded, Wire};
use crate::watcher::{self, Run};
use crate::world::{TO_START, TRIED, World, lock};

/// In KiB; what a run uses besides the answers.
const USUAL_MEMORY: u64 = 60 << 10;
const DEPTH: usize = 5000;
const LONG: usize = 1 << 20;
/// A debug build may take long over them.
const LIMIT_OF_ROWS: Duration = Duration::from_secs(600);
/// Each answer is waited for three minutes.
const LIMIT_OF_SILENCE: Duration = Duration::from_secs(900);
const MOST_LINES: usize = 60;

const WIRES: [(&str, Wire); 11] = [
    ("truncated", Wire::Truncated),
    ("cut short", Wire::CutShort),
    ("end first", Wire::EndFirst),
    ("twice", Wire::Twice),
    ("not text", Wire::NotText),
    ("zeros", Wire::Zeros),
    ("drip", Wire::Drip),
    ("late", Wire::Late),
    ("closed", Wire::Closed),
    ("too long", Wire::TooLong),
    ("endless", Wire::Endless),
];

/// What a run waits for patiently.
const SILENCE: [(&str, Wire); 2] = [("no end", Wire::NoEnd), ("silent", Wire::Silent)];

/// Invalid values, with names for them.
fn raws() -> Vec<(&'static str, Arc<str>)> {
    let nested = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let long = format!("\"{}\"", "x".repeat(LONG));
    [
        ("null", "null"),
        ("true", "true"),
        ("0", "0"),
        ("-1", "-1"),
        ("1e308", "1e308"),
        ("2^64-1", "18446744073709551615"),
        ("empty text", "\"\""),
        ("x", "\"x\""),
        ("line feeds", r#""x\n2026-11-25 ERROR\u0000\u001b[31m\u202e""#),
        ("[]", "[]"),
        ("{}", "{}"),
        ("nested", &nested),
        ("long text", &long),
    ]
    .map(|(name, raw)| (name, Arc::from(raw)))
    .into()
}

/// The answers in an undisturbed run, the first to each question.
fn answers(bench: &Bench) -> Result<Vec<Recorded>> {
    let world = World::new()?;
    let ended = watcher::watch(&bench.program, &world, &Run::default())?;
    anyhow::ensure!(ended.code() == Some(0), "an undisturbed run: {}\n{}", ended.how(), ended.log);
    judge_undisturbed(&world)?;
    let mut answers: Vec<Recorded> = Vec::new();
    for (question, answer) in lock(&world.recorded).drain(..) {
        if !answers.iter().any(|(known, _)| *known == question) {
            answers.push((question, answer));
        }
    }
    Ok(answers)
}

fn judge_undisturbed(world: &World) -> Result<()> {
    anyhow::ensure!(world.not_started().is_empty(), "an undisturbed run starts not everything");
    for instance in TO_START {
        anyhow::ensure!(world.starts(instance) == 1, "an undisturbed run starts {instance} more than once");
    }
    Ok(())
}

/// JSON pointers to everything in a value, itself included.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                pointers(value, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{at}/{key}"), found);
            }
        }
        _ => {}
    }
}

/// A question as a word in a case's name.
fn short(question: &str, number: usize) -> String {
    let words: Vec<&str> = question.split([' ', ',']).take(3).collect();
    format!("{number}:{}", words.join(" "))
}

pub(super) fn values(bench: &Bench) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let raws = raws();
    for (number, (question, answer)) in answers(bench)?.into_iter().enumerate() {
        let mut places = Vec::new();
        pointers(&answer, "", &mut places);
        for pointer in places {
            for (name, raw) in &raws {
                let (question, pointer, raw) = (question.clone(), pointer.clone(), Arc::clone(raw));
                let name = format!("{} {pointer} {name}", short(&question, number));
                let gone = tells_that_it_is_gone(&question, answer.clone(), &pointer, &raw);
                cases.push(Case::new(name, move |bench| {
                    let lie = Lie::Value {
                        question: question.clone(),
                        pointer: pointer.clone(),
                        raw: Arc::clone(&raw),
                    };
                    let memory = USUAL_MEMORY + (8 << 10);
                    attack(bench, lie, Allowed { memory, gone, ..Allowed::default() })
                }));
            }
        }
    }
    Ok(cases)
}

pub(super) fn wires(bench: &Bench) -> Result<Vec<Case>> {
    on_the_wire(bench, &WIRES)
}

pub(super) fn silence(bench: &Bench) -> Result<Vec<Case>> {
    on_the_wire(bench, &SILENCE)
}

fn on_the_wire(bench: &Bench, ways: &[(&'static str, Wire)]) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (number, (question, _)) in answers(bench)?.into_iter().enumerate() {
        for &(name, wire) in ways {
            let question = question.clone();
            cases.push(Case::new(format!("{} {name}", short(&question, number)), move |bench| {
                let lie = Lie::Wire { question: question.clone(), wire };
                // As much as the longest answer can take, in a buffer that grows by doubling.
                let memory = USUAL_MEMORY + (160 << 10);
                attack(bench, lie, Allowed { memory, ..Allowed::default() })
            }));
        }
    }
    Ok(cases)
}

pub(super) fn rows(bench: &Bench) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (number, (question, answer)) in answers(bench)?.into_iter().enumerate() {
        // A query's table, or the list that other methods return.
        let pointer = ["/result/data", "/result"]
            .into_iter()
            .find(|at| answer.pointer(at).is_some_and(Value::is_array));
        let Some(pointer) = pointer else { continue };
        let first = answer.pointer(&format!("{pointer}/0")).map(Value::to_string);
        let rows = [("[]", Some("[]".to_owned())), ("0", Some("0".to_owned())), ("right", first)];
        for (name, row) in rows {
            let Some(row) = row else { continue };
            let (question, answer) = (question.clone(), answer.clone());
            cases.push(Case::new(format!("{} {name}", short(&question, number)), move |bench| {
                let raw = many(&answer, pointer, &row, bench.many_rows).context("no answer")?;
                let memory = USUAL_MEMORY + ((4 * bench.many_rows as u64) >> 10);
                let lie = Lie::Whole { question: question.clone(), raw };
                attack(bench, lie, Allowed { memory, ..Allowed::default() })
            }));
        }
    }
    Ok(cases)
}

fn many(answer: &Value, pointer: &str, row: &str, bytes: usize) -> Option<Arc<str>> {
    const MARK: &str = "@@rows@@";
    let mut answer = answer.clone();
    *answer.pointer_mut(pointer)? = json!(MARK);
    let rows = vec![row; bytes / (row.len() + 1)].join(",");
    Some(answer.to_string().replace(&format!("\"{MARK}\""), &format!("[{rows}]")).into())
}

/// Whether the list of instances is then as plausible as any, but without the one that has tries on record.
fn tells_that_it_is_gone(question: &str, mut answer: Value, pointer: &str, raw: &str) -> bool {
    let Ok(value) = serde_json::from_str(raw) else { return false };
    if let Some(place) = answer.pointer_mut(pointer) {
        *place = value;
    }
    let rows = answer.pointer("/result/data").and_then(Value::as_array);
    let name = |row: &Value| row.pointer("/0/1").and_then(Value::as_str).map(str::to_owned);
    let names: Option<Vec<String>> = rows.and_then(|rows| rows.iter().map(name).collect());
    let is_list = question.starts_with("Query instance") && question.contains("status");
    let is_name = |name: &String| Name::try_from(name.clone()).is_ok();
    let lists = |names: &[String]| names.iter().all(is_name) && !names.iter().any(|name| name == TRIED);
    is_list && names.is_some_and(|names| lists(&names))
}

fn attack(bench: &Bench, lie: Lie, allowed: Allowed) -> Result<Verdict> {
    let world = World::new()?;
    let is_of_rows = matches!(lie, Lie::Whole { .. });
    let is_silent = matches!(lie, Lie::Wire { wire: Wire::NoEnd | Wire::Silent, .. });
    world.behave(|behaviour| behaviour.luxid = lie);
    let run = Run {
        limit: match (is_of_rows, is_silent) {
            (true, _) => LIMIT_OF_ROWS,
            (_, true) => LIMIT_OF_SILENCE,
            _ => Run::default().limit,
        },
        ..Run::default()
    };
    let mut problems = Problems::default();
    let ended = watcher::watch(&bench.program, &world, &run)?;
    judge::run(&mut problems, &ended, allowed);
    let lines = ended.log.lines().count();
    if is_of_rows && lines > MOST_LINES {
        problems.add(format!("{lines} lines in the log"));
    }
    judge::record(&mut problems, &world, allowed);
    world.behave(|behaviour| behaviour.luxid = Lie::None);
    judge::aftermath(&mut problems, &bench.program, &world, allowed)?;
    Ok(problems.into_result().into())
}
