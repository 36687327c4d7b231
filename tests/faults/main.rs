//! Faults: the real program, killed, failed and lied to, against a cluster in a box on real sockets. What must hold is in
//! `judge.rs`. Started by `tests/faults/run`; `cargo test` alone leaves it out.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]
#![allow(clippy::disallowed_methods, reason = "it makes files before anybody looks, and bad ones")]

mod attacks;
mod judge;
mod luxid;
mod options;
mod scene;
mod stand_ins;
mod table;
mod watcher;
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};

use attacks::{Attack, Bench, Case, Verdict};
use options::Options;
use table::{Failure, Row};
use world::lock;

/// Set by `tests/faults/run`, which makes a place of its own for all of this.
const STARTED: &str = "GANETI_WATCHER_FAULTS";

fn main() -> ExitCode {
    if std::env::var_os(STARTED).is_none() {
        println!("\nleft out: tests/faults/run (the program killed, failed and lied to)");
        return ExitCode::SUCCESS;
    }
    match options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tests/faults/run: not run: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing failed.
fn run(options: &Options) -> Result<bool> {
    let attacks: Vec<&Attack> = attacks::ALL.iter().filter(|attack| options.wants(attack.name)).collect();
    if options.list {
        attacks.iter().for_each(|attack| println!("{:<10} {}", attack.name, attack.about));
        return Ok(true);
    }
    anyhow::ensure!(!attacks.is_empty(), "no attack has such a name; --list shows them");
    let bench = Bench::new(&options.program, options.quick)?;
    let began = Instant::now();
    let mut rows = Vec::new();
    for attack in attacks {
        let cases = (attack.cases)(&bench).with_context(|| format!("cannot prepare '{}'", attack.name))?;
        watcher::SHOWN.store(options.verbose && options.case.is_some(), Ordering::Relaxed);
        let of = cases.len();
        let cases = options.choose(cases, attack);
        let row = carry_out(&bench, attack, of, &cases, options);
        println!("{}", row.line());
        rows.push(row);
    }
    println!("\n{}", table::render(&rows, began.elapsed()));
    let tries: usize = rows.iter().map(|row| row.tries).sum();
    anyhow::ensure!(tries > 0, "nothing was tried");
    Ok(rows.iter().all(|row| row.failures.is_empty()))
}

/// All of these cases, several at once.
fn carry_out(bench: &Bench, attack: &Attack, of: usize, cases: &[Case], options: &Options) -> Row {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Row::new(attack.name, of));
    let began = Instant::now();
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let case_began = Instant::now();
            let verdict = (case.work)(bench).unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
            if options.verbose {
                println!("  {}: {verdict:?}, {:.1} s", case.name, case_began.elapsed().as_secs_f64());
            }
            let mut found = lock(&found);
            match verdict {
                Verdict::Held => found.tries += 1,
                Verdict::NotReached => found.not_reached += 1,
                Verdict::Failed(problem) => {
                    found.tries += 1;
                    println!("  {} '{}': {problem}", attack.name, case.name);
                    found.failures.push(Failure { case: case.name.clone(), problem });
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(work);
        }
    });
    let mut row = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    row.took = began.elapsed();
    row
}
