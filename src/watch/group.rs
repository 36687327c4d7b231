//! The group part of a run: one node group is looked at, and what can be repaired is.
//!
//! Source: `watcher/__init__.py: _GroupWatcher`; the order of saving and verifying is that of 3.1.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, anyhow};
use tracing::{debug, error, info};

use super::cut_short::CutShort;
use super::ledger::{Activations, Ledger};
use super::{Context, Options, connect, dry_run, inspect, plan, verify};
use crate::act::{Runner, Slots, Stopped, View, Witness};
use crate::armed::Armed;
use crate::clock;
use crate::cluster::Snapshot;
use crate::decide::agenda::Agenda;
use crate::decide::disks::{DiskPlan, Starts};
use crate::decide::full;
use crate::decide::governor::Governor;
use crate::decide::schedule::Schedule;
use crate::decide::shared::Shared;
use crate::decide::{self, degraded, disks};
use crate::logging;
use crate::luxi::client::CONNECT_TIMEOUT;
use crate::memory::state_file::StateFile;
use crate::memory::status;
use crate::node::boot_id::boot_id;
use crate::node::ssconf;
use crate::observe::{self, ClusterFacts};

/// Runs the group part for the group with this UUID.
///
/// # Errors
/// When the group is unknown, its state is locked, luxid cannot be used, or something cannot be written. What was
/// done before that is remembered.
pub(super) async fn run(context: &Context<'_>, slots: &Slots, group: &str) -> Result<(), CutShort> {
    let group = group.to_lowercase();
    if !ssconf::is_uuid(&group) {
        return Err(anyhow!("Node group parameter (--node-group) must be given a UUID, got '{group}'").into());
    }
    info!("Watcher for node group '{group}'");
    let known_groups = ssconf::node_groups(context.layout).map_err(anyhow::Error::from)?;
    if !known_groups.contains(&group) {
        return Err(anyhow!("Node group '{group}' is not known by ssconf").into());
    }
    let state_path = context.layout.group_state(&group);
    debug!("Using state file {}", state_path.display());
    let Some(armed) = context.armed else {
        return dry_run::group(context, &group, &state_path).await;
    };
    let stamp = clock::file_stamp(context.clock.since_epoch());
    let (file, state) = StateFile::open(armed, &state_path, &stamp)?;
    let mut ledger = Ledger::new(file, state, boot_id(context.layout));

    let seen = look(context, &group).await;
    let (facts, mut view) = match seen {
        Ok(seen) => seen,
        Err(error) => {
            info!("Not updating status file due to failure: {error:#}");
            if let Err(error) = ledger.save_first() {
                error!("{error:#}");
            }
            return Err(error);
        }
    };
    // Before anything is repaired: the files say what was found. When they cannot be written, repairs come first.
    let reported = report_status(context, armed, &view.snapshot, &known_groups).await;
    if facts.queue_is_drained {
        error!("Job queue is drained, can't maintain cluster state");
        return Ok(ledger.save().and(reported)?);
    }
    let setup = match observe::cluster_setup(&mut view.client).await {
        Ok(setup) => setup,
        Err(error) => {
            // Tags of the cluster may forbid starts, so nothing is begun without them.
            return Ok(ledger.save().and(reported).and(Err(error.into()))?);
        }
    };
    let options = context.options;
    let mut runner = Runner {
        view,
        armed,
        version: setup.version,
        ceiling: setup.max_running_jobs.into_iter().chain(setup.max_tracked_jobs).min(),
        clock: context.clock,
        is_paused: &|| context.is_paused(),
        share: slots.share(),
        governor: Governor::new(options.starts_per_node, options.load_limit),
        monitor: context.monitor,
        unknown_loads: BTreeSet::new(),
    };
    let repaired = repair(&mut runner, &mut ledger, options, &setup.tags).await;
    ledger.state.recovery.seen_until(context.clock.now());
    let saved = ledger.save();
    // Verifying may take long, and needs no state: other runs may go on meanwhile.
    drop(ledger);
    let result = match may_go_on(repaired) {
        Ok(true) if !options.no_verify_disks => {
            let mut activations = Activations::default();
            let verified = verify::run(context, &mut runner, &mut activations).await;
            activations.remember(armed, &state_path, &stamp).await;
            may_go_on(verified).map(drop)
        }
        repaired => repaired.map(drop),
    };
    let mut failures = [result, saved, reported].into_iter().filter_map(Result::err);
    let first = failures.next();
    failures.for_each(|error| error!("{error:#}"));
    first.map_or(Ok(()), |error| Err(error.into()))
}

/// Connects to luxid and looks at the group.
///
/// # Errors
/// When luxid cannot be used, or this is not the master.
pub(super) async fn look<'a>(
    context: &Context<'a>,
    group: &str,
) -> Result<(ClusterFacts, View<'a>), CutShort> {
    let mut client = connect::connect_within(context, CONNECT_TIMEOUT).await?;
    let facts = connect::check_master(context, &mut client).await?;
    let view = View::take(client, group).await.context("cannot query the group")?;
    for split in &view.snapshot.split {
        error!(
            "Ignoring split instance '{}', primary group {}, secondary groups {}",
            split.name,
            split.primary_group,
            split.secondary_groups.join(", ")
        );
    }
    Ok((facts, view))
}

async fn report_status(
    context: &Context<'_>,
    armed: &Armed,
    snapshot: &Snapshot,
    known_groups: &[String],
) -> Result<()> {
    let own = context.layout.group_instance_status(&snapshot.group);
    let written = status::write_group(armed, &own, &snapshot.instances)?;
    let files: Vec<_> =
        known_groups.iter().map(|group| context.layout.group_instance_status(group)).collect();
    status::merge(armed, &context.layout.instance_status(), &files, written).await
}

/// The instance pass and the boot-id pass, side by side.
async fn repair<'a, 'c: 'a>(
    runner: &mut Runner<'a, 'c>,
    ledger: &mut Ledger,
    options: &Options,
    cluster_tags: &[String],
) -> Result<(), Stopped> {
    let now = runner.clock.now();
    let boot_id = ledger.master_boot_id.as_deref();
    let plan = plan::make(&mut runner.view, &mut ledger.state, options, boot_id, cluster_tags, now).await?;
    plan.lines.iter().for_each(logging::log);
    for node in plan.disks.without_boot_id {
        debug!("Node '{node}' missing boot ID, skipping secondary checks");
    }
    ledger.rebooted = plan.disks.rebooted;
    plan.notes.iter().for_each(|note| ledger.noted(note, now));
    ledger.shared = Shared::new(&runner.view.snapshot);
    let mut agenda = Agenda::new(plan.actions, &runner.view.snapshot, plan.schedule);
    agenda.go_carefully(full::Record::of(&ledger.state, &runner.view.snapshot));
    let carried_out = runner.carry_out(agenda, ledger).await;
    ledger.full.lines().iter().for_each(logging::log);
    carried_out?;

    activate_after_starts(runner, ledger, plan.starts).await?;
    if !plan.to_inspect.is_empty() {
        let whole = inspect::whole_mirrors(runner, &plan.to_inspect).await;
        whole.iter().for_each(|name| info!("The mirror of instance '{name}' is whole again"));
        let now = runner.clock.now();
        let notes = degraded::inspected(&mut ledger.state, &plan.to_inspect, &whole);
        notes.iter().for_each(|note| ledger.noted(note, now));
    }
    Ok(())
}

/// A start assembles the disks on all nodes. Where it failed, the activation that a reboot calls for is still to be made.
async fn activate_after_starts<'a, 'c: 'a>(
    runner: &mut Runner<'a, 'c>,
    ledger: &mut Ledger,
    planned: BTreeSet<String>,
) -> Result<(), Stopped> {
    if planned.is_empty() {
        return Ok(());
    }
    runner.view.renew().await?;
    let now = runner.clock.now();
    ledger.remember_disks();
    let starts = Starts { succeeded: ledger.started.clone(), planned: ledger.left_for_later.clone() };
    let DiskPlan { steps, rebooted, .. } = disks::plan(&runner.view.snapshot, &ledger.state, &starts, now);
    ledger.rebooted = rebooted;
    let (mut notes, mut actions) = decide::split(steps);
    // The others had their turn.
    notes.retain(|note| planned.contains(&note.instance));
    actions.retain(|action| planned.contains(&action.instance));
    notes.iter().for_each(|note| ledger.noted(note, now));
    let agenda = Agenda::new(actions, &runner.view.snapshot, Schedule::default());
    runner.carry_out(agenda, ledger).await
}

/// Whether the run may go on; not when an administrator stopped it, which is no failure.
fn may_go_on(result: Result<(), Stopped>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Stopped::Paused) => {
            info!("Pause has been set, leaving the rest to a later run");
            Ok(false)
        }
        Err(Stopped::Drained) => {
            error!("Job queue is drained, can't maintain cluster state");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
