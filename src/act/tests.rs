use serde_json::json;

use super::testing::{Carried, EPOCH, Fault, Limits, Scene, in_any_order};
use super::{Slots, Stopped, View};
use crate::cluster::{AdminState, Timestamp};
use crate::decide::Action;
use crate::decide::agenda::Agenda;
use crate::decide::governor::Governor;
use crate::decide::policy::Policies;
use crate::decide::reason::Reason;
use crate::decide::schedule::{Schedule, TIER_PATIENCE};
use crate::memory::State;

fn one_at_a_time(slots: &Slots) -> Limits<'_> {
    Limits { group: "a", slots, governor: Governor::new(1, None) }
}

/// Carries out the starts of everything in group `a`, one at a time on each node.
async fn start_all(scene: &Scene) -> Carried {
    scene.carry_out(one_at_a_time(&Slots::new(16)), in_any_order, |_| {}).await
}

#[tokio::test(start_paused = true)]
async fn starts_go_side_by_side_within_the_limits_of_nodes_and_slots() {
    let scene = Scene::new(&[
        ("i1", "a1"),
        ("i2", "a1"),
        ("i3", "a1"),
        ("i4", "a1"),
        ("i5", "a2"),
        ("i6", "a2"),
        ("i7", "a2"),
        ("other", "b1"),
    ]);
    let slots = Slots::new(3);
    let limits = Limits { group: "a", slots: &slots, governor: Governor::new(2, None) };
    let Carried { result, told } = scene.carry_out(limits, in_any_order, |_| {}).await;
    result.unwrap();
    assert_eq!(scene.started(), ["i1", "i2", "i5", "i3", "i4", "i6", "i7"], "the first that may");
    assert_eq!(scene.most_at_once(&["i1", "i2", "i3", "i4"]), 2);
    assert_eq!(scene.most_at_once(&["i1", "i2", "i3", "i4", "i5", "i6", "i7"]), 3);
    let succeeded = told.iter().filter(|line| line.ends_with(": succeeded"));
    assert_eq!(succeeded.count(), 7, "{told:?}");
    assert_eq!(told[..2], ["begin i1 i2", "begin i5"], "no more than two in a submission");
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_since_it_was_planned_is_left_alone_and_holds_no_other_back() {
    let scene = Scene::new(&[("i1", "a1"), ("i2", "a1"), ("i3", "a1"), ("i4", "a1"), ("i5", "a1")]);
    let slots = Slots::new(16);
    let carried = scene.carry_out(one_at_a_time(&slots), in_any_order, |world| {
        world.instances[0].admin_state = AdminState::Down;
        world.instances[1].tags = vec!["ganeti:watcher:start:never".to_owned()];
        world.add_foreign_job("INSTANCE_REBOOT(i3)");
        world.instances.remove(3);
    });
    let Carried { result, told } = carried.await;
    result.unwrap();
    let expected = [
        "i1: left alone, it has been shut down meanwhile",
        "i2: left alone, its tags were changed, which takes effect in the next run",
        "i3: left alone, job 1 (INSTANCE_REBOOT(i3)) is working on it",
        "i4: left alone, it no longer exists",
        "begin i5",
        "i5: succeeded",
    ];
    assert_eq!(told, expected);
    assert_eq!(scene.started(), ["i5"]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_it_without_a_word_about_what_is_left() {
    let mut scene = Scene::new(&[("i1", "a1"), ("i2", "a1"), ("i3", "a2")]);
    scene.paused_after = Some(5);
    let Carried { result, told } = start_all(&scene).await;
    assert!(matches!(result, Err(Stopped::Paused)), "{result:?}");
    assert_eq!(result.unwrap_err().reason(), Some(Reason::Paused));
    assert_eq!(told, ["begin i1 i3", "i1: succeeded", "i3: succeeded"], "what is in flight is followed");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_drained_meanwhile_ends_it() {
    let scene = Scene::new(&[("i1", "a1"), ("i2", "a1"), ("i3", "a1")]);
    scene.world().drained_after = Some(5);
    let Carried { result, told } = start_all(&scene).await;
    assert!(matches!(result, Err(Stopped::Drained)), "{result:?}");
    assert_eq!(result.unwrap_err().reason(), Some(Reason::Drained));
    assert_eq!(told, ["begin i1", "i1: succeeded", "begin i2", "i2: not submitted"]);
}

#[tokio::test(start_paused = true)]
async fn jobs_whose_submission_is_not_answered_are_looked_for_and_followed() {
    let scene = Scene::new(&[("i1", "a1"), ("i2", "a2")]);
    scene.world().fault = Some(("i1", Fault::AnswerIsLost));
    let Carried { result, told } = start_all(&scene).await;
    result.unwrap();
    assert_eq!(told, ["begin i1 i2", "i1: succeeded", "i2: succeeded"]);
    assert_eq!(scene.started(), ["i1", "i2"], "each once");
}

#[tokio::test(start_paused = true)]
async fn when_luxid_dies_at_a_submission_nobody_knows_what_became_of_anything() {
    let scene = Scene::new(&[("i1", "a1"), ("i2", "a1"), ("i3", "a1")]);
    scene.world().fault = Some(("i2", Fault::Dies));
    let Carried { result, told } = start_all(&scene).await;
    assert!(matches!(result, Err(Stopped::Luxi(_))), "{result:?}");
    assert_eq!(result.unwrap_err().reason(), Some(Reason::CutShort));
    assert_eq!(told, ["begin i1", "i1: succeeded", "begin i2", "i2: unknown"]);
}

#[tokio::test(start_paused = true)]
async fn when_luxid_is_lost_the_ends_of_jobs_in_flight_are_unknown() {
    let scene = Scene::new(&[("i1", "a1"), ("i2", "a1"), ("i3", "a2")]);
    scene.world().away_after = Some(5);
    let Carried { result, told } = start_all(&scene).await;
    assert!(matches!(result, Err(Stopped::Luxi(_))), "{result:?}");
    assert_eq!(told, ["begin i1 i3", "i1: unknown", "i3: unknown"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_for_memory_what_needs_as_much_is_left_and_the_rest_is_started() {
    let scene = Scene::new(&[("i1", "a1"), ("i2", "a1"), ("i3", "a1"), ("i4", "a2")]);
    scene.world().instances[2].memory = Some(128);
    let message = "Not enough memory on node a1 for starting instance i1: needed 1024 MiB, available 500 MiB";
    let failure = json!(["OpPrereqError", [message, "insufficient_resources"]]);
    scene.world().failures.insert("i1".to_owned(), failure);
    let Carried { result, told } = start_all(&scene).await;
    result.unwrap();
    assert_eq!(scene.started(), ["i1", "i4", "i3"]);
    assert!(told.contains(&"i1: failed".to_owned()), "{told:?}");
    let left: Vec<&String> = told.iter().filter(|line| line.contains("LeftForLater")).collect();
    assert_eq!(left.len(), 1, "{told:?}");
    assert!(left[0].starts_with("i2: LeftForLater(Memory"), "{left:?}");
}

/// The agenda of these starts by their tags, for instances that have been down since then.
fn by_tags(view: &View<'_>, actions: Vec<Action>, since: Timestamp, now: Timestamp) -> Agenda {
    let (policies, problems) = Policies::read(&view.snapshot, &[], now);
    assert_eq!(problems, []);
    let mut state = State::default();
    state.recovery.down = actions.iter().map(|action| (action.instance.clone(), since)).collect();
    Agenda::new(actions, &view.snapshot, Schedule::of(&view.snapshot, &state, &policies, now))
}

#[tokio::test(start_paused = true)]
async fn a_tier_is_waited_for_as_long_as_a_run_may_idle_and_no_longer() {
    // A higher tier may begin this many seconds after the start, whatever became of the lower one.
    for (patience_left, is_started) in [(68.0, true), (75.0, false)] {
        let scene = Scene::new(&[("dns", "a1"), ("inst", "a1")]);
        scene.world().instances[0].tags = vec!["ganeti:watcher:start:tier:1".to_owned()];
        scene.world().failures.insert("dns".to_owned(), json!(["OpExecError", ["no such file"]]));
        let since = Timestamp::from(EPOCH) - TIER_PATIENCE + patience_left;
        let now = scene.now();
        let slots = Slots::new(16);
        let plan = |view: &View<'_>, actions| by_tags(view, actions, since, now);
        let Carried { result, told } = scene.carry_out(one_at_a_time(&slots), plan, |_| {}).await;
        result.unwrap();
        assert_eq!(told[..2], ["begin dns", "dns: failed"]);
        if is_started {
            assert_eq!(told[2..], ["begin inst", "inst: succeeded"]);
            assert!((78..80).contains(&scene.passed()), "{} s", scene.passed());
        } else {
            assert!(told[2].starts_with("inst: LeftForLater(Tier { behind: \"dns\""), "{told:?}");
            assert!(scene.passed() < 15, "it is known at once that this is too long: {} s", scene.passed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_on_which_others_start_instances_is_waited_for_a_minute() {
    let scene = Scene::new(&[("i1", "a1"), ("i2", "a1")]);
    scene.world().add_foreign_job("INSTANCE_STARTUP(i2)");
    let slots = Slots::new(16);
    let plan = |view: &View<'_>, mut actions: Vec<Action>| {
        actions.truncate(1);
        in_any_order(view, actions)
    };
    let Carried { result, told } = scene.carry_out(one_at_a_time(&slots), plan, |_| {}).await;
    result.unwrap();
    assert_eq!(told, ["i1: LeftForLater(Busy)"]);
    assert!((60..62).contains(&scene.passed()), "{} s", scene.passed());
}

#[tokio::test(start_paused = true)]
async fn two_groups_share_the_slots() {
    let of_a = ["i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8"];
    let of_b = ["j1", "j2", "j3"];
    let instances: Vec<(&str, &str)> =
        of_a.iter().map(|name| (*name, "a1")).chain(of_b.iter().map(|name| (*name, "b1"))).collect();
    let scene = Scene::new(&instances);
    let slots = Slots::new(4);
    let run = |group| {
        let limits = Limits { group, slots: &slots, governor: Governor::new(9, None) };
        scene.carry_out(limits, in_any_order, |_| {})
    };
    let (first, second) = tokio::join!(run("a"), run("b"));
    first.result.unwrap();
    second.result.unwrap();
    let started = scene.started();
    assert_eq!(started[..4], of_a[..4], "the first group took all there were, before the second came");
    assert_eq!(started[4..8], ["i5", "i6", "j1", "j2"], "then each has its part");
    assert_eq!(started.len(), 11);
    assert_eq!(scene.most_at_once(&[&of_a[..], &of_b[..]].concat()), 4, "as many as there are slots");
}
