//! Few descriptors, short files, little memory.

use anyhow::Result;

use super::{Bench, Case, Verdict};
use crate::judge::{self, Allowed, Problems};
use crate::watcher::{self, Run};
use crate::world::World;

const MOST_DESCRIPTORS: u32 = 40;
/// In bytes.
const LENGTHS: [u32; 14] = [0, 1, 10, 100, 300, 400, 500, 600, 800, 1000, 1500, 2000, 4000, 10_000];

pub(super) fn cases(_bench: &Bench) -> Result<Vec<Case>> {
    let descriptors = (0..=MOST_DESCRIPTORS).map(|number| format!("nofile={number}"));
    let lengths = LENGTHS.into_iter().map(|length| format!("fsize={length}"));
    let limits = descriptors.chain(lengths);
    Ok(limits.map(|limit| Case::new(limit.clone(), move |bench| attack(bench, &limit))).collect())
}

fn attack(bench: &Bench, limit: &str) -> Result<Verdict> {
    let world = World::new()?;
    let run = Run::behind(&["prlimit", &format!("--{limit}:")]);
    let ended = watcher::watch(&bench.program, &world, &run)?;
    // The dynamic linker's own need for descriptors; the static build has none.
    if ended.code() == Some(127) && ended.output.contains("error while loading shared libraries") {
        return Ok(Verdict::NotReached);
    }
    let mut problems = Problems::default();
    // Then not even a line fits into a file.
    let allowed = Allowed { silence: limit.starts_with("fsize="), ..Allowed::default() };
    judge::run(&mut problems, &ended, allowed);
    judge::record(&mut problems, &world, allowed);
    judge::aftermath(&mut problems, &bench.program, &world, allowed)?;
    Ok(problems.into_result().into())
}
