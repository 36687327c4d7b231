//! Something hostile in place of every file that is opened.

use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::hostile::{self, Kind};
use super::{Bench, Case, Verdict};
use crate::judge::{self, Allowed, Problems};
use crate::watcher::{self, Run};
use crate::world::World;

const LIMIT: Duration = Duration::from_secs(60);

/// Below the node's root; `GROUP` is the node group's UUID.
const OF_NODE: [&str; 22] = [
    "var/log/ganeti/watcher.log",
    "var/lock/ganeti-watcher.lock",
    "var/lib/ganeti/watcher.GROUP.data",
    "var/lib/ganeti/watcher.GROUP.instance-status",
    "var/lib/ganeti/watcher.pause",
    "var/lib/ganeti/watcher.daemons",
    "var/lib/ganeti/hmac.key",
    "var/lib/ganeti/ssconf_master_node",
    "var/lib/ganeti/ssconf_nodegroups",
    "var/lib/ganeti/ssconf_node_list",
    "var/lib/ganeti/ssconf_instance_list",
    "var/lib/ganeti/ssconf_hypervisor_list",
    "var/lib/ganeti/ssconf_maintain_node_health",
    "var/lib/ganeti/ssconf_master_candidates_ips",
    "var/lib/ganeti/ssconf_release_version",
    "var/run/ganeti/instance-status",
    "var/run/ganeti/ganeti-rapi.pid",
    "var/run/ganeti/ganeti-noded.pid",
    "var/run/ganeti/socket/ganeti-query",
    "var/run/ganeti/socket/ganeti-wconfd",
    "etc/ganeti/hooks/watcher",
    "etc/ganeti/hooks/watcher/hook",
];

/// Below the directory that stands for the machine.
const OF_MACHINE: [&str; 7] = [
    "services",
    "proc/5000001/cmdline",
    "proc/sys/kernel/random/boot_id",
    "etc/crontab",
    "etc/cron.d",
    "etc/cron.d/ganeti",
    "var/spool/cron/crontabs/root",
];

/// A zone file that `TZ` names.
const ZONE: &str = "zone";

pub(super) fn cases(_bench: &Bench) -> Result<Vec<Case>> {
    let paths = OF_NODE.into_iter().chain(OF_MACHINE).chain([ZONE]);
    let pairs = paths.flat_map(|path| Kind::ALL.map(|kind| (path, kind)));
    let case = |(path, kind)| Case::new(format!("{path} {kind:?}"), move |bench| attack(bench, path, kind));
    Ok(pairs.map(case).collect())
}

fn attack(bench: &Bench, relative: &str, kind: Kind) -> Result<Verdict> {
    let world = World::new()?;
    hostile::prepare(&world)?;
    // So that there is something to lose.
    let first = watcher::watch(&bench.program, &world, &Run::with(&["--dry-run"]))?;
    anyhow::ensure!(first.code() == Some(0), "a dry run before the attack: {}", first.how());
    let path = place(&world, relative);
    let replaced = Replaced::new(&world, &path, kind).with_context(|| format!("'{}'", path.display()))?;
    let mut run = Run { limit: LIMIT, ..Run::default() };
    if relative == ZONE {
        run.environment = vec![("TZ".to_owned(), format!(":{}", path.display()))];
    }
    if OF_MACHINE[3..].contains(&relative) {
        run.arguments = vec!["--timer".to_owned()];
    }
    let is_state = relative.ends_with(".data");
    let allowed =
        Allowed { bad_state: is_state && !kind.is_fine(), memory: kind.memory(), ..Allowed::default() };
    let mut problems = Problems::default();
    let ended = watcher::watch(&bench.program, &world, &run)?;
    judge::run(&mut problems, &ended, allowed);
    if kind.is_fine() {
        if ended.code() != Some(0) {
            problems.add(ended.how());
        }
        judge::repaired(&mut problems, &world);
    }
    let told = ended.output + &ended.log + &judge::told_in_files(&world);
    hostile::nothing_leaked(&mut problems, &world, &told);
    replaced.undo(kind)?;
    judge::aftermath(&mut problems, &bench.program, &world, allowed)?;
    Ok(problems.into_result().into())
}

fn place(world: &World, relative: &str) -> PathBuf {
    if OF_MACHINE.contains(&relative) {
        world.machine.system.join(relative)
    } else if relative == ZONE {
        world.outside().join(relative)
    } else {
        world.machine.root.join(relative.replace("GROUP", &world.group))
    }
}

/// A path with something hostile in it.
struct Replaced {
    path: PathBuf,
    original: PathBuf,
    existed: bool,
}

impl Replaced {
    fn new(world: &World, path: &Path, kind: Kind) -> Result<Self> {
        let original = world.outside().join("original");
        let existed = fs::symlink_metadata(path).is_ok();
        if existed {
            fs::rename(path, &original)?;
        }
        kind.put(world, path, &original)?;
        Ok(Self { path: path.to_owned(), original, existed })
    }

    fn undo(self, kind: Kind) -> Result<()> {
        if let Some(directory) = self.path.parent() {
            lchown(directory, Some(0), Some(0))?;
        }
        // The target of an administrator's link was written, or the link was replaced by something newer.
        let is_link = fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.is_symlink());
        if kind.is_fine() && !is_link {
            return Ok(());
        }
        drop(fs::remove_file(&self.path).or_else(|_| fs::remove_dir_all(&self.path)));
        if self.existed || kind.is_fine() && self.original.exists() {
            fs::rename(&self.original, &self.path)?;
        }
        Ok(())
    }
}
