//! A look ahead: what a run would find and decide now, without doing anything.

use super::Context;
use super::cut_short::CutShort;
use super::gather::{gather, look, pass_options};
use crate::act::View;
use crate::cluster::{GanetiVersion, Timestamp};
use crate::decide::pass::{Pass, Plan};
use crate::decide::reason::Reason;
use crate::decide::verdict::Verdicts;
use crate::luxi::LuxiError;
use crate::memory::state::State;
use crate::memory::state_file::StateFile;
use crate::node::boot_id::boot_id;
use crate::node::ssconf;
use crate::observe;

/// A first plan, and the pass that made it.
pub(super) struct Ahead {
    pub(super) pass: Pass,
    pub(super) plan: Plan,
    /// When it was made.
    pub(super) now: Timestamp,
    /// The cluster's version, if known.
    pub(super) version: Option<GanetiVersion>,
}

/// Plans from what is remembered and what `view` shows. With a drained queue everything waits for that.
///
/// # Errors
/// When luxid cannot be asked.
pub(super) async fn plan(
    context: &Context<'_>,
    view: &mut View<'_>,
    state: State,
    queue_is_drained: bool,
) -> Result<Ahead, LuxiError> {
    let setup = observe::cluster_setup(&mut view.client).await?;
    let intents = &state.recovery.starting;
    let gathered = gather(view, intents, setup.tags, boot_id(context.layout)).await?;
    let now = context.clock.now();
    let mut pass = Pass::new(state, pass_options(context.options));
    let plan = pass.plan(&gathered.with(&view.snapshot), now);
    if queue_is_drained {
        pass.called_off(&Reason::Drained);
    }
    Ok(Ahead { pass, plan, now, version: setup.version })
}

/// The verdicts on the instances of every node group, as a run would begin with them now. Nothing is changed.
///
/// # Errors
/// When ssconf or a state file cannot be read, luxid cannot be used, or this is not the master.
pub async fn verdicts(context: &Context<'_>) -> anyhow::Result<Vec<Verdicts>> {
    let mut verdicts = Vec::new();
    for group in ssconf::node_groups(context.layout)? {
        verdicts.push(of_group(context, &group).await?);
    }
    Ok(verdicts)
}

async fn of_group(context: &Context<'_>, group: &str) -> Result<Verdicts, CutShort> {
    let state = StateFile::peek(&context.layout.group_state(group))?;
    let (facts, mut view) = look(context, group).await?;
    let Ahead { mut pass, .. } = plan(context, &mut view, state, facts.queue_is_drained).await?;
    if context.is_paused()? {
        pass.stopped(&Reason::Paused);
    }
    Ok(pass.verdicts().clone())
}
