//! A dry run of the group part: the same look and the same decisions, printed instead of carried out.

use std::path::Path;

use super::ahead::{self, Ahead};
use super::cut_short::CutShort;
use super::gather::look;
use super::{Context, verify};
use crate::memory::state_file::StateFile;
use crate::tell::Times;
use crate::{logging, tell};

/// Prints what the group part would do.
///
/// # Errors
/// When luxid cannot be used, or the state file cannot be opened.
pub(super) async fn group(context: &Context<'_>, group: &str, state_path: &Path) -> Result<(), CutShort> {
    let state = StateFile::peek(state_path)?;
    let (facts, mut view) = look(context, group).await?;
    if facts.queue_is_drained {
        logging::log(tell::group::queue_is_drained());
    }
    let Ahead { pass, mut plan, now, version } =
        ahead::plan(context, &mut view, state, facts.queue_is_drained).await?;
    if facts.queue_is_drained {
        plan.actions.clear();
    }
    logging::log_all(plan.events.iter().map(|event| tell::event(event, &Times::at(now))));
    let (snapshot, verdicts) = (&view.snapshot, pass.verdicts());
    logging::log_all(tell::conditions(verdicts, &Times::at(now)).lines());
    logging::log_all(tell::notes(&plan.notes));
    logging::log_all(plan.actions.iter().map(|action| tell::would(action, snapshot)));
    if !context.options.no_verify_disks && !facts.queue_is_drained {
        let strict = verify::is_strict(context.options.no_strict, version);
        if verify::wanted(&pass, snapshot, strict).is_some() {
            logging::log(tell::verify::would(&verdicts.group_name));
        }
    }
    logging::log(tell::run::would_be(verdicts, &plan.actions));
    Ok(())
}
