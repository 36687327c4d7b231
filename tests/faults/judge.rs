//! What must hold, whatever was done to a run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::watcher::{self, Ended, Run};
use crate::world::{TO_START, TRIES, World};

/// After this many more runs everything must be as it should.
const MORE_RUNS: usize = 4;
/// A line may have 4 KiB of names.
const LONGEST_LINE: usize = 5000;
const MOST_LINES: usize = 300;
const LONGEST_FILE: u64 = 1 << 20;

/// What an attack allows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowed {
    /// A death by this signal, which the attack sent.
    pub(crate) signal: Option<i32>,
    /// The state is bad, and may be set aside.
    pub(crate) bad_state: bool,
    /// luxid said, indistinguishably from the truth, that the instance with tries on record is gone.
    pub(crate) gone: bool,
    /// More KiB of memory than a run needs; 0 means that it is not checked.
    pub(crate) memory: u64,
    /// Nothing could be reported anywhere.
    pub(crate) silence: bool,
    /// The attack's remains may keep later runs from ending well.
    pub(crate) lasting: bool,
}

/// What is wrong.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    pub(crate) fn add(&mut self, problem: impl Into<String>) {
        let problem = problem.into();
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub(crate) fn into_result(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0.join("; ")) }
    }
}

/// The run itself.
pub(crate) fn run(problems: &mut Problems, ended: &Ended, allowed: Allowed) {
    match (ended.code(), ended.signal()) {
        (Some(0 | 11), _) => {}
        (Some(1), _) if ended.says_why() || allowed.silence => {}
        (Some(1), _) => problems.add("exit code 1, and nothing says why"),
        (_, Some(signal)) if Some(signal) == allowed.signal => {}
        _ => problems.add(ended.how()),
    }
    for line in ended.log.lines().chain(ended.output.lines()) {
        if line.contains("panicked") || line.contains("internal error") {
            problems.add(format!("a panic: {}", cut(line)));
        }
        if line.len() > LONGEST_LINE {
            problems.add(format!("a line of {} bytes: {}", line.len(), cut(line)));
        }
    }
    let lines = ended.log.lines().count();
    if lines > MOST_LINES {
        problems.add(format!("{lines} lines in the log"));
    }
    if allowed.memory > 0 && ended.memory > allowed.memory {
        problems.add(format!("{} MiB of memory, {} are allowed", ended.memory >> 10, allowed.memory >> 10));
    }
}

/// What is remembered and what was started, right after an attack or later.
pub(crate) fn record(problems: &mut Problems, world: &World, allowed: Allowed) {
    if !allowed.bad_state {
        match world.state() {
            Ok(state) if World::tries(&state) < TRIES && !allowed.gone => {
                problems.add(format!("{} tries are on record instead of {TRIES}", World::tries(&state)));
            }
            Ok(_) => {}
            Err(problem) => problems.add(problem),
        }
        for aside in files(world).iter().filter(|path| is_aside(path)) {
            problems.add(format!("'{}' was set aside", name(aside)));
        }
    }
    for instance in TO_START {
        let starts = world.starts(instance);
        if starts > 1 {
            problems.add(format!("{instance} was started {starts} times"));
        }
    }
}

/// The attack was not a reason to leave out repairs.
pub(crate) fn repaired(problems: &mut Problems, world: &World) {
    let down = world.not_started();
    if !down.is_empty() {
        problems.add(format!("not started: {}", down.join(", ")));
    }
}

/// Everything in the node's files, to search for what must not be there.
pub(crate) fn told_in_files(world: &World) -> String {
    let is_file = |path: &PathBuf| {
        fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() < LONGEST_FILE)
    };
    files(world).into_iter().filter(is_file).filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// Runs without an attack follow; finally everything is up, remembered and tidy.
pub(crate) fn aftermath(
    problems: &mut Problems,
    program: &Path,
    world: &World,
    allowed: Allowed,
) -> Result<()> {
    // cron comes again in five minutes.
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(300);
    for left in files(world).iter().filter(|path| name(path).ends_with(".new")) {
        fs::File::options().write(true).open(left)?.set_modified(then)?;
    }
    let mut ended = watcher::watch(program, world, &Run::default())?;
    for _ in 1..MORE_RUNS {
        if ended.status.is_none() || (is_well(&ended) && world.not_started().is_empty()) {
            break;
        }
        while world.has_unfinished_jobs() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        ended = watcher::watch(program, world, &Run::default())?;
    }
    if !allowed.lasting && !is_well(&ended) {
        problems.add(format!("a later run without an attack: {}, {}", ended.how(), cut(last_error(&ended))));
    }
    // What failed because of the master or the queue waits some minutes, and no time passes here; so it must
    // be reported. The log does that when it is new; a dry run does it always.
    let mut down = world.not_started();
    if !down.is_empty() {
        let told = watcher::watch(program, world, &Run::with(&["--dry-run"]))?.output;
        let is_about_waits = |line: &&str| line.starts_with("Not starting ") && line.ends_with("[backoff]");
        let waits: Vec<&str> = told.lines().filter(is_about_waits).collect();
        down.retain(|name| !waits.iter().any(|line| line.contains(name)));
    }
    if !allowed.lasting && !down.is_empty() {
        problems.add(format!("still down after {MORE_RUNS} later runs: {}", down.join(", ")));
    }
    record(problems, world, allowed);
    for left in files(world).iter().filter(|path| name(path).ends_with(".new")) {
        problems.add(format!("'{}' was left", name(left)));
    }
    Ok(())
}

fn is_well(ended: &Ended) -> bool {
    ended.code() == Some(0)
}

fn last_error(ended: &Ended) -> &str {
    let is_error = |line: &&str| line.contains(" ERROR ") || line.contains(" CRITICAL ");
    ended.log.lines().rfind(is_error).or_else(|| ended.output.lines().last()).unwrap_or("no word why")
}

fn is_aside(path: &Path) -> bool {
    name(path).contains(".bad-")
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Every file below the node's root; links are not followed.
fn files(world: &World) -> Vec<PathBuf> {
    let (mut found, mut directories) = (Vec::new(), vec![world.machine.root.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found
}

/// Enough of a text to recognise it.
pub(crate) fn cut(text: &str) -> &str {
    text.char_indices().nth(200).map_or(text, |(end, _)| &text[..end])
}
