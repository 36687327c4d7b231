//! The program under attack: one run of it, and what can be seen from outside.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::world::World;

/// How often to check whether a run has ended.
const INTERVAL: Duration = Duration::from_millis(2);
/// The most that is read of what a run wrote.
const LONGEST_TEXT: u64 = 64 << 20;

/// Whether every run is shown with its output.
pub(crate) static SHOWN: AtomicBool = AtomicBool::new(false);

/// How to run the program.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Words in front of the program: a tracer, a shell that sets limits.
    pub(crate) before: Vec<String>,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// After this it counts as hanging.
    pub(crate) limit: Duration,
    /// Above this, in KiB, it is stopped, so that the machine survives.
    pub(crate) most_memory: u64,
    pub(crate) output: Output,
}

/// Where stdout and stderr lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    File,
    /// A pipe that nobody reads from any longer.
    BrokenPipe,
    /// `/dev/full`.
    Full,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            before: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            limit: Duration::from_secs(150),
            most_memory: 1 << 20,
            output: Output::File,
        }
    }
}

impl Run {
    pub(crate) fn behind(before: &[&str]) -> Self {
        Self { before: before.iter().map(|&word| word.to_owned()).collect(), ..Self::default() }
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self { arguments: arguments.iter().map(|&word| word.to_owned()).collect(), ..Self::default() }
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// `None` when it had to be stopped.
    pub(crate) status: Option<ExitStatus>,
    /// What it wrote to stdout and stderr.
    pub(crate) output: String,
    /// What it added to its log.
    pub(crate) log: String,
    pub(crate) took: Duration,
    /// Its peak memory, in KiB; 0 when not observed.
    pub(crate) memory: u64,
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status?.code()
    }

    pub(crate) fn signal(&self) -> Option<i32> {
        self.status?.signal()
    }

    pub(crate) fn how(&self) -> String {
        match (self.status, self.code(), self.signal()) {
            (None, ..) => {
                format!("stopped after {} s, with {} MiB of memory", self.took.as_secs(), self.memory >> 10)
            }
            (_, Some(code), _) => format!("exit code {code}"),
            (_, _, Some(signal)) => format!("killed by signal {signal}"),
            _ => "ended strangely".to_owned(),
        }
    }

    /// Whether somebody can read why.
    pub(crate) fn says_why(&self) -> bool {
        let tells =
            |line: &str| [" WARNING ", " ERROR ", " CRITICAL "].iter().any(|level| line.contains(level));
        !self.output.trim().is_empty() || self.log.lines().any(tells)
    }
}

/// The program, ready for that world.
fn command(program: &Path, world: &World, run: &Run) -> Command {
    let words: Vec<&str> = run.before.iter().map(String::as_str).collect();
    let mut command = match words.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command
        .args(&run.arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TZ", "UTC")
        .env("TMPDIR", world.outside());
    world.machine.put_on(&mut command).envs(run.environment.clone()).stdin(Stdio::null()).process_group(0);
    command
}

/// A started run.
pub(crate) struct Running {
    child: Child,
    began: Instant,
    output: PathBuf,
    log: PathBuf,
    log_before: u64,
    limit: Duration,
    most_memory: u64,
    memory: u64,
}

pub(crate) fn start(program: &Path, world: &World, run: &Run) -> Result<Running> {
    let mut command = command(program, world, run);
    let output =
        tempfile::Builder::new().prefix("output").tempfile_in(world.outputs())?.into_temp_path().keep()?;
    match run.output {
        Output::File => {
            let file = File::options().append(true).open(&output)?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        Output::BrokenPipe => {
            let (reader, writer) = std::io::pipe()?;
            drop(reader);
            command.stdout(writer.try_clone()?).stderr(writer);
        }
        Output::Full => {
            let full = File::options().write(true).open("/dev/full")?;
            command.stdout(full.try_clone()?).stderr(full);
        }
    }
    let log = world.machine.log();
    let log_before = regular_length(&log);
    let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let (began, limit, most_memory) = (Instant::now(), run.limit, run.most_memory);
    Ok(Running { child, began, output, log, log_before, limit, most_memory, memory: 0 })
}

/// One run, to its end.
pub(crate) fn watch(program: &Path, world: &World, run: &Run) -> Result<Ended> {
    start(program, world, run)?.wait()
}

impl Running {
    pub(crate) fn wait(mut self) -> Result<Ended> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break Some(status);
            }
            self.memory = self.memory.max(high_water(self.child.id()));
            if self.began.elapsed() > self.limit || self.memory > self.most_memory {
                break None;
            }
            std::thread::sleep(INTERVAL);
        };
        // A killed tracer releases what it traces; so kill everything.
        kill_group(self.child.id());
        if status.is_none() {
            self.child.wait()?;
        }
        let output = read_from(&self.output, 0);
        let output = output
            .lines()
            .filter(|line| !line.contains("strace: "))
            .map(|line| format!("{line}\n"))
            .collect();
        drop(fs::remove_file(&self.output));
        let log = read_from(&self.log, self.log_before);
        let ended = Ended { status, output, log, took: self.began.elapsed(), memory: self.memory };
        if SHOWN.load(Ordering::Relaxed) {
            println!(
                "{}, after {:.1} s\n{}{}",
                ended.how(),
                ended.took.as_secs_f64(),
                ended.output,
                ended.log
            );
        }
        Ok(ended)
    }
}

fn kill_group(leader: u32) {
    use nix::sys::signal::{Signal, killpg};
    if let Ok(group) = i32::try_from(leader) {
        let _whoever_is_left = killpg(nix::unistd::Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// `VmHWM`, in KiB.
fn high_water(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn regular_length(path: &Path) -> u64 {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map_or(0, |metadata| metadata.len())
}

/// What the file has after that position; nothing if there is no file.
fn read_from(path: &Path, start: u64) -> String {
    use std::io::Seek;
    if regular_length(path) <= start {
        return String::new();
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(std::io::SeekFrom::Start(start))?;
        file.take(LONGEST_TEXT).read_to_end(&mut bytes)
    });
    drop(read);
    String::from_utf8_lossy(&bytes).into_owned()
}
