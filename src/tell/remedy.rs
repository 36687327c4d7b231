//! What happens next, and what somebody can type.

use super::words::Times;
use crate::decide::remedy::{Command, Condition, Next};

/// A command, as it is typed.
pub(super) fn command(command: &Command) -> String {
    match command {
        Command::MarkOffline(node) => format!("gnt-node modify --offline yes {node}"),
        Command::FailOverNode(node) => format!("gnt-node failover {node}"),
        Command::CleanUpMigration(instance) => format!("gnt-instance migrate --cleanup {instance}"),
        Command::StartUp(instance) => format!("gnt-instance startup {instance}"),
        Command::ActivateDisks(instance) => format!("gnt-instance activate-disks {instance}"),
        Command::Retry(instance) => format!("ganeti-watcher retry {instance}"),
        Command::OpenQueue => "gnt-cluster queue undrain".to_owned(),
    }
}

pub(super) fn next(next: &Next, times: &Times) -> String {
    match next {
        Next::Now => "it is being started".to_owned(),
        Next::InNextRun => "the next run tries again".to_owned(),
        Next::At(at) => format!("tried again at {}", times.moment(*at)),
        Next::Never => "nothing, by itself".to_owned(),
        Next::When(condition) => match condition {
            Condition::Answers(node) => format!("when node '{node}' answers"),
            Condition::AllAnswer(nodes) => format!("when these nodes answer: {}", nodes.join(", ")),
            Condition::JobEnds(job) => format!("when job {job} has ended"),
            Condition::LockIsFree => "when nobody holds its lock".to_owned(),
            Condition::TierIsUp { behind, until } => {
                format!("when '{behind}' is up, at {} at the latest", times.moment(*until))
            }
            Condition::TagIsGone => "when its tag is removed".to_owned(),
            Condition::PauseIsOver => "when the pause is over".to_owned(),
            Condition::QueueIsOpen => "when the job queue is open".to_owned(),
        },
    }
}
