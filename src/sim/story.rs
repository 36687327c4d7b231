//! Plays a scenario: its steps one after another, with a record of every run.

use std::io::Write as _;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::{Either, select};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::jobs::Job;
use super::scenario::{Run, Scenario, ScenarioStep, WatcherCommand};
use super::stage::{OnNode, Stage};
use crate::armed::Armed;
use crate::clock::{Clock, file_stamp};
use crate::decide::verdict::Verdicts;
use crate::files::{self, read_text};
use crate::layout::Layout;
use crate::logging;
use crate::luxi::client::LocalFuture;
use crate::tell;
use crate::watch::retry::Whose;
use crate::watch::{self, Context, Ended};

/// No run takes longer, in the box's time.
const LONGEST_RUN: Duration = Duration::from_secs(86_400);
/// The exit code of a killed watcher, as a shell shows it.
const KILLED: u8 = 137;
const LONGEST_FILE: u64 = 64 << 20;
/// The process number in log lines: a real one would differ each time.
const PID: u32 = 4242;

/// How to run the watcher.
pub trait Watcher {
    /// Makes one run on the named node and returns its exit code.
    ///
    /// # Errors
    /// When it could not be run at all.
    fn run<'a>(&'a self, stage: &'a Stage, node: &'a str, run: &'a Run) -> LocalFuture<'a, Result<u8>>;
}

/// What one run did.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// The command line.
    pub command: String,
    /// The exit code.
    pub exit: u8,
    /// When it began and when it ended, since 1970.
    pub time: (Duration, Duration),
    /// What it wrote into the log.
    pub log: String,
    /// The new jobs since the last run.
    pub jobs: Vec<Job>,
    /// Name of each group with its state file's content at that time; `None` when there is none.
    pub states: Vec<(String, Option<Value>)>,
    /// Name of each group, and finally `cluster`, with the content of its status file.
    pub statuses: Vec<(String, Option<String>)>,
}

/// The outcome of a scenario.
#[derive(Debug)]
pub struct Record {
    /// The runs in order.
    pub runs: Vec<RunRecord>,
    /// The stage as the last step left it.
    pub stage: Stage,
}

/// What happens in the waiting steps of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitSteps {
    /// Their time is actually waited for.
    Wait,
    /// Their time passes in the box alone, instantly.
    Skip,
}

/// Plays a scenario in virtual time with this program as the watcher.
///
/// # Errors
/// See [`play`]; and when a run does not end as the scenario says.
pub fn play_in_virtual_time(scenario: &Scenario, root: &Path) -> Result<Record> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let record = runtime.block_on(play(scenario, root, &InProcess, WaitSteps::Wait))?;
    let runs = scenario.steps.iter().filter_map(|step| match step {
        ScenarioStep::Run(run) => Some(run),
        _ => None,
    });
    for (number, (run, made)) in runs.zip(&record.runs).enumerate() {
        if made.exit != run.exit {
            let (wanted, found, log) = (run.exit, made.exit, &made.log);
            bail!(
                "run {} should have ended with exit code {wanted}, not {found}; its log:\n{log}",
                number + 1
            );
        }
    }
    Ok(record)
}

/// Plays a scenario below the directory `root`.
///
/// # Errors
/// When the stage cannot be set up or a step cannot be taken, and when something planned for a run did not
/// happen.
pub async fn play(
    scenario: &Scenario,
    root: &Path,
    watcher: &dyn Watcher,
    waits: WaitSteps,
) -> Result<Record> {
    let mut record = Record { runs: Vec::new(), stage: Stage::set_up(scenario, root)? };
    for step in &scenario.steps {
        take(&mut record, step, watcher, waits).await?;
    }
    Ok(record)
}

/// Takes one step.
///
/// # Errors
/// As [`play`].
pub async fn take(
    record: &mut Record,
    step: &ScenarioStep,
    watcher: &dyn Watcher,
    waits: WaitSteps,
) -> Result<()> {
    let stage = &mut record.stage;
    match step {
        ScenarioStep::Wait(length) if waits == WaitSteps::Skip => stage.cluster.skip(*length),
        ScenarioStep::Wait(length) => sleep(*length).await,
        ScenarioStep::Happen(events) => events.iter().for_each(|event| stage.cluster.apply(event)),
        ScenarioStep::Write { path, content } => stage.write(path, content.as_deref())?,
        ScenarioStep::Lock { path, held } => stage.lock(path, *held)?,
        ScenarioStep::Run(run) => {
            let seen = record.runs.iter().map(|run| run.jobs.len()).sum();
            let number = record.runs.len() + 1;
            let made = make(&record.stage, run, watcher, seen).await;
            record.runs.push(made.with_context(|| format!("run {number}"))?);
        }
    }
    Ok(())
}

async fn make(stage: &Stage, run: &Run, watcher: &dyn Watcher, seen: usize) -> Result<RunRecord> {
    let node = run.node.clone().unwrap_or_else(|| stage.master());
    stage.write_ssconf(&node)?;
    for (trigger, event) in &run.during {
        stage.cluster.plan(trigger.clone(), event.clone());
    }
    let log_file = stage.layout(&node)?.log_dir().join(logging::LOG_FILE);
    let logged_before = text_of(&log_file).unwrap_or_default().len();
    let began = stage.cluster.clock().since_epoch();
    let limit = run.kill_after.unwrap_or(LONGEST_RUN);
    stage.cluster.change(|engine| engine.watcher_is_killed = false);
    let killed = pin!(stage.cluster.until(|engine| engine.watcher_is_killed));
    let watched = select(killed, watcher.run(stage, &node, run));
    let exit = match timeout(limit, watched).await {
        Ok(Either::Left(_)) => KILLED,
        Ok(Either::Right((exit, _))) => exit?,
        Err(_) if run.kill_after.is_some() => KILLED,
        Err(_) => bail!("it did not end within a day"),
    };
    let missed = stage.cluster.change(super::engine::Engine::drop_plans);
    if !missed.is_empty() {
        bail!("it ended before this happened: {missed:?}");
    }
    let command = run.arguments.iter().map(|argument| format!(" {argument}")).collect::<String>();
    let log = text_of(&log_file).unwrap_or_default().split_off(logged_before);
    let layout = stage.layout(&stage.master())?;
    let mut states = Vec::new();
    let mut statuses = Vec::new();
    for (uuid, name) in stage.groups() {
        states.push((name.clone(), text_of(&layout.group_state(&uuid)).map(|text| state(&text))));
        statuses.push((name, text_of(&layout.group_instance_status(&uuid))));
    }
    statuses.push(("cluster".to_owned(), text_of(&layout.instance_status())));
    Ok(RunRecord {
        command: format!("ganeti-watcher{command}"),
        exit,
        time: (began, stage.cluster.clock().since_epoch()),
        log,
        jobs: stage.cluster.look(|engine| engine.jobs().values().skip(seen).cloned().collect()),
        states,
        statuses,
    })
}

fn text_of(path: &Path) -> Option<String> {
    read_text(path, LONGEST_FILE).ok()
}

/// The state as a value; text that is not JSON is kept as is.
fn state(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// This program's own watcher, in this process and on its runtime.
#[derive(Debug, Clone, Copy)]
pub struct InProcess;

impl Watcher for InProcess {
    fn run<'a>(&'a self, stage: &'a Stage, node: &'a str, run: &'a Run) -> LocalFuture<'a, Result<u8>> {
        Box::pin(async move {
            let group = stage.with_group("GROUP");
            let layout = stage.layout(node)?;
            let clock = stage.cluster.clock();
            let options = match run.command(&group).map_err(anyhow::Error::msg)? {
                WatcherCommand::Watch(options) => options,
                WatcherCommand::Retry(whose) => return retry(&layout, &whose, clock.since_epoch()).await,
            };
            let _log = logging::scoped(&layout.log_dir(), options.is_debug(), clock, PID)
                .context("cannot open the log file")?;
            let on_node = OnNode { cluster: &stage.cluster, node };
            let armed = Armed::for_run(options.dry_run);
            let context = Context {
                options: &options,
                layout: &layout,
                clock: &clock,
                luxid: &on_node,
                daemons: &on_node,
                monitor: &on_node,
                armed: armed.as_ref(),
            };
            Ok(watch::run(&context).await.exit_code())
        })
    }
}

/// The verdicts that a run on the master would begin with now, for every node group.
///
/// # Errors
/// As [`watch::verdicts`].
pub async fn verdicts(stage: &Stage) -> Result<Vec<Verdicts>> {
    let node = stage.master();
    let on_node = OnNode { cluster: &stage.cluster, node: &node };
    let clock = stage.cluster.clock();
    let plain = Run { arguments: Vec::new(), node: None, exit: 0, kill_after: None, during: Vec::new() };
    let WatcherCommand::Watch(options) = plain.command("").map_err(anyhow::Error::msg)? else {
        bail!("a command without arguments is a run");
    };
    let context = Context {
        options: &options,
        layout: &stage.layout(&node)?,
        clock: &clock,
        luxid: &on_node,
        daemons: &on_node,
        monitor: &on_node,
        armed: None,
    };
    watch::verdicts(&context).await
}

/// `ganeti-watcher retry`. What it says goes to the log, where the record keeps what runs say.
async fn retry(layout: &Layout, whose: &Whose, now: Duration) -> Result<u8> {
    let armed = Armed::for_retry();
    let (ended, lines) = match watch::retry::retry(&armed, layout, whose, &file_stamp(now)).await {
        Ok(given_back) => (Ended::Done, tell::retry::given_back(&given_back)),
        Err(error) => (Ended::Failed, vec![format!("ganeti-watcher: error: {error:#}")]),
    };
    let path = layout.log_dir().join(logging::LOG_FILE);
    let log = files::open_to_append(&path);
    let written = log.and_then(|mut log| lines.iter().try_for_each(|line| writeln!(log, "{line}")));
    written.with_context(|| format!("cannot write '{}'", path.display()))?;
    Ok(ended.exit_code())
}
