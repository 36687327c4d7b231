//! What a scenario's record looks like as text: the expectations in `tests/scenarios`, and what the oracle
//! compares.

pub(crate) mod topics;
pub(crate) mod utc;

use std::collections::BTreeMap;

use ganeti_watcher::cluster::AdminState;
use ganeti_watcher::sim::engine::Engine;
use ganeti_watcher::sim::jobs::Job;
use ganeti_watcher::sim::model::{Instance, Live, Power, is_linked};
use ganeti_watcher::sim::story::{Record, RunRecord};
use serde_json::{Map, Value, json};

/// Replaces meaningless differences between two plays of the same story: the directory, and the UUIDs of
/// groups, which are given by name.
#[derive(Debug)]
pub(crate) struct Redactor {
    replacements: Vec<(String, String)>,
}

impl Redactor {
    /// For the stage of that record.
    pub(crate) fn new(record: &Record) -> Self {
        let master = record.stage.master();
        let root = record.stage.directory(&master).display().to_string();
        let groups = record.stage.groups().into_iter().map(|(uuid, name)| (uuid, format!("{{{name}}}")));
        Self { replacements: std::iter::once((root, String::new())).chain(groups).collect() }
    }

    /// The text without those.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text = self.replacements.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        without_stamps(&text)
    }
}

/// The text with `TIME` in place of the local time in the names of files that were set aside.
fn without_stamps(text: &str) -> String {
    const MARK: &str = ".bad-";
    const LENGTH: usize = "20261122-101500".len();
    let mut parts = text.split(MARK);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + MARK + "TIME" + part.get(LENGTH..).unwrap_or_default())
}

/// `expected.log`: every line as level and message, without time, process and place.
pub(crate) fn log(record: &Record) -> String {
    let redactor = Redactor::new(record);
    let mut text = String::new();
    for (number, run) in record.runs.iter().enumerate() {
        line(&mut text, &format!("run {}: {}", number + 1, run.command));
        // How often luxid is asked is not part of the story.
        let told = run.log.lines().map(without_prefix).filter(|line| !line.starts_with("DEBUG luxi "));
        told.for_each(|told| line(&mut text, &format!("  {}", redactor.redact(&told))));
        line(&mut text, &format!("  exit {}", run.exit));
    }
    text
}

/// A log line without time, program, process and place; a line without such a prefix stays unchanged.
pub(crate) fn without_prefix(line: &str) -> String {
    let Some((_, rest)) = line.split_once(": ganeti-watcher pid=") else { return line.to_owned() };
    let is_level = |word: &str| ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"].contains(&word);
    let words: Vec<&str> = rest.splitn(4, ' ').collect();
    match words.as_slice() {
        [_pid, level, ..] if is_level(level) => words[1..].join(" "),
        [_pid, _place, rest @ ..] => rest.join(" "),
        _ => line.to_owned(),
    }
}

/// `expected.jobs`: what was submitted, in order, and what became of it.
pub(crate) fn jobs(record: &Record) -> String {
    let redactor = Redactor::new(record);
    let mut text = String::new();
    for (number, run) in record.runs.iter().enumerate() {
        line(&mut text, &format!("run {}", number + 1));
        for job in &run.jobs {
            for (index, op) in job_lines(job).into_iter().enumerate() {
                let id = if index == 0 { job.id.to_string() } else { String::new() };
                line(&mut text, &format!("  {id:>3} {}", redactor.redact(&op)));
            }
        }
    }
    let archived = |engine: &Engine| -> Vec<String> {
        engine.jobs().values().filter(|job| job.archived).map(|job| job.id.to_string()).collect()
    };
    let archived = record.stage.cluster.look(archived);
    line(&mut text, &format!("archived in the end: {}", archived.join(" ")));
    text
}

/// The opcodes of a job: summary, status, priority if unusual, reasons, and the error if it failed.
pub(crate) fn job_lines(job: &Job) -> Vec<String> {
    let lines = job.ops.iter().map(|op| {
        let mut text = format!("{} {}", op.opcode.summary, op.status.as_word());
        if op.opcode.priority != 0 {
            text += &format!(" priority={}", op.opcode.priority);
        }
        for reason in op.opcode.input["reason"].as_array().into_iter().flatten() {
            if let (Some(source), Some(words)) = (reason[0].as_str(), reason[1].as_str())
                && !source.starts_with("gnt:opcode:")
            {
                text += &format!(" [{source}: {words}]");
            }
        }
        if op.status.as_word() == "error" {
            text += &format!(" {}", op.result);
        }
        text
    });
    lines.collect()
}

/// `expected.state.json`: the state of every group after the runs that changed it. Times are given as the run
/// in which they fall. When something was seen last changes with every run: that alone is no change.
pub(crate) fn states(record: &Record) -> String {
    let mut states = Map::new();
    let mut last = Value::Null;
    for (number, run) in record.runs.iter().enumerate() {
        let now = run_states(record, run);
        if now != last {
            states.insert(format!("after run {}", number + 1), now.clone());
            last = now;
        }
    }
    let pretty = serde_json::to_string_pretty(&Value::Object(states)).unwrap_or_default();
    Redactor::new(record).redact(&pretty) + "\n"
}

/// The states of all groups after a run, by the group's name.
pub(crate) fn run_states(record: &Record, run: &RunRecord) -> Value {
    let of_group = |(name, state): &(String, Option<Value>)| {
        let mut state = json!(state);
        date(&mut state, record, run);
        (name.clone(), state)
    };
    Value::Object(run.states.iter().map(of_group).collect())
}

/// Replaces times by the run in which they fall.
fn date(value: &mut Value, record: &Record, run: &RunRecord) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                // From names to times.
                let holds_times = ["down", "silent", "degraded", "starts"].contains(&key.as_str());
                match value {
                    Value::Object(times) if holds_times => {
                        times.values_mut().for_each(|time| dated(time, record));
                    }
                    // The mark is a number without a meaning.
                    Value::Object(told) if key == "told" => {
                        for told in told.values_mut() {
                            *told = told.get("at").cloned().unwrap_or_default();
                            dated(told, record);
                        }
                    }
                    Value::Number(seen)
                        if key == "seen" && seen.as_f64().is_some_and(|at| was_lately(run, at)) =>
                    {
                        *value = json!("lately");
                    }
                    _ if key.ends_with("_when") || ["at", "last", "seen"].contains(&key.as_str()) => {
                        dated(value, record);
                    }
                    _ => date(value, record, run),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| date(value, record, run)),
        _ => {}
    }
}

/// Whether a run need not note again that it has seen the group.
fn was_lately(run: &RunRecord, at: f64) -> bool {
    (0.0..600.0).contains(&(run.time.1.as_secs_f64() - at))
}

fn dated(value: &mut Value, record: &Record) {
    if let Value::Array(times) = value {
        times.iter_mut().for_each(|time| dated(time, record));
    }
    if let Some(when) = value.as_f64() {
        *value = json!(moment(when, record));
    }
}

fn falls_in(run: &RunRecord, when: f64) -> bool {
    run.time.0.as_secs_f64() - 1.0 <= when && when <= run.time.1.as_secs_f64() + 0.01
}

fn moment(when: f64, record: &Record) -> String {
    match record.runs.iter().position(|run| falls_in(run, when)) {
        Some(number) => format!("during run {}", number + 1),
        None => format!("at {when}"),
    }
}

/// `expected.instance-status`: the status files after the runs that changed them.
pub(crate) fn statuses(record: &Record) -> String {
    let redactor = Redactor::new(record);
    let mut text = String::new();
    let mut last: Option<&Vec<(String, Option<String>)>> = None;
    for (number, run) in record.runs.iter().enumerate() {
        if last == Some(&run.statuses) {
            continue;
        }
        last = Some(&run.statuses);
        line(&mut text, &format!("after run {}", number + 1));
        for (name, content) in &run.statuses {
            let Some(content) = content else {
                line(&mut text, &format!("  {name}: no file"));
                continue;
            };
            line(&mut text, &format!("  {name}:"));
            content.lines().for_each(|status| line(&mut text, &format!("    {}", redactor.redact(status))));
            if content.ends_with('\n') {
                line(&mut text, "    (a line feed at the end)");
            }
        }
    }
    text
}

/// `expected.cluster`: the actual condition at the end.
pub(crate) fn cluster(record: &Record) -> String {
    record.stage.cluster.look(|engine| {
        let mut text = String::new();
        for node in engine.model.nodes.values() {
            let power = match node.power {
                Power::On => "on",
                Power::Off => "off",
                Power::Booting(_) => "booting",
            };
            let offline = if node.offline { ", offline" } else { "" };
            line(&mut text, &format!("{}: {power}{offline}", node.name));
        }
        for instance in engine.model.instances.values() {
            line(&mut text, &instance_line(instance));
            mirror_lines(engine, instance).iter().for_each(|mirror| line(&mut text, mirror));
        }
        text
    })
}

fn instance_line(instance: &Instance) -> String {
    let live = match &instance.live {
        Live::Absent => "not running".to_owned(),
        Live::Running(node) => format!("running on {node}"),
        Live::Stopped(node) => format!("stopped by its user on {node}"),
    };
    let wanted = match instance.admin_state {
        AdminState::Up => "up",
        AdminState::Down if instance.set_by_user => "down (by its user)",
        AdminState::Down => "down",
        AdminState::Offline => "offline",
    };
    let disks = if instance.disks_active { "active" } else { "not active" };
    format!("{}: wanted {wanted}, {live}, disks {disks}", instance.name)
}

fn mirror_lines(engine: &Engine, instance: &Instance) -> Vec<String> {
    let mirrors =
        instance.disks.iter().enumerate().filter_map(|(index, disk)| Some((index, disk.mirror.as_ref()?)));
    let describe = |(index, mirror): (usize, &ganeti_watcher::sim::drbd::Drbd)| {
        let linked = is_linked(&engine.model, mirror);
        let side = |at: usize| format!("{} {}", mirror.sides[at].node, mirror.connection(at, linked));
        format!("  disk/{index}: {}, {}", side(0), side(1))
    };
    mirrors.map(describe).collect()
}

/// Everything that a scenario expects, by the name of its file.
pub(crate) fn expectations(record: &Record) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("expected.log", log(record)),
        ("expected.jobs", jobs(record)),
        ("expected.state.json", states(record)),
        ("expected.instance-status", statuses(record)),
        ("expected.cluster", cluster(record)),
    ])
}

fn line(text: &mut String, content: &str) {
    text.push_str(content);
    text.push('\n');
}
