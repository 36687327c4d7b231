//! Nodes without memory for what should be started on them. When a node says so, everything else that needs
//! as much would fail in the same way: it is not even tried in this run, and one line reports all of it.

use std::collections::{BTreeMap, BTreeSet};

use super::blame::Blame;
use super::budget::{Blamed, Detail};
use super::hold::Hold;
use super::report::{LogLine, Severity, minutes};
use super::{Action, Note, NoteKind, Outcome, Step};
use crate::cluster::{Instance, Snapshot};
use crate::memory::recovery::{BlockedBy, Shortage};
use crate::memory::state::State;

/// The most names in one line.
const NAMES: usize = 5;

/// How to remember that the instance was not started because another one on its node failed that way.
#[must_use]
pub fn held(failed: &Blamed, instance: Option<&Instance>) -> Option<Hold> {
    let (Detail::Memory(shortage), Some(instance)) = (&failed.detail, instance) else { return None };
    let shortage = Shortage { needed: instance.memory, available: shortage.available, asked: false };
    let blamed = Blamed { detail: Detail::Memory(shortage), ..failed.clone() };
    Some(Hold::Memory { node: instance.primary.clone(), blamed })
}

/// What is on record about memory.
#[derive(Debug, Default)]
pub struct Record {
    /// The nodes that were short of memory when last asked, as far as an instance still waits for it.
    pub nodes: BTreeSet<String>,
    /// The instances for which that was found out.
    pub found_by: BTreeSet<String>,
}

impl Record {
    /// Reads it from the state.
    #[must_use]
    pub fn of(state: &State, snapshot: &Snapshot) -> Self {
        let mut record = Self::default();
        for (name, blocked) in &state.recovery.blocked {
            let (Some(shortage), Some(instance)) = (blocked.memory, snapshot.instance(name)) else {
                continue;
            };
            record.nodes.insert(instance.primary.clone());
            if shortage.asked {
                record.found_by.insert(name.clone());
            }
        }
        record
    }
}

/// What waits for the memory of a node.
#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    /// In total, in MiB; `None` when one amount is unknown.
    needed: Option<u64>,
    /// The lowest amount the node reported, in MiB.
    available: Option<u64>,
}

impl Waiting {
    fn add(&mut self, shortage: Shortage) {
        let before = if self.count == 0 { Some(0) } else { self.needed };
        self.needed = before.zip(shortage.needed).map(|(before, needed)| before.saturating_add(needed));
        self.available = self.available.into_iter().chain(shortage.available).min();
        self.count += 1;
    }

    fn amounts(&self) -> String {
        match (self.needed, self.available) {
            (Some(needed), Some(available)) => {
                format!("they need {needed} MiB in all, and {available} MiB were free")
            }
            (Some(needed), None) => format!("they need {needed} MiB in all, which was not free"),
            (None, _) => "how much they need is unknown".to_owned(),
        }
    }
}

/// The nodes that reported a lack of memory in this run.
#[derive(Debug, Default)]
pub struct FullNodes(BTreeMap<String, Waiting>);

impl FullNodes {
    /// A start has ended.
    pub fn ended(&mut self, action: &Action, outcome: &Outcome, node: Option<&str>) {
        if let (Outcome::Failed { blamed: Blamed { detail: Detail::Memory(shortage), .. }, .. }, Some(node)) =
            (outcome, node)
            && action.kind.is_start()
        {
            self.0.entry(node.to_owned()).or_default().add(*shortage);
        }
    }

    /// It is a note's turn.
    pub fn noted(&mut self, note: &Note) {
        if let NoteKind::LeftForLater(Hold::Memory { node, blamed }) = &note.kind
            && let Detail::Memory(shortage) = blamed.detail
        {
            self.0.entry(node.clone()).or_default().add(shortage);
        }
    }

    /// One line for each node on which more than one instance waits. A single failure has its own line.
    #[must_use]
    pub fn lines(&self) -> Vec<LogLine> {
        let several = self.0.iter().filter(|(_, waiting)| waiting.count > 1);
        let line = |(node, waiting): (&String, &Waiting)| {
            let text = format!(
                "Node '{node}' does not have enough memory for {} instances ({}): they wait for a later \
                 run, which costs no try; free memory there, or move some of them",
                waiting.count,
                waiting.amounts()
            );
            LogLine::new(Severity::Warning, text)
        };
        several.map(line).collect()
    }
}

/// The lines for instances that wait because of their primary node: one for each node, and another for lack
/// of memory.
#[must_use]
pub fn blocked_by_nodes(steps: &[Step], snapshot: &Snapshot, state: &State) -> Vec<LogLine> {
    let mut groups: BTreeMap<(&str, bool), Vec<(&Note, f64)>> = BTreeMap::new();
    for step in steps {
        if let Step::Note(note @ Note { instance, kind: NoteKind::Blocked { by, wait, .. } }) = step
            && *by == BlockedBy::Known(Blame::Node)
        {
            let node = snapshot.instance(instance).map_or("", |instance| instance.primary.as_str());
            let lacks_memory = shortage_on_record(state, instance).is_some();
            groups.entry((node, lacks_memory)).or_default().push((note, *wait));
        }
    }
    groups.into_iter().filter_map(|((node, _), notes)| blocked_line(node, &notes, state)).collect()
}

fn shortage_on_record(state: &State, instance: &str) -> Option<Shortage> {
    state.recovery.blocked.get(instance)?.memory
}

fn blocked_line(node: &str, notes: &[(&Note, f64)], state: &State) -> Option<LogLine> {
    if let [(note, _)] = notes {
        return note.blocked_line();
    }
    let soonest = notes.iter().map(|(_, wait)| *wait).reduce(f64::min)?;
    let names = || notes.iter().map(|(note, _)| note.instance.as_str());
    let mut waiting = Waiting::default();
    names().filter_map(|name| shortage_on_record(state, name)).for_each(|shortage| waiting.add(shortage));
    let (count, soonest) = (notes.len(), minutes(soonest));
    let text = if waiting.count > 0 {
        format!(
            "Not starting {count} instances on node '{node}' for another {soonest}: it does not have \
             enough memory ({}), which costs no try; free memory there, or move some of them; \
             'ganeti-watcher retry' with a name ends the wait",
            waiting.amounts()
        )
    } else {
        let mut list = names().take(NAMES).collect::<Vec<_>>().join(", ");
        if count > NAMES {
            list = format!("{list} and {} more", count - NAMES);
        }
        format!(
            "Not starting {count} instances on node '{node}' for another {soonest}: their last starts failed because of that \
             node, which costs no try: {list}; 'ganeti-watcher retry' with a name ends the wait"
        )
    };
    Some(LogLine::new(Severity::Warning, text))
}

#[cfg(test)]
mod tests;
