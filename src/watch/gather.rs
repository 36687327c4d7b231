//! Gathers everything that a group part knows, before anything is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::cut_short::CutShort;
use super::{Context, Options, connect};
use crate::act::View;
use crate::cluster::{EndedOpCode, Fate, JobId, Seen, Snapshot};
use crate::decide::elsewhere;
use crate::decide::pass::PassOptions;
use crate::luxi::client::CONNECT_TIMEOUT;
use crate::luxi::following::{self, Answer};
use crate::luxi::opcodes::OpCode;
use crate::luxi::{Client, LuxiError};
use crate::memory::recovery::Intent;
use crate::observe::starts::{self, Found, SoughtJob};
use crate::observe::{self, ClusterFacts};

/// What the run's options say about its decisions.
pub(super) fn pass_options(options: &Options) -> PassOptions {
    // Both this watcher and another node's archive by that age.
    let archived_after = u64::try_from(options.job_age).ok().map(Duration::from_secs);
    PassOptions { start_degraded: options.start_degraded, archived_after }
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
    Ok((facts, view))
}

/// What was gathered; with a snapshot it is [`Seen`].
#[derive(Debug)]
pub(super) struct Gathered {
    cluster_tags: Vec<String>,
    master_boot_id: Option<String>,
    moves: BTreeMap<String, Vec<EndedOpCode>>,
    fates: BTreeMap<String, Fate>,
}

impl Gathered {
    /// Everything that is seen.
    pub(super) fn with<'a>(&'a self, snapshot: &'a Snapshot) -> Seen<'a> {
        let Self { cluster_tags, master_boot_id, moves, fates } = self;
        Seen { snapshot, cluster_tags, master_boot_id: master_boot_id.as_deref(), moves, fates }
    }
}

/// Asks luxid what became of the starts that earlier runs left on record, where instances are that were being
/// moved, and for the group's tags, which go into the view's snapshot.
///
/// # Errors
/// When luxid cannot be asked.
pub(super) async fn gather(
    view: &mut View<'_>,
    intents: &BTreeMap<String, Intent>,
    cluster_tags: Vec<String>,
    master_boot_id: Option<String>,
) -> Result<Gathered, LuxiError> {
    let fates = fates(&mut view.client, intents).await?;
    let moves = moves_of_down_instances(&mut view.client, &view.snapshot).await?;
    let (name, tags) = observe::group_tags(&mut view.client, &view.snapshot.group).await?;
    (view.snapshot.group_name, view.snapshot.tags) = (name, tags);
    Ok(Gathered { cluster_tags, master_boot_id, moves, fates })
}

/// Nothing is asked when nothing is on record.
async fn fates(
    client: &mut Client<'_>,
    intents: &BTreeMap<String, Intent>,
) -> Result<BTreeMap<String, Fate>, LuxiError> {
    let wanted: Vec<SoughtJob> = intents
        .iter()
        .map(|(instance, Intent { reason_ns, degraded: force, .. })| SoughtJob {
            opcode: OpCode::InstanceStartup { instance: instance.clone(), force: *force },
            reason_ns: *reason_ns,
        })
        .collect();
    let Found { jobs, is_complete } = starts::find(client, &wanted).await?;
    let found: Vec<JobId> = jobs.iter().copied().flatten().collect();
    let answers = following::statuses(client, &found).await?;
    let mut answers: BTreeMap<JobId, Answer> = found.into_iter().zip(answers).collect();
    let fate = |job: Option<JobId>| match job {
        Some(job) => match answers.remove(&job) {
            Some(Answer::Ended { result, .. }) => Fate::Ended(job, result.map(drop)),
            Some(Answer::GoesOn) => Fate::AtWork(job),
            Some(Answer::Unknown(_)) | None => Fate::Unclear,
        },
        None if is_complete => Fate::NoJob,
        None => Fate::Unclear,
    };
    Ok(intents.keys().cloned().zip(jobs.into_iter().map(fate)).collect())
}

/// The jobs that show where instances are that are down after a move. There are hardly ever any.
async fn moves_of_down_instances(
    client: &mut Client<'_>,
    snapshot: &Snapshot,
) -> Result<BTreeMap<String, Vec<EndedOpCode>>, LuxiError> {
    // Those whose node is away are included: their jobs may be archived by the time it is back.
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
