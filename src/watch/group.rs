//! The group part of a run: one node group is looked at, and what can be repaired is.
//!
//! Source: `watcher/__init__.py: _GroupWatcher`; the order of saving and verifying is that of 3.1.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use tracing::{debug, error, info};

use super::{Context, LogWitness, connect, dry_run, verify};
use crate::act::{Runner, Stopped, View, Witness};
use crate::armed::Armed;
use crate::clock;
use crate::cluster::{Snapshot, Timestamp};
use crate::decide::disks::{DiskPlan, RebootedNode};
use crate::decide::{Action, ActionKind, Note, Outcome, disks, instances};
use crate::luxi::client::CONNECT_TIMEOUT;
use crate::memory::state_file::StateFile;
use crate::memory::{State, status};
use crate::node::ssconf;
use crate::observe::{self, ClusterFacts};

/// One job at a time.
const JOBS_AT_ONCE: usize = 1;

/// Runs the group part for the group with this UUID.
///
/// # Errors
/// When the group is unknown, its state is locked, luxid cannot be used, or something cannot be written. What was
/// done before that is remembered.
pub(super) async fn run(context: &Context<'_>, group: &str) -> Result<()> {
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
    let mut ledger = Ledger { file, state, started: BTreeSet::new(), rebooted: Vec::new() };

    let seen = look(context, &group).await;
    let (facts, mut view) =
        seen.inspect_err(|error| info!("Not updating status file due to failure: {error:#}"))?;
    // Before anything is repaired: the files say what was found. When they cannot be written, repairs come first.
    let reported = report_status(context, armed, &view.snapshot, &known_groups).await;
    if facts.queue_is_drained {
        error!("Job queue is drained, can't maintain cluster state");
        return ledger.save().and(reported);
    }
    let version = observe::version(&mut view.client).await;
    let mut runner = Runner {
        view,
        armed,
        version,
        clock: context.clock,
        is_paused: &|| context.is_paused(),
        limit: JOBS_AT_ONCE,
    };
    let repaired = repair(&mut runner, &mut ledger).await;
    let saved = ledger.save();
    // Verifying may take long, and needs no state: other runs may go on meanwhile.
    drop(ledger);
    let result = match may_go_on(repaired) {
        Ok(true) if !context.options.no_verify_disks => {
            may_go_on(verify::run(context, &mut runner).await).map(drop)
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
    status::write_group(armed, &context.layout.group_instance_status(&snapshot.group), &snapshot.instances)?;
    let files: Vec<_> =
        known_groups.iter().map(|group| context.layout.group_instance_status(group)).collect();
    status::merge(armed, &context.layout.instance_status(), &files).await
}

/// The state file with what is to go into it, and the witness that puts it there.
struct Ledger {
    file: StateFile,
    state: State,
    /// Instances that were started in this run.
    started: BTreeSet<String>,
    /// What the boot-id pass is still waiting for.
    rebooted: Vec<RebootedNode>,
}

impl Ledger {
    fn save(&mut self) -> Result<()> {
        self.file.save(&self.state)
    }
}

impl Witness for Ledger {
    fn noted(&mut self, note: &Note, now: Timestamp) {
        instances::remember_note(&mut self.state, note, now);
        LogWitness.noted(note, now);
    }

    fn begins(&mut self, action: &Action) {
        LogWitness.begins(action);
    }

    fn ended(&mut self, action: &Action, outcome: &Outcome, now: Timestamp) {
        LogWitness.ended(action, outcome, now);
        instances::remember_outcome(&mut self.state, action, outcome, now);
        disks::remember_outcome(&mut self.rebooted, action, outcome, now);
        disks::remember(&mut self.state, &self.rebooted);
        if let (ActionKind::Restart { .. }, Outcome::Succeeded) = (&action.kind, outcome) {
            self.started.insert(action.instance.clone());
        }
        // At once, so that a run that is killed has not forgotten what it did. A full disk is no reason to leave the
        // other instances down; the save at the end of the pass reports it.
        if let Err(error) = self.file.save_change(&self.state) {
            debug!("{error:#}, going on");
        }
    }
}

/// The instance pass and the boot-id pass.
async fn repair(runner: &mut Runner<'_, '_>, ledger: &mut Ledger) -> Result<(), Stopped> {
    let now = runner.clock.now();
    for instance in instances::drop_stale_records(&runner.view.snapshot, &mut ledger.state, now) {
        debug!("Forgetting the record of instance {instance}: it is gone, or its last start is long ago");
    }
    let steps = instances::plan(&runner.view.snapshot, &ledger.state);
    runner.carry_out(steps, ledger).await?;

    runner.view.renew().await?;
    let now = runner.clock.now();
    let DiskPlan { steps, rebooted, without_boot_id } =
        disks::plan(&runner.view.snapshot, &ledger.state, &ledger.started, now);
    for node in without_boot_id {
        debug!("Node '{node}' missing boot ID, skipping secondary checks");
    }
    ledger.rebooted = rebooted;
    disks::remember(&mut ledger.state, &ledger.rebooted);
    runner.carry_out(steps, ledger).await
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
