//! Instances in a chroot: mounted directories with processes in them.
//!
//! Source: `hypervisor/hv_chroot.py: ListInstances, _IsDirLive, StopInstance`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

use super::listed::Listed;
use super::tools::{COMMAND_LIMIT, names_in};
use crate::armed::Armed;
use crate::files::read_bytes;
use crate::layout::Layout;
use crate::node::proc::LONGEST_PROC_FILE;
use crate::node::process::{Ending, Program};

/// How long processes may take to end after SIGKILL.
pub(super) const KILL_GRACE: Duration = Duration::from_secs(2);

/// The names of the instances that are mounted and in use.
///
/// # Errors
/// When their directory cannot be read.
pub(super) async fn list(layout: &Layout) -> Result<Listed> {
    let mut listed = Listed::default();
    for name in names_in(&directory(layout))? {
        match is_live(layout, &directory(layout).join(&name)).await {
            Ok(true) => listed.running.push(name),
            Ok(false) => {}
            Err(problem) => listed.unclear.push((name, format!("{problem:#}"))),
        }
    }
    Ok(listed)
}

/// Kills every process that uses the instance's directory.
///
/// # Errors
/// When some are still there `grace` later.
pub(super) async fn stop(_armed: &Armed, layout: &Layout, name: &str, grace: Duration) -> Result<()> {
    let path = directory(layout).join(name);
    // For a directory that is not a mount point, fuser takes the file system that it is on: it would kill the
    // whole node. Hence this check, and fuser's own with -M.
    if !is_mounted(layout, &path)? {
        return Ok(());
    }
    fuser(layout).args(["-k", "-KILL", "-M", "-m"]).args([&path]).run().await?;
    sleep(grace).await;
    if is_live(layout, &path).await? {
        bail!("processes still use '{}'", path.display());
    }
    Ok(())
}

fn directory(layout: &Layout) -> PathBuf {
    layout.run_dir("chroot-hypervisor")
}

fn fuser(layout: &Layout) -> Program {
    Program::new(layout.program("fuser"), COMMAND_LIMIT)
}

async fn is_live(layout: &Layout, path: &Path) -> Result<bool> {
    if !is_mounted(layout, path)? {
        return Ok(false);
    }
    let program = fuser(layout).args(["-M", "-m"]).args([path]);
    let finished = program.run_quietly().await?;
    match finished.ending {
        Ending::Exited(0) => Ok(true),
        // fuser also ends this way when it could not look; then it says why.
        Ending::Exited(1) if finished.stderr.trim().is_empty() => Ok(false),
        ending => bail!("'{program}' failed ({ending}), output: {}", finished.output()),
    }
}

fn is_mounted(layout: &Layout, path: &Path) -> Result<bool> {
    let mounts = layout.proc().join("self/mounts");
    let text = read_bytes(&mounts, LONGEST_PROC_FILE)
        .with_context(|| format!("cannot read the mounts in '{}'", mounts.display()))?;
    // The run directory is usually reached by a symbolic link from /var/run; the kernel reports the real
    // path.
    let real = fs::canonicalize(path).with_context(|| format!("cannot find '{}'", path.display()))?;
    Ok(is_mount_point(&String::from_utf8_lossy(&text), &real))
}

/// Whether the path is a mount point according to `/proc/self/mounts`. Instance names have none of the
/// characters that are escaped there.
fn is_mount_point(mounts: &str, path: &Path) -> bool {
    mounts.lines().filter_map(|line| line.split(' ').nth(1)).any(|point| Path::new(point) == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    #[test]
    fn any_text_of_mounts_is_searched() {
        let seeds = ["proc /proc proc rw 0 0\n/dev/sda1 /srv/i1 ext4 rw 0 0\n", "/srv/i1"];
        crate::testing::fuzz::fuzz_text(&seeds, |mounts| {
            assert!(!is_mount_point(mounts, Path::new("/srv/i1")) || mounts.contains("srv"));
        });
    }

    fn machine() -> Machine {
        let machine = Machine::new();
        for name in ["live", "idle", "unmounted"] {
            fs::create_dir_all(directory(&machine.layout).join(name)).unwrap();
        }
        let point = |name: &str| fs::canonicalize(directory(&machine.layout).join(name)).unwrap();
        let mounts = format!(
            "none / ext4 rw 0 0\n/dev/x {} ext4 rw 0 0\n/dev/y {} ext4 rw 0 0\n",
            point("live").display(),
            point("idle").display()
        );
        machine.write(machine.layout.proc().join("self/mounts"), &mounts);
        // The processes are gone when they have been killed.
        let killed = machine.layout.proc().join("killed");
        machine.program(
            "fuser",
            &format!(
                "case \"$*\" in -k*) touch {0};; */live) [ ! -e {0} ];; *) exit 1;; esac",
                killed.display()
            ),
        );
        machine
    }

    #[tokio::test]
    async fn what_is_mounted_and_used_is_live_and_killed() {
        let machine = machine();
        assert_eq!(list(&machine.layout).await.unwrap().running, ["live"]);
        stop(&Armed::for_test(), &machine.layout, "live", Duration::ZERO).await.unwrap();
        assert_eq!(list(&machine.layout).await.unwrap(), Listed::default());
    }

    #[tokio::test]
    async fn a_fuser_that_cannot_look_has_not_found_nobody() {
        for fails in ["echo 'Cannot open /proc' >&2; exit 1", "kill -9 $$", "exit 127"] {
            let machine = machine();
            machine.program("fuser", fails);
            let listed = list(&machine.layout).await.unwrap();
            assert_eq!(listed.running, [""; 0], "{fails}");
            let unclear: Vec<&str> = listed.unclear.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(unclear, ["idle", "live"], "{fails}");
        }
    }

    #[tokio::test]
    async fn what_is_not_mounted_is_never_killed() {
        let machine = machine();
        stop(&Armed::for_test(), &machine.layout, "unmounted", Duration::ZERO).await.unwrap();
        assert_eq!(machine.calls(), [""; 0]);
    }

    #[tokio::test]
    async fn without_the_directory_there_are_none() {
        assert_eq!(list(&Machine::new().layout).await.unwrap(), Listed::default());
    }
}
