//! Faults: the real program, killed, failed and lied to, against a cluster in a box on real sockets. What
//! must hold is in `judge.rs`. Started by `tests/faults/run`; `cargo test` alone leaves it out.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]
#![allow(clippy::disallowed_methods, reason = "it makes files before anybody looks, and bad ones")]

mod attacks;
mod judge;
mod luxid;
mod options;
#[path = "../support/program.rs"]
mod program;
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

/// Set by `tests/faults/run`, which creates a separate place for all of this.
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
    watcher::SHOWN.store(options.verbose && options.case.is_some(), Ordering::Relaxed);
    let mut sweeps = Vec::new();
    for attack in attacks {
        let cases = (attack.cases)(&bench).with_context(|| format!("cannot prepare '{}'", attack.name))?;
        let found = Mutex::new(Row::new(attack.name, cases.len()));
        sweeps.push(Sweep { attack, cases: options.choose(cases, attack), found });
    }
    carry_out(&bench, &sweeps, options);
    let rows: Vec<Row> = sweeps.into_iter().map(|sweep| into_inner(sweep.found)).collect();
    println!("\n{}", table::render(&rows, began.elapsed()));
    let tries: usize = rows.iter().map(|row| row.tries).sum();
    anyhow::ensure!(tries > 0, "nothing was tried");
    Ok(rows.iter().all(|row| row.failures.is_empty()))
}

/// An attack, the cases to try, and the findings.
struct Sweep<'a> {
    attack: &'a Attack,
    cases: Vec<Case>,
    found: Mutex<Row>,
}

/// All cases of all attacks, several at once: a case mostly waits.
fn carry_out(bench: &Bench, sweeps: &[Sweep<'_>], options: &Options) {
    let all: Vec<(&Sweep<'_>, &Case)> =
        sweeps.iter().flat_map(|sweep| sweep.cases.iter().map(move |case| (sweep, case))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((sweep, case)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let began = Instant::now();
            let verdict = (case.work)(bench).unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
            let took = began.elapsed();
            let name = sweep.attack.name;
            if options.verbose {
                println!("  {name} '{}': {verdict:?}, {:.1} s", case.name, took.as_secs_f64());
            }
            let mut found = lock(&sweep.found);
            found.took += took;
            match verdict {
                Verdict::Held => found.tries += 1,
                Verdict::NotReached => found.not_reached += 1,
                Verdict::Failed(problem) => {
                    found.tries += 1;
                    println!("  {name} '{}': {problem}", case.name);
                    found.failures.push(Failure { case: case.name.clone(), problem });
                }
            }
            if found.tries + found.not_reached == sweep.cases.len() {
                println!("{}", found.line());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(work);
        }
    });
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}
