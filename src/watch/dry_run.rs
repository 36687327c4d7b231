//! A dry run of the group part: the same look and the same decisions, printed instead of carried out.

use std::path::Path;

use super::cut_short::CutShort;
use super::gather::{gather, look, pass_options};
use super::{Context, verify};
use crate::decide::pass::Pass;
use crate::memory::state_file::StateFile;
use crate::node::boot_id::boot_id;
use crate::tell::Times;
use crate::{logging, observe, tell};

/// Prints what the group part would do.
///
/// # Errors
/// When luxid cannot be used, or the state file cannot be opened.
pub(super) async fn group(context: &Context<'_>, group: &str, state_path: &Path) -> Result<(), CutShort> {
    let mut pass = Pass::new(StateFile::peek(state_path)?, pass_options(context.options));
    let (facts, mut view) = look(context, group).await?;
    if facts.queue_is_drained {
        logging::log(tell::group::queue_is_drained());
        return Ok(());
    }
    let setup = observe::cluster_setup(&mut view.client).await?;
    let now = context.clock.now();
    let intents = &pass.state().recovery.starting;
    let gathered = gather(&mut view, intents, setup.tags, boot_id(context.layout)).await?;
    let snapshot = &view.snapshot;
    let plan = pass.plan(&gathered.with(snapshot), now);
    logging::log_all(plan.events.iter().map(tell::event));
    let verdicts = pass.verdicts();
    logging::log_all(tell::conditions(verdicts, &Times::at(now)).lines());
    logging::log_all(tell::notes(&plan.notes));
    logging::log_all(plan.actions.iter().map(|action| tell::would(action, snapshot)));
    if !context.options.no_verify_disks {
        let strict = verify::is_strict(context.options.no_strict, setup.version);
        if verify::wanted(&pass, snapshot, strict).is_some() {
            logging::log(tell::verify::would(&verdicts.group_name));
        }
    }
    logging::log(tell::run::would_be(verdicts, &plan.actions));
    Ok(())
}
