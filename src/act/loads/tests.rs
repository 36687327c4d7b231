use super::super::Slots;
use super::super::testing::{Carried, Limits, Scene, in_any_order};
use crate::decide::governor::Governor;
use crate::logging;

/// Starts everything, at most four at once on a node, with this limit to the load.
async fn start_all(scene: &Scene, load_limit: Option<f64>) -> Vec<String> {
    let slots = Slots::new(16);
    let limits = Limits { group: "a", slots: &slots, governor: Governor::new(4, load_limit) };
    let Carried { result, told } = scene.carry_out(limits, in_any_order, |_| {}).await;
    result.unwrap();
    told
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_on_a_node_with_too_much_load_until_it_has_less() {
    let mut scene = Scene::new(&[("i1", "a1"), ("i2", "a2")]);
    scene.set_load("a1", 0, 6.0);
    scene.set_load("a1", 25, 1.0);
    scene.set_load("a2", 0, 1.0);
    let told = start_all(&scene, Some(4.0)).await;
    assert_eq!(told, ["begin i2", "i2: succeeded", "begin i1", "i1: succeeded"]);
    let begun = scene.begun()["i1"];
    assert!((25..35).contains(&begun), "seen when the load is asked for next: {begun} s");
}

#[test]
fn a_load_that_is_unknown_holds_nothing_back_and_is_told_once() {
    let told = logging::testing::logged(async {
        tokio::time::pause();
        let scene = Scene::new(&[("i1", "a1"), ("i2", "a1"), ("i3", "a1"), ("i4", "a1")]);
        let slots = Slots::new(16);
        let limits = Limits { group: "a", slots: &slots, governor: Governor::new(1, Some(4.0)) };
        scene.carry_out(limits, in_any_order, |_| {}).await.result.unwrap();
        assert_eq!(scene.started(), ["i1", "i2", "i3", "i4"]);
    });
    let line = "WARNING The load of node 'a1' is unknown (ganeti-mond does not report it): --load-limit cannot be applied there";
    assert_eq!(told.lines().filter(|told| told.contains("load")).collect::<Vec<_>>(), [line]);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_no_start_waits_for_a_load() {
    let mut scene = Scene::new(&[("i1", "a1"), ("i2", "a2")]);
    scene.set_load("a1", 0, 6.0);
    scene.set_load_delay("a1", 20);
    start_all(&scene, None).await;
    assert_eq!(scene.begun().into_values().collect::<Vec<_>>(), [0, 0]);
    assert!(scene.passed() < 15, "nor does the end wait: {} s", scene.passed());
}

#[tokio::test(start_paused = true)]
async fn with_a_limit_what_all_nodes_tell_at_once_changes_no_order() {
    let mut scene = Scene::new(&[("i1", "a1"), ("i2", "a2"), ("i3", "a1")]);
    scene.set_load("a1", 0, 1.0);
    scene.set_load("a2", 0, 1.0);
    scene.set_load_delay("a2", 1);
    let told = start_all(&scene, Some(4.0)).await;
    assert_eq!(told[..2], ["begin i1 i2", "begin i3"]);
    assert_eq!(scene.begun()["i1"], 1, "a little patience, for all of them together");
}

#[tokio::test(start_paused = true)]
async fn with_a_limit_a_node_that_answers_late_holds_back_its_own_starts_alone() {
    let mut scene = Scene::new(&[("i1", "a1"), ("i2", "a1"), ("i3", "a2")]);
    scene.set_load("a1", 0, 1.0);
    scene.set_load_delay("a1", 10);
    scene.set_load("a2", 0, 1.0);
    start_all(&scene, Some(4.0)).await;
    assert_eq!(scene.begun().into_values().collect::<Vec<_>>(), [10, 10, 2]);
    assert_eq!(scene.asked_for_load("a1"), [0]);
}

#[test]
fn with_a_limit_no_start_waits_for_a_load_for_long_and_a_late_answer_still_counts() {
    let told = logging::testing::logged(async {
        tokio::time::pause();
        let names = ["i1", "i2", "i3", "i4", "i5", "i6"];
        let mut scene = Scene::new(&names.map(|name| (name, "a1")));
        // Answers at 20 s, and at 50 s.
        scene.set_load_delay("a1", 20);
        scene.set_load("a1", 0, 6.0);
        scene.set_load("a1", 30, 1.0);
        start_all(&scene, Some(4.0)).await;
        let begun = scene.begun();
        assert_eq!(names.map(|name| begun[name]), [12, 12, 12, 12, 50, 50]);
        assert_eq!(scene.asked_for_load("a1")[..2], [0, 30]);
    });
    let lines = [
        "WARNING ganeti-mond has not reported the load within 12 s on a1: starts begin there, and --load-limit is applied once it does",
        "DEBUG Node 'a1' is given no starts: 6.0 of its processors are busy",
    ];
    assert_eq!(told.lines().filter(|told| told.contains("starts")).collect::<Vec<_>>(), lines);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stays_over_the_limit_is_asked_every_ten_seconds_for_a_minute() {
    let mut scene = Scene::new(&[("i1", "a1"), ("i2", "a2")]);
    scene.set_load("a1", 0, 6.0);
    scene.set_load("a2", 0, 6.0);
    start_all(&scene, Some(4.0)).await;
    assert!((60..62).contains(&scene.passed()), "left after a minute: {} s", scene.passed());
    assert_eq!(scene.asked_for_load("a1")[..6], [0, 10, 20, 30, 40, 50]);
}
