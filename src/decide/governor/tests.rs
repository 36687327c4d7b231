use super::*;
use crate::cluster::testing::{instance, pending_job, snapshot};

fn seen(governor: &mut Governor, seconds: &[f64]) -> Vec<(usize, usize)> {
    let changes = seconds.iter().filter_map(|seconds| governor.started("n1", *seconds));
    changes.map(|change| (change.before, change.after)).collect()
}

fn busy(busy: f64) -> Option<Load> {
    Some(Load { busy, processors: 4.0 })
}

#[test]
fn a_node_of_which_nothing_is_known_bears_what_the_limit_allows() {
    assert_eq!(Governor::new(4, None).width("n1"), 4);
    assert_eq!(Governor::new(0, None).width("n1"), 1, "never none, or nothing would ever be started");
}

#[test]
fn a_node_that_keeps_its_pace_keeps_its_width() {
    let mut governor = Governor::new(4, None);
    assert_eq!(seen(&mut governor, &[29.0; 40]), []);
    assert_eq!(governor.width("n1"), 4);
}

#[test]
fn a_node_that_slows_down_is_relieved_step_by_step_and_never_of_everything() {
    let mut governor = Governor::new(4, None);
    assert_eq!(seen(&mut governor, &[10.0; 4]), []);
    assert_eq!(seen(&mut governor, &[60.0; 12]), [(4, 3), (3, 2), (2, 1)]);
    assert_eq!(governor.width("n1"), 1);
    assert_eq!(governor.width("n2"), 4, "another node is another matter");
}

#[test]
fn one_slow_start_among_quick_ones_changes_nothing() {
    let mut governor = Governor::new(4, None);
    assert_eq!(seen(&mut governor, &[10.0, 10.0, 10.0, 10.0, 40.0, 10.0, 10.0, 10.0]), []);
}

#[test]
fn a_node_that_has_recovered_is_given_more_again_little_by_little() {
    let mut governor = Governor::new(4, None);
    seen(&mut governor, &[10.0; 4]);
    seen(&mut governor, &[60.0; 12]);
    let mut quick = 0;
    while governor.width("n1") < 4 {
        seen(&mut governor, &[10.0]);
        quick += 1;
        assert!(quick < 40, "it must recover");
    }
    assert!(quick > 6, "not at once, as after {quick} starts");
    assert_eq!(seen(&mut governor, &[10.0; 20]), [], "and never more than the limit");
}

#[test]
fn between_easy_and_slow_nothing_changes_unless_the_processors_are_all_busy() {
    for (load, width) in [(None, 4), (busy(3.0), 4), (busy(4.0), 1)] {
        let mut governor = Governor::new(4, None);
        governor.load_seen("n1", load);
        seen(&mut governor, &[10.0; 4]);
        seen(&mut governor, &[17.0; 20]);
        assert_eq!(governor.width("n1"), width, "{load:?}");
    }
}

#[test]
fn a_limit_to_the_load_closes_a_node_until_it_is_below_again() {
    let mut governor = Governor::new(4, Some(3.0));
    assert!(governor.has_load_limit());
    // A node that no longer reports counts as unchanged.
    for (load, width) in
        [(None, 4), (busy(2.9), 4), (busy(3.0), 0), (busy(9.0), 0), (None, 0), (busy(0.1), 4)]
    {
        governor.load_seen("n1", load);
        assert_eq!(governor.width("n1"), width, "{load:?}");
        assert_eq!(governor.is_over_limit("n1"), width == 0);
    }
    let mut without = Governor::new(4, None);
    without.load_seen("n1", busy(400.0));
    assert_eq!(without.width("n1"), 4);
}

#[test]
fn with_a_limit_a_node_is_closed_until_its_load_is_known_or_given_up() {
    let mut governor = Governor::new(4, Some(3.0));
    for node in ["n1", "n2", "n3", "n4"] {
        governor.wait_for_load(node);
    }
    let widths = |governor: &Governor| ["n1", "n2", "n3", "n4", "n5"].map(|node| governor.width(node));
    assert_eq!(widths(&governor), [0, 0, 0, 0, 4]);
    governor.load_seen("n1", busy(1.0));
    governor.load_seen("n2", busy(3.0));
    governor.load_seen("n3", None);
    assert_eq!(widths(&governor), [4, 0, 4, 0, 4]);
    assert!(governor.waits_for_loads());
    assert_eq!(governor.wait_no_longer(), ["n4"]);
    assert_eq!(widths(&governor), [4, 0, 4, 4, 4]);
    assert!(!governor.waits_for_loads() && governor.wait_no_longer().is_empty());
    let mut without = Governor::new(4, None);
    without.wait_for_load("n1");
    assert_eq!((without.width("n1"), without.waits_for_loads()), (4, false));
}

#[test]
fn starts_that_take_no_time_are_no_measure_of_slowness() {
    let mut governor = Governor::new(2, None);
    assert_eq!(seen(&mut governor, &[0.0; 20]), []);
    assert_eq!(governor.width("n1"), 2);
}

#[test]
fn a_change_says_what_was_seen() {
    let mut governor = Governor::new(2, None);
    governor.load_seen("n1", busy(4.0));
    seen(&mut governor, &[10.0; 2]);
    let change = (0..9).find_map(|_| governor.started("n1", 60.0)).unwrap();
    assert_eq!((change.node.as_str(), change.before, change.after), ("n1", 2, 1));
    assert!(change.slowness > SLOW, "{change:?}");
    assert_eq!(change.load, busy(4.0));
}

#[test]
fn starts_of_others_take_their_part_of_a_node_and_nothing_else_does() {
    let governor = Governor::new(4, None);
    let mut elsewhere = instance("i3", "ERROR_down");
    elsewhere.primary = "n2".into();
    let mut cluster = snapshot([instance("i1", "ERROR_down"), instance("i2", "ERROR_down"), elsewhere], []);
    let mut unknown = pending_job(6, "x");
    unknown.summaries = None;
    cluster.pending_jobs = vec![
        pending_job(1, "INSTANCE_STARTUP(i1)"),
        pending_job(2, "INSTANCE_STARTUP(i2)"),
        pending_job(3, "INSTANCE_STARTUP(i3)"),
        pending_job(4, "INSTANCE_SHUTDOWN(i1)"),
        pending_job(5, "INSTANCE_STARTUP(of another group)"),
        unknown,
    ];
    let width = governor.width_beside_others(&cluster, |job| job == JobId(2));
    assert_eq!(["n1", "n2", "n3"].map(width), [3, 3, 4]);
    let narrow = Governor::new(1, None);
    let width = narrow.width_beside_others(&cluster, |_| false);
    assert_eq!(["n1", "n2", "n3"].map(width), [0, 0, 1], "no less than none");
}
