//! A value of every reason.

use super::Reason;
use crate::cluster::JobId;
use crate::cluster::testing::pending_job;
use crate::decide::blame::Blame;
use crate::decide::tags::Place;
use crate::memory::recovery::{BlockedBy, FailedMove, Shortage};

/// One of each, in the order of the enum. A new variant does not compile before it has a place here.
pub(crate) fn one_of_each() -> Vec<Reason> {
    std::iter::successors(Some(first()), after).collect()
}

fn first() -> Reason {
    Reason::PrimarySilent { node: "n1".into(), since: Some(100.0) }
}

fn after(reason: &Reason) -> Option<Reason> {
    let (node, until) = (|| "n2".to_owned(), 500.0);
    let shortage = Shortage { needed: Some(1024), available: Some(100), asked: true };
    Some(match reason {
        Reason::PrimarySilent { .. } => Reason::PrimaryOffline { node: "n1".into() },
        Reason::PrimaryOffline { .. } => Reason::SecondarySilent { node: node(), since: None },
        Reason::SecondarySilent { .. } => Reason::SharedStorageUnsure { nodes: vec![node()] },
        Reason::SharedStorageUnsure { .. } => {
            Reason::MoveFailed(FailedMove { job: JobId(5), summary: "INSTANCE_MIGRATE(a)".into() })
        }
        Reason::MoveFailed(_) => Reason::JobRunning(pending_job(7, "INSTANCE_REBOOT(a)")),
        Reason::JobRunning(_) => Reason::Locked,
        Reason::Locked => Reason::TagNever(Place::Instance),
        Reason::TagNever(_) => Reason::TagHold { until, on: Place::Group },
        Reason::TagHold { .. } => Reason::Tier { behind: "dns".into(), until },
        Reason::Tier { .. } => Reason::Delay { until },
        Reason::Delay { .. } => Reason::Room,
        Reason::Room => Reason::Backoff { by: BlockedBy::Known(Blame::Node), failures: 1, until },
        Reason::Backoff { .. } => Reason::NoMemory { failures: 1, shortage, until },
        Reason::NoMemory { .. } => Reason::OutOfTries { until },
        Reason::OutOfTries { .. } => Reason::GivenUp { until },
        Reason::GivenUp { .. } => Reason::CleanUpOutOfTries,
        Reason::CleanUpOutOfTries => Reason::StartFailed { tries: 1 },
        Reason::StartFailed { .. } => Reason::NotSubmitted { why: "queue full".into() },
        Reason::NotSubmitted { .. } => Reason::Changed,
        Reason::Changed => Reason::Flapping { times: 6 },
        Reason::Flapping { .. } => Reason::Paused,
        Reason::Paused => Reason::Drained,
        Reason::Drained => Reason::CutShort,
        Reason::CutShort => Reason::SplitGroups { primary: "g".into(), secondaries: vec!["h".into()] },
        Reason::SplitGroups { .. } => Reason::Unreadable,
        Reason::Unreadable => Reason::StatusUnknown { word: "strange".into() },
        Reason::StatusUnknown { .. } => Reason::MirrorNotActive,
        Reason::MirrorNotActive => Reason::MirrorDegraded { since: 100.0 },
        Reason::MirrorDegraded { .. } => Reason::MirrorPeerAway { node: Some(node()) },
        Reason::MirrorPeerAway { .. } => Reason::MirrorNotActivated { failures: 3, until },
        Reason::MirrorNotActivated { .. } => return None,
    })
}
