//! A group and its runs, with whatever happens in them.

use std::collections::BTreeMap;

use crate::cluster::testing::{drbd_instance, node, snapshot};
use crate::cluster::{
    AdminState, EndedOpCode, Fate, GanetiError, Instance, InstanceStatus, JobFailure, JobId,
};
use crate::decide::pass::*;
use crate::decide::verdict::Verdict;
use crate::decide::{ActionKind, budget};
use crate::tell::run::Done;
use crate::tell::{self, Severity, Times};

pub(super) const RUN: f64 = 300.0;

/// A group with what its runs remember.
pub(super) struct Group {
    pub(super) cluster: Snapshot,
    pub(super) state: State,
    pub(super) now: Timestamp,
    pub(super) options: PassOptions,
    pub(super) master_boot_id: Option<String>,
    pub(super) moves: BTreeMap<String, Vec<EndedOpCode>>,
    pub(super) fates: BTreeMap<String, Fate>,
    pub(super) cluster_tags: Vec<String>,
    /// What verify-disks names; `None` when it is not run.
    pub(super) broken: Option<Vec<String>>,
    /// The watcher is paused, or luxid lost, after this many actions.
    pub(super) stops_after: usize,
    /// What becomes of the cluster while starts are carried out.
    pub(super) after_starts: Option<fn(&mut Snapshot)>,
    /// What another run does to the state file while disks are verified.
    pub(super) meanwhile: Option<fn(&mut State)>,
}

/// What a run did, as `WHAT instance`, and what it said.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) did: Vec<String>,
    pub(super) said: Vec<String>,
    pub(super) ended: Vec<(Action, Outcome)>,
    pub(super) verdicts: Verdicts,
    done: Done,
}

impl Run {
    pub(super) fn says(&self, words: &str) -> bool {
        self.said.iter().any(|line| line.contains(words))
    }

    pub(super) fn verdict(&self, instance: &str) -> &Verdict {
        self.verdicts.get(instance).unwrap()
    }

    /// The codes of the reasons that hold at the end.
    pub(super) fn codes(&self, instance: &str) -> Vec<&'static str> {
        self.verdict(instance).reasons.iter().map(Reason::code).collect()
    }
}

impl Group {
    pub(super) fn new<const I: usize, const N: usize>(
        instances: [Instance; I],
        nodes: [crate::cluster::Node; N],
    ) -> Self {
        let cluster = snapshot(instances, nodes);
        let mut state = State::default();
        for node in &cluster.nodes {
            node.boot_id.iter().for_each(|boot_id| state.set_boot_id(&node.name, boot_id));
        }
        Self {
            cluster,
            state,
            now: 1_000_000.0,
            options: PassOptions {
                archived_after: Some(Duration::from_secs(21_600)),
                ..PassOptions::default()
            },
            master_boot_id: Some("master".to_owned()),
            moves: BTreeMap::new(),
            fates: BTreeMap::new(),
            cluster_tags: Vec::new(),
            broken: None,
            stops_after: usize::MAX,
            meanwhile: None,
            after_starts: None,
        }
    }

    /// Two DRBD instances, both with `n1` as primary; all is well.
    pub(super) fn healthy() -> Self {
        let instances = [drbd_instance("i1", "running", "n2"), drbd_instance("i2", "running", "n2")];
        Self::new(instances, [node("n1", Some("b1")), node("n2", Some("b2"))])
    }

    pub(super) fn instance(&mut self, name: &str) -> &mut Instance {
        self.cluster.instances.iter_mut().find(|instance| instance.name == name).unwrap()
    }

    pub(super) fn set(&mut self, names: &[&str], status: &str) {
        for name in names {
            self.instance(name).status = InstanceStatus::from_word(status);
        }
    }

    pub(super) fn boot(&mut self, name: &str, boot_id: Option<&str>) {
        let node = self.cluster.nodes.iter_mut().find(|node| node.name == name).unwrap();
        node.boot_id = boot_id.map(str::to_owned);
    }

    /// One run, five minutes after the last one. `outcome` gives the end of each action, with `None` for
    /// success. What succeeds takes effect.
    pub(super) fn run(&mut self, outcome: impl Fn(&Action) -> Option<JobFailure>) -> Run {
        let mut run = Run::default();
        let mut pass = Pass::new(std::mem::take(&mut self.state), self.options);
        let cluster = self.cluster.clone();
        let seen = Seen {
            snapshot: &cluster,
            cluster_tags: &self.cluster_tags,
            master_boot_id: self.master_boot_id.as_deref(),
            moves: &self.moves,
            fates: &self.fates,
        };
        let plan = pass.plan(&seen, self.now);
        let mut goes_on = self.carry_out(&mut pass, plan, &outcome, &mut run);
        if let Some(change) = self.after_starts.take() {
            change(&mut self.cluster);
        }
        if goes_on && pass.had_starts() {
            let plan = pass.plan_after_starts(&self.cluster, self.now);
            goes_on = self.carry_out(&mut pass, plan, &outcome, &mut run);
        }
        if goes_on {
            let whole: Vec<String> = pass.to_inspect().to_vec();
            pass.inspected(&whole, self.now);
        } else {
            pass.stopped(&Reason::Paused);
        }
        self.tell_end(&mut pass, &mut run);
        pass.end(self.now);
        self.state = State::parse(&pass.to_save().to_text()).unwrap();
        run.ended.clear();
        if let Some(broken) = self.broken.take().filter(|_| goes_on) {
            assert_eq!(pass.verification(&self.cluster, "GROUP_VERIFY_DISKS(u)"), Verification::Wanted);
            let findings = Findings { need_activation: broken, ..Findings::default() };
            let plan = pass.plan_after_verification(&self.cluster, &findings);
            // The lock is given back: another run may have changed the state meanwhile.
            if let Some(change) = self.meanwhile.take() {
                change(&mut self.state);
            }
            self.carry_out(&mut pass, plan, &outcome, &mut run);
            for (action, outcome) in run.ended.drain(..) {
                activations::remember_found(&mut self.state, &action, &outcome, self.now);
            }
        }
        self.fates.clear();
        self.now += RUN;
        run
    }

    /// Whether the run can go on.
    pub(super) fn carry_out(
        &mut self,
        pass: &mut Pass,
        plan: Plan,
        outcome: impl Fn(&Action) -> Option<JobFailure>,
        run: &mut Run,
    ) -> bool {
        run.said.extend(plan.events.iter().map(|event| tell::event(event, &tell::Times::utc(self.now)).text));
        self.tell_conditions(pass, run);
        run.said.extend(tell::notes(&plan.notes).into_iter().map(|line| line.text));
        run.done.noted(&plan.notes);
        let cluster = self.cluster.clone();
        let mut agenda = plan.into_agenda(&cluster);
        loop {
            let actions = agenda.take(self.now, 1, &|_| 1);
            let Some(action) = actions.first() else { break };
            if run.did.len() >= self.stops_after {
                return false;
            }
            pass.begin(&actions, 1);
            let outcome = match outcome(action) {
                None => Outcome::Succeeded,
                Some(failure) => {
                    let blamed = budget::blame(&failure, action, &self.cluster);
                    Outcome::Failed { job: JobId(1), failure, blamed }
                }
            };
            self.comes_true(action, &outcome);
            let mark = if outcome == Outcome::Succeeded { "" } else { " fails" };
            run.did.push(format!("{}{mark}", words(action)));
            let events = pass.ended(action, &outcome, self.now);
            run.said.extend(events.iter().map(|event| tell::event(event, &tell::Times::utc(self.now)).text));
            run.done.ended(action, &outcome);
            agenda.ended(&action.instance, outcome == Outcome::Succeeded && action.kind.is_start());
            run.ended.push((action.clone(), outcome));
        }
        for (action, hold) in agenda.give_up(self.now, &|_| 1) {
            let note = Note { instance: action.instance, kind: NoteKind::LeftForLater(hold) };
            pass.noted(&note, self.now);
            run.said.extend(tell::note(&note).map(|line| line.text));
        }
        true
    }

    /// Only what is news.
    fn tell_conditions(&self, pass: &mut Pass, run: &mut Run) {
        let (verdicts, told) = pass.verdicts_and_told();
        let lines = tell::conditions(verdicts, &Times::utc(self.now)).news(told, self.now);
        let news = lines.into_iter().filter(|line| line.severity != Severity::Debug);
        run.said.extend(news.map(|line| line.text));
    }

    fn tell_end(&self, pass: &mut Pass, run: &mut Run) {
        self.tell_conditions(pass, run);
        let (verdicts, told) = pass.verdicts_and_told();
        tell::conditions(verdicts, &Times::utc(self.now)).forget_others(told);
        if run.done.anything() {
            run.said.push(tell::run::over(verdicts, &run.done, self.now, self.now).text);
        }
        run.verdicts = verdicts.clone();
    }

    pub(super) fn comes_true(&mut self, action: &Action, outcome: &Outcome) {
        let instance = self.instance(&action.instance);
        let succeeded = *outcome == Outcome::Succeeded;
        match action.kind {
            ActionKind::Restart { .. } | ActionKind::StartDegraded if succeeded => {
                instance.status = InstanceStatus::Running;
                instance.disks_active = true;
            }
            ActionKind::CleanUp if succeeded => {
                instance.status = InstanceStatus::AdminDown;
                instance.admin_state = AdminState::Down;
                instance.disks_active = false;
            }
            // Ganeti marks the disks of a failed activation as not active.
            ActionKind::ActivateDisks { .. } => instance.disks_active = succeeded,
            _ => {}
        }
    }
}

pub(super) fn words(action: &Action) -> String {
    let what = match action.kind {
        ActionKind::Restart { attempt } => format!("start #{attempt}"),
        ActionKind::StartDegraded => "start alone".to_owned(),
        ActionKind::CleanUp => "clean up".to_owned(),
        ActionKind::ActivateDisks { .. } => "activate".to_owned(),
    };
    format!("{what} {}", action.instance)
}

pub(super) fn well(_: &Action) -> Option<JobFailure> {
    None
}

pub(super) fn error(message: &str) -> JobFailure {
    let class = "OpExecError".to_owned();
    JobFailure::Error(GanetiError { class, message: message.to_owned(), code: None })
}

/// Every start fails through the instance's own fault.
pub(super) fn no_kernel(action: &Action) -> Option<JobFailure> {
    let name = &action.instance;
    action.kind.is_start().then(|| {
        error(&format!(
            "Could not start instance '{name}': Hypervisor error: Instance disks: kernel {name} not found"
        ))
    })
}

pub(super) fn activations_fail(action: &Action) -> Option<JobFailure> {
    matches!(action.kind, ActionKind::ActivateDisks { .. }).then(|| error("Cannot activate block devices"))
}

/// Nothing finds its disks.
pub(super) fn no_volume_group(action: &Action) -> Option<JobFailure> {
    let name = &action.instance;
    Some(error(&format!(
        "Could not start instance '{name}': Block device error: can't find the volume group xenvg"
    )))
}
