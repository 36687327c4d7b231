//! The lock that every run shares, and that Ganeti's maintenance takes for itself to keep watchers out.
//!
//! Source: `watcher/__init__.py: Main`, `cli.py: RunWhileDaemonsStopped`, `utils/filelock.py`.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use thiserror::Error;

use crate::armed::Armed;
use crate::files;

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("Failed to lock {path}: somebody else holds the lock")]
    Busy { path: String },
    /// The lock file cannot be used: what the kernel said.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes the watcher lock, shared and without waiting. It is held until the returned file, and every copy of
/// it that a child inherited, is closed.
///
/// # Errors
/// When somebody holds it exclusively, or the file cannot be opened.
pub fn share(_armed: &Armed, path: &Path) -> Result<File, LockError> {
    share_file(files::open_or_make(path, 0o664)?, path)
}

/// As [`share`], for a dry run: a lock file that does not exist is not created, and nobody can hold it.
///
/// # Errors
/// As [`share`].
pub fn share_existing(path: &Path) -> Result<Option<File>, LockError> {
    match files::open(path) {
        Ok(file) => share_file(file, path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn share_file(file: File, path: &Path) -> Result<File, LockError> {
    match file.try_lock_shared() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Busy { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Whether the path still leads to this file. A file that is replaced by a rename may get locked a moment too
/// late.
#[must_use]
pub fn is_still_named(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_share_it_but_not_with_maintenance() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = share(&Armed::for_test(), &path).unwrap();
        let second = share(&Armed::for_test(), &path).unwrap();
        drop((first, second));
        assert!(share_existing(&path).unwrap().is_some());
        assert!(share_existing(&directory.path().join("other")).unwrap().is_none());
        let maintenance = File::open(&path).unwrap();
        maintenance.lock().unwrap();
        assert!(matches!(share_existing(&path), Err(LockError::Busy { .. })));
        assert!(matches!(share(&Armed::for_test(), &path), Err(LockError::Busy { .. })));
    }

    #[test]
    fn a_copy_of_the_descriptor_keeps_it_locked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = share(&Armed::for_test(), &path).unwrap();
        let copy = lock.try_clone().unwrap();
        drop(lock);
        let maintenance = File::open(&path).unwrap();
        assert!(matches!(maintenance.try_lock(), Err(TryLockError::WouldBlock)));
        drop(copy);
        maintenance.try_lock().unwrap();
    }
}
