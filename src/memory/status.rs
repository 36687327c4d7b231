//! The instance-status files: what every instance of a group, and of the cluster, was found to be. Lines
//! `NAME STATUS`, with Ganeti's word for the status.
//!
//! Source: `watcher/__init__.py: _WriteInstanceStatus, _ReadInstanceStatus, _MergeInstanceStatus`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info};

use super::locks;
use crate::armed::Armed;
use crate::cluster::Instance;
use crate::files::{self, read_text_from, replace};

/// How long to wait for the lock of the cluster's file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_FIRST_DELAY: Duration = Duration::from_millis(100);
const LOCK_LAST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_FILE: u64 = 256 << 20;

/// The result of writing a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Its content has changed.
    Changed,
    /// Its content is unchanged; it was last written then, and now has the present time.
    Same(SystemTime),
}

/// Writes the file of one group: `NAME SPACE STATUS` lines, sorted, without a final line feed. A file that
/// already says all that is only touched. The caller holds the lock of the group's state.
///
/// # Errors
/// When the file cannot be written.
pub fn write_group(_armed: &Armed, path: &Path, instances: &[Instance]) -> Result<Written> {
    write(
        path,
        instances.iter().map(|instance| (instance.name.as_str(), instance.status.as_word())).collect(),
    )
}

/// The caller holds the lock that every writer of the file holds.
fn write(path: &Path, mut entries: Vec<(&str, &str)>) -> Result<Written> {
    files::remove_left_over(path, Duration::ZERO);
    debug!("Updating instance status file '{}' with {} instances", path.display(), entries.len());
    entries.sort_unstable();
    let lines: Vec<String> = entries.iter().map(|(name, status)| format!("{name} {status}")).collect();
    let content = lines.join("\n");
    if let Some(written) = touch_if_same(path, &content) {
        return Ok(Written::Same(written));
    }
    replace(path, content.as_bytes(), |_| Ok(()))?;
    Ok(Written::Changed)
}

/// Sets a file with that content to the present time; returns when it was written before.
fn touch_if_same(path: &Path, content: &str) -> Option<SystemTime> {
    let file = files::open_to_change(path).ok()?;
    let metadata = file.metadata().ok()?;
    let is_same = metadata.len() == content.len() as u64
        && read_text_from(&file, LONGEST_FILE).is_ok_and(|text| text == content);
    if !is_same {
        return None;
    }
    file.set_modified(SystemTime::now()).ok()?;
    metadata.modified().ok()
}

/// Merges the files of all groups into the cluster's. An instance in several of them gets the status from the
/// file that was written last. A group without a file yet is logged and left out; so is the whole merge when
/// the lock cannot be had within ten seconds, because then another group is merging.
///
/// `own` is the result of writing this group's file: when nothing has changed since the cluster's file was
/// written, that is only touched.
///
/// # Errors
/// When the cluster's file cannot be opened or written.
pub async fn merge(_armed: &Armed, cluster_file: &Path, group_files: &[PathBuf], own: Written) -> Result<()> {
    if let Written::Same(written) = own
        && touch_if_newer(cluster_file, written, group_files)
    {
        return Ok(());
    }
    let Some(lock) = lock(cluster_file).await? else {
        error!(
            "Can't acquire lock on instance status file '{}', not updating: still locked after {} s",
            cluster_file.display(),
            LOCK_TIMEOUT.as_secs()
        );
        return Ok(());
    };
    debug!("Acquired exclusive lock on '{}'", cluster_file.display());
    let contents: Vec<(SystemTime, String)> =
        group_files.iter().filter_map(|path| read_group(path)).collect();
    let mut newest: BTreeMap<&str, (SystemTime, &str)> = BTreeMap::new();
    for (modified, content) in &contents {
        for (name, status) in content.lines().filter_map(split_line) {
            let entry = newest.entry(name).or_insert((*modified, status));
            *entry = (*entry).max((*modified, status));
        }
    }
    write(cluster_file, newest.into_iter().map(|(name, (_, status))| (name, status)).collect())?;
    drop(lock);
    Ok(())
}

/// `written` is when this group's file was written, before it was touched just now.
fn touch_if_newer(cluster_file: &Path, written: SystemTime, group_files: &[PathBuf]) -> bool {
    let touch = || {
        let file = files::open_to_change(cluster_file)?;
        let metadata = file.metadata()?;
        // An empty one was created by somebody who wanted its lock.
        let merged = metadata.modified()?;
        if metadata.len() == 0 || merged < written {
            return Ok(false);
        }
        // What another group wrote but did not live to merge must not be overlooked.
        let newer = |path: &PathBuf| {
            path.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|at| at > merged)
        };
        if group_files.iter().filter(|path| newer(path)).count() > 1 {
            return Ok(false);
        }
        file.set_modified(SystemTime::now()).map(|()| true)
    };
    io::Result::unwrap_or(touch(), false)
}

fn split_line(line: &str) -> Option<(&str, &str)> {
    let (name, status) = line.trim_start().split_once(char::is_whitespace)?;
    Some((name, status.trim_start()))
}

fn read_group(path: &Path) -> Option<(SystemTime, String)> {
    debug!("Reading per-group instance status from '{}'", path.display());
    let read = || {
        let file = files::open(path)?;
        Ok((file.metadata()?.modified()?, read_text_from(&file, LONGEST_FILE)?))
    };
    match read() {
        Ok(content) => Some(content),
        Err(problem) if io::Error::kind(&problem) == io::ErrorKind::NotFound => {
            // Not a problem in the first run on a cluster, when no group has been looked at yet.
            info!("Can't read '{}', does not exist (yet)", path.display());
            None
        }
        Err(problem) => {
            error!("Unable to read '{}', ignoring: {problem}", path.display());
            None
        }
    }
}

/// Locks the file itself, which every merge replaces: if the locked file has lost its name in the meantime,
/// the new one is tried.
async fn lock(path: &Path) -> Result<Option<File>> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    let mut delay = LOCK_FIRST_DELAY;
    loop {
        let file = files::open_or_make(path, 0o600)
            .with_context(|| format!("cannot open the instance status file '{}'", path.display()))?;
        if file.try_lock().is_ok() && locks::is_still_named(&file, path) {
            return Ok(Some(file));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(delay).await;
        delay = delay.mul_f64(1.2).min(LOCK_LAST_DELAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::InstanceStatus;
    use crate::files::read_text;

    #[test]
    fn any_line_of_a_status_file_is_split_or_not() {
        crate::testing::fuzz::fuzz_text(&["i1.example.com running", " i2  ERROR_down\t", "i3"], |text| {
            if let Some((name, status)) = split_line(text) {
                assert!(name.len() + status.len() < text.len());
            }
        });
    }

    fn instance(name: &str, status: InstanceStatus) -> Instance {
        Instance { status, ..crate::cluster::testing::instance(name, "running") }
    }

    fn content(path: &Path) -> String {
        read_text(path, 1000).unwrap()
    }

    #[test]
    fn lines_are_sorted_as_text_and_the_last_has_no_line_feed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status");
        let instances = [
            ("i2", InstanceStatus::Running),
            ("i10", InstanceStatus::ErrorDown),
            ("a", InstanceStatus::UserDown),
        ];
        let instances = instances.map(|(name, status)| instance(name, status));
        write_group(&Armed::for_test(), &path, &instances).unwrap();
        assert_eq!(content(&path), "a USER_down\ni10 ERROR_down\ni2 running");
        write_group(&Armed::for_test(), &path, &[]).unwrap();
        assert_eq!(content(&path), "");
    }

    #[tokio::test]
    async fn the_newest_file_wins_and_a_missing_one_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| directory.path().join(name));
        let cluster = directory.path().join("cluster");
        write_group(&Armed::for_test(), &paths[0], &[instance("moved", InstanceStatus::ErrorDown)]).unwrap();
        write_group(
            &Armed::for_test(),
            &paths[1],
            &[instance("moved", InstanceStatus::Running), instance("x", InstanceStatus::ErrorUp)],
        )
        .unwrap();
        let age = |path: &Path, seconds| {
            let when = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            File::options().write(true).open(path).unwrap().set_modified(when).unwrap();
        };
        age(&paths[0], 10);
        age(&paths[1], 20);
        merge(&Armed::for_test(), &cluster, &paths, Written::Changed).await.unwrap();
        assert_eq!(content(&cluster), "moved running\nx ERROR_up");
        age(&paths[0], 30);
        merge(&Armed::for_test(), &cluster, &paths, Written::Changed).await.unwrap();
        assert_eq!(content(&cluster), "moved ERROR_down\nx ERROR_up");
    }

    #[tokio::test]
    async fn what_is_already_said_is_only_touched_and_merged_only_when_the_merge_is_older() {
        let directory = tempfile::tempdir().unwrap();
        let (path, cluster) = (directory.path().join("group"), directory.path().join("cluster"));
        let running = [instance("i", InstanceStatus::Running)];
        let write = || write_group(&Armed::for_test(), &path, &running).unwrap();
        assert_eq!(write(), Written::Changed);
        let Written::Same(written) = write() else { panic!("it was written twice") };
        assert!(path.metadata().unwrap().modified().unwrap() >= written);

        let paths = [path.clone()];
        let own = Written::Same(written);
        merge(&Armed::for_test(), &cluster, &paths, own).await.unwrap();
        assert_eq!(content(&cluster), "i running", "there was none");
        replace(&cluster, b"older", |_| Ok(())).unwrap();
        let old = written - Duration::from_secs(5);
        File::options().write(true).open(&cluster).unwrap().set_modified(old).unwrap();
        merge(&Armed::for_test(), &cluster, &paths, own).await.unwrap();
        assert_eq!(content(&cluster), "i running", "a run that was killed had not merged it");
        replace(&cluster, b"newer", |_| Ok(())).unwrap();
        merge(&Armed::for_test(), &cluster, &paths, own).await.unwrap();
        assert_eq!(content(&cluster), "newer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_never_free_is_given_up_and_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let cluster = directory.path().join("cluster");
        replace(&cluster, b"kept", |_| Ok(())).unwrap();
        let holder = File::open(&cluster).unwrap();
        holder.lock().unwrap();
        merge(&Armed::for_test(), &cluster, &[], Written::Changed).await.unwrap();
        assert_eq!(content(&cluster), "kept");
    }
}
