//! `ganeti-watcher simulate`: the story of an outage, told on a terminal. The cluster is simulated; the
//! watcher and its log are real.

mod options;
mod progress;
mod summary;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::{Either, select};
use tokio::time::sleep;

pub use options::Options;
use options::Speed;
use progress::Progress;

use crate::clock::Clock as _;
use crate::files;
use crate::sim::pacer::pace;
use crate::sim::scenario::{Run, Scenario, ScenarioStep};
use crate::sim::stage::Stage;
use crate::sim::story::{self, InProcess, Record, WaitSteps};
use crate::tell::story::End;
use crate::tell::{self, Times};

/// Cron calls the watcher every five minutes.
const CRON_INTERVAL: Duration = Duration::from_secs(300);
/// A story ends on its own, long before this.
const MOST_RUNS: usize = 100;

/// Tells the story on stdout. The location of its files goes to stderr, so that the same seed prints the same
/// bytes.
///
/// # Errors
/// When the scenario file is wrong, or files cannot be written.
pub fn simulate(options: &Options) -> Result<()> {
    let terminal = io::stdout().is_terminal();
    let speed = options.speed(terminal);
    let mut progress = Progress::new(io::stdout().lock(), terminal, speed);
    let scenario = match &options.scenario {
        Some(path) => Scenario::load(path)?,
        None => Scenario::parse("simulate", &options.to_scenario())
            .context("these options do not fit together")?,
    };
    let directory = directory(options)?;
    if options.scenario.is_none() {
        let path = directory.join("scenario.toml");
        files::replace(&path, options.to_scenario().as_bytes(), |_| Ok(())).map(drop)?;
        writeln!(io::stderr(), "The scenario, to change and play with --scenario: {}", path.display())?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let record = runtime.block_on(async {
        let story = pin!(play(&scenario, &directory, &mut progress));
        let Speed::Times(times) = speed else { return story.await };
        match select(story, pin!(pace(times))).await {
            Either::Left((record, _)) => record,
            Either::Right(_) => bail!("the simulated clock has reached its end"),
        }
    })?;
    // The box's time passes only within the runtime.
    progress.say(&runtime.block_on(end(&record)))?;
    let log = record.stage.layout(&record.stage.master())?.log_dir().join(crate::logging::LOG_FILE);
    writeln!(io::stderr(), "The watcher's log: {}", log.display())?;
    Ok(())
}

/// What the watcher, and the box, say at the end.
async fn end(record: &Record) -> String {
    let verdicts = story::verdicts(&record.stage).await;
    let (up, down) = record.stage.cluster.look(summary::up_and_down);
    let end = End {
        verdicts: verdicts.as_deref().map_err(|error| format!("{error:#}")),
        up: &up,
        down: &down,
        recovery: summary::recovery(record),
        runs: record.runs.len(),
    };
    tell::story::end(&end, &Times::at(record.stage.cluster.clock().now()))
}

fn directory(options: &Options) -> Result<PathBuf> {
    let Some(path) = &options.directory else {
        let directory = tempfile::Builder::new().prefix("ganeti-watcher-simulate-").tempdir();
        return Ok(directory.context("cannot create a temporary directory")?.keep());
    };
    fs::create_dir(path).with_context(|| format!("cannot create the directory '{}'", path.display()))?;
    Ok(path.clone())
}

/// Performs the scenario's steps, then runs the watcher every five minutes until nothing more can be done.
async fn play(scenario: &Scenario, directory: &Path, progress: &mut Progress<impl Write>) -> Result<Record> {
    let mut record = Record { runs: Vec::new(), stage: Stage::set_up(scenario, directory)? };
    for step in &scenario.steps {
        if let ScenarioStep::Happen(events) = step {
            progress.tell_events(events, &record.stage)?;
        }
        take(&mut record, step, progress).await?;
    }
    let run = ScenarioStep::Run(Run {
        arguments: Vec::new(),
        node: None,
        exit: 0,
        kill_after: None,
        during: Vec::new(),
    });
    while record.runs.len() < MOST_RUNS {
        let began = record.stage.cluster.clock().elapsed();
        take(&mut record, &run, progress).await?;
        if is_over(&record) {
            break;
        }
        // Cron does not wait: a run that took longer than five minutes is followed by one at the next
        // five-minute mark.
        let took = record.stage.cluster.clock().elapsed() - began;
        let intervals = took.as_secs() / CRON_INTERVAL.as_secs() + 1;
        let next = CRON_INTERVAL * u32::try_from(intervals).unwrap_or(u32::MAX);
        take(&mut record, &ScenarioStep::Wait(next - took), progress).await?;
    }
    Ok(record)
}

/// One step, showing its progress.
async fn take(record: &mut Record, step: &ScenarioStep, progress: &mut Progress<impl Write>) -> Result<()> {
    let cluster = record.stage.cluster.clone();
    if let ScenarioStep::Run(_) = step {
        progress.tell_run(record.runs.len() + 1, &record.stage)?;
    }
    let mut taken = pin!(story::take(record, step, &InProcess, WaitSteps::Wait));
    let result = loop {
        match select(taken.as_mut(), pin!(sleep(progress.tick()))).await {
            Either::Left((result, _)) => break result,
            Either::Right(_) => progress.show(&cluster)?,
        }
    };
    progress.show(&cluster)?;
    result
}

/// Whether another run would only verify disks: the last one did nothing else, and every node that has power
/// is up.
fn is_over(record: &Record) -> bool {
    let Some(last) = record.runs.last() else { return false };
    let only_verified = last
        .jobs
        .iter()
        .flat_map(crate::sim::jobs::Job::summaries)
        .all(|summary| summary.starts_with("GROUP_VERIFY_DISKS("));
    only_verified && !record.stage.cluster.look(summary::is_booting)
}
