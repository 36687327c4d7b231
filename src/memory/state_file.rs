//! The state file of a node group: opened and locked for a run, saved without ever being unlocked or
//! half-written.
//!
//! Source: `watcher/state.py: OpenStateFile, WatcherState.__init__, WatcherState.Save`.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use thiserror::Error;
use tracing::{debug, info, warn};

use super::locks;
use super::state::State;
use crate::armed::Armed;
use crate::files::{self, read_text_from, replace, replace_by_copy};

/// Far more than the records of 100,000 instances take.
const LONGEST_FILE: u64 = 256 << 20;

/// Another run is working on the group.
#[derive(Debug, Error)]
#[error("Can't acquire lock on state file {}: File already locked", .0.display())]
pub struct StateBusy(PathBuf);

/// Why a state file was not opened.
#[derive(Debug, Error)]
#[error(transparent)]
pub enum OpenError {
    /// Another run is working on the group.
    Busy(#[from] StateBusy),
    /// It cannot be opened, locked or read.
    Failed(#[from] anyhow::Error),
}

/// A state file whose lock this process holds.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Holds the lock; replaced by the new file at each save.
    locked: File,
    /// What the file says now, in normal form; empty if it has no valid content.
    saved: String,
    /// Content that could not be kept under another name yet, so it must not be overwritten.
    bad: Option<Bad>,
}

/// Content that is not a state.
#[derive(Debug)]
struct Bad {
    problem: String,
    /// Where it is kept.
    aside: PathBuf,
}

impl StateFile {
    /// Opens or creates the file, with mode 0600, locks it without waiting and reads it. Content that cannot
    /// be read is set aside as `watcher.UUID.data.bad-STAMP`, and counts as none; so is anything that is
    /// not a regular file. `stamp` is [`crate::clock::file_stamp`]'s. If that or the first state cannot be
    /// written, the state still serves for a run, and each save tries again.
    ///
    /// # Errors
    /// [`OpenError::Busy`] when another run holds the lock; otherwise why the file cannot be opened, locked
    /// or read. A disk that fails to read says nothing about what is on it. Without the lock a group is left
    /// alone, as by the original: runs would overlap, each with as many starts as are allowed, and none of
    /// them on record.
    pub fn open(_armed: &Armed, path: &Path, stamp: &str) -> Result<(Self, State), OpenError> {
        let existed = path.exists();
        let locked = match open_and_lock(path) {
            Err(Unopened::Irregular(problem)) => {
                let aside = set_aside_name(path, stamp);
                fs::rename(path, &aside).with_context(|| format!("cannot set '{}' aside", path.display()))?;
                report_invalid(path, &problem.to_string(), &aside);
                open_and_lock(path).map_err(Unopened::into_error)?
            }
            opened => opened.map_err(Unopened::into_error)?,
        };
        files::remove_left_over(path, Duration::ZERO);
        let content = match read(&locked, path)? {
            Ok(text) if text.is_empty() => {
                if existed {
                    info!("State file '{}' is empty, using defaults", path.display());
                }
                Ok(None)
            }
            Ok(text) => State::parse(&text).map(Some),
            Err(problem) => Err(problem),
        };
        let mut file = Self { path: path.to_owned(), locked, saved: String::new(), bad: None };
        match content {
            Ok(Some(state)) => {
                file.saved = state.to_text();
                return Ok((file, state));
            }
            Ok(None) => {}
            Err(problem) => file.bad = Some(Bad { problem, aside: set_aside_name(path, stamp) }),
        }
        let state = State::default();
        // Immediately: otherwise every run that fails before it saves would set the same content aside again.
        if let Err(error) = file.save(&state) {
            debug!("{error:#}, going on with defaults");
            if let Some(Bad { problem, .. }) = &file.bad {
                report_unkept(path, problem);
            }
        }
        Ok((file, state))
    }

    /// Reads the state and changes nothing: no file is created, none is set aside, and no lock is taken.
    /// Content that cannot be read is reported and counts as none.
    ///
    /// # Errors
    /// When the file exists and cannot be opened.
    pub fn peek(path: &Path) -> Result<State> {
        let text = match files::open(path) {
            Ok(file) => read(&file, path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(error) if files::is_refused(&error) => Err(error.to_string()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot open the state file '{}'", path.display()));
            }
        };
        let state = match text {
            Ok(text) if text.is_empty() => return Ok(State::default()),
            Ok(text) => State::parse(&text),
            Err(problem) => Err(problem),
        };
        Ok(state.unwrap_or_else(|problem| {
            report_unkept(path, &problem);
            State::default()
        }))
    }

    /// Writes the state, or only touches the file when nothing changed: Ganeti's cleaner removes state files
    /// that were not modified for 21 days. The lock is held throughout.
    ///
    /// # Errors
    /// When the file cannot be written; the old content is then kept.
    pub fn save(&mut self, state: &State) -> Result<()> {
        let text = state.to_text();
        if text == self.saved {
            debug!("Data didn't change, just touching status file");
            return self
                .locked
                .set_modified(SystemTime::now())
                .with_context(|| format!("cannot touch the state file '{}'", self.path.display()));
        }
        self.replace(text)
    }

    /// Writes the state if it changed, as [`StateFile::save`].
    ///
    /// # Errors
    /// As [`StateFile::save`].
    pub fn save_change(&mut self, state: &State) -> Result<()> {
        let text = state.to_text();
        if text == self.saved { Ok(()) } else { self.replace(text) }
    }

    /// Writes the state if that failed when the file was opened.
    ///
    /// # Errors
    /// As [`StateFile::save`].
    pub fn save_first(&mut self, state: &State) -> Result<()> {
        if self.saved.is_empty() { self.replace(state.to_text()) } else { Ok(()) }
    }

    fn replace(&mut self, text: String) -> Result<()> {
        if let Some(bad) = &self.bad {
            bad.keep(&self.path, &self.locked)?;
        }
        // Locked before it gets its name: otherwise another run could lock it first.
        let replaced = replace(&self.path, text.as_bytes(), |file| Ok(file.try_lock()?));
        match (&replaced, &self.bad) {
            (Ok(_), Some(Bad { problem, aside })) => report_invalid(&self.path, problem, aside),
            // It is still there under its own name. A new copy in each run would fill the directory.
            (Err(_), Some(Bad { aside, .. })) => drop(fs::remove_file(aside)),
            (_, None) => {}
        }
        self.locked = replaced?;
        self.bad = None;
        self.saved = text;
        Ok(())
    }
}

/// Why a state file was not opened.
enum Unopened {
    /// There is something other than a file.
    Irregular(io::Error),
    Other(OpenError),
}

impl Unopened {
    fn into_error(self) -> OpenError {
        match self {
            Self::Irregular(error) => OpenError::Failed(error.into()),
            Self::Other(error) => error,
        }
    }
}

fn open_and_lock(path: &Path) -> Result<File, Unopened> {
    let opened = files::open_or_make(path, 0o600).or_else(|error| match error.kind() {
        // It can still be read and locked, but no save succeeds, which is reported.
        io::ErrorKind::ReadOnlyFilesystem => files::open(path).map_err(|_| error),
        _ => Err(error),
    });
    let file = match opened {
        Err(error) if files::is_refused(&error) => return Err(Unopened::Irregular(error)),
        opened => opened
            .with_context(|| format!("cannot open the state file '{}'", path.display()))
            .map_err(|error| Unopened::Other(error.into()))?,
    };
    match file.try_lock() {
        // A lock on a file that another run replaced a moment ago keeps nobody out.
        Ok(()) if locks::is_still_named(&file, path) => Ok(file),
        Ok(()) | Err(TryLockError::WouldBlock) => Err(Unopened::Other(StateBusy(path.to_owned()).into())),
        Err(TryLockError::Error(error)) => Err(error)
            .with_context(|| format!("cannot lock the state file '{}'", path.display()))
            .map_err(|error| Unopened::Other(error.into())),
    }
}

/// The text, or what is wrong with the content.
///
/// # Errors
/// When it cannot be read, so that its content is unknown.
fn read(file: &File, path: &Path) -> Result<Result<String, String>> {
    match read_text_from(file, LONGEST_FILE) {
        Ok(text) => Ok(Ok(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Err(error.to_string())),
        Err(error) => Err(error).with_context(|| {
            format!("cannot read the state file '{}', so nothing is done for its group", path.display())
        }),
    }
}

impl Bad {
    /// Gives the content a second name. The first stays until a save replaces it, and with it the lock, where
    /// other runs look for it.
    fn keep(&self, path: &Path, content: &File) -> Result<()> {
        let Self { problem, aside } = self;
        let kept = fs::hard_link(path, aside).map_err(anyhow::Error::new).or_else(|error| {
            // A copy would overwrite whatever has that name.
            if aside.symlink_metadata().is_ok() {
                Err(error)
            } else {
                replace_by_copy(aside, content).map(drop)
            }
        });
        kept.with_context(|| {
            let (path, aside) = (path.display(), aside.display());
            format!(
                "Invalid state file '{path}' ({problem}) cannot be kept as '{aside}', so it is not replaced"
            )
        })
    }
}

fn report_invalid(path: &Path, problem: &str, aside: &Path) {
    warn!(
        "Invalid state file '{}': {problem}. Set aside as '{}', using defaults",
        path.display(),
        aside.display()
    );
}

fn report_unkept(path: &Path, problem: &str) {
    warn!("Invalid state file '{}': {problem}. Using defaults", path.display());
}

/// Not a name that Ganeti's cleaner (`watcher.*.data`) removes.
fn set_aside_name(path: &Path, stamp: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".bad-{stamp}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
