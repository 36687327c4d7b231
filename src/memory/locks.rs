//! The lock that every run shares, and that Ganeti's maintenance takes for itself to keep watchers out.
//!
//! Source: `watcher/__init__.py: Main`, `cli.py: RunWhileDaemonsStopped`, `utils/filelock.py`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use thiserror::Error;

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("Failed to lock {path}: somebody else holds the lock")]
    Busy {
        /// The locked file.
        path: String,
    },
    /// The lock file cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The lock file.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Takes the watcher lock, shared and without waiting. It is held until the returned file, and every copy of it that
/// a child inherited, is closed.
///
/// # Errors
/// When somebody holds it exclusively, or the file cannot be opened.
pub fn share(path: &Path) -> Result<File, LockError> {
    let io = |source| LockError::Io { path: path.display().to_string(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o664);
    let file = options.open(path).map_err(io)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Busy { path: path.display().to_string() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_share_it_but_not_with_maintenance() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = share(&path).unwrap();
        let second = share(&path).unwrap();
        drop((first, second));
        let maintenance = File::open(&path).unwrap();
        maintenance.lock().unwrap();
        assert!(matches!(share(&path), Err(LockError::Busy { .. })));
    }

    #[test]
    fn a_copy_in_a_child_keeps_it_locked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = share(&path).unwrap();
        let copy = lock.try_clone().unwrap();
        drop(lock);
        let maintenance = File::open(&path).unwrap();
        assert!(matches!(maintenance.try_lock(), Err(TryLockError::WouldBlock)));
        drop(copy);
        maintenance.try_lock().unwrap();
    }
}
