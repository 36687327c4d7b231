//! Ganeti's locks: shared or exclusive, held by jobs.
//!
//! Source: `locking.py`, `Locking/Locks.hs`, `Query/Locks.hs`.

use std::collections::BTreeMap;

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Together with others.
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

/// Locks that are requested together.
pub type Request = Vec<(String, Mode)>;

/// Who holds what, and who waits for what. Owners are job numbers.
#[derive(Debug, Clone, Default)]
pub struct Locks {
    held: BTreeMap<String, Vec<(u64, Mode)>>,
    wanted: BTreeMap<u64, Request>,
}

impl Locks {
    /// Takes all of the requested locks, or none and remembers that they are wanted.
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
        }
        self.wanted.remove(&owner);
        true
    }

    /// Gives back everything that the owner holds or wants.
    pub fn release(&mut self, owner: u64) {
        self.wanted.remove(&owner);
        self.held.retain(|_, holders| {
            holders.retain(|(holder, _)| *holder != owner);
            !holders.is_empty()
        });
    }

    /// Whether somebody else than `owner` holds the lock alone.
    #[must_use]
    pub fn is_exclusive(&self, name: &str, owner: u64) -> bool {
        let mut holders = self.held.get(name).into_iter().flatten();
        holders.any(|(holder, mode)| *holder != owner && *mode == Mode::Exclusive)
    }

    /// Every lock that is held or wanted, with how it is held.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, Option<Mode>)> {
        let mut rows: BTreeMap<&str, Option<Mode>> = BTreeMap::new();
        for (name, _) in self.wanted.values().flatten() {
            rows.insert(name, None);
        }
        for (name, holders) in &self.held {
            rows.insert(name, holders.first().map(|(_, mode)| *mode));
        }
        rows.into_iter().map(|(name, mode)| (name.to_owned(), mode)).collect()
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
            [("instance/i".to_owned(), None), ("node/a".to_owned(), Some(Mode::Shared))],
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
