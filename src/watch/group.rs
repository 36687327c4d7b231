//! The group part of a run: one node group is looked at, and what can be repaired is.
//!
//! Source: `watcher/__init__.py: _GroupWatcher`; the order of saving and verifying is that of 3.1.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;
use tracing::{debug, error, info};

use super::{Context, LogWitness, connect, dry_run, verify};
use crate::act::{Jobs, Stopped, Witness};
use crate::armed::Armed;
use crate::clock;
use crate::cluster::{Snapshot, Timestamp};
use crate::decide::{Action, Note, Outcome, disks, instances};
use crate::luxi::Client;
use crate::luxi::client::CONNECT_TIMEOUT;
use crate::memory::state_file::StateFile;
use crate::memory::{State, status};
use crate::node::ssconf;
use crate::observe;

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
    let mut ledger = Ledger { file, state, succeeded: BTreeSet::new() };

    let seen = observe_group(context, &group).await;
    let Observed { mut client, snapshot, looked_at, queue_is_drained } =
        seen.inspect_err(|error| info!("Not updating status file due to failure: {error:#}"))?;
    // Before anything is repaired: the files say what was found. When they cannot be written, repairs come first.
    let reported = report_status(context, armed, &snapshot, &known_groups).await;
    if queue_is_drained {
        error!("Job queue is drained, can't maintain cluster state");
        return ledger.save().and(reported);
    }
    let version = observe::version(&mut client).await;
    let mut jobs = Jobs {
        client: &mut client,
        armed,
        version,
        clock: context.clock,
        is_paused: &|| context.is_paused(),
        limit: JOBS_AT_ONCE,
        looked_at,
    };
    let repaired = repair(&mut jobs, &snapshot, &mut ledger, context.clock.now()).await;
    // Verifying may take long, and needs no state: other runs may go on meanwhile.
    let saved = ledger.save();
    drop(ledger);
    if went_on(repaired)? && !context.options.no_verify_disks {
        went_on(verify::run(context, &mut jobs, &snapshot).await)?;
    }
    saved.and(reported)
}

/// The group as it was found.
pub(super) struct Observed<'a> {
    pub(super) client: Client<'a>,
    pub(super) snapshot: Snapshot,
    looked_at: Instant,
    pub(super) queue_is_drained: bool,
}

/// Looks at the group.
///
/// # Errors
/// When luxid cannot be used, or this is not the master.
pub(super) async fn observe_group<'a>(context: &Context<'a>, group: &str) -> Result<Observed<'a>> {
    let mut client = connect::connect_within(context, CONNECT_TIMEOUT).await?;
    let facts = connect::check_master(context, &mut client).await?;
    let looked_at = Instant::now();
    let snapshot = observe::group(&mut client, group).await.context("cannot query the group")?;
    for split in &snapshot.split {
        error!(
            "Ignoring split instance '{}', primary group {}, secondary groups {}",
            split.name,
            split.primary_group,
            split.secondary_groups.join(", ")
        );
    }
    Ok(Observed { client, snapshot, looked_at, queue_is_drained: facts.queue_is_drained })
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
    /// Instances whose action succeeded in the present pass.
    succeeded: BTreeSet<String>,
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
        if *outcome == Outcome::Succeeded {
            self.succeeded.insert(action.instance.clone());
        }
        // At once, so that a run that is killed has not forgotten what it did. A full disk is no reason to leave the
        // other instances down; the save at the end of the pass reports it.
        if let Err(error) = self.file.save_change(&self.state) {
            debug!("{error:#}, going on");
        }
    }
}

/// The instance pass and the boot-id pass.
async fn repair(
    jobs: &mut Jobs<'_, '_>,
    snapshot: &Snapshot,
    ledger: &mut Ledger,
    now: Timestamp,
) -> Result<(), Stopped> {
    for instance in instances::drop_stale_records(snapshot, &mut ledger.state, now) {
        debug!("Forgetting the record of instance {instance}: it is gone, or its last start is long ago");
    }
    jobs.carry_out(instances::plan(snapshot, &ledger.state), ledger).await?;
    let started = std::mem::take(&mut ledger.succeeded);

    let plan = disks::plan(snapshot, &ledger.state, &started);
    for node in &plan.without_boot_id {
        debug!("Node '{node}' missing boot ID, skipping secondary checks");
    }
    let result = jobs.carry_out(plan.steps, ledger).await;
    disks::remember(&mut ledger.state, &plan.rebooted, &ledger.succeeded);
    result
}

/// Whether the run goes on; it does not when it was stopped by an administrator, which is no failure.
fn went_on(result: Result<(), Stopped>) -> Result<bool> {
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
