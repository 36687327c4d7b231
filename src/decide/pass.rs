//! One pass: the whole policy of a group part, in order. Pure, so that a run can be tested, recorded and
//! replayed.
//!
//! ```text
//! plan                      records of earlier runs, tags, starts and clean-ups, activations of disks
//!   begin, ended, noted     what happens while that is carried out
//! plan_after_starts         the activations that depended on starts
//!   begin, ended, noted
//! inspected                 instances that run without their mirror were looked at
//! to_save                   goes into the state file, whose lock is given back
//! verification              whether Ganeti is to verify the group's disks
//! plan_after_verification   the activations that it calls for; what failed of them goes into the file again
//!
//! verdicts                  at any time: the answer for every instance and every node that is away
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::activations::{self, ActivationPlan, Starts};
use super::agenda::Agenda;
use super::event::Event;
use super::full;
use super::instances::{self, Outlook};
use super::intent::{self, Evidence};
use super::policy::Policies;
use super::reason::Reason;
use super::schedule::{self, Schedule};
use super::shared::{Settled, Shared};
use super::verdict::Verdicts;
use super::verify::{self, Findings, Verification};
use super::{Action, Note, NoteKind, Outcome, Step, budget, degraded, elsewhere, mirrors, split};
use crate::cluster::{Seen, Snapshot, Timestamp};
use crate::memory::recovery::{Recovery, Told};
use crate::memory::state::State;

/// What the options of a run say about its decisions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PassOptions {
    /// An instance whose secondary node has been silent for this long is started without it; `None` means
    /// never.
    pub start_degraded: Option<Duration>,
    /// Jobs that ended longer ago than this may be archived; `None` when any job may be.
    pub archived_after: Option<Duration>,
}

/// What to do next.
#[derive(Debug, Default)]
pub struct Plan {
    /// What was found before anything was decided.
    pub events: Vec<Event>,
    /// For which instances nothing is done, and why.
    pub notes: Vec<Note>,
    /// Starts and clean-ups, then activations.
    pub actions: Vec<Action>,
    schedule: Schedule,
    short_of_memory: full::Record,
}

impl Plan {
    /// Whose turn it is.
    #[must_use]
    pub fn into_agenda(self, snapshot: &Snapshot) -> Agenda {
        let mut agenda = Agenda::new(self.actions, snapshot, self.schedule);
        agenda.go_carefully(self.short_of_memory);
        agenda
    }
}

/// What a group part knows as it proceeds: what is remembered, and what became of its actions.
#[derive(Debug)]
pub struct Pass {
    options: PassOptions,
    state: State,
    master_boot_id: Option<String>,
    /// One for every instance.
    verdicts: Verdicts,
    /// Which instances failed in the same way in this run.
    shared: Shared,
    /// Instances that were to be started or cleaned up: what to do about their disks depends on that.
    starts: BTreeSet<String>,
    /// Those whose start succeeded.
    started: BTreeSet<String>,
    /// Those whose turn did not come.
    left_for_later: BTreeSet<String>,
    to_inspect: Vec<String>,
    /// Nodes whose boot ids are stored when no activation waits for them any more.
    rebooted: Vec<(String, String)>,
    /// The boot ids of the nodes that answered when the first plan was made.
    boot_ids: BTreeMap<String, String>,
}

impl Pass {
    /// Begins with what earlier runs left.
    #[must_use]
    pub fn new(state: State, options: PassOptions) -> Self {
        Self {
            options,
            state,
            master_boot_id: None,
            verdicts: Verdicts::default(),
            shared: Shared::default(),
            starts: BTreeSet::new(),
            started: BTreeSet::new(),
            left_for_later: BTreeSet::new(),
            to_inspect: Vec::new(),
            rebooted: Vec::new(),
            boot_ids: BTreeMap::new(),
        }
    }

    /// The first plan: brings what is remembered up to date with what was seen, and decides from both.
    pub fn plan(&mut self, seen: &Seen<'_>, now: Timestamp) -> Plan {
        let Self { state, options, .. } = self;
        let snapshot = seen.snapshot;
        self.master_boot_id = seen.master_boot_id.map(str::to_owned);
        self.shared = Shared::new(snapshot);
        let boot_ids =
            snapshot.nodes.iter().filter_map(|node| Some((node.name.clone(), node.boot_id.clone()?)));
        self.boot_ids = boot_ids.collect();
        let mut events = Vec::new();

        // What earlier runs left on record.
        let stale = instances::drop_stale_records(snapshot, state, now);
        events.extend(some(stale).map(Event::RecordsDropped));
        events.extend(intent::settle(state, &Evidence { seen, archived_after: options.archived_after, now }));
        let (policies, problems) = Policies::read(snapshot, seen.cluster_tags, now);
        events.extend(problems);
        state.recovery.see(now);
        elsewhere::remember_moves(state, snapshot, seen.moves);
        events.extend(degraded::remember_silent(state, snapshot, now));
        schedule::remember_down(state, snapshot, now);
        activations::forget_stopped(state, snapshot);
        let forgiven = budget::forgive(state, snapshot);
        events.extend(some(forgiven).map(Event::Forgiven));
        instances::forget_what_is_over(state, snapshot);
        state.recovery.forget_old_starts(now);
        state.recovery.seen_until(now);

        // Starts and clean-ups.
        let without_mirror = degraded::review(state, snapshot);
        self.to_inspect = without_mirror.to_inspect;
        let steps = instances::plan(&Outlook { snapshot, state, policies: &policies, now });
        let steps = degraded::allow(steps, state, &policies, options.start_degraded, now);
        self.starts = steps.iter().filter_map(acted_on).collect();

        // Activations of disks.
        let schedule = Schedule::of(snapshot, state, &policies, now);
        let starts = Starts { planned: self.starts.clone(), ..Starts::default() };
        let disks = activations::plan(state, snapshot, &starts, now);
        let unguarded = mirrors::not_active(snapshot, &disks.steps);
        events.extend(disks.without_boot_id.into_iter().map(Event::NoBootId));

        self.rebooted = disks.rebooted;
        let without_mirror = without_mirror.notes.into_iter().map(Step::Note);
        let steps: Vec<Step> =
            steps.into_iter().chain(without_mirror).chain(disks.steps).chain(unguarded).collect();
        self.verdicts = Verdicts::of(snapshot, state, &steps, now);
        let (notes, actions) = split(steps);
        notes.iter().for_each(|note| instances::remember_note(state, note, now));
        let short_of_memory = full::Record::of(&self.state, snapshot);
        Plan { events, notes, actions, schedule, short_of_memory }
    }

    /// The jobs of these actions are about to be submitted, with `epoch_ns` as the time of their reasons.
    /// Returns whether what is remembered has changed and should be saved first.
    pub fn begin(&mut self, actions: &[Action], epoch_ns: u64) -> bool {
        intent::record(&mut self.state, actions, epoch_ns, self.master_boot_id.as_deref())
    }

    /// It is a note's turn.
    pub fn noted(&mut self, note: &Note, now: Timestamp) {
        instances::remember_note(&mut self.state, note, now);
        if let NoteKind::LeftForLater(_) = note.kind {
            self.left_for_later.insert(note.instance.clone());
        }
        self.verdicts.noted(note, &self.state, now);
    }

    /// An action has ended. Returns what that means.
    pub fn ended(&mut self, action: &Action, outcome: &Outcome, now: Timestamp) -> Vec<Event> {
        let Settled { outcome, relieved, event } = self.shared.settle(&mut self.state, action, outcome, now);
        instances::remember_outcome(&mut self.state, action, &outcome, now);
        activations::remember_outcome(&mut self.state, &self.rebooted, action, &outcome, now);
        if action.kind.is_start() && outcome == Outcome::Succeeded {
            self.started.insert(action.instance.clone());
        }
        self.verdicts.ended(action, &outcome, &self.state, now);
        self.verdicts.relieved(&relieved, &self.state, now);
        [Event::Ended(action.clone(), outcome)].into_iter().chain(event).collect()
    }

    /// The run is stopped for this reason before everything was begun.
    pub fn stopped(&mut self, reason: &Reason) {
        self.verdicts.stopped(reason);
    }

    /// Nothing of the first plan is carried out, for this reason.
    pub fn called_off(&mut self, reason: &Reason) {
        self.verdicts.called_off(reason);
    }

    /// Remembers since when what another pass saw has been so, and what was told of it, and nothing else.
    pub fn remember_look(&mut self, ahead: Self) {
        let Recovery { down, silent, seen, told, .. } = ahead.state.recovery;
        let recovery = std::mem::take(&mut self.state.recovery);
        self.state.recovery = Recovery { down, silent, seen, told, ..recovery };
    }

    /// The answer for every instance, as far as this run has come.
    #[must_use]
    pub fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// The verdicts, and what the log was told of them.
    pub fn verdicts_and_told(&mut self) -> (&Verdicts, &mut BTreeMap<String, Told>) {
        (&self.verdicts, &mut self.state.recovery.told)
    }

    /// Whether [`Pass::plan_after_starts`] has anything to decide on.
    #[must_use]
    pub fn had_starts(&self) -> bool {
        !self.starts.is_empty()
    }

    /// A start assembles the disks on all nodes. If it failed, the activation that a reboot calls for is
    /// still due.
    pub fn plan_after_starts(&mut self, snapshot: &Snapshot, now: Timestamp) -> Plan {
        activations::store_boot_ids(&mut self.state, &self.rebooted);
        // A start assembled the disks on the nodes as they were then.
        let by_name = snapshot.instances_by_name();
        let is_as_then = |name: &&String| {
            let secondaries = by_name.get(name.as_str()).map(|instance| &instance.secondaries);
            let boot_id = |node: &String| snapshot.node(node).and_then(|node| node.boot_id.as_ref());
            secondaries.into_iter().flatten().all(|node| boot_id(node) == self.boot_ids.get(node))
        };
        let succeeded = self.started.iter().filter(is_as_then).cloned().collect();
        let starts = Starts { succeeded, planned: self.left_for_later.clone() };
        let ActivationPlan { steps, rebooted, .. } =
            activations::plan(&mut self.state, snapshot, &starts, now);
        self.rebooted = rebooted;
        let unguarded = mirrors::not_active(snapshot, &steps);
        let (mut notes, mut actions) = split(steps.into_iter().chain(unguarded));
        // The others had their turn.
        notes.retain(|note| self.starts.contains(&note.instance));
        actions.retain(|action| self.starts.contains(&action.instance));
        notes.iter().for_each(|note| self.noted(note, now));
        Plan { notes, actions, ..Plan::default() }
    }

    /// Instances that, as far as is known, run without their mirror, and about which Ganeti can be asked.
    #[must_use]
    pub fn to_inspect(&self) -> &[String] {
        &self.to_inspect
    }

    /// These of [`Pass::to_inspect`] have their whole mirror again. The others are still degraded.
    pub fn inspected(&mut self, whole: &[String], now: Timestamp) {
        whole.iter().for_each(|name| self.verdicts.mirror_is_whole(name));
        let notes = degraded::inspected(&mut self.state, &self.to_inspect, whole);
        notes.iter().for_each(|note| self.noted(note, now));
    }

    /// What is remembered.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What later runs must know, to be saved now.
    pub fn to_save(&mut self) -> &State {
        activations::store_boot_ids(&mut self.state, &self.rebooted);
        &self.state
    }

    /// Everything that needs the state file's lock has ended.
    pub fn end(&mut self, now: Timestamp) {
        self.state.recovery.seen_until(now);
    }

    /// Whether to verify the group's disks now; `summary` is that of the opcode that does it.
    #[must_use]
    pub fn verification(&self, snapshot: &Snapshot, summary: &str) -> Verification {
        verify::decide(snapshot, summary)
    }

    /// The activations that verify-disks calls for. How they end is remembered by
    /// [`activations::remember_found`]: the state file's lock was given back.
    #[must_use]
    pub fn plan_after_verification(&self, snapshot: &Snapshot, findings: &Findings) -> Plan {
        let (notes, actions) = split(activations::plan_found(snapshot, &findings.need_activation));
        Plan { notes, actions, ..Plan::default() }
    }
}

fn acted_on(step: &Step) -> Option<String> {
    match step {
        Step::Act(action) => Some(action.instance.clone()),
        Step::Note(_) => None,
    }
}

fn some(names: Vec<String>) -> Option<Vec<String>> {
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests;
