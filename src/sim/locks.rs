//! Ganeti's locks: shared or exclusive, held by jobs.
//!
//! Source: `locking.py`, `Locking/Locks.hs`, `Query/Locks.hs`.

use std::collections::{BTreeMap, BTreeSet};

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Shared with others.
    Shared,
    /// Alone.
    Exclusive,
}

impl Mode {
    /// luxid's word for it.
    #[must_use]
    pub fn as_word(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        }
    }
}

/// Locks requested together.
pub type Request = Vec<(String, Mode)>;

/// A lock that is held or wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name, such as `instance/inst1.example.com`.
    pub name: String,
    /// How it is held, if it is.
    pub mode: Option<Mode>,
    /// Who holds it.
    pub owners: Vec<u64>,
    /// Who waits for it, and how they want it.
    pub pending: Vec<(Mode, u64)>,
}

/// Who holds what, and who waits for what. Owners are job numbers.
#[derive(Debug, Clone, Default)]
pub struct Locks {
    held: BTreeMap<String, Vec<(u64, Mode)>>,
    /// The names of the locks that each owner holds.
    names: BTreeMap<u64, Vec<String>>,
    wanted: BTreeMap<u64, Request>,
}

impl Locks {
    /// Takes all of the requested locks, or takes none and remembers that they are wanted; returns whether it
    /// took them.
    pub fn acquire(&mut self, owner: u64, request: &Request) -> bool {
        let is_free = |(name, mode): &(String, Mode)| {
            let others = self.held.get(name).into_iter().flatten().filter(|(holder, _)| *holder != owner);
            others.into_iter().all(|(_, held)| *held == Mode::Shared && *mode == Mode::Shared)
        };
        if !request.iter().all(is_free) {
            self.wanted.insert(owner, request.clone());
            return false;
        }
        for (name, mode) in request {
            self.held.entry(name.clone()).or_default().push((owner, *mode));
            self.names.entry(owner).or_default().push(name.clone());
        }
        self.wanted.remove(&owner);
        true
    }

    /// Drops everything that the owner holds or wants.
    pub fn release(&mut self, owner: u64) {
        self.wanted.remove(&owner);
        for name in self.names.remove(&owner).unwrap_or_default() {
            let Some(holders) = self.held.get_mut(&name) else { continue };
            holders.retain(|(holder, _)| *holder != owner);
            if holders.is_empty() {
                self.held.remove(&name);
            }
        }
    }

    /// Whether somebody other than `owner` holds the lock exclusively.
    #[must_use]
    pub fn is_exclusive(&self, name: &str, owner: u64) -> bool {
        let mut holders = self.held.get(name).into_iter().flatten();
        holders.any(|(holder, mode)| *holder != owner && *mode == Mode::Exclusive)
    }

    /// Every lock that is held or wanted, by name.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut pending: BTreeMap<&str, Vec<(Mode, u64)>> = BTreeMap::new();
        for (owner, request) in &self.wanted {
            for (name, mode) in request {
                pending.entry(name).or_default().push((*mode, *owner));
            }
        }
        let names: BTreeSet<&str> =
            self.held.keys().map(String::as_str).chain(pending.keys().copied()).collect();
        let row = |name: &str| {
            let holders = || self.held.get(name).into_iter().flatten();
            let exclusive = holders().find(|(_, mode)| *mode == Mode::Exclusive);
            Row {
                name: name.to_owned(),
                mode: exclusive.or_else(|| holders().next()).map(|(_, mode)| *mode),
                owners: holders().map(|(owner, _)| *owner).collect(),
                pending: pending.get(name).cloned().unwrap_or_default(),
            }
        };
        names.into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(locks: &[(&str, Mode)]) -> Request {
        locks.iter().map(|(name, mode)| ((*name).to_owned(), *mode)).collect()
    }

    #[test]
    fn exclusive_locks_exclude_and_shared_ones_do_not() {
        let mut locks = Locks::default();
        assert!(locks.acquire(1, &request(&[("node/a", Mode::Shared)])));
        assert!(locks.acquire(2, &request(&[("node/a", Mode::Shared)])));
        assert!(!locks.acquire(3, &request(&[("instance/i", Mode::Exclusive), ("node/a", Mode::Exclusive)])));
        assert_eq!(
            locks.rows(),
            [
                Row {
                    name: "instance/i".into(),
                    mode: None,
                    owners: vec![],
                    pending: vec![(Mode::Exclusive, 3)]
                },
                Row {
                    name: "node/a".into(),
                    mode: Some(Mode::Shared),
                    owners: vec![1, 2],
                    pending: vec![(Mode::Exclusive, 3)]
                },
            ],
            "nothing is held by halves"
        );
        locks.release(1);
        locks.release(2);
        assert!(locks.acquire(3, &request(&[("instance/i", Mode::Exclusive), ("node/a", Mode::Exclusive)])));
        assert!(locks.is_exclusive("node/a", 1) && !locks.is_exclusive("node/a", 3));
        assert!(!locks.acquire(1, &request(&[("node/a", Mode::Shared)])));
        locks.release(3);
        locks.release(1);
        assert_eq!(locks.rows(), []);
    }
}
