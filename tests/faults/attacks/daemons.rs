//! RAPI, WConfD, mond and confd lie, say nothing, or say too much.

use std::fs;

use anyhow::Result;

use super::{Bench, Case, Verdict};
use crate::judge::{self, Allowed, Problems};
use crate::stand_ins::Manner;
use crate::watcher::{self, Run};
use crate::world::{Behaviour, World};

/// In KiB.
const MEMORY: u64 = 70 << 10;
const OFFLINE_LINE: &str = "shutting them down";

type Change = fn(&mut Behaviour, Manner);

/// Who lies, and whether it is asked over TLS.
const WHO: [(&str, Change, bool); 5] = [
    ("RAPI", |behaviour, manner| behaviour.rapi = manner, false),
    ("RAPI over TLS", |behaviour, manner| behaviour.rapi = manner, true),
    ("WConfD", |behaviour, manner| behaviour.wconfd = manner, false),
    ("mond", |behaviour, manner| behaviour.mond = manner, false),
    ("confd", |behaviour, manner| behaviour.confd = manner, false),
];

pub(super) fn cases(_bench: &Bench) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (who, change, tls) in WHO {
        for (name, manner) in Manner::BAD {
            cases.push(Case::new(format!("{who} {name}"), move |bench| attack(bench, change, manner, tls)));
        }
    }
    Ok(cases)
}

fn attack(bench: &Bench, change: Change, manner: Manner, tls: bool) -> Result<Verdict> {
    let world = World::new()?;
    fs::write(world.machine.root.join("var/run/ganeti/fake-hypervisor/idle.example.com"), "")?;
    if tls {
        // Without its options it is asked over TLS.
        fs::remove_file(world.machine.root.join("var/run/ganeti/ganeti-rapi.pid"))?;
    }
    world.behave(|behaviour| change(behaviour, manner));
    let allowed = Allowed { memory: MEMORY, ..Allowed::default() };
    let mut problems = Problems::default();
    let ended = watcher::watch(&bench.program, &world, &Run::with(&["--load-limit", "3"]))?;
    judge::run(&mut problems, &ended, allowed);
    judge::repaired(&mut problems, &world);
    judge::record(&mut problems, &world, allowed);
    if ended.log.contains(OFFLINE_LINE) {
        problems.add("this node's instances were stopped without a word of confd's");
    }
    let stops = world.machine.calls().iter().filter(|call| call.starts_with("daemon-util stop ")).count();
    if stops > 2 {
        problems.add(format!("{stops} daemons were stopped by one run"));
    }
    world.behave(|behaviour| *behaviour = Behaviour::default());
    judge::aftermath(&mut problems, &bench.program, &world, allowed)?;
    Ok(problems.into_result().into())
}
