//! Signals at system calls, and outputs that nobody reads.

use anyhow::Result;

use super::calls;
use super::trace::Call;
use super::{Bench, Case, Mode};
use crate::judge::{self, Allowed, Problems};
use crate::watcher::{self, Output, Run};
use crate::world::World;

/// Each with whether it may end the run. A file that got too long, or a reader that went away, must not.
const SIGNALS: [(&str, i32, bool); 8] = [
    ("SIGHUP", 1, true),
    ("SIGINT", 2, true),
    ("SIGQUIT", 3, true),
    ("SIGTERM", 15, true),
    ("SIGALRM", 14, true),
    ("SIGPIPE", 13, false),
    ("SIGXFSZ", 25, false),
    ("SIGCHLD", 17, false),
];
/// A signal at every system call would repeat the sweep of kills for each signal.
const EVERY: usize = 7;

pub(super) fn cases(bench: &Bench) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for output in [Output::BrokenPipe, Output::Full] {
        for arguments in [&[][..], &["-d"], &["--dry-run"], &["--help"]] {
            cases.push(Case::new(format!("{output:?} {arguments:?}"), move |bench| {
                unread(bench, output, arguments)
            }));
        }
    }
    let whole = bench.calls()?.iter().find(|(mode, _)| *mode == Mode::Whole);
    let calls = whole.map(|(_, calls)| calls.0.as_slice()).unwrap_or_default();
    for (signal, number_of_signal, may_end) in SIGNALS {
        let in_time = calls.iter().filter(|call| may_end || !call.is_early);
        for Call { name, number, .. } in in_time.step_by(EVERY) {
            let (call, what) = (name.clone(), format!("signal={signal}:when={number}"));
            let allowed = Allowed { signal: may_end.then_some(number_of_signal), ..Allowed::default() };
            cases.push(Case::new(format!("{signal} {name} {number}"), move |bench| {
                calls::attack(bench, &World::new()?, Mode::Whole, &call, &what, allowed)
            }));
        }
    }
    Ok(cases)
}

fn unread(bench: &Bench, output: Output, arguments: &[&str]) -> Result<super::Verdict> {
    let world = World::new()?;
    let run = Run { output, ..Run::with(arguments) };
    let allowed = Allowed { silence: true, ..Allowed::default() };
    let mut problems = Problems::default();
    let ended = watcher::watch(&bench.program, &world, &run)?;
    judge::run(&mut problems, &ended, allowed);
    if ["", "-d"].contains(&arguments.join(" ").as_str()) {
        judge::repaired(&mut problems, &world);
    }
    judge::record(&mut problems, &world, allowed);
    judge::aftermath(&mut problems, &bench.program, &world, allowed)?;
    Ok(problems.into_result().into())
}
