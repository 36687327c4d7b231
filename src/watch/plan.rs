//! What a group part is going to do: everything that is decided at the beginning, for a run as for a dry run.

use std::collections::{BTreeMap, BTreeSet};

use super::{Options, intents};
use crate::act::View;
use crate::cluster::{EndedOpCode, Snapshot, Timestamp, few};
use crate::decide::disks::{self, DiskPlan, Starts};
use crate::decide::instances::{self, Outlook};
use crate::decide::policy::Policies;
use crate::decide::report::{LogLine, silent_secondaries};
use crate::decide::schedule::{self, Schedule};
use crate::decide::{self, Action, Note, Step, budget, degraded, elsewhere, full};
use crate::luxi::{Client, LuxiError};
use crate::memory::State;
use crate::observe;

/// The plan.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is to be said before everything else.
    pub(super) lines: Vec<LogLine>,
    /// What there is to say about instances.
    pub(super) notes: Vec<Note>,
    /// Starts, clean-ups, then activations.
    pub(super) actions: Vec<Action>,
    /// Whose turn it is.
    pub(super) schedule: Schedule,
    /// What the boot-id pass knows of the disks.
    pub(super) disks: DiskPlan,
    /// The instances that are started or cleaned up; what is to be done with their disks depends on that.
    pub(super) starts: BTreeSet<String>,
    /// Instances that run without their mirror as far as is known, and that Ganeti can tell about.
    pub(super) to_inspect: Vec<String>,
}

/// Makes the plan, and brings what is remembered up to date with what was seen. `master_boot_id` is this
/// node's, `None` when it is unknown.
///
/// # Errors
/// When luxid cannot be asked.
pub(super) async fn make(
    view: &mut View<'_>,
    state: &mut State,
    options: &Options,
    master_boot_id: Option<&str>,
    cluster_tags: &[String],
    now: Timestamp,
) -> Result<Plan, LuxiError> {
    let stale = instances::drop_stale_records(&view.snapshot, state, now);
    let stale =
        about(&stale, "Forgetting the records of instances that are gone or were last started long ago");
    let mut lines: Vec<LogLine> = stale.into_iter().collect();

    lines.extend(intents::settle(view, state, options, master_boot_id, now).await?);
    let moves = moves_of_down_instances(&mut view.client, &view.snapshot).await?;
    view.snapshot.tags = observe::group_tags(&mut view.client, &view.snapshot.group).await?;
    let snapshot = &view.snapshot;
    let (policies, problems) = Policies::read(snapshot, cluster_tags, now);
    lines.extend(problems);

    state.recovery.see(now);
    elsewhere::remember_moves(state, snapshot, &moves);
    degraded::remember_silent(state, snapshot, now);
    schedule::remember_down(state, snapshot, &policies, now);
    disks::forget_stopped(state, snapshot);
    let forgiven = budget::forgive(state, snapshot);
    lines.extend(about(
        &forgiven,
        "Instances that need not wait any more, because what failed them has changed",
    ));

    state.recovery.seen_until(now);
    let mirrors = degraded::review(state, snapshot);
    let steps = instances::plan(&Outlook { snapshot, state, policies: &policies, now });
    let steps = degraded::allow(steps, state, &policies, options.start_degraded, now);
    lines.extend(silent_secondaries(&steps));
    lines.extend(full::blocked_by_nodes(&steps, snapshot, state));
    let starts: BTreeSet<String> = steps.iter().filter_map(acted_on).collect();
    let mut disks =
        disks::plan(snapshot, state, &Starts { planned: starts.clone(), ..Starts::default() }, now);
    let of_mirrors = mirrors.notes.into_iter().map(Step::Note);
    let steps = steps.into_iter().chain(of_mirrors).chain(std::mem::take(&mut disks.steps));
    let (notes, actions) = decide::split(steps);
    let schedule = Schedule::of(snapshot, state, &policies, now);
    Ok(Plan { lines, notes, actions, schedule, disks, starts, to_inspect: mirrors.to_inspect })
}

/// One line, however many there are: a state file may hold more records than a log should have lines.
fn about(names: &[String], what: &str) -> Option<LogLine> {
    let shown = few(names.iter().map(String::as_str));
    (!names.is_empty()).then(|| LogLine::debug(format!("{what}: {shown}")))
}

fn acted_on(step: &Step) -> Option<String> {
    match step {
        Step::Act(action) => Some(action.instance.clone()),
        Step::Note(_) => None,
    }
}

/// The jobs that tell where the instances are that are down and were to be moved. There hardly ever are any.
async fn moves_of_down_instances(
    client: &mut Client<'_>,
    snapshot: &Snapshot,
) -> Result<BTreeMap<String, Vec<EndedOpCode>>, LuxiError> {
    // One whose node is away is asked about too: its jobs may be archived when that is back.
    if !snapshot.instances.iter().any(|instance| instance.status.may_be_down()) {
        return Ok(BTreeMap::new());
    }
    let is_down = |name: &str| snapshot.instance(name).is_some_and(|instance| instance.status.may_be_down());
    let failed = observe::failed_jobs(client).await?;
    let moved = failed.iter().filter_map(|job| elsewhere::moved_instance(&job.summary));
    let suspects: BTreeSet<String> = moved.filter(|name| is_down(name)).map(str::to_owned).collect();
    let mut jobs = BTreeMap::new();
    for name in suspects {
        let summaries: Vec<String> = elsewhere::telling_summaries(&name).collect();
        let telling = observe::ended_jobs(client, &summaries).await?;
        jobs.insert(name, telling);
    }
    Ok(jobs)
}
