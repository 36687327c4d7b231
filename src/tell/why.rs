//! The verdict on one instance: why it is as it is, what happens next, and what somebody can type.

use super::remedy;
use super::same::Same;
use super::words::Times;
use crate::decide::verdict::Verdict;

/// Why it is as it is, and what to do about that: `5 tries have not brought it up; the last error, of job 77,
/// was …; fix that, then run 'ganeti-watcher retry NAME'`. Empty when nothing is wrong.
#[must_use]
pub fn why(verdict: &Verdict, times: &Times) -> String {
    let same = Same::new(verdict);
    same.because(times).into_iter().chain(same.advice()).collect::<Vec<_>>().join("; ")
}

/// What happens next with it, as far as the watcher is concerned; `None` when nothing is wrong.
#[must_use]
pub fn next(verdict: &Verdict, times: &Times) -> Option<String> {
    verdict.next().map(|next| remedy::next(&next, times))
}

/// What to type, in order.
#[must_use]
pub fn commands(verdict: &Verdict) -> Vec<String> {
    verdict.commands().iter().map(remedy::command).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{drbd_instance, node, snapshot};
    use crate::cluster::{JobId, Node, Timestamp};
    use crate::decide::reason::Reason;
    use crate::decide::reason::testing::one_of_each;
    use crate::decide::verdict::Verdicts;
    use crate::memory::recovery::LastFailure;
    use crate::memory::state::State;

    /// 2026-11-25 03:00:00 UTC.
    const NOW: Timestamp = 1_795_575_600.0;

    /// An instance of which nothing is known but this reason.
    fn verdict(reason: Reason) -> Verdict {
        let cluster = snapshot([drbd_instance("i", "ERROR_down", "n2")], [node("n2", Some("b"))]);
        let verdicts = Verdicts::of(&cluster, &State::default(), &[], NOW);
        Verdict { reasons: vec![reason], ..verdicts.get("i").unwrap().clone() }
    }

    #[test]
    fn every_reason_is_a_clause_that_names_every_command() {
        for reason in one_of_each() {
            let verdict = verdict(reason);
            let text = why(&verdict, &Times::utc(NOW));
            assert!(!text.is_empty() && !text.ends_with([';', ' ', '.']), "{verdict:?}: {text}");
            assert!(!text.starts_with(char::is_uppercase) || text.starts_with("Ganeti"), "{text}");
            for command in commands(&verdict) {
                assert!(text.contains(&format!("'{command}'")), "{command}: {text}");
            }
            assert_eq!(commands(&verdict).len(), verdict.commands().len());
            assert!(next(&verdict, &Times::utc(NOW)).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_given_up_says_its_last_error_and_what_to_type() {
        let mut verdict = verdict(Reason::OutOfTries { until: NOW + 60.0 });
        let unknown = why(&verdict, &Times::utc(NOW));
        assert_eq!(
            unknown,
            "5 tries have not brought it up, and no error is known; find out why, then run 'ganeti-watcher \
             retry i'"
        );
        verdict.last_failure = Some(LastFailure { job: JobId(77), error: "no kernel".into(), at: NOW });
        let known = why(&verdict, &Times::utc(NOW));
        assert_eq!(
            known,
            "5 tries have not brought it up; the last error, of job 77, was no kernel; fix that, then run \
             'ganeti-watcher retry i'"
        );
    }

    #[test]
    fn nobody_is_told_to_fail_over_what_has_no_node_to_go_to() {
        let mut verdict = verdict(Reason::PrimarySilent { node: "n1".into(), since: None });
        assert_eq!(commands(&verdict), ["gnt-node modify --offline yes n1", "gnt-node failover n1"]);
        verdict.can_fail_over = false;
        assert_eq!(commands(&verdict), ["gnt-node modify --offline yes n1"]);
        let can = |node: Node| {
            let cluster = snapshot([drbd_instance("i", "ERROR_nodedown", "n2")], [node]);
            Verdicts::of(&cluster, &State::default(), &[], NOW).get("i").unwrap().can_fail_over
        };
        let offline = Node { offline: Some(true), ..node("n2", None) };
        assert_eq!([node("n2", Some("b")), node("n2", None), offline].map(can), [true, false, false]);
    }
}
