//! The record of starts that are about to be submitted.

use crate::decide::{Action, ActionKind, Outcome};
use crate::memory::recovery::{Intent, Recovery};
use crate::memory::state::State;

/// Records which starts are about to be submitted, with `epoch_ns` as the time of their reasons. Returns
/// whether the actions include any.
pub fn record(state: &mut State, actions: &[Action], epoch_ns: u64, master_boot_id: Option<&str>) -> bool {
    let mut recorded = false;
    for action in actions.iter().filter(|action| action.kind.is_start()) {
        let intent = Intent {
            reason_ns: epoch_ns,
            master_boot_id: master_boot_id.map(str::to_owned),
            degraded: action.kind == ActionKind::StartDegraded,
        };
        state.recovery.starting.insert(action.instance.clone(), intent);
        recorded = true;
    }
    recorded
}

/// Removes the record of a start whose outcome is known. One with an unknown outcome stays, for a later run.
pub fn forget(recovery: &mut Recovery, action: &Action, outcome: &Outcome) {
    if !action.kind.is_start() {
        return;
    }
    match outcome {
        Outcome::Succeeded | Outcome::Failed { .. } | Outcome::NotSubmitted(_) => {
            recovery.starting.remove(&action.instance);
        }
        // What was left alone now may still be in progress for an earlier run.
        Outcome::Unknown(_) | Outcome::LeftAlone(_) => {}
    }
    let is_its_own = match outcome {
        Outcome::Succeeded => true,
        Outcome::Failed { blamed, .. } => blamed.what.uses_up_a_try(),
        _ => false,
    };
    if is_its_own {
        recovery.lost_starts.remove(&action.instance);
    }
}
