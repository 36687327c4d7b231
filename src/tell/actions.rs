//! What is done, and what becomes of it.

use super::line::LogLine;
use super::words::{blame, list};
use crate::cluster::Snapshot;
use crate::decide::governor::{Change, Load};
use crate::decide::second_look::Changed;
use crate::decide::{Action, ActionKind, Outcome};

/// The line before the action's job is submitted.
#[must_use]
pub fn begun(action: &Action) -> LogLine {
    let name = &action.instance;
    match action.kind {
        ActionKind::Restart { attempt } => {
            LogLine::info(format!("Restarting instance '{name}' (attempt #{attempt})"))
        }
        ActionKind::StartDegraded => LogLine::warning(format!(
            "Starting instance '{name}' on its primary node alone, without its mirror"
        )),
        ActionKind::CleanUp => {
            LogLine::info(format!("Instance '{name}' was shutdown by the user, cleaning up instance"))
        }
        ActionKind::ActivateDisks { .. } => LogLine::info(format!("Activating disks for instance '{name}'")),
    }
}

/// The line of a dry run for an action.
#[must_use]
pub fn would(action: &Action, snapshot: &Snapshot) -> LogLine {
    let name = &action.instance;
    let status = snapshot.instance(name).map_or("unknown", |instance| instance.status.as_word());
    LogLine::info(match action.kind {
        ActionKind::Restart { attempt } => {
            format!("Would restart instance '{name}' (attempt #{attempt}): its status is {status}")
        }
        ActionKind::StartDegraded => format!(
            "Would start instance '{name}' on its primary node alone, without its mirror: its status is \
             {status}, and its secondary node does not answer"
        ),
        ActionKind::CleanUp => {
            format!("Would clean up instance '{name}': its user shut it down (status {status})")
        }
        ActionKind::ActivateDisks { .. } => format!(
            "Would activate disks for instance '{name}': a secondary node has a new boot id, or an \
             earlier activation failed (status {status})"
        ),
    })
}

/// The line for what became of an action.
#[must_use]
pub fn ended(action: &Action, outcome: &Outcome) -> LogLine {
    let (doing, how) = match action.kind {
        ActionKind::Restart { .. } => ("restarting", ""),
        ActionKind::StartDegraded => ("starting", " without its mirror"),
        ActionKind::CleanUp => ("cleaning up", ""),
        ActionKind::ActivateDisks { .. } => ("activating disks for", ""),
    };
    let name = &action.instance;
    match outcome {
        Outcome::Succeeded => LogLine::debug(format!("Finished {doing} instance '{name}'{how}")),
        Outcome::Failed { job, failure, blamed } => {
            let uncounted = match blamed.what {
                what if action.kind.is_start() && !what.uses_up_a_try() => {
                    format!(" (not counted as a try: {} is to blame)", blame(what))
                }
                _ => String::new(),
            };
            LogLine::error(format!(
                "Error while {doing} instance '{name}'{how}: job {job}: {failure}{uncounted}"
            ))
        }
        Outcome::Unknown(why) => LogLine::error(format!(
            "Error while {doing} instance '{name}'{how}: how its job ended is unknown: {why}"
        )),
        Outcome::NotSubmitted(why) => LogLine::error(format!(
            "Error while {doing} instance '{name}'{how}: no job, not counted as a try: {why}"
        )),
        Outcome::LeftAlone(change) => {
            let text = format!("Not {doing} instance '{name}'{how}: {}", changed(change));
            let is_told = action.kind.is_start() && is_a_condition(change);
            if is_told { LogLine::debug(text) } else { LogLine::info(text) }
        }
    }
}

/// Whether it keeps the instance from being started for some time, so that a line about that condition tells
/// it.
fn is_a_condition(change: &Changed) -> bool {
    matches!(change, Changed::MayRunOn(_) | Changed::Busy(_) | Changed::Locked | Changed::SecondarySilent(_))
}

fn changed(change: &Changed) -> String {
    match change {
        Changed::Gone => "it no longer exists".to_owned(),
        Changed::Status(status) => format!("its status is now {status}"),
        Changed::AdminState => "it has been shut down meanwhile".to_owned(),
        Changed::DisksNotActive => "its disks are no longer active".to_owned(),
        Changed::Locked => "it is locked now".to_owned(),
        Changed::NodeLocked(node) => format!("its node '{node}' is locked, a later run tries again"),
        Changed::MayRunOn(nodes) => format!(
            "it may be running on {}, which can no longer be checked",
            list(nodes.iter().map(String::as_str))
        ),
        Changed::Busy(job) => format!("{job} is working on it"),
        Changed::SecondarySilent(node) => format!("its secondary node '{node}' no longer answers"),
        Changed::Tags => "its tags were changed, which takes effect in the next run".to_owned(),
        Changed::SecondaryAnswers => "its secondary node answers again, or is marked offline".to_owned(),
    }
}

/// The line for a node that is given more or less to do.
#[must_use]
pub fn change_of_width(change: &Change) -> LogLine {
    let Change { node, before, after, slowness, load } = change;
    let load = match load {
        Some(Load { busy, processors }) => format!(", {busy:.1} of its {processors} processors are busy"),
        None => String::new(),
    };
    LogLine::debug(format!(
        "Node '{node}' is given {after} starts at once instead of {before}: they take {slowness:.1} times \
         as long as its first ones{load}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::governor::Governor;
    use crate::tell::Severity;

    #[test]
    fn a_change_of_width_says_what_was_seen() {
        let change = |busy: Option<f64>| {
            let mut governor = Governor::new(2, None);
            governor.load_seen("n1", busy.map(|busy| Load { busy, processors: 4.0 }));
            let starts = [10.0, 10.0].into_iter().chain([60.0; 9]);
            let change = starts.filter_map(|seconds| governor.started("n1", seconds)).next();
            change_of_width(&change.unwrap()).text
        };
        let words =
            "Node 'n1' is given 1 starts at once instead of 2: they take 3.5 times as long as its first ones";
        assert_eq!(change(None), words);
        assert_eq!(change(Some(4.0)), format!("{words}, 4.0 of its 4 processors are busy"));
    }

    #[test]
    fn what_a_line_about_the_condition_tells_is_not_told_twice() {
        let line = |kind| {
            let action = Action { instance: "i".into(), kind };
            ended(&action, &Outcome::LeftAlone(Changed::Locked)).severity
        };
        assert_eq!(line(ActionKind::Restart { attempt: 1 }), Severity::Debug);
        assert_eq!(line(ActionKind::CleanUp), Severity::Info, "of that there is no condition");
    }
}
