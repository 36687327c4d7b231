//! Consecutive runs that found the watcher's lock held. Ganeti's maintenance holds it for minutes; but any
//! user can hold it, and then nothing looks after the cluster: so the third run in a row says who it is.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::armed::Armed;
use crate::cluster::Timestamp;
use crate::files::{self, read_bytes, read_text, replace};

/// From this run on it is reported.
pub const TOLD_FROM: u64 = 3;
const LONGEST_FILE: u64 = 4096;
/// Enough for every lock on a busy machine, at some 60 bytes each.
const LONGEST_LOCKS: u64 = 16 << 20;

/// How many runs were kept out, and since when; the content of the file `watcher.kept-out`, a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KeptOut {
    /// Runs in a row, this one included.
    pub runs: u64,
    /// When the first of them was kept out, in seconds since the epoch.
    pub since: Timestamp,
}

/// Counts a run that was kept out. A file that cannot be understood counts as none.
///
/// # Errors
/// When the count cannot be read or written; it is then unknown.
pub fn count(_armed: &Armed, path: &Path, now: Timestamp) -> Result<KeptOut> {
    let earlier: Option<KeptOut> = match read_text(path, LONGEST_FILE) {
        Ok(text) => serde_json::from_str(&text).ok(),
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::InvalidData].contains(&error.kind()) => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read '{}'", path.display())),
    };
    let kept_out = match earlier {
        Some(KeptOut { runs, since }) if since <= now => KeptOut { runs: runs.saturating_add(1), since },
        _ => KeptOut { runs: 1, since: now },
    };
    replace(path, serde_json::to_string(&kept_out)?.as_bytes(), |_| Ok(()))?;
    Ok(kept_out)
}

/// A run has the lock: the streak is broken.
pub fn forget(_armed: &Armed, path: &Path) {
    // There is hardly ever one; one that stays only makes the next streak look longer.
    drop(fs::remove_file(path));
    files::remove_left_over(path, files::LEFT_AFTER);
}

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pid: u32,
    /// The first 15 bytes of its program's name; `None` when it has ended in the meantime.
    program: Option<String>,
    user: Option<u32>,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {}", self.pid)?;
        match (&self.program, self.user) {
            (Some(program), Some(user)) => write!(formatter, " ('{program}', user id {user})"),
            (Some(program), None) => write!(formatter, " ('{program}')"),
            _ => Ok(()),
        }
    }
}

/// The process that holds this file's lock exclusively, by `proc`/locks (`proc_locks(5)`). `None` when the
/// kernel does not say, as for a process in another container.
#[must_use]
pub fn holder(proc: &Path, path: &Path) -> Option<Holder> {
    let inode = fs::metadata(path).ok()?.ino();
    let locks = read_bytes(&proc.join("locks"), LONGEST_LOCKS).ok()?;
    let pid = String::from_utf8_lossy(&locks).lines().find_map(|line| exclusive_holder(line, inode))?;
    let own = proc.join(pid.to_string());
    let program = read_bytes(&own.join("comm"), LONGEST_FILE).ok();
    let program = program.map(|name| String::from_utf8_lossy(name.trim_ascii_end()).into_owned());
    let user = fs::metadata(own).ok().map(|metadata| metadata.uid());
    Some(Holder { pid, program, user })
}

/// The process of a line `NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END` about that file. The
/// device is not compared: stacked file systems report a different one here than `stat` does.
fn exclusive_holder(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", pid, place, ..] = words.as_slice() else { return None };
    let is_meant = place.rsplit(':').next()?.parse() == Ok(inode);
    pid.parse().ok().filter(|_| is_meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_in_a_row_are_counted_until_one_has_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watcher.kept-out");
        let armed = Armed::for_test();
        assert_eq!(count(&armed, &path, 100.0).unwrap(), KeptOut { runs: 1, since: 100.0 });
        assert_eq!(count(&armed, &path, 400.0).unwrap(), KeptOut { runs: 2, since: 100.0 });
        assert_eq!(count(&armed, &path, 700.0).unwrap(), KeptOut { runs: 3, since: 100.0 });
        assert_eq!(
            count(&armed, &path, 50.0).unwrap(),
            KeptOut { runs: 1, since: 50.0 },
            "the clock was set"
        );
        replace(&path, b"{", |_| Ok(())).unwrap();
        assert_eq!(count(&armed, &path, 900.0).unwrap(), KeptOut { runs: 1, since: 900.0 });
        forget(&armed, &path);
        forget(&armed, &path);
        assert!(!path.exists());
    }

    #[test]
    fn only_who_holds_the_very_file_exclusively_is_meant() {
        let held = "2: FLOCK  ADVISORY  WRITE 4711 fe:01:77 0 EOF";
        assert_eq!(exclusive_holder(held, 77), Some(4711));
        for other in [
            "2: FLOCK  ADVISORY  WRITE 4711 fe:01:78 0 EOF",
            "2: FLOCK  ADVISORY  READ 4711 fe:01:77 0 EOF",
            "2: POSIX  ADVISORY  WRITE 4711 fe:01:77 0 EOF",
            "2: -> FLOCK  ADVISORY  WRITE 4711 fe:01:77 0 EOF",
            "2: FLOCK  ADVISORY  WRITE -1 fe:01:77 0 EOF",
            "",
        ] {
            assert_eq!(exclusive_holder(other, 77), None, "{other}");
        }
    }

    /// F12: nobody could see who kept all runs from working.
    #[test]
    fn the_kernel_tells_who_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let file = crate::files::open_or_make(&path, 0o600).unwrap();
        file.lock().unwrap();
        let holder = holder(Path::new("/proc"), &path).unwrap();
        assert_eq!(holder.pid, std::process::id());
        let text = holder.to_string();
        assert!(text.contains("', user id "), "{text}");
        file.unlock().unwrap();
        assert_eq!(super::holder(Path::new("/proc"), &path), None);
    }
}
