//! The witness of a group part: logs what happens, tells the pass, and saves what that remembers.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::LogWitness;
use crate::act::{Runner, Stopped, Witness};
use crate::armed::Armed;
use crate::cluster::Timestamp;
use crate::decide::pass::{Pass, Plan};
use crate::decide::{Action, Note, Outcome, activations};
use crate::memory::state_file::StateFile;
use crate::tell::run::Done;
use crate::tell::{LogLine, Severity, Times};
use crate::{logging, tell};

/// How often, and at what intervals, the state's lock is requested again after disks were verified.
const LOCK_ATTEMPTS: u32 = 30;
const LOCK_INTERVAL: Duration = Duration::from_secs(1);

/// Does what there is to do.
pub(super) async fn carry_out(
    runner: &mut Runner<'_>,
    plan: Plan,
    witness: &mut dyn Witness,
) -> Result<(), Stopped> {
    let agenda = plan.into_agenda(runner.snapshot());
    runner.carry_out(agenda, witness).await
}

/// The state file with what is to go into it.
pub(super) struct Ledger {
    file: StateFile,
    pub(super) pass: Pass,
    /// How many outcomes are not in the file yet.
    unsaved: usize,
    /// What was done, for the last line.
    done: Done,
    /// Whether there is a plan, and so a verdict on anything.
    has_plan: bool,
    /// The conditions that this run has told, so that it tells none of them twice.
    said: BTreeSet<String>,
    /// Whether it was reported that intents cannot be saved.
    is_told: bool,
}

impl Ledger {
    pub(super) fn new(file: StateFile, pass: Pass) -> Self {
        Self {
            file,
            pass,
            unsaved: 0,
            done: Done::default(),
            has_plan: false,
            said: BTreeSet::new(),
            is_told: false,
        }
    }

    /// Logs what a plan found, and what it leaves alone.
    pub(super) fn tell_plan(&mut self, plan: &Plan, now: Timestamp) {
        self.has_plan = true;
        logging::log_all(plan.events.iter().map(|event| tell::event(event, &Times::at(now))));
        let (verdicts, told) = self.pass.verdicts_and_told();
        let conditions = tell::conditions(verdicts, &Times::at(now));
        let conditions = if plan.actions.is_empty() { conditions } else { conditions.without_waits() };
        let lines = conditions.news(told, now);
        self.say(lines);
        logging::log_all(tell::notes(&plan.notes));
        self.done.found(&plan.events);
        self.done.noted(&plan.notes);
    }

    /// Logs lines about conditions, except for what this run has told already and nothing has changed.
    fn say(&mut self, lines: Vec<LogLine>) {
        for line in lines {
            let is_repeated = !self.said.insert(line.text.clone());
            if !is_repeated || line.severity != Severity::Debug {
                logging::log(&line);
            }
        }
    }

    /// Logs how the group is now, if something was done or has changed, and forgets what is over. Nothing is
    /// known of a group for which there was no plan.
    pub(super) fn end(&mut self, began: Timestamp, now: Timestamp) {
        if !self.has_plan {
            return;
        }
        let (verdicts, told) = self.pass.verdicts_and_told();
        let conditions = tell::conditions(verdicts, &Times::at(now));
        conditions.forget_others(told);
        let lines = conditions.news(told, now);
        self.say(lines);
        let (verdicts, told) = self.pass.verdicts_and_told();
        logging::log_all(tell::verdicts(verdicts, &Times::at(now)));
        let is_news = tell::is_news(tell::run::still(verdicts), told, now);
        if is_news || self.done.anything() {
            logging::log(tell::run::over(verdicts, &self.done, began, now));
        }
        self.pass.end(now);
    }

    /// Logs the conditions of a look after which nothing is done.
    pub(super) fn tell_ahead(&mut self, mut ahead: Pass, now: Timestamp) {
        let (verdicts, told) = ahead.verdicts_and_told();
        let conditions = tell::conditions(verdicts, &Times::at(now));
        conditions.forget_others(told);
        logging::log_all(conditions.news(told, now));
        self.pass.remember_look(ahead);
    }

    pub(super) fn save(&mut self) -> Result<()> {
        self.file.save(self.pass.to_save())
    }

    /// Writes the state if that failed when its file was opened.
    pub(super) fn save_first(&mut self) -> Result<()> {
        self.file.save_first(self.pass.to_save())
    }

    /// Releases the state file's lock.
    pub(super) fn close(self) -> Pass {
        self.pass
    }

    fn save_change(&mut self) -> Result<()> {
        self.unsaved = 0;
        self.file.save_change(self.pass.to_save())
    }
}

impl Witness for Ledger {
    fn noted(&mut self, note: &Note, now: Timestamp) {
        self.pass.noted(note, now);
        LogWitness.noted(note, now);
    }

    /// Starts are recorded before they are submitted, whatever the cost: a start that is not on record is
    /// forgotten if it kills the master. If the record cannot be written they are made anyway; repairs come
    /// first.
    fn begin(&mut self, actions: &[Action], epoch_ns: u64) {
        LogWitness.begin(actions, epoch_ns);
        if !self.pass.begin(actions, epoch_ns) {
            return;
        }
        if let Err(error) = self.save_change()
            && !std::mem::replace(&mut self.is_told, true)
        {
            logging::log(tell::records::starts_not_recorded(&error));
        }
    }

    fn ended(&mut self, action: &Action, outcome: &Outcome, now: Timestamp) {
        logging::log_all(
            self.pass.ended(action, outcome, now).iter().map(|event| tell::event(event, &Times::at(now))),
        );
        self.done.ended(action, outcome);
        self.unsaved += 1;
    }

    /// So that a killed run forgets only the last hundredth of what it did: every save writes everything. A
    /// full disk is no reason to leave the other instances down; the save at the end of the pass reports it.
    fn checkpoint(&mut self) {
        let records = self.pass.state().instances().count().max(self.pass.state().recovery.activations.len());
        if self.unsaved == 0 || self.unsaved * 100 < records {
            return;
        }
        if let Err(error) = self.save_change() {
            logging::log(tell::records::outcomes_not_recorded_yet(&error));
        }
    }
}

/// The activations that verify-disks called for. The state's lock was given back before disks were verified,
/// because that may take long, so they are put on record at the end.
#[derive(Default)]
pub(super) struct Activations(Vec<(Action, Outcome, Timestamp)>);

impl Witness for Activations {
    fn noted(&mut self, note: &Note, now: Timestamp) {
        LogWitness.noted(note, now);
    }

    fn begin(&mut self, actions: &[Action], epoch_ns: u64) {
        LogWitness.begin(actions, epoch_ns);
    }

    fn ended(&mut self, action: &Action, outcome: &Outcome, now: Timestamp) {
        LogWitness.ended(action, outcome, now);
        self.0.push((action.clone(), outcome.clone(), now));
    }
}

impl Activations {
    /// Puts them on record, after what other runs have put there meanwhile.
    pub(super) async fn remember(self, armed: &Armed, path: &Path, stamp: &str) {
        if self.0.is_empty() {
            return;
        }
        let mut opened = StateFile::open(armed, path, stamp);
        for _ in 0..LOCK_ATTEMPTS {
            if opened.is_ok() {
                break;
            }
            sleep(LOCK_INTERVAL).await;
            opened = StateFile::open(armed, path, stamp);
        }
        let remembered = opened.map_err(anyhow::Error::from).and_then(|(mut file, mut state)| {
            for (action, outcome, now) in &self.0 {
                activations::remember_found(&mut state, action, outcome, *now);
            }
            file.save_change(&state)
        });
        if let Err(error) = remembered {
            logging::log(tell::records::activations_not_recorded(&error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::ActionKind;
    use crate::logging::testing::logged;

    #[test]
    fn starts_are_on_record_before_they_are_submitted_and_made_all_the_same_when_that_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watcher.u.data");
        let (file, state) = StateFile::open(&Armed::for_test(), &path, "1").unwrap();
        let mut ledger = Ledger::new(file, Pass::new(state, crate::decide::pass::PassOptions::default()));
        let start = |name: &str| Action { instance: name.into(), kind: ActionKind::Restart { attempt: 1 } };
        ledger.begin(&[start("i1")], 5);
        let saved = StateFile::peek(&path).unwrap().recovery.starting;
        assert_eq!(saved["i1"].reason_ns, 5);
        drop(directory);
        let lines = logged(async {
            ledger.begin(&[start("i2")], 6);
            ledger.begin(&[start("i3")], 7);
        });
        let told = lines.lines().filter(|line| line.contains("cannot be recorded")).count();
        assert_eq!(told, 1, "{lines}");
        assert_eq!(ledger.pass.state().recovery.starting.len(), 3);
    }
}
