//! The state file of a node group: opened and locked for a run, saved without ever being unlocked or half
//! written.
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

/// Far more than the records of 100,000 instances need.
const LONGEST_FILE: u64 = 256 << 20;

/// Another run works on the group.
#[derive(Debug, Error)]
#[error("Can't acquire lock on state file {}: File already locked", .0.display())]
pub struct StateBusy(PathBuf);

/// Why a state file was not opened.
#[derive(Debug, Error)]
#[error(transparent)]
pub enum OpenError {
    /// Another run works on the group.
    Busy(#[from] StateBusy),
    /// It cannot be opened, locked or read.
    Failed(#[from] anyhow::Error),
}

/// A state file that this process holds the lock of.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Holds the lock; replaced by the file that a save puts in its place.
    locked: File,
    /// What the file says now, in normal form; empty when it has no content that counts.
    saved: String,
    /// Content that could not be kept under another name yet, and so must not be overwritten.
    bad: Option<Bad>,
}

/// Content that is no state.
#[derive(Debug)]
struct Bad {
    problem: String,
    /// Where it is kept.
    aside: PathBuf,
}

impl StateFile {
    /// Opens or creates the file, with mode 0600, locks it without waiting and reads it. Content that cannot
    /// be read is set aside as `watcher.UUID.data.bad-STAMP`, and counts as none; so is what is no regular
    /// file. `stamp` is [`crate::clock::file_stamp`]'s. Where that or the first state cannot be written, the
    /// state is good for a run all the same, and each save tries again.
    ///
    /// # Errors
    /// [`OpenError::Busy`] when another run holds the lock; otherwise why the file cannot be opened, locked
    /// or read. A disk that fails to read says nothing about what is on it. Without the lock a group is left
    /// alone, as by the original: runs would come on top of each other, each with as many starts as are
    /// allowed, and none of them on record.
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
        // At once: otherwise every run that fails before it saves would set the same content aside again.
        if let Err(error) = file.save(&state) {
            debug!("{error:#}, going on with defaults");
            if let Some(Bad { problem, .. }) = &file.bad {
                report_unkept(path, problem);
            }
        }
        Ok((file, state))
    }

    /// Reads the state and changes nothing: no file is created, none is set aside, and no lock is taken.
    /// Content that cannot be read is told and counts as none.
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
    /// that were not modified for 21 days. The lock is held without a gap.
    ///
    /// # Errors
    /// When the file cannot be written; the old content is then still there.
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

    /// Writes the state if opening the file could not.
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
            // It is still there under its own name. Another one in each run would fill the directory.
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
    /// Something else than a file stands there.
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
        // It can be read and locked all the same, and no save succeeds, which is told.
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
/// When it cannot be read, so that what it says is not known.
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
    /// Gives the content a second name. The first one stays until a save replaces it, and so does the lock,
    /// where other runs look for it.
    fn keep(&self, path: &Path, content: &File) -> Result<()> {
        let Self { problem, aside } = self;
        let kept = fs::hard_link(path, aside).map_err(anyhow::Error::new).or_else(|error| {
            // A copy would overwrite what has that name.
            if aside.symlink_metadata().is_ok() {
                Err(error)
            } else {
                replace_by_copy(aside, content).map(drop)
            }
        });
        kept.with_context(|| {
            let (path, aside) = (path.display(), aside.display());
            format!(
                "Invalid state file '{path}' ({problem}) cannot be kept as '{aside}', and so is not replaced"
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
mod tests {
    use super::*;

    struct Fixture {
        directory: tempfile::TempDir,
        path: PathBuf,
    }

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watcher.u.data");
        Fixture { directory, path }
    }

    fn content(path: &Path) -> String {
        crate::files::read_text(path, 1000).unwrap()
    }

    #[test]
    fn a_second_run_is_kept_out_until_the_first_ends_also_after_a_save() {
        let Fixture { directory: _directory, path } = fixture();
        let (mut file, mut state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        let refused = StateFile::open(&Armed::for_test(), &path, "1").unwrap_err().to_string();
        assert!(refused.starts_with("Can't acquire lock on state file "), "{refused}");
        state.set_boot_id("n", "b");
        file.save(&state).unwrap();
        assert!(StateFile::open(&Armed::for_test(), &path, "1").is_err());
        drop(file);
        let (_file, loaded) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        assert_eq!(loaded.boot_id("n"), Some("b"));
    }

    #[test]
    fn a_peek_changes_nothing_whatever_it_finds() {
        let Fixture { directory, path } = fixture();
        assert_eq!(StateFile::peek(&path).unwrap(), State::default());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        replace(&path, b"nonsense", |_| Ok(())).unwrap();
        assert_eq!(StateFile::peek(&path).unwrap(), State::default());
        replace(&path, br#"{"node":{"n":{"bootid":"b"}}}"#, |_| Ok(())).unwrap();
        let holder = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        assert_eq!(StateFile::peek(&path).unwrap().boot_id("n"), Some("b"), "locked or not");
        drop(holder);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unchanged_state_is_only_touched() {
        let Fixture { directory: _directory, path } = fixture();
        let text = r#"{"node":{"n":{"bootid":"b"}}}"#;
        replace(&path, text.as_bytes(), |_| Ok(())).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH;
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        let (mut file, state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        file.save(&state).unwrap();
        assert_eq!(content(&path), text, "the original text is kept to the byte");
        assert!(fs::metadata(&path).unwrap().modified().unwrap() > long_ago);
    }

    #[test]
    fn bad_content_is_set_aside_and_the_run_goes_on() {
        for bad in [&b"{\"instance\": {"[..], b"nonsense", b"[]", b"\xff\xfe", b"{\"node\": {\"n\": 1}}"] {
            let Fixture { directory: _directory, path } = fixture();
            replace(&path, bad, |_| Ok(())).unwrap();
            let (mut file, state) = StateFile::open(&Armed::for_test(), &path, "20261122-101632").unwrap();
            assert_eq!(state, State::default());
            file.save(&state).unwrap();
            let aside = path.with_file_name("watcher.u.data.bad-20261122-101632");
            assert_eq!(fs::read(aside).unwrap(), bad);
            assert_eq!(content(&path), State::default().to_text());
        }
    }

    /// Without a temporary file, for which there may be no room.
    fn write(path: &Path, text: &str) {
        io::Write::write_all(&mut File::create(path).unwrap(), text.as_bytes()).unwrap();
    }

    /// A name with which the file can be opened, and neither a second name nor a temporary file can be made
    /// beside it, as on a full disk.
    fn cramped(directory: &tempfile::TempDir) -> PathBuf {
        directory.path().join(format!("watcher.{}.data", "u".repeat(237)))
    }

    #[test]
    fn a_state_that_cannot_be_written_is_good_for_a_run_and_each_save_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = cramped(&directory);
        for content in [None, Some("")] {
            if let Some(content) = content {
                write(&path, content);
            }
            let (mut file, mut state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
            assert!(file.save_first(&state).is_err());
            state.set_boot_id("n", "b");
            assert!(file.save_change(&state).unwrap_err().to_string().starts_with("cannot write '"));
            assert!(file.save(&state).is_err());
            assert!(StateFile::open(&Armed::for_test(), &path, "1").is_err(), "it is locked");
        }
    }

    #[test]
    fn bad_content_that_cannot_be_kept_is_not_overwritten_and_the_run_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = cramped(&directory);
        write(&path, "nonsense");
        let (mut file, mut state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        state.set_boot_id("n", "b");
        let refused = file.save(&state).unwrap_err().to_string();
        assert!(refused.ends_with("and so is not replaced"), "{refused}");
        assert_eq!(content(&path), "nonsense");
    }

    #[test]
    fn what_has_the_name_for_bad_content_already_is_not_overwritten_either() {
        let Fixture { directory: _directory, path } = fixture();
        write(&path, "nonsense");
        let aside = path.with_file_name("watcher.u.data.bad-1");
        write(&aside, "earlier");
        let (mut file, state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        assert!(file.save_first(&state).is_err());
        assert_eq!((content(&path), content(&aside)), ("nonsense".into(), "earlier".into()));
        fs::remove_file(&aside).unwrap();
        file.save(&state).unwrap();
        assert_eq!((content(&path), content(&aside)), (state.to_text(), "nonsense".into()));
    }

    #[test]
    fn what_is_no_file_in_its_place_is_set_aside() {
        type Make = fn(&Path);
        let make: [Make; 3] = [
            |path| fs::create_dir(path).unwrap(),
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        ];
        for make in make {
            let Fixture { directory, path } = fixture();
            make(&path);
            assert_eq!(StateFile::peek(&path).unwrap(), State::default());
            let (mut file, state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
            file.save(&state).unwrap();
            let aside = directory.path().join("watcher.u.data.bad-1");
            assert!(!fs::symlink_metadata(aside).unwrap().is_file());
            assert!(fs::symlink_metadata(&path).unwrap().is_file());
        }
    }

    /// F6: one EIO set the state aside and with it all tries. Reading at an impossible place is an error of
    /// the kernel's.
    #[test]
    fn an_error_of_reading_is_no_bad_content() {
        let Fixture { directory, path } = fixture();
        replace(&path, b"{}", |_| Ok(())).unwrap();
        let only_writable = File::options().write(true).open(&path).unwrap();
        let error = read(&only_writable, &path).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the state file"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_run_left_is_removed_by_the_next_one() {
        let Fixture { directory, path } = fixture();
        replace(&directory.path().join("watcher.u.dataAbCd3f.new"), b"{", |_| Ok(())).unwrap();
        let _held = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_file_is_an_empty_state_and_nothing_is_set_aside() {
        let Fixture { directory, path } = fixture();
        replace(&path, b"", |_| Ok(())).unwrap();
        let (_file, state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        assert_eq!(state, State::default());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
