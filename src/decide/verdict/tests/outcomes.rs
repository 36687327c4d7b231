//! What outcomes make of a verdict.

use super::*;

/// Every change, with the code of the reason that it gives an instance that was to be started; `None` where
/// it does not have to run any more, or runs. A new one does not compile before it has a place here.
fn changes() -> Vec<(Changed, Option<&'static str>)> {
    let status = |word: &str| Changed::Status(InstanceStatus::from_word(word));
    let statuses = [
        "ERROR_down",
        "ERROR_nodedown",
        "ERROR_nodeoffline",
        "strange",
        "running",
        "ERROR_up",
        "ERROR_wrongnode",
    ];
    let stopped = ["USER_down", "ADMIN_down", "ADMIN_offline"];
    let others = [
        Changed::Gone,
        Changed::AdminState,
        Changed::DisksNotActive,
        Changed::Locked,
        Changed::NodeLocked("n2".into()),
        Changed::MayRunOn(vec!["n3".into()]),
        Changed::Busy(pending_job(7, "INSTANCE_REBOOT(i)")),
        Changed::SecondarySilent("n2".into()),
        Changed::SecondaryAnswers,
        Changed::Tags,
    ];
    let changes = statuses.into_iter().chain(stopped).map(status).chain(others);
    let code = |change: &Changed| match change {
        Changed::Gone | Changed::AdminState => None,
        Changed::Status(status) => match status {
            InstanceStatus::ErrorDown => Some("changed"),
            InstanceStatus::NodeDown => Some("primary_silent"),
            InstanceStatus::NodeOffline => Some("primary_offline"),
            InstanceStatus::Other(_) => Some("status_unknown"),
            InstanceStatus::Running
            | InstanceStatus::ErrorUp
            | InstanceStatus::WrongNode
            | InstanceStatus::UserDown
            | InstanceStatus::AdminDown
            | InstanceStatus::AdminOffline => None,
        },
        Changed::Locked => Some("locked"),
        Changed::MayRunOn(_) => Some("shared_storage_unsure"),
        Changed::Busy(_) => Some("job_running"),
        Changed::SecondarySilent(_) => Some("secondary_silent"),
        Changed::SecondaryAnswers | Changed::Tags | Changed::DisksNotActive | Changed::NodeLocked(_) => {
            Some("changed")
        }
    };
    changes.map(|change| (change.clone(), code(&change))).collect()
}

#[test]
fn a_start_that_succeeds_ends_what_kept_the_instance_down_and_nothing_else() {
    let mut group = Group::starting();
    group
        .state
        .recovery
        .last_failures
        .insert("i".into(), LastFailure { job: JobId(1), error: "no kernel".into(), at: 9_500.0 });
    group.noted(NoteKind::NotStarted(vec![Reason::Locked, Reason::Flapping { times: 6 }]));
    let verdict = group.ended(restart(), &Outcome::Succeeded);
    assert_eq!((&verdict.progress, codes(verdict)), (&Progress::Started, vec!["flapping"]));
    assert!(verdict.runs() && verdict.since.is_none() && verdict.last_failure.is_none());
    let mut group = Group::starting();
    let verdict = group.ended(ActionKind::StartDegraded, &Outcome::Succeeded);
    assert_eq!(verdict.reasons, [Reason::MirrorDegraded { since: NOW }]);
    group.verdicts.mirror_is_whole("i");
    group.verdicts.mirror_is_whole("unknown");
    assert_eq!(codes(group.get()), [""; 0]);
}

#[test]
fn a_start_that_fails_by_the_instance_s_own_fault_has_used_up_a_try() {
    let mut group = Group::starting();
    for tries in 1..=MAX_TRIES {
        let verdict = group.ended(restart(), &failed(Blame::Instance, Detail::None));
        assert_eq!(verdict.reasons, [Reason::StartFailed { tries }]);
        assert_eq!((&verdict.progress, verdict.runs()), (&Progress::None, false));
        let LastFailure { job, error, at } = verdict.last_failure.as_ref().unwrap();
        assert_eq!((*job, error.as_str(), *at), (JobId(78), "no kernel", NOW));
        assert_eq!(verdict.blame(), Some(Culprit::Instance));
        assert_eq!(verdict.needs_human(), tries == MAX_TRIES, "{tries}");
    }
}

#[test]
fn a_start_that_fails_by_somebody_else_s_fault_waits() {
    let shortage = Shortage { needed: Some(1024), available: Some(12), asked: true };
    let wait = |by, until| Reason::Backoff { by: BlockedBy::Known(by), failures: 1, until };
    for (outcome, reason, has_failure) in [
        (failed(Blame::Node, Detail::None), &wait as &dyn Fn(_, _) -> _, true),
        (failed(Blame::Queue, Detail::None), &wait, true),
        (
            failed(Blame::Node, Detail::Memory(shortage)),
            &|_, until| Reason::NoMemory { failures: 1, shortage, until },
            true,
        ),
        (unseen(), &wait, false),
    ] {
        let mut group = Group::starting();
        let verdict = group.ended(restart(), &outcome).clone();
        let wait = crate::decide::budget::wait(&group.state, "i", NOW).unwrap();
        let BlockedBy::Known(by) = wait.by else { panic!("{wait:?}") };
        assert_eq!(verdict.reasons, [reason(by, NOW + wait.seconds)], "{outcome:?}");
        assert_eq!(verdict.next(), Some(Next::At(NOW + wait.seconds)));
        assert_eq!((verdict.needs_human(), verdict.last_failure.is_some()), (false, has_failure));
        assert_eq!(verdict.commands(), [Command::Retry("i".into())]);
    }
}

#[test]
fn one_that_failed_like_another_one_is_relieved_of_the_blame() {
    let mut group = Group::starting();
    group.ended(restart(), &failed(Blame::Instance, Detail::None));
    group.state.give_back_restart_attempt("i");
    let blamed = Blamed { what: Blame::Node, cause: "n1 b1".into(), detail: Detail::None };
    crate::decide::budget::remember_failure(&mut group.state, "i", &blamed, NOW);
    group.verdicts.relieved(&["i".into(), "gone".into()], &group.state, NOW);
    assert_eq!(codes(group.get()), ["backoff"]);
    assert_eq!(group.get().blame(), Some(Culprit::Node("n1".into())));
    assert!(group.get().last_failure.is_some(), "that is what happened");
}

#[test]
fn a_job_that_luxid_did_not_take_is_tried_again() {
    let mut group = Group::starting();
    let verdict = group.ended(restart(), &Outcome::NotSubmitted("queue full".into()));
    assert_eq!(verdict.reasons, [Reason::NotSubmitted { why: "queue full".into() }]);
    assert_eq!((verdict.next(), verdict.needs_human()), (Some(Next::InNextRun), false));
}

#[test]
fn a_start_that_is_left_alone_has_the_reason_or_is_not_needed() {
    for (change, code) in changes() {
        let mut group = Group::starting();
        group.verdicts.silent.insert("n2".into(), 9_400.0);
        let verdict = group.ended(restart(), &Outcome::LeftAlone(change.clone()));
        assert_eq!(codes(verdict), code.into_iter().collect::<Vec<_>>(), "{change:?}");
        assert_eq!(verdict.progress, Progress::None);
        let is_down = code.is_some();
        assert_eq!(verdict.wanted != Some(false) && !verdict.runs(), is_down, "{change:?}");
        assert_eq!(verdict.since.is_some(), is_down, "{change:?}");
        if let Some(Reason::SecondarySilent { node, since }) = verdict.decides() {
            assert_eq!((node.as_str(), *since), ("n2", Some(9_400.0)));
        }
        if let Changed::Status(status) = &change {
            assert_eq!(verdict.status.as_ref(), Some(status));
        }
    }
}

#[test]
fn whatever_is_left_alone_one_that_is_found_down_has_a_reason() {
    for (change, _) in changes() {
        let mut group = Group::new([drbd_instance("i", "running", "n2")]);
        let verdict = group.ended(activate(), &Outcome::LeftAlone(change.clone())).clone();
        match &change {
            Changed::Status(InstanceStatus::NodeDown) => assert_eq!(codes(&verdict), ["primary_silent"]),
            Changed::Status(InstanceStatus::NodeOffline) => assert_eq!(codes(&verdict), ["primary_offline"]),
            Changed::Status(_) | Changed::Gone | Changed::AdminState => {}
            // Its disks are left alone; it runs.
            _ => assert_eq!((codes(&verdict), verdict.runs()), (vec![], true), "{change:?}"),
        }
        let is_down = verdict.wanted != Some(false) && !verdict.runs();
        assert_eq!(verdict.decides().is_some(), is_down, "{change:?}");
        assert_eq!(verdict.since, is_down.then_some(NOW), "{change:?}");
    }
    // One that its user shut down, and that should run all at once.
    let mut group = Group::new([instance("i", "USER_down")]);
    let change = Changed::Status(InstanceStatus::ErrorDown);
    let verdict = group.ended(ActionKind::CleanUp, &Outcome::LeftAlone(change));
    assert_eq!((codes(verdict), verdict.wanted), (vec!["changed"], Some(true)));
}

#[test]
fn what_becomes_of_other_actions_is_not_about_whether_it_runs() {
    for outcome in
        [Outcome::Succeeded, failed(Blame::Node, Detail::None), unseen(), Outcome::NotSubmitted("x".into())]
    {
        let mut group = Group::new([drbd_instance("i", "running", "n2")]);
        let before = group.get().clone();
        assert_eq!(group.ended(activate(), &outcome), &before, "{outcome:?}");
        let mut group = Group::new([instance("i", "USER_down")]);
        let before = group.get().clone();
        assert_eq!(group.ended(ActionKind::CleanUp, &outcome), &before, "{outcome:?}");
    }
}
