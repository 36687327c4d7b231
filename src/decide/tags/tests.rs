use proptest::prelude::*;

use super::*;

const NOW: Timestamp = 1000.0;

/// Rules from what follows the prefix, which must be without problems.
fn rules(texts: &[&str]) -> Rules {
    let (rules, problems) = parse(texts);
    assert_eq!(problems, []);
    rules
}

fn parse(texts: &[&str]) -> (Rules, Vec<Problem>) {
    let tags: Vec<String> = texts.iter().map(|text| format!("{PREFIX}{text}")).collect();
    Rules::parse(tags.iter().map(String::as_str))
}

/// The policy of an instance whose own, group's and cluster's tags are these.
fn policy(instance: &[&str], group: &[&str], cluster: &[&str]) -> StartPolicy {
    StartPolicy::of(&rules(instance), &rules(group), &rules(cluster), NOW)
}

/// The policy of an instance with these tags alone, which may have problems.
fn own(texts: &[&str]) -> StartPolicy {
    StartPolicy::of(&parse(texts).0, &Rules::default(), &Rules::default(), NOW)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn without_tags_everything_is_as_usual() {
    let usual =
        StartPolicy { tier: DEFAULT_TIER, delay: Duration::ZERO, consent: Consent::Given, degraded: None };
    assert_eq!(policy(&[], &[], &[]), usual);
}

#[test]
fn every_kind_is_read() {
    assert_eq!(own(&["tier:0"]).tier, 0);
    assert_eq!(own(&["delay:10m"]).delay, seconds(600));
    assert_eq!(own(&["never"]).consent, Consent::Never { on: Place::Instance });
    assert_eq!(own(&["always"]), StartPolicy::default());
    assert_eq!(own(&["hold:1001"]).consent, Consent::HeldUntil { when: 1001.0, on: Place::Instance });
    assert_eq!(own(&["degraded:1h"]).degraded, Some(Degraded::After(seconds(3600))));
    assert_eq!(own(&["degraded:never"]).degraded, Some(Degraded::Never));
}

#[test]
fn the_nearest_object_counts_for_each_kind_by_itself() {
    let all = policy(&["tier:1"], &["tier:2", "delay:2m"], &["tier:3", "delay:3m", "degraded:3h", "never"]);
    assert_eq!(
        all,
        StartPolicy {
            tier: 1,
            delay: seconds(120),
            consent: Consent::Never { on: Place::Cluster },
            degraded: Some(Degraded::After(seconds(10_800))),
        }
    );
    assert_eq!(policy(&["delay:0"], &[], &["delay:1d"]).delay, Duration::ZERO);
    assert_eq!(policy(&["degraded:never"], &["degraded:1m"], &[]).degraded, Some(Degraded::Never));
    assert_eq!(policy(&["degraded:1m"], &["degraded:never"], &[]).degraded, own(&["degraded:1m"]).degraded);
}

#[test]
fn consent_is_taken_back_by_always_from_nearer_only() {
    let group = Consent::Never { on: Place::Group };
    for (instance, group, cluster, consent) in [
        (&["always"][..], &["never"][..], &[][..], Consent::Given),
        (&["always"], &[], &["hold:2000"], Consent::Given),
        (&[], &["always"], &["never"], Consent::Given),
        (&[], &["never"], &["always"], group),
        (&["hold:2000"], &["never"], &[], Consent::HeldUntil { when: 2000.0, on: Place::Instance }),
        (&[], &[], &["hold:2000"], Consent::HeldUntil { when: 2000.0, on: Place::Cluster }),
    ] {
        assert_eq!(policy(instance, group, cluster).consent, consent, "{instance:?} {group:?} {cluster:?}");
    }
}

#[test]
fn a_hold_that_is_over_says_nothing() {
    assert_eq!(own(&["hold:1000"]).consent, Consent::Given);
    assert_eq!(own(&["hold:0"]).consent, Consent::Given);
    assert_eq!(policy(&["hold:999"], &["never"], &[]).consent, Consent::Never { on: Place::Group });
    assert_eq!(policy(&["hold:999"], &["always"], &["never"]).consent, Consent::Given);
    assert_eq!(own(&["hold:999", "hold:1001"]).consent, own(&["hold:1001"]).consent);
}

#[test]
fn on_one_object_the_most_careful_counts_and_the_others_are_problems() {
    for (careful, other) in [
        ("tier:7", "tier:3"),
        ("tier:10", "tier:9"),
        ("delay:2m", "delay:90"),
        ("never", "hold:9999"),
        ("never", "always"),
        ("hold:2001", "hold:2000"),
        ("hold:2000", "always"),
        ("degraded:never", "degraded:1w"),
        ("degraded:2h", "degraded:1h"),
    ] {
        for pair in [[careful, other], [other, careful]] {
            assert_eq!(own(&pair), own(&[careful]), "{pair:?}");
            let (_, problems) = parse(&pair);
            let [tag, to] = [other, careful].map(|text| format!("{PREFIX}{text}"));
            assert_eq!(problems, [Problem::Yields { tag, to }]);
        }
    }
    assert_eq!(parse(&["tier:5", "tier:05"]).1.len(), 1);
    assert_eq!(parse(&["tier:1", "tier:3", "tier:2"]).1.len(), 2);
    assert_eq!(parse(&["tier:1", "delay:1", "never", "degraded:1"]).1, []);
    assert_eq!(parse(&["never", "never"]).1, [], "the same tag once more");
}

#[test]
fn what_cannot_be_read_is_a_problem_and_does_nothing() {
    for (text, word) in [
        ("", "expected tier:N"),
        ("nver", "expected tier:N"),
        ("Never", "expected tier:N"),
        ("never:", "expected tier:N"),
        ("always:1", "expected tier:N"),
        ("tier", "expected tier:N"),
        ("hold", "expected tier:N"),
        ("tier:", "''"),
        ("tier:-1", "'-1'"),
        ("tier:first", "'first'"),
        ("tier:1:2", "'1:2'"),
        ("tier:4294967296", "4294967295"),
        ("delay:soon", "'soon'"),
        ("delay:1h30m", "'1h30m'"),
        ("delay:-5m", "negative"),
        ("hold:tomorrow", "'tomorrow'"),
        ("hold:1.5", "'1.5'"),
        ("hold:", "''"),
        ("degraded:", "''"),
        ("degraded:always", "'always'"),
        ("degraded:-1", "negative"),
    ] {
        let (rules, problems) = parse(&[text]);
        assert_eq!(rules, Rules::default(), "{text}");
        let [Problem::Unreadable { tag, why }] = problems.as_slice() else { panic!("{text}: {problems:?}") };
        assert_eq!(*tag, format!("{PREFIX}{text}"));
        assert!(why.contains(word) && !why.contains('\n'), "{why}");
    }
    assert_eq!(own(&["tier:x", "tier:2"]).tier, 2);
}

#[test]
fn other_tags_are_none_of_our_business() {
    let others = [
        "ganeti:watcher:autorepair:fix-storage",
        "ganeti:watcher:autorepair:suspend:99999",
        "ganeti:watcher:start",
        "ganeti:watcher:started:never",
        "never",
        "web:ganeti:watcher:start:never",
        "",
    ];
    assert_eq!(Rules::parse(others), (Rules::default(), Vec::new()));
}

fn any_rule() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..9_u32).prop_map(|tier| format!("tier:{tier}")),
        (0..9_u32).prop_map(|delay| format!("delay:{delay}m")),
        (990..1010_u32).prop_map(|when| format!("hold:{when}")),
        (0..9_u32).prop_map(|after| format!("degraded:{after}h")),
        Just("never".to_owned()),
        Just("always".to_owned()),
        Just("degraded:never".to_owned()),
        "[a-z0-9:]{0,8}",
    ]
}

proptest! {
    #[test]
    fn the_order_of_tags_does_not_matter(texts in proptest::collection::vec(any_rule(), 0..8)) {
        let forwards: Vec<&str> = texts.iter().map(String::as_str).collect();
        let backwards: Vec<&str> = forwards.iter().rev().copied().collect();
        prop_assert_eq!(own(&forwards), own(&backwards));
        prop_assert_eq!(parse(&forwards).1.len(), parse(&backwards).1.len());
    }
}
