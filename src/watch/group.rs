//! The group part of a run: one node group is looked at, and what can be repaired is.
//!
//! Source: `watcher/__init__.py: _GroupWatcher`; the order of saving and verifying is that of 3.1.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tracing::{debug, error, info};

use super::gather::gather;
use super::ledger::{Activations, Ledger};
use super::{Context, LogWitness, Options, connect, dry_run, inspect, verify};
use crate::act::{Runner, Slots, Stopped, View, Witness};
use crate::armed::Armed;
use crate::clock;
use crate::cluster::{Snapshot, Timestamp};
use crate::decide::governor::Governor;
use crate::decide::pass::{Pass, PassOptions, Plan};
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
pub(super) async fn run(context: &Context<'_>, slots: &Slots, group: &str) -> Result<()> {
    let group = group.to_lowercase();
    if !ssconf::is_uuid(&group) {
        bail!("Node group parameter (--node-group) must be given a UUID, got '{group}'");
    }
    info!("Watcher for node group '{group}'");
    let known_groups = ssconf::node_groups(context.layout)?;
    if !known_groups.contains(&group) {
        bail!("Node group '{group}' is not known by ssconf");
    }
    let state_path = context.layout.group_state(&group);
    debug!("Using state file {}", state_path.display());
    let Some(armed) = context.armed else {
        return dry_run::group(context, &group, &state_path).await;
    };
    let stamp = clock::file_stamp(context.clock.since_epoch());
    let (file, state) = StateFile::open(armed, &state_path, &stamp)?;
    let mut ledger = Ledger::new(file, Pass::new(state, pass_options(context.options)));

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
        return ledger.save().and(reported);
    }
    let setup = match observe::cluster_setup(&mut view.client).await {
        Ok(setup) => setup,
        Err(error) => {
            // Tags of the cluster may forbid starts, so nothing is begun without them.
            return ledger.save().and(reported).and(Err(error.into()));
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
    let repaired = repair(&mut runner, &mut ledger, setup.tags, boot_id(context.layout)).await;
    ledger.pass.end(context.clock.now());
    let saved = ledger.save();
    // Verifying may take long, and needs no state: other runs may go on meanwhile.
    let mut pass = ledger.close();
    let result = match may_go_on(repaired) {
        Ok(true) if !options.no_verify_disks => {
            let mut activations = Activations::of(&mut pass);
            let verified = verify::run(context, &mut runner, &mut activations).await;
            activations.remember(armed, &state_path, &stamp).await;
            may_go_on(verified).map(drop)
        }
        repaired => repaired.map(drop),
    };
    let mut failures = [result, saved, reported].into_iter().filter_map(Result::err);
    let first = failures.next();
    failures.for_each(|error| error!("{error:#}"));
    first.map_or(Ok(()), Err)
}

/// Connects to luxid and looks at the group.
///
/// # Errors
/// When luxid cannot be used, or this is not the master.
pub(super) async fn look<'a>(context: &Context<'a>, group: &str) -> Result<(ClusterFacts, View<'a>)> {
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

/// What the options of the run say about its decisions.
pub(super) fn pass_options(options: &Options) -> PassOptions {
    // What this or another node's watcher archives, it archives by that age.
    let archived_after = u64::try_from(options.job_age).ok().map(Duration::from_secs);
    PassOptions { start_degraded: options.start_degraded, archived_after }
}

/// Everything that changes the state: starts and clean-ups, and the activations of disks beside and after them.
async fn repair<'a, 'c: 'a>(
    runner: &mut Runner<'a, 'c>,
    ledger: &mut Ledger,
    cluster_tags: Vec<String>,
    master_boot_id: Option<String>,
) -> Result<(), Stopped> {
    let now = runner.clock.now();
    let intents = &ledger.pass.remembered().recovery.starting;
    let gathered = gather(&mut runner.view, intents, cluster_tags, master_boot_id).await?;
    let plan = ledger.pass.plan(&gathered.with(&runner.view.snapshot), now);
    let carried_out = carry_out(runner, plan, ledger, now).await;
    ledger.pass.lines_after_starts().iter().for_each(logging::log);
    carried_out?;
    if ledger.pass.had_starts() {
        runner.view.renew().await?;
        let now = runner.clock.now();
        let plan = ledger.pass.plan_after_starts(&runner.view.snapshot, now);
        carry_out(runner, plan, ledger, now).await?;
    }
    if !ledger.pass.to_inspect().is_empty() {
        let whole = inspect::whole_mirrors(runner, ledger.pass.to_inspect()).await;
        whole.iter().for_each(|name| info!("The mirror of instance '{name}' is whole again"));
        let now = runner.clock.now();
        let notes = ledger.pass.inspected(&whole);
        notes.iter().for_each(|note| LogWitness.noted(note, now));
    }
    Ok(())
}

/// Says what there is to say, and does what there is to do.
pub(super) async fn carry_out<'a, 'c: 'a>(
    runner: &mut Runner<'a, 'c>,
    plan: Plan,
    witness: &mut dyn Witness,
    now: Timestamp,
) -> Result<(), Stopped> {
    plan.lines.iter().for_each(logging::log);
    plan.notes.iter().for_each(|note| LogWitness.noted(note, now));
    let agenda = plan.into_agenda(&runner.view.snapshot);
    runner.carry_out(agenda, witness).await
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
