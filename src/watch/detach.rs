//! `--no-wait-children`: every group part becomes a process of its own, and the run ends without waiting.

use std::env;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use tracing::debug;

use super::{Context, Ended, Options};
use crate::armed::Armed;
use crate::observe::Group;

/// Starts this program once for each group.
///
/// # Errors
/// When the program cannot be started again.
pub(super) fn start(_armed: &Armed, context: &Context<'_>, groups: &[Group], lock: &File) -> Result<Ended> {
    let program = env::current_exe().context("cannot find the path of this program")?;
    for Group { name, uuid } in groups {
        let child = Command::new(&program)
            .arg0("ganeti-watcher")
            .args(arguments(context.options, uuid))
            // As its standard input the child keeps the watcher lock from before this process ends, so that
            // maintenance which waits for all watchers waits for it too.
            .stdin(Stdio::from(lock.try_clone()?))
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start the watcher for node group '{name}' ({uuid})"))?;
        debug!("Started the watcher for node group '{name}' ({uuid}) with PID {}", child.id());
    }
    Ok(Ended::Done)
}

fn arguments(options: &Options, group: &str) -> Vec<String> {
    let Options {
        node_group: _,
        job_age: _,
        ignore_pause,
        wait_children: _,
        no_verify_disks,
        no_strict,
        debug,
        rapi_ip: _,
        dry_run: _,
    } = options;
    let mut arguments = vec![format!("--node-group={group}")];
    let flags = [
        (ignore_pause, "--ignore-pause"),
        (no_verify_disks, "--no-verify-disks"),
        (no_strict, "--no-strict"),
        (debug, "--debug"),
    ];
    arguments.extend(flags.iter().filter(|(given, _)| **given).map(|(_, flag)| (*flag).to_owned()));
    arguments
}
