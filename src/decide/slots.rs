//! How many jobs a group part may submit now, out of the slots that all group parts of a run share.
//!
//! luxid runs `max_running_jobs` jobs at once and lets all others wait, an administrator's too
//! (`JQScheduler.hs: selectJobsToRun`). So the watcher takes only part of them, and leaves one free besides
//! those that others occupy.

use crate::cluster::{JobId, PendingJob};

/// How many slots one group part has, and whether it wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// How many of its jobs are in flight, or about to be submitted.
    pub in_flight: usize,
    /// Whether it has more to submit than it is allowed to.
    pub wants_more: bool,
}

/// How many jobs of ours may be in flight at once now, at least 1: `most` is our own limit, `ceiling` how
/// many jobs the cluster runs at once, if known, and `pending` what is in its queue. `is_ours` says whether a
/// job is one of this run's.
#[must_use]
pub fn limit(
    most: usize,
    ceiling: Option<usize>,
    pending: &[PendingJob],
    is_ours: impl Fn(JobId) -> bool,
) -> usize {
    let others = pending.iter().filter(|job| job.has_process && !is_ours(job.id)).count();
    let beside_others = ceiling.map_or(usize::MAX, |ceiling| ceiling.saturating_sub(1 + others));
    most.min(beside_others).max(1)
}

/// How many more jobs a group part may submit now, next to the others, if all together may have `limit` in
/// flight.
///
/// No group takes what another is still owed: each group that wants slots is owed an equal share.
#[must_use]
pub fn room(limit: usize, own: Need, others: &[Need]) -> usize {
    let taken = own.in_flight + others.iter().map(|need| need.in_flight).sum::<usize>();
    let free = limit.saturating_sub(taken);
    let active = others.iter().filter(|need| need.in_flight > 0 || need.wants_more).count();
    let part = (limit / (active + 1)).max(1);
    let want = others.iter().filter(|need| need.wants_more);
    let owed: usize = want.map(|need| part.saturating_sub(need.in_flight)).sum();
    let own_part = part.saturating_sub(own.in_flight).min(free);
    own_part.max(free.saturating_sub(owed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::pending_job;

    fn need(in_flight: usize, wants_more: bool) -> Need {
        Need { in_flight, wants_more }
    }

    #[test]
    fn all_slots_but_one_of_the_clusters_may_be_ours() {
        let limit = |ceiling| limit(16, ceiling, &[], |_| false);
        assert_eq!([None, Some(20), Some(10), Some(1), Some(0)].map(limit), [16, 16, 9, 1, 1]);
    }

    #[test]
    fn jobs_of_others_keep_their_slots_and_one_stays_free() {
        let mut pending: Vec<PendingJob> = (1..=10).map(|id| pending_job(id, "CLUSTER_VERIFY")).collect();
        assert_eq!(limit(16, Some(20), &pending, |_| false), 9);
        assert_eq!(limit(16, Some(20), &pending, |job| job == JobId(10)), 10, "job 10 is our own");
        assert_eq!(limit(16, None, &pending, |_| false), 16, "how many it runs is unknown");
        pending.iter_mut().for_each(|job| job.has_process = false);
        assert_eq!(limit(16, Some(20), &pending, |_| false), 16);
    }

    #[test]
    fn a_group_alone_may_take_what_is_free() {
        assert_eq!(room(9, need(0, false), &[]), 9);
        assert_eq!(room(9, need(8, true), &[]), 1);
        assert_eq!(room(9, need(9, true), &[]), 0);
        assert_eq!(room(4, need(9, true), &[]), 0, "the limit has come down meanwhile");
    }

    #[test]
    fn no_group_takes_what_another_one_is_owed() {
        assert_eq!(room(16, need(0, false), &[need(0, true)]), 8);
        assert_eq!(room(16, need(8, false), &[need(0, true)]), 0);
        assert_eq!(room(16, need(8, true), &[need(2, false)]), 6, "it wants no more");
        assert_eq!(room(16, need(0, true), &[need(14, false)]), 2, "it has more than its part");
        assert_eq!(room(16, need(0, true), &[need(0, false)]), 16, "it wants none and has none");
        assert_eq!(room(15, need(0, true), &[need(0, true), need(0, true)]), 5);
        assert_eq!(room(1, need(0, true), &[need(0, true), need(0, true)]), 1, "each may have one");
    }
}
