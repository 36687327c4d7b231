//! The second look: whether an action that was planned a while ago is still wanted.

use std::fmt;

use super::{Action, ActionKind};
use crate::cluster::{Instance, InstanceStatus};

/// Why an action is not wanted any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// luxid does not know the instance any more, or does not describe it in a way that can be read.
    Gone,
    /// Its status is another one now.
    Status(InstanceStatus),
}

impl fmt::Display for Changed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => formatter.write_str("it is not there any more"),
            Self::Status(status) => write!(formatter, "its status is now {status}"),
        }
    }
}

/// `None` when the action is still wanted for the instance as it is now.
#[must_use]
pub fn change(action: &Action, now: Option<&Instance>) -> Option<Changed> {
    let Some(instance) = now else {
        return Some(Changed::Gone);
    };
    let wanted = match action.kind {
        ActionKind::Restart { .. } => instance.status == InstanceStatus::ErrorDown,
        ActionKind::CleanUp => instance.needs_clean_up(),
        ActionKind::ActivateDisks => !instance.status.is_helpless(),
    };
    (!wanted).then(|| Changed::Status(instance.status.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::instance;

    #[test]
    fn only_what_is_still_as_planned_is_done() {
        let restart = ActionKind::Restart { attempt: 1 };
        for (kind, status, wanted) in [
            (restart.clone(), "ERROR_down", true),
            (restart.clone(), "running", false),
            (restart.clone(), "ADMIN_down", false),
            (restart, "ERROR_nodedown", false),
            (ActionKind::CleanUp, "USER_down", true),
            (ActionKind::CleanUp, "running", false),
            (ActionKind::ActivateDisks, "running", true),
            (ActionKind::ActivateDisks, "ERROR_nodeoffline", false),
        ] {
            let action = Action { instance: "i".into(), kind };
            assert_eq!(
                change(&action, Some(&instance("i", status))).is_none(),
                wanted,
                "{action:?} {status}"
            );
            assert_eq!(change(&action, None), Some(Changed::Gone));
        }
    }
}
