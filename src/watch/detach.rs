//! `--no-wait-children`: every group part becomes a process of its own, and the run ends without waiting.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::{Context, Ended, Options};
use crate::armed::Armed;
use crate::observe::Group;
use crate::{logging, tell};

/// Starts this program once for each group. A group for which that fails is logged and makes the run fail.
pub(super) fn start(_armed: &Armed, context: &Context<'_>, groups: &[Group], lock: &File) -> Ended {
    let mut ended = Ended::Done;
    for Group { name, uuid } in groups {
        match start_one(context, uuid, groups.len(), lock) {
            Ok(child) => logging::log(tell::group::detached(name, child.id())),
            Err(error) => {
                logging::log(tell::group::not_detached(name, &error));
                ended = Ended::Failed;
            }
        }
    }
    ended
}

fn start_one(context: &Context<'_>, uuid: &str, groups: usize, lock: &File) -> io::Result<Child> {
    // This very program, even if a package manager has replaced it in the meantime.
    Command::new("/proc/self/exe")
        .arg0("ganeti-watcher")
        .args(arguments(context.options, uuid, groups))
        // The child holds the watcher lock as its standard input from before this process ends, so that
        // maintenance which waits for all watchers waits for it too.
        .stdin(Stdio::from(lock.try_clone()?))
        .process_group(0)
        .spawn()
}

fn arguments(options: &Options, group: &str, groups: usize) -> Vec<String> {
    let Options {
        node_group: _,
        job_age: _,
        ignore_pause,
        wait_children: _,
        no_wait_children: _,
        no_verify_disks,
        no_strict,
        debug,
        rapi_ip: _,
        kill_hooks_after: _,
        starts_per_node,
        parallel_jobs,
        load_limit,
        start_degraded,
        timer: _,
        dry_run: _,
    } = options;
    let mut arguments = vec![format!("--node-group={group}")];
    let flags = [
        (ignore_pause, "--ignore-pause"),
        (no_verify_disks, "--no-verify-disks"),
        (no_strict, "--no-strict"),
        (&(*debug > 0), "--debug"),
    ];
    // The shares of the cluster's slots add up to what was asked for.
    let part = (parallel_jobs / groups.max(1)).max(1);
    arguments.push(format!("--parallel-jobs={part}"));
    arguments.push(format!("--starts-per-node={starts_per_node}"));
    arguments.extend(load_limit.map(|limit| format!("--load-limit={limit}")));
    arguments.extend(start_degraded.map(|after| format!("--start-degraded={}", after.as_secs())));
    arguments.extend(flags.iter().filter(|(given, _)| **given).map(|(_, flag)| (*flag).to_owned()));
    arguments
}
