//! What a group part remembers while it carries its plan out, and when that is saved.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::LogWitness;
use crate::act::Witness;
use crate::armed::Armed;
use crate::cluster::Timestamp;
use crate::decide::disks::RebootedNode;
use crate::decide::full::FullNodes;
use crate::decide::shared::Shared;
use crate::decide::{Action, Note, NoteKind, Outcome, disks, instances, intent};
use crate::logging;
use crate::memory::State;
use crate::memory::state_file::StateFile;

/// How often, and after how long, the state's lock is asked for again after disks were verified.
const LOCK_ATTEMPTS: u32 = 30;
const LOCK_INTERVAL: Duration = Duration::from_secs(1);

/// The state file with what is to go into it, and the witness that puts it there.
pub(super) struct Ledger {
    file: StateFile,
    pub(super) state: State,
    /// Where memory is short.
    pub(super) full: FullNodes,
    /// What instances failed alike in this run.
    pub(super) shared: Shared,
    /// Instances that were started in this run.
    pub(super) started: BTreeSet<String>,
    /// How many outcomes the file does not know yet.
    unsaved: usize,
    /// Instances whose turn did not come.
    pub(super) left_for_later: BTreeSet<String>,
    /// What the boot-id pass is still waiting for.
    pub(super) rebooted: Vec<RebootedNode>,
    /// The boot id of this node, the master, if it is known.
    pub(super) master_boot_id: Option<String>,
    /// Whether it was told that intents cannot be saved.
    is_told: bool,
}

impl Ledger {
    pub(super) fn new(file: StateFile, state: State, master_boot_id: Option<String>) -> Self {
        Self {
            file,
            state,
            full: FullNodes::default(),
            shared: Shared::default(),
            started: BTreeSet::new(),
            unsaved: 0,
            left_for_later: BTreeSet::new(),
            rebooted: Vec::new(),
            master_boot_id,
            is_told: false,
        }
    }

    pub(super) fn save(&mut self) -> Result<()> {
        self.remember_disks();
        self.file.save(&self.state)
    }

    /// Writes the state if opening its file could not.
    pub(super) fn save_first(&mut self) -> Result<()> {
        self.file.save_first(&self.state)
    }

    fn save_change(&mut self) -> Result<()> {
        self.unsaved = 0;
        self.remember_disks();
        self.file.save_change(&self.state)
    }

    /// Brings into the state what the boot-id pass still waits for.
    pub(super) fn remember_disks(&mut self) {
        disks::remember(&mut self.state, &self.rebooted);
    }
}

impl Witness for Ledger {
    fn noted(&mut self, note: &Note, now: Timestamp) {
        instances::remember_note(&mut self.state, note, now);
        if let NoteKind::LeftForLater(_) = note.kind {
            self.left_for_later.insert(note.instance.clone());
        }
        self.full.noted(note);
        LogWitness.noted(note, now);
    }

    /// Starts are on record before they are submitted, whatever that costs: what is not on record is forgotten when the
    /// master dies of it. Where the record cannot be written they are made all the same; repairs come first.
    fn begin(&mut self, actions: &[Action], epoch_ns: u64) {
        LogWitness.begin(actions, epoch_ns);
        if !intent::record(&mut self.state, actions, epoch_ns, self.master_boot_id.as_deref()) {
            return;
        }
        if let Err(error) = self.save_change()
            && !std::mem::replace(&mut self.is_told, true)
        {
            warn!(
                "Starting instances although that cannot be put on record ({error:#}): should this run be killed, their \
                 tries are forgotten"
            );
        }
    }

    fn ended(&mut self, action: &Action, outcome: &Outcome, now: Timestamp) {
        let (outcome, line) = self.shared.settle(&mut self.state, action, outcome, now);
        let outcome = &outcome;
        LogWitness.ended(action, outcome, now);
        line.iter().for_each(logging::log);
        self.full.ended(action, outcome, self.shared.node_of(&action.instance));
        instances::remember_outcome(&mut self.state, action, outcome, now);
        disks::remember_outcome(&mut self.rebooted, action, outcome, now);
        if self.state.recovery.activations.contains_key(&action.instance) {
            disks::remember_activation(&mut self.state, action, outcome, now);
        }
        self.unsaved += 1;
        if action.kind.is_start() && *outcome == Outcome::Succeeded {
            self.started.insert(action.instance.clone());
        }
    }

    /// So that a run that is killed has not forgotten what it did, but for the last hundredth of it: every save writes all
    /// there is. A full disk is no reason to leave the other instances down; the save at the end of the pass reports it.
    fn checkpoint(&mut self) {
        if self.unsaved == 0 || self.unsaved * 100 < self.state.instances().count() {
            return;
        }
        if let Err(error) = self.save_change() {
            debug!("{error:#}, going on");
        }
    }
}

/// The activations that verify-disks called for, so that the failed ones are tried again: Ganeti marks their disks as not
/// active, and then neither it nor verify-disks looks at them any more.
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
    /// The state's lock was given back before disks were verified, so it is taken once more.
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
                disks::remember_activation(&mut state, action, outcome, *now);
            }
            file.save_change(&state)
        });
        if let Err(error) = remembered {
            warn!(
                "The failed activations of verify-disks are not remembered, and so not tried again: {error:#}"
            );
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
        let mut ledger = Ledger::new(file, state, Some("b1".into()));
        let start = |name: &str| Action { instance: name.into(), kind: ActionKind::Restart { attempt: 1 } };
        ledger.begin(&[start("i1")], 5);
        let saved = StateFile::peek(&path).unwrap().recovery.starting;
        assert_eq!(saved["i1"].reason_ns, 5);
        drop(directory);
        let lines = logged(async {
            ledger.begin(&[start("i2")], 6);
            ledger.begin(&[start("i3")], 7);
        });
        let told = lines.lines().filter(|line| line.contains("cannot be put on record")).count();
        assert_eq!(told, 1, "{lines}");
        assert_eq!(ledger.state.recovery.starting.len(), 3);
    }
}
