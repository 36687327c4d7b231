use super::*;
use crate::cluster::testing::{instance, node, snapshot};
use crate::decide::blame::Blame;
use crate::decide::budget;

fn cluster() -> Snapshot {
    let down = ["a", "b", "c"].map(|name| instance(name, "ERROR_down"));
    snapshot(down, [node("n1", Some("boot"))])
}

fn blamed(detail: Detail) -> Blamed {
    Blamed { what: Blame::Node, cause: "n1 boot".into(), detail }
}

fn short(needed: u64, asked: bool) -> Shortage {
    Shortage { needed: Some(needed), available: Some(100), asked }
}

#[test]
fn one_that_is_held_is_remembered_with_what_it_needs_itself_and_without_having_been_asked_about() {
    let mut cluster = cluster();
    cluster.instances[1].memory = Some(2048);
    let failed = blamed(Detail::Memory(short(1024, true)));
    let hold = held(&failed, cluster.instance("b"));
    let expected = blamed(Detail::Memory(short(2048, false)));
    assert_eq!(hold, Some(Hold::Memory { node: "n1".into(), blamed: expected }));
    assert_eq!(held(&blamed(Detail::None), cluster.instance("b")), None, "it was not memory");
    assert_eq!(held(&failed, None), None);
}

#[test]
fn nodes_are_short_of_memory_as_long_as_an_instance_waits_for_it() {
    let cluster = cluster();
    let mut state = State::default();
    let mut wait = |name: &str, detail| {
        budget::remember_failure(&mut state, name, &blamed(detail), 1_000.0);
    };
    wait("a", Detail::Memory(short(1024, true)));
    wait("b", Detail::Memory(short(1024, false)));
    wait("c", Detail::None);
    wait("gone", Detail::Memory(short(1024, true)));
    let Record { nodes, found_by } = Record::of(&state, &cluster);
    assert_eq!((nodes, found_by), (["n1".to_owned()].into(), ["a".to_owned()].into()));
}
