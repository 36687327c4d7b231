//! Other people's programs: run with a time limit, in their own process group, with limited output.
//!
//! Source: `utils/process.py: RunCmd`. The original has no time limit, no output limit and no process group.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::{Either, join, select};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tracing::info;

/// How much of a program's output is kept, in bytes; the rest is read and thrown away.
pub const LONGEST_OUTPUT: usize = 16 << 10;
/// Time between SIGTERM and SIGKILL for a program that took too long.
const TERM_GRACE: Duration = Duration::from_secs(2);
/// How long after a program's end its output may stay open: something that it left running may keep it open.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);

/// A program to run: without a shell, from `/`, with `LC_ALL=C`, without input.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    time_limit: Duration,
    leaves_daemons: bool,
    longest_output: usize,
}

/// How a program ended, and what it printed.
#[derive(Debug)]
pub struct FinishedProgram {
    /// Its exit code or signal.
    pub ending: Ending,
    /// Standard output: [`LONGEST_OUTPUT`] bytes from its start and ` (and more)` when it is longer; U+FFFD
    /// stands for what is not UTF-8.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// Whether all of standard output is there.
    pub is_whole: bool,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// On its own, with this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It exceeded this time limit and was killed with its process group.
    TookTooLong(Duration),
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(formatter, "exit: {code}"),
            Self::Killed(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(formatter, "killed by {signal}"),
                Err(_) => write!(formatter, "killed by signal {number}"),
            },
            Self::TookTooLong(limit) => {
                write!(
                    formatter,
                    "still running after {} s, killed with its process group",
                    limit.as_secs_f64()
                )
            }
        }
    }
}

impl FinishedProgram {
    /// Whether it ended on its own and without an error.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.ending == Ending::Exited(0)
    }

    /// What it printed: standard output, then standard error.
    #[must_use]
    pub fn output(&self) -> String {
        let parts = [self.stdout.trim_end(), self.stderr.trim_end()];
        parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("\n")
    }

    /// The output of a program that has to succeed.
    ///
    /// # Errors
    /// When it did not.
    pub fn stdout_of_success(self, what: &Program) -> Result<String> {
        if !self.succeeded() {
            bail!("'{what}' failed ({}), output: {}", self.ending, self.output());
        }
        Ok(self.stdout)
    }

    /// As [`FinishedProgram::stdout_of_success`], for answers that are useless if incomplete: half a list is
    /// no list.
    ///
    /// # Errors
    /// When it did not succeed, or printed more than is kept.
    pub fn answer(self, what: &Program) -> Result<String> {
        let is_whole = self.is_whole;
        let text = self.stdout_of_success(what)?;
        if !is_whole {
            bail!("'{what}' printed more than {} bytes", what.longest_output);
        }
        Ok(text)
    }
}

impl Program {
    /// A program that has ended after `time_limit`, one way or another.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, time_limit: Duration) -> Self {
        Self {
            path: path.into(),
            arguments: Vec::new(),
            time_limit,
            leaves_daemons: false,
            longest_output: LONGEST_OUTPUT,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Keeps this many bytes of what the program prints, instead of [`LONGEST_OUTPUT`].
    #[must_use]
    pub fn keeps(self, bytes: usize) -> Self {
        Self { longest_output: bytes, ..self }
    }

    /// The program starts daemons: its output goes to memory and not to a pipe, which would break for a
    /// daemon that keeps it.
    #[must_use]
    pub fn leaves_daemons(self) -> Self {
        Self { leaves_daemons: true, ..self }
    }

    /// Runs it and waits for its end.
    ///
    /// # Errors
    /// When it cannot be started; its own failure is in [`FinishedProgram`].
    pub async fn run(&self) -> Result<FinishedProgram> {
        info!("RunCmd {self}");
        self.run_quietly().await
    }

    /// As [`Program::run`], without the line in the log: for a program that only looks.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub async fn run_quietly(&self) -> Result<FinishedProgram> {
        if self.leaves_daemons { self.run_into_memory().await } else { self.run_into_pipes().await }
    }

    async fn run_into_memory(&self) -> Result<FinishedProgram> {
        let kept = memory_file().and_then(|stdout| {
            let stderr = memory_file()?;
            Ok((Stdio::from(stdout.try_clone()?), Stdio::from(stderr.try_clone()?), stdout, stderr))
        });
        let (out, err, mut stdout, mut stderr) = match kept {
            Ok(files) => files,
            Err(error) => return self.run_without_output(&error).await,
        };
        let mut child = self.spawn(out, err)?;
        let ending = self.ending(&mut child).await?;
        let (stdout, stderr) = (self.start_of(&mut stdout), self.start_of(&mut stderr));
        Ok(self.finished(ending, &stdout, &stderr))
    }

    /// Having nowhere to keep its output is no reason not to start a daemon.
    async fn run_without_output(&self, reason: &io::Error) -> Result<FinishedProgram> {
        let mut child = self.spawn(Stdio::null(), Stdio::null())?;
        let ending = self.ending(&mut child).await?;
        let note = format!("(its output cannot be kept: {reason})");
        Ok(self.finished(ending, &[], note.as_bytes()))
    }

    async fn run_into_pipes(&self) -> Result<FinishedProgram> {
        let mut child = self.spawn(Stdio::piped(), Stdio::piped())?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ending = {
            let reading = pin!(join(self.drain(stdout, &mut out), self.drain(stderr, &mut err)));
            let ending = pin!(self.ending(&mut child));
            match select(ending, reading).await {
                Either::Left((ending, reading)) => {
                    // Whatever it left running may keep the pipes open; only output that is already there is
                    // read.
                    let _whole = timeout(OUTPUT_GRACE, reading).await;
                    ending?
                }
                Either::Right((_, ending)) => ending.await?,
            }
        };
        Ok(self.finished(ending, &out, &err))
    }

    fn finished(&self, ending: Ending, stdout: &[u8], stderr: &[u8]) -> FinishedProgram {
        FinishedProgram {
            ending,
            stdout: self.text_of(stdout),
            stderr: self.text_of(stderr),
            is_whole: stdout.len() <= self.longest_output,
        }
    }

    /// Reads to the end and keeps the start.
    async fn drain(&self, stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; 8 << 10];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            let room = (self.longest_output + 1).saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..length.min(room)]);
        }
    }

    fn start_of(&self, output: &mut File) -> Vec<u8> {
        let mut text = Vec::new();
        let limit = self.longest_output as u64 + 1;
        match output.rewind().and_then(|()| output.take(limit).read_to_end(&mut text)) {
            Ok(_) => text,
            Err(error) => format!("(the output cannot be read: {error})").into_bytes(),
        }
    }

    fn text_of(&self, output: &[u8]) -> String {
        match output.get(..self.longest_output) {
            Some(start) if output.len() > self.longest_output => {
                format!("{} (and more)", String::from_utf8_lossy(start))
            }
            _ => String::from_utf8_lossy(output).into_owned(),
        }
    }

    fn spawn(&self, stdout: Stdio, stderr: Stdio) -> Result<Child> {
        // std opens every file close-on-exec, so no child keeps a lock of this process.
        Command::new(&self.path)
            .args(&self.arguments)
            .current_dir("/")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // Its own group: a Ctrl-C at the terminal is meant for the watcher, and a time limit for the
            // group.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run '{}'", self.path.display()))
    }

    async fn ending(&self, child: &mut Child) -> Result<Ending> {
        if let Ok(status) = timeout(self.time_limit, child.wait()).await {
            return Ok(ending(status?));
        }
        if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw) {
            // The program is not reaped in the meantime, so its number remains its own, and its group's.
            let _gone = killpg(group, Signal::SIGTERM);
            sleep(TERM_GRACE.min(self.time_limit)).await;
            let _gone = killpg(group, Signal::SIGKILL);
        }
        // In uninterruptible sleep it does not even die from that.
        let _status = timeout(TERM_GRACE, child.wait()).await;
        Ok(Ending::TookTooLong(self.time_limit))
    }
}

/// A file that is in no directory: so no full, missing or read-only directory can keep a daemon from being
/// started. It lives as long as somebody has it open. A daemon that keeps its output, which Ganeti's do not
/// (`utils/process.py: Daemonize`), can thus go on writing after this process has ended, without the signal
/// from a closed pipe; the memory is freed with the daemon.
fn memory_file() -> io::Result<File> {
    Ok(memfd_create(c"ganeti-watcher-output", MFdFlags::MFD_CLOEXEC)?.into())
}

/// As a line for the shell, with quotes where one would need them.
impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.path.display())?;
        for argument in &self.arguments {
            let argument = argument.to_string_lossy();
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./,:=@%+".contains(&byte);
            if !argument.is_empty() && argument.bytes().all(is_plain) {
                write!(formatter, " {argument}")?;
            } else {
                write!(formatter, " '{}'", argument.replace('\'', "'\\''"))?;
            }
        }
        Ok(())
    }
}

fn ending(status: ExitStatus) -> Ending {
    match status.code() {
        Some(code) => Ending::Exited(code),
        None => Ending::Killed(status.signal().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
