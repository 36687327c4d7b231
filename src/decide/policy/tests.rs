use super::*;
use crate::cluster::Instance;
use crate::cluster::testing::{instance, snapshot};
use crate::decide::tags::{Consent, PREFIX, Place, Problem};

fn tags(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| format!("{PREFIX}{tag}")).collect()
}

fn cluster(own: &[&str], group: &[&str]) -> Snapshot {
    let mut cluster =
        snapshot([Instance { tags: tags(own), ..instance("i", "running") }, instance("j", "running")], []);
    cluster.tags = tags(group);
    cluster.group_name = "g".into();
    cluster
}

/// The policies, and the tags that cannot be read, with what has them.
fn read(own: &[&str], group: &[&str], above: &[&str]) -> (Policies, Vec<(Holder, String)>) {
    let (policies, events) = Policies::read(&cluster(own, group), &tags(above), 1_000.0);
    let problem = |event| match event {
        Event::TagProblem { on, problem: Problem::Unreadable { tag, .. } } => (on, tag),
        other => panic!("{other:?}"),
    };
    (policies, events.into_iter().map(problem).collect())
}

#[test]
fn without_tags_every_policy_is_the_default() {
    let (policies, problems) = read(&[], &[], &[]);
    assert_eq!(problems, []);
    assert_eq!(
        (policies.of("i"), policies.of("unknown")),
        (&StartPolicy::default(), &StartPolicy::default())
    );
    assert!(!policies.order_matters());
}

#[test]
fn the_nearest_counts() {
    let (policies, _) = read(&["always"], &["never", "tier:3"], &["tier:1", "delay:1m"]);
    assert_eq!(policies.of("i").consent, Consent::Given);
    assert_eq!(policies.of("j").consent, Consent::Never { on: Place::Group });
    for name in ["i", "j"] {
        assert_eq!((policies.of(name).tier, policies.of(name).delay.as_secs()), (3, 60));
    }
    assert_eq!(policies.default_tier(), 3);
}

#[test]
fn order_matters_when_turns_differ_or_have_to_be_waited_for() {
    for (own, group, matters) in [
        (&[][..], &["tier:1"][..], false),
        (&["tier:1"], &["tier:1"], false),
        (&["tier:2"], &["tier:1"], true),
        (&["delay:5s"], &[], true),
        (&[], &["delay:5s"], true),
        (&["never"], &["hold:5000"], false),
    ] {
        assert_eq!(read(own, group, &[]).0.order_matters(), matters, "{own:?} {group:?}");
    }
}

#[test]
fn a_tag_that_does_nothing_is_told_with_its_place() {
    let (policies, problems) = read(&["tier:x"], &["nevr"], &["delay:-1"]);
    let tag = |text: &str| format!("{PREFIX}{text}");
    let expected = [
        (Holder::Cluster, tag("delay:-1")),
        (Holder::Group("g".into()), tag("nevr")),
        (Holder::Instance("i".into()), tag("tier:x")),
    ];
    assert_eq!(problems, expected);
    assert_eq!(policies.of("i"), &StartPolicy::default());
}
