//! The group part of a run: looks at one node group and repairs what can be repaired.
//!
//! Source: `watcher/__init__.py: _GroupWatcher`; the order of saving and verifying is that of 3.1.

use anyhow::{Result, anyhow};

use super::cut_short::CutShort;
use super::gather::{gather, look, pass_options};
use super::ledger::{Activations, Ledger, carry_out};
use super::{Context, ahead, dry_run, inspect, verify};
use crate::act::{Runner, Seams, Slots, Stopped, View};
use crate::armed::Armed;
use crate::clock;
use crate::cluster::Snapshot;
use crate::decide::governor::Governor;
use crate::decide::pass::Pass;
use crate::luxi::LuxiError;
use crate::memory::state_file::StateFile;
use crate::memory::status;
use crate::node::boot_id::boot_id;
use crate::node::ssconf;
use crate::{logging, observe, tell};

/// Runs the group part for the group with this UUID.
///
/// # Errors
/// When the group is unknown, its state is locked, luxid cannot be used, or something cannot be written. What
/// was done before is remembered.
pub(super) async fn run(context: &Context<'_>, slots: &Slots, group: &str) -> Result<(), CutShort> {
    let group = group.to_lowercase();
    if !ssconf::is_uuid(&group) {
        return Err(anyhow!("Node group parameter (--node-group) must be given a UUID, got '{group}'").into());
    }
    logging::log(tell::group::begins(&group));
    let known_groups = ssconf::node_groups(context.layout).map_err(anyhow::Error::from)?;
    if !known_groups.contains(&group) {
        return Err(anyhow!("Node group '{group}' is not known by ssconf").into());
    }
    let state_path = context.layout.group_state(&group);
    logging::log(tell::group::state_file(&state_path));
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
            logging::log(tell::group::status_file_not_updated(&error));
            if let Err(error) = ledger.save_first() {
                logging::log(tell::run::failed(&error));
            }
            return Err(error);
        }
    };
    // Before anything is repaired: the files say what was found. If they cannot be written, repairs go ahead
    // first.
    let reported = report_status(context, armed, &view.snapshot, &known_groups).await;
    if facts.queue_is_drained {
        logging::log(tell::group::queue_is_drained());
        if let Err(error) = tell_what_waits(context, &mut view, &mut ledger).await {
            logging::log(tell::group::nobody_knows_what_waits(&error));
        }
        return Ok(ledger.save().and(reported)?);
    }
    let setup = match observe::cluster_setup(&mut view.client).await {
        Ok(setup) => setup,
        Err(error) => {
            // Tags of the cluster may forbid starts, so nothing is begun without them.
            return Ok(ledger.save().and(reported).and(Err(error.into()))?);
        }
    };
    let (options, began) = (context.options, context.clock.now());
    let governor = Governor::new(options.starts_per_node, options.load_limit);
    let is_paused = || context.is_paused();
    let seams = Seams { armed, clock: context.clock, monitor: context.monitor, is_paused: &is_paused };
    let mut runner = Runner::new(view, &setup, slots.share(), governor, seams);
    let repaired = repair(&mut runner, &mut ledger, setup.tags, boot_id(context.layout)).await;
    if let Err(reason) = repaired.as_ref().map_err(Stopped::reason) {
        reason.iter().for_each(|reason| ledger.pass.stopped(reason));
    }
    ledger.end(began, context.clock.now());
    let saved = ledger.save();
    // Verifying may take long and needs no state, so other runs can work in the meantime.
    let pass = ledger.close();
    let result = match may_go_on(repaired) {
        Ok(true) if !options.no_verify_disks => {
            let mut activations = Activations::default();
            let verified = verify::run(context, &mut runner, &pass, &mut activations).await;
            activations.remember(armed, &state_path, &stamp).await;
            may_go_on(verified).map(drop)
        }
        repaired => repaired.map(drop),
    };
    let mut failures = [result, saved, reported].into_iter().filter_map(Result::err);
    let first = failures.next();
    logging::log_all(failures.map(|error| tell::run::failed(&error)));
    first.map_or(Ok(()), |error| Err(error.into()))
}

/// The queue is drained, so nothing is done, and nothing else is remembered: but what is down is told, and
/// why.
async fn tell_what_waits(
    context: &Context<'_>,
    view: &mut View<'_>,
    ledger: &mut Ledger,
) -> Result<(), LuxiError> {
    let state = ledger.pass.state().clone();
    let ahead = ahead::plan(context, view, state, true).await?;
    ledger.tell_ahead(ahead.pass, ahead.now);
    Ok(())
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

/// Everything that changes the state: starts and clean-ups, and disk activations alongside and after them.
async fn repair(
    runner: &mut Runner<'_>,
    ledger: &mut Ledger,
    cluster_tags: Vec<String>,
    master_boot_id: Option<String>,
) -> Result<(), Stopped> {
    let now = runner.now();
    let intents = &ledger.pass.state().recovery.starting;
    let gathered = gather(runner.view_mut(), intents, cluster_tags, master_boot_id).await?;
    let plan = ledger.pass.plan(&gathered.with(runner.snapshot()), now);
    ledger.tell_plan(&plan, now);
    carry_out(runner, plan, ledger).await?;
    if ledger.pass.had_starts() {
        runner.view_mut().renew().await?;
        let now = runner.now();
        let plan = ledger.pass.plan_after_starts(runner.snapshot(), now);
        ledger.tell_plan(&plan, now);
        carry_out(runner, plan, ledger).await?;
    }
    if !ledger.pass.to_inspect().is_empty() {
        let whole = inspect::whole_mirrors(runner, ledger.pass.to_inspect()).await;
        logging::log_all(whole.iter().map(|name| tell::mirrors::whole(name)));
        ledger.pass.inspected(&whole, runner.now());
    }
    Ok(())
}

/// Whether the run can go on; not if an administrator stopped it, which is not a failure.
fn may_go_on(result: Result<(), Stopped>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Stopped::Paused) => {
            logging::log(tell::group::paused());
            Ok(false)
        }
        Err(Stopped::Drained) => {
            logging::log(tell::group::queue_is_drained());
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
