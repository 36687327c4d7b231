//! The reasons of the page: their codes, what somebody has to do, and their lines in the log.

use std::collections::BTreeSet;

use ganeti_watcher::cluster::{
    AdminState, Instance, InstanceStatus, JobId, Node, PendingJob, Snapshot, Timestamp,
};
use ganeti_watcher::decide::blame::Blame;
use ganeti_watcher::decide::budget::MAX_TRIES;
use ganeti_watcher::decide::reason::{CODES, Reason};
use ganeti_watcher::decide::remedy::Command;
use ganeti_watcher::decide::tags::Place;
use ganeti_watcher::decide::verdict::Verdicts;
use ganeti_watcher::decide::{Note, NoteKind, Step};
use ganeti_watcher::memory::State;
use ganeti_watcher::memory::recovery::{BlockedBy, FailedMove, LastFailure, Shortage};
use ganeti_watcher::tell::{self, LogLine, Severity, Times};

use super::messages::{self, Message};
use super::page::{self, Item};

const NOW: Timestamp = 1_795_575_845.0;

/// At least one of each.
fn reasons() -> Vec<Reason> {
    let node = || "n1".to_owned();
    let until = NOW + 600.0;
    let shortage = |needed| Shortage { needed, available: needed, asked: true };
    let mut reasons = vec![
        Reason::PrimarySilent { node: node(), since: Some(NOW) },
        Reason::PrimarySilent { node: node(), since: None },
        Reason::PrimaryOffline { node: node() },
        Reason::SecondarySilent { node: node(), since: Some(NOW) },
        Reason::SecondarySilent { node: node(), since: None },
        Reason::SharedStorageUnsure { nodes: vec![node()] },
        Reason::MoveFailed(FailedMove { job: JobId(7), summary: "INSTANCE_MIGRATE(i1)".to_owned() }),
        Reason::JobRunning(PendingJob {
            id: JobId(7),
            summaries: Some(vec!["INSTANCE_REBOOT(i1)".to_owned()]),
            has_process: true,
        }),
        Reason::Locked,
        Reason::Tier { behind: "i3".to_owned(), until },
        Reason::Delay { until },
        Reason::Room,
        Reason::Backoff { by: BlockedBy::Other("the weather".to_owned()), failures: 2, until },
        Reason::NoMemory { failures: 2, shortage: shortage(Some(1024)), until },
        Reason::NoMemory { failures: 2, shortage: shortage(None), until },
        Reason::OutOfTries { until },
        Reason::GivenUp { until },
        Reason::CleanUpOutOfTries,
        Reason::StartFailed { tries: 2 },
        Reason::StartFailed { tries: MAX_TRIES },
        Reason::NotSubmitted { why: "the queue is full".to_owned() },
        Reason::Changed,
        Reason::Flapping { times: 6 },
        Reason::Paused,
        Reason::Drained,
        Reason::CutShort,
        Reason::SplitGroups { primary: "u1".to_owned(), secondaries: vec!["u2".to_owned()] },
        Reason::Unreadable,
        Reason::StatusUnknown { word: "ERROR_frozen".to_owned() },
        Reason::MirrorNotActive,
        Reason::MirrorDegraded { since: NOW },
        Reason::MirrorPeerAway { node: Some(node()) },
        Reason::MirrorPeerAway { node: None },
        Reason::MirrorNotActivated { failures: 1, until },
        Reason::MirrorNotActivated { failures: 2, until },
    ];
    for place in [Place::Instance, Place::Group, Place::Cluster] {
        reasons.extend([Reason::TagNever(place), Reason::TagHold { until, on: place }]);
    }
    for blame in [Blame::Instance, Blame::Node, Blame::Peer, Blame::Queue, Blame::Master, Blame::Unknown] {
        reasons.push(Reason::Backoff { by: BlockedBy::Known(blame), failures: 2, until });
    }
    let codes: BTreeSet<&str> = reasons.iter().map(Reason::code).collect();
    assert_eq!(codes, CODES.into(), "a reason is missing here");
    reasons
}

fn items() -> Vec<Item> {
    page::section("REASONS").items()
}

fn code(item: &Item) -> String {
    page::names(&item.head, "Li").concat()
}

#[test]
fn codes_are_those_of_the_program() {
    let codes: Vec<String> = items().iter().map(code).collect();
    assert_eq!(codes, CODES);
}

/// What the head of an item says about reasons that need a human.
fn mark(item: &Item) -> Option<String> {
    let mut texts = page::spans(&item.head).into_iter().map(|span| span.text);
    texts.find(|text| text.starts_with("(needs a human"))
}

#[test]
fn what_needs_a_human_is_marked() {
    let reasons = reasons();
    for item in items() {
        let needs: BTreeSet<bool> =
            reasons.iter().filter(|reason| reason.code() == code(&item)).map(Reason::needs_human).collect();
        let mark = mark(&item);
        let fits = match (needs.contains(&true), needs.contains(&false)) {
            (true, false) => mark.as_deref() == Some("(needs a human)"),
            (true, true) => mark.as_ref().is_some_and(|mark| mark.starts_with("(needs a human after ")),
            (false, _) => mark.is_none(),
        };
        assert!(fits, "{}: {mark:?}, the program says {needs:?}", code(&item));
    }
}

#[test]
fn what_to_type_is_said() {
    let items = items();
    for reason in reasons() {
        let item = items.iter().find(|item| code(item) == reason.code()).unwrap();
        let body = item.body.join(" ");
        for command in reason.commands("i1") {
            let typed = match command {
                Command::MarkOffline(_) => "gnt-node modify --offline yes",
                Command::FailOverNode(_) => "gnt-node failover",
                Command::CleanUpMigration(_) => "gnt-instance migrate --cleanup",
                Command::StartUp(_) => "gnt-instance startup",
                Command::ActivateDisks(_) => "gnt-instance activate-disks",
                Command::Retry(_) => "ganeti-watcher retry",
                Command::OpenQueue => "gnt-cluster queue undrain",
            };
            assert!(body.contains(typed), "{} does not say {typed}: {body}", reason.code());
        }
    }
}

fn instance(name: &str, secondary: Option<&str>) -> Instance {
    Instance {
        name: name.to_owned(),
        status: InstanceStatus::ErrorDown,
        admin_state: AdminState::Up,
        disks_active: true,
        primary: "n1".to_owned(),
        secondaries: secondary.into_iter().map(str::to_owned).collect(),
        disk_template: "drbd".to_owned(),
        memory: Some(1024),
        tags: Vec::new(),
    }
}

fn is_explained(messages: &[Message], LogLine { severity, text }: &LogLine) -> bool {
    let level = match severity {
        Severity::Debug => return true,
        Severity::Info => "INFO",
        Severity::Warning => "WARNING",
        Severity::Error => "ERROR",
    };
    messages.iter().any(|message| message.explains(level, text))
}

#[test]
fn every_line_about_a_condition_is_explained() {
    let messages = messages::messages();
    let mut told = Vec::new();
    for reason in reasons() {
        for (number, secondary) in [(1, None), (2, None), (1, Some("n2")), (2, Some("n2"))] {
            let instances: Vec<Instance> =
                (1..=number).map(|number| instance(&format!("i{number}"), secondary)).collect();
            let note = |instance: &Instance| {
                let kind = NoteKind::NotStarted(vec![reason.clone()]);
                Step::Note(Note { instance: instance.name.clone(), kind })
            };
            let steps: Vec<Step> = instances.iter().map(note).collect();
            let failure = LastFailure { job: JobId(7), error: "no kernel".to_owned(), at: NOW };
            let mut state = State::default();
            if secondary.is_some() {
                state.recovery.last_failures.insert("i1".to_owned(), failure);
            }
            let snapshot = Snapshot { instances, ..Snapshot::default() };
            let verdicts = Verdicts::of(&snapshot, &state, &steps, NOW);
            told.extend(tell::conditions(&verdicts, &Times::at(NOW)).lines());
        }
    }
    told.extend(of_silent_nodes());
    assert!(told.len() > 100, "only {} lines", told.len());
    told.retain(|line| !is_explained(&messages, line));
    assert!(told.is_empty(), "not in LOG MESSAGES: {told:#?}");
}

/// The lines about a node that no instance is down with.
fn of_silent_nodes() -> Vec<LogLine> {
    let node = Node {
        name: "n2".to_owned(),
        boot_id: None,
        offline: Some(false),
        vm_capable: Some(true),
        address: "192.0.2.2".to_owned(),
        uuid: "u".to_owned(),
    };
    let lines = [None, Some("n2")].map(|secondary| {
        let instances = [Instance { status: InstanceStatus::Running, ..instance("i1", secondary) }].into();
        let snapshot = Snapshot { instances, nodes: vec![node.clone()], ..Snapshot::default() };
        let verdicts = Verdicts::of(&snapshot, &State::default(), &[], NOW);
        tell::conditions(&verdicts, &Times::at(NOW)).lines().collect::<Vec<_>>()
    });
    assert!(lines.iter().all(|lines| lines.len() == 1), "{lines:?}");
    lines.concat()
}
