//! Twenty runs at once, with `retry`, and a pause that comes and goes.

use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::{Bench, Case, Verdict};
use crate::judge::{self, Allowed, Problems};
use crate::watcher::{self, Run, Running};
use crate::world::World;

const RUNS: usize = 20;
const ROUNDS: u64 = 40;

pub(super) fn cases(_bench: &Bench) -> Result<Vec<Case>> {
    Ok((0..ROUNDS).map(|seed| Case::new(format!("seed {seed}"), move |bench| attack(bench, seed))).collect())
}

fn attack(bench: &Bench, seed: u64) -> Result<Verdict> {
    let world = World::new()?;
    let mut chance = fastrand::Rng::with_seed(seed);
    let pause = world.machine.root.join("var/lib/ganeti/watcher.pause");
    let paused_at = chance.usize(0..RUNS);
    let mut running: Vec<Running> = Vec::new();
    for number in 0..RUNS {
        let run = match chance.usize(0..6) {
            0 => Run::with(&["retry", "web1"]),
            1 => Run::with(&["--node-group", &world.group]),
            _ => Run::default(),
        };
        if number == paused_at {
            let until = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() + 3600;
            fs::write(&pause, format!("{until}\n"))?;
        }
        running.push(watcher::start(&bench.program, &world, &run)?);
        std::thread::sleep(Duration::from_millis(chance.u64(0..40)));
        if number == paused_at {
            drop(fs::remove_file(&pause));
        }
    }
    let mut problems = Problems::default();
    let allowed = Allowed::default();
    for run in running {
        judge::run(&mut problems, &run.wait()?, allowed);
    }
    judge::record(&mut problems, &world, allowed);
    judge::aftermath(&mut problems, &bench.program, &world, allowed)?;
    Ok(problems.into_result().into())
}
