//! Full and read-only disks, each a small in-memory one in place of a directory.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Bench, Case, Verdict};
use crate::judge::{self, Allowed, Problems};
use crate::watcher::{self, Run};
use crate::world::World;

const PAGE: usize = 4096;

#[derive(Debug, Clone, Copy)]
enum Disk {
    /// With no more than this many pages left.
    Full(usize),
    ReadOnly,
}

/// What the state file is when the disk fills up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Missing,
    Empty,
    Broken,
}

pub(super) fn cases(_bench: &Bench) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let disks = [Disk::Full(0), Disk::Full(1), Disk::Full(2), Disk::ReadOnly];
    for disk in disks {
        for place in ["var/log/ganeti", "var/lib/ganeti", "var/run/ganeti", "var/lock", "TMPDIR"] {
            let states: &[State] = match place {
                "var/lib/ganeti" => &[State::Good, State::Missing, State::Empty, State::Broken],
                _ => &[State::Good],
            };
            for &state in states {
                cases.push(Case::new(format!("{disk:?} {place} {state:?}"), move |bench| {
                    attack(bench, disk, place, state)
                }));
            }
        }
    }
    Ok(cases)
}

fn attack(bench: &Bench, disk: Disk, place: &str, state: State) -> Result<Verdict> {
    let world = World::new()?;
    let path = if place == "TMPDIR" { world.outside() } else { world.machine.root.join(place) };
    match state {
        State::Good => {}
        State::Missing => fs::remove_file(world.state_file())?,
        State::Empty => fs::write(world.state_file(), "")?,
        State::Broken => fs::write(world.state_file(), "{\"instance\": ")?,
    }
    let mounted = Mounted::over(&path)?;
    mounted.limit(disk)?;
    let mut problems = Problems::default();
    let ended = watcher::watch(&bench.program, &world, &Run::default())?;
    let allowed = Allowed { bad_state: state != State::Good, ..Allowed::default() };
    judge::run(&mut problems, &ended, allowed);
    // Without the watcher's lock, or the state's, nothing may be done.
    let has_locks = place != "var/lock" && !(matches!(disk, Disk::ReadOnly) && state == State::Missing);
    if has_locks {
        judge::repaired(&mut problems, &world);
    }
    let needed = ["var/log/ganeti", "var/lib/ganeti"].contains(&place) && !matches!(disk, Disk::Full(1 | 2));
    if needed && ended.code() == Some(0) {
        problems.add("exit code 0, although nothing could be written");
    }
    judge::record(&mut problems, &world, allowed);
    mounted.free(disk)?;
    judge::aftermath(&mut problems, &bench.program, &world, allowed)?;
    Ok(problems.into_result().into())
}

/// A small disk with the directory's content.
struct Mounted(PathBuf);

impl Mounted {
    fn over(path: &Path) -> Result<Self> {
        let aside = path.with_extension("aside");
        fs::rename(path, &aside)?;
        fs::create_dir(path)?;
        run("mount", &["-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", text(path)?])
            .context("small disks need root")?;
        let mounted = Self(path.to_owned());
        for entry in fs::read_dir(&aside)? {
            let (from, to) =
                (entry.as_ref().map(fs::DirEntry::path).unwrap_or_default(), path.join(entry?.file_name()));
            if from.is_dir() {
                // Not moved: it contains sockets that are in use.
                fs::create_dir(&to)?;
                run("mount", &["--bind", text(&from)?, text(&to)?])?;
            } else {
                run("mv", &[text(&from)?, text(&to)?])?;
            }
        }
        Ok(mounted)
    }

    fn limit(&self, disk: Disk) -> Result<()> {
        match disk {
            Disk::ReadOnly => run("mount", &["-o", "remount,ro", text(&self.0)?]),
            Disk::Full(pages) => {
                let mut filler = File::create(self.0.join("filler"))?;
                while filler.write_all(&[b'x'; PAGE]).is_ok() {}
                let length = filler.metadata()?.len();
                filler.set_len(length.saturating_sub((pages * PAGE) as u64))?;
                Ok(())
            }
        }
    }

    fn free(&self, disk: Disk) -> Result<()> {
        match disk {
            Disk::ReadOnly => run("mount", &["-o", "remount,rw", text(&self.0)?]),
            Disk::Full(_) => Ok(fs::remove_file(self.0.join("filler"))?),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").args(["--lazy", "--recursive"]).arg(&self.0).status());
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not text")
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status =
        Command::new(program).args(arguments).status().with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "'{program} {}' failed", arguments.join(" "));
    Ok(())
}
