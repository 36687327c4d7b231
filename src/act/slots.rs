//! The cluster's job slots, which all group parts of a run share; [`slots`] says how many each may take.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{JobId, PendingJob};
use crate::decide::slots::{self, Need};

/// The slots.
#[derive(Debug)]
pub struct Slots {
    limit: usize,
    groups: RefCell<BTreeMap<usize, Need>>,
    /// Every job of ours. Including those that have ended: what is known of the queue may be older.
    jobs: RefCell<BTreeSet<JobId>>,
}

/// A group part's share of them. Everything is given back when it is dropped.
#[derive(Debug)]
pub struct Share<'s> {
    slots: &'s Slots,
    group: usize,
}

impl Slots {
    /// At most `limit` jobs of ours at once.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), groups: RefCell::default(), jobs: RefCell::default() }
    }

    /// A share for one more group.
    #[must_use]
    pub fn share(&self) -> Share<'_> {
        let mut groups = self.groups.borrow_mut();
        let group = groups.keys().next_back().map_or(0, |last| last + 1);
        groups.insert(group, Need::default());
        Share { slots: self, group }
    }
}

impl Share<'_> {
    /// How many more jobs this group may submit now. `ceiling` is how many jobs the cluster runs at once, if
    /// known, and `pending` what is in its queue.
    #[must_use]
    pub fn room(&self, ceiling: Option<usize>, pending: &[PendingJob]) -> usize {
        let limit = slots::limit(self.slots.limit, ceiling, pending, |job| self.is_ours(job));
        let groups = self.slots.groups.borrow();
        let own = groups.get(&self.group).copied().unwrap_or_default();
        let others = groups.iter().filter(|(group, _)| **group != self.group);
        let others: Vec<Need> = others.map(|(_, need)| *need).collect();
        slots::room(limit, own, &others)
    }

    /// Declares whether this group has more to submit than it is allowed to.
    pub fn set_wants_more(&self, wants_more: bool) {
        self.change(|need| need.wants_more = wants_more);
    }

    /// This many jobs are about to be submitted.
    pub fn take(&self, count: usize) {
        self.change(|need| need.in_flight += count);
    }

    /// Whether the job is one of this run's.
    #[must_use]
    pub fn is_ours(&self, job: JobId) -> bool {
        self.slots.jobs.borrow().contains(&job)
    }

    /// One job now has a number.
    pub fn submitted(&self, job: JobId) {
        self.slots.jobs.borrow_mut().insert(job);
    }

    /// One job has ended, or never existed.
    pub fn release(&self) {
        self.change(|need| need.in_flight = need.in_flight.saturating_sub(1));
    }

    fn change(&self, change: impl FnOnce(&mut Need)) {
        self.slots.groups.borrow_mut().entry(self.group).and_modify(change);
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.slots.groups.borrow_mut().remove(&self.group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::pending_job;

    #[test]
    fn a_group_alone_has_all_slots_but_one_of_the_clusters() {
        let slots = Slots::new(16);
        let share = slots.share();
        assert_eq!(share.room(None, &[]), 16);
        assert_eq!(share.room(Some(20), &[]), 16);
        assert_eq!(share.room(Some(10), &[]), 9);
        assert_eq!(share.room(Some(1), &[]), 1);
        share.take(9);
        assert_eq!(share.room(Some(10), &[]), 0);
        share.release();
        assert_eq!(share.room(Some(10), &[]), 1);
    }

    #[test]
    fn jobs_of_others_keep_their_slots_and_one_stays_free() {
        let slots = Slots::new(16);
        let share = slots.share();
        let pending: Vec<PendingJob> = (1..=10).map(|id| pending_job(id, "CLUSTER_VERIFY")).collect();
        assert_eq!(share.room(Some(20), &pending), 9);
        share.take(1);
        share.submitted(JobId(10));
        assert_eq!(share.room(Some(20), &pending), 9, "job 10 is our own");
        let mut queued = pending;
        queued.iter_mut().for_each(|job| job.has_process = false);
        assert_eq!(share.room(Some(20), &queued), 15);
    }

    #[test]
    fn no_group_takes_what_another_one_is_owed() {
        let slots = Slots::new(16);
        let (first, second) = (slots.share(), slots.share());
        second.set_wants_more(true);
        assert_eq!(first.room(None, &[]), 8);
        first.take(8);
        assert_eq!((first.room(None, &[]), second.room(None, &[])), (0, 8));
        second.take(2);
        second.set_wants_more(false);
        assert_eq!(first.room(None, &[]), 6);
        first.take(6);
        second.set_wants_more(true);
        assert_eq!(second.room(None, &[]), 0, "none is free");
        first.release();
        assert_eq!((first.room(None, &[]), second.room(None, &[])), (0, 1));
        drop(second);
        assert_eq!(first.room(None, &[]), 3);
    }
}
