//! A dry run of the group part: the same look and the same decisions, told instead of carried out.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use tracing::{error, info};

use super::{Context, group, verify};
use crate::cluster::Snapshot;
use crate::decide::{Action, ActionKind, Step, disks, instances};
use crate::memory::state_file::StateFile;
use crate::{logging, observe};

/// Tells what the group part would do.
///
/// # Errors
/// When luxid cannot be used, or the state file cannot be opened.
pub(super) async fn group(context: &Context<'_>, group: &str, state_path: &Path) -> Result<()> {
    let mut state = StateFile::peek(state_path)?;
    let (facts, mut view) = group::look(context, group).await?;
    if facts.queue_is_drained {
        error!("Job queue is drained, can't maintain cluster state");
        return Ok(());
    }
    let version = observe::version(&mut view.client).await;
    let snapshot = &view.snapshot;
    let now = context.clock.now();
    instances::drop_stale_records(snapshot, &mut state, now);
    let repairs = instances::plan(snapshot, &state);
    tell(&repairs, snapshot);
    let started: BTreeSet<String> = repairs.iter().filter_map(restarted).map(str::to_owned).collect();
    tell(&disks::plan(snapshot, &state, &started, now).steps, snapshot);
    if context.options.no_verify_disks {
        return Ok(());
    }
    let strict = verify::is_strict(context.options.no_strict, version);
    if verify::wanted(snapshot, strict).is_some() {
        info!("Would verify the disks of group '{group}', and activate those that are found broken");
    }
    Ok(())
}

fn restarted(step: &Step) -> Option<&str> {
    match step {
        Step::Act(Action { instance, kind: ActionKind::Restart { .. } }) => Some(instance),
        Step::Act(_) | Step::Note(_) => None,
    }
}

fn tell(steps: &[Step], snapshot: &Snapshot) {
    for step in steps {
        match step {
            Step::Act(action) => info!("{}", would(action, snapshot)),
            Step::Note(note) => note.log_line().iter().for_each(logging::log),
        }
    }
}

fn would(action: &Action, snapshot: &Snapshot) -> String {
    let name = &action.instance;
    let status = snapshot.instance(name).map_or("unknown", |instance| instance.status.as_word());
    match action.kind {
        ActionKind::Restart { attempt } => {
            format!("Would restart instance '{name}' (attempt #{attempt}): its status is {status}")
        }
        ActionKind::CleanUp => {
            format!("Would clean up instance '{name}': its user shut it down (status {status})")
        }
        ActionKind::ActivateDisks { .. } => format!(
            "Would activate disks for instance '{name}': a secondary node of it has a new boot id (status {status})"
        ),
    }
}
