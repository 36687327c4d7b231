//! One verdict at a time, and all of them together.

mod notes;
mod outcomes;
mod totals;

use super::*;
use crate::cluster::testing::{drbd_instance, instance, node, pending_job, snapshot};
use crate::cluster::{AdminState, Instance, InstanceStatus, JobFailure, JobId, SplitInstance};
use crate::decide::blame::Blame;
use crate::decide::budget::{Blamed, Detail, FLAPPING, MAX_TRIES};
use crate::decide::instances::{self, Outlook};
use crate::decide::policy::Policies;
use crate::decide::reason::testing::one_of_each;
use crate::decide::remedy::{Command, Culprit, Next};
use crate::decide::second_look::Changed;
use crate::memory::recovery::{BlockedBy, LastFailure, Shortage};

const NOW: Timestamp = 10_000.0;

/// The verdicts that a pass makes, and what it remembers.
struct Group {
    verdicts: Verdicts,
    state: State,
}

impl Group {
    fn of(snapshot: &Snapshot, state: State) -> Self {
        let (policies, _) = Policies::read(snapshot, &[], NOW);
        let steps = instances::plan(&Outlook { snapshot, state: &state, policies: &policies, now: NOW });
        Self { verdicts: Verdicts::of(snapshot, &state, &steps, NOW), state }
    }

    fn new<const I: usize>(instances: [Instance; I]) -> Self {
        Self::of(&snapshot(instances, [node("n1", Some("b1")), node("n2", Some("b2"))]), State::default())
    }

    /// One that is down and is to be started.
    fn starting() -> Self {
        let mut cluster = snapshot([drbd_instance("i", "ERROR_down", "n2")], []);
        cluster.nodes = vec![node("n1", Some("b1")), node("n2", Some("b2"))];
        let mut state = State::default();
        state.recovery.down.insert("i".into(), 9_000.0);
        Self::of(&cluster, state)
    }

    fn ended(&mut self, kind: ActionKind, outcome: &Outcome) -> &Verdict {
        let action = Action { instance: "i".into(), kind };
        instances::remember_outcome(&mut self.state, &action, outcome, NOW);
        self.verdicts.ended(&action, outcome, &self.state, NOW);
        self.get()
    }

    fn noted(&mut self, kind: NoteKind) -> &Verdict {
        let note = Note { instance: "i".into(), kind };
        instances::remember_note(&mut self.state, &note, NOW);
        self.verdicts.noted(&note, &self.state, NOW);
        self.get()
    }

    fn get(&self) -> &Verdict {
        self.verdicts.get("i").unwrap()
    }
}

fn codes(verdict: &Verdict) -> Vec<&'static str> {
    verdict.reasons.iter().map(Reason::code).collect()
}

fn restart() -> ActionKind {
    ActionKind::Restart { attempt: 1 }
}

fn activate() -> ActionKind {
    ActionKind::ActivateDisks { although_inactive: false }
}

fn failed(what: Blame, detail: Detail) -> Outcome {
    let blamed = Blamed { what, cause: "n1 b1".into(), detail };
    Outcome::Failed { job: JobId(78), failure: JobFailure::Text("no kernel".into()), blamed }
}

fn unseen() -> Outcome {
    Outcome::Unknown("connection lost".into())
}
