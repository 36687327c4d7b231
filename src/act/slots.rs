//! The cluster's slots for jobs, which all group parts of a run share.
//!
//! luxid runs `max_running_jobs` jobs at once and lets all others wait, an administrator's too
//! (`JQScheduler.hs: selectJobsToRun`). So the watcher takes at most a part of them, and leaves one free next to those that
//! others occupy.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{JobId, PendingJob};

/// The slots.
#[derive(Debug)]
pub struct Slots {
    limit: usize,
    groups: RefCell<BTreeMap<usize, Need>>,
    /// Every job of ours. Those that have ended too: what is known of the queue may be older than that.
    jobs: RefCell<BTreeSet<JobId>>,
}

#[derive(Debug, Default)]
struct Need {
    in_flight: usize,
    wants_more: bool,
}

/// What a group part has of them. It gives everything back when it is dropped.
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
    /// How many more jobs this group may submit now. `ceiling` is how many jobs the cluster runs at once, if that is
    /// known, and `pending` what is in its queue.
    ///
    /// No group takes what another one is still owed: each that wants slots is owed an equal part of them.
    #[must_use]
    pub fn room(&self, ceiling: Option<usize>, pending: &[PendingJob]) -> usize {
        let jobs = self.slots.jobs.borrow();
        let others = pending.iter().filter(|job| job.has_process && !jobs.contains(&job.id)).count();
        let beside_others = ceiling.map_or(usize::MAX, |ceiling| ceiling.saturating_sub(1 + others));
        let limit = self.slots.limit.min(beside_others).max(1);

        let groups = self.slots.groups.borrow();
        let free = limit.saturating_sub(groups.values().map(|need| need.in_flight).sum());
        let active = |need: &&Need| need.in_flight > 0 || need.wants_more;
        let own = groups.get(&self.group).map_or(0, |need| need.in_flight);
        let others_active =
            groups.iter().filter(|(group, need)| **group != self.group && active(need)).count();
        let part = (limit / (others_active + 1)).max(1);
        let owed = |(group, need): (&usize, &Need)| match need.wants_more && *group != self.group {
            true => part.saturating_sub(need.in_flight),
            false => 0,
        };
        let owed: usize = groups.iter().map(owed).sum();
        let own_part = part.saturating_sub(own).min(free);
        own_part.max(free.saturating_sub(owed))
    }

    /// Says whether this group has more to submit than it may.
    pub fn wants_more(&self, wants_more: bool) {
        self.change(|need| need.wants_more = wants_more);
    }

    /// So many jobs are about to be submitted.
    pub fn take(&self, count: usize) {
        self.change(|need| need.in_flight += count);
    }

    /// Whether the job is one of this run's.
    #[must_use]
    pub fn is_ours(&self, job: JobId) -> bool {
        self.slots.jobs.borrow().contains(&job)
    }

    /// One job has a number now.
    pub fn submitted(&self, job: JobId) {
        self.slots.jobs.borrow_mut().insert(job);
    }

    /// One job has ended, or was never there.
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
        second.wants_more(true);
        assert_eq!(first.room(None, &[]), 8);
        first.take(8);
        assert_eq!((first.room(None, &[]), second.room(None, &[])), (0, 8));
        second.take(2);
        second.wants_more(false);
        assert_eq!(first.room(None, &[]), 6);
        first.take(6);
        second.wants_more(true);
        assert_eq!(second.room(None, &[]), 0, "none is free");
        first.release();
        assert_eq!((first.room(None, &[]), second.room(None, &[])), (0, 1));
        drop(second);
        assert_eq!(first.room(None, &[]), 3);
    }
}
