//! Every system call of a run, killed there or made to fail, by strace's injection. Only the program itself
//! is traced, not what it runs.

use std::fs;
use std::time::Duration;

use anyhow::Result;

use super::trace::Call;
use super::{Bench, Case, Verdict};
use crate::judge::{self, Allowed, Problems};
use crate::stand_ins::Manner;
use crate::watcher::{self, Ended, Run};
use crate::world::World;

const SIGKILL: i32 = 9;

/// Each unreadable answer is waited for, a minute at a time.
const LIMIT: Duration = Duration::from_secs(400);

/// What kind of run is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As cron calls it.
    Whole,
    /// One node group.
    Group,
    /// Group parts on their own.
    Detached,
    /// The candidates say that this node is offline.
    Maintenance,
    /// systemd looks after the daemons, and one of them has failed.
    Systemd,
}

impl Mode {
    pub(crate) const ALL: [Self; 5] =
        [Self::Whole, Self::Group, Self::Detached, Self::Maintenance, Self::Systemd];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Group => "group",
            Self::Detached => "detached",
            Self::Maintenance => "maintenance",
            Self::Systemd => "systemd",
        }
    }

    pub(super) fn world(self) -> Result<World> {
        let world = World::new()?;
        match self {
            Self::Whole | Self::Group | Self::Detached => {}
            Self::Maintenance => {
                world.behave(|behaviour| behaviour.confd = Manner::Offline);
                fs::write(world.machine.root.join("var/run/ganeti/fake-hypervisor/idle.example.com"), "")?;
            }
            Self::Systemd => {
                fs::create_dir(world.machine.system.join("systemd"))?;
                world.machine.program(
                    "systemctl",
                    "case \"$*\" in *ganeti.target*) echo LoadState=loaded; exit;; *noded*) active=failed;; *) \
                     active=active;; esac\necho LoadState=loaded\necho ActiveState=$active\necho \
                     SubState=running\necho UnitFileState=enabled\necho Result=signal\necho CanStart=yes",
                );
            }
        }
        Ok(world)
    }

    pub(super) fn arguments(self, world: &World) -> Vec<String> {
        match self {
            Self::Whole | Self::Maintenance | Self::Systemd => Vec::new(),
            Self::Group => vec!["--node-group".to_owned(), world.group.clone()],
            Self::Detached => vec!["--no-wait-children".to_owned()],
        }
    }
}

/// Whether what was to be injected has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    Yes,
    No,
    /// It came to a call that the kernel never lets fail.
    WhereNothingFails,
}

/// Runs the program in that world with something injected.
pub(super) fn inject(
    bench: &Bench,
    world: &World,
    mode: Mode,
    call: &str,
    what: &str,
) -> Result<(Ended, Came)> {
    let trace = world.outputs().join("trace");
    let run = Run {
        before: vec![
            "strace".into(),
            "-o".into(),
            trace.display().to_string(),
            "-e".into(),
            format!("trace={call}"),
            "-e".into(),
            format!("inject={call}:{what}"),
        ],
        arguments: mode.arguments(world),
        // A luxid whose answers can never be read is asked for a minute each time before the run gives up on
        // it.
        limit: LIMIT,
        ..Run::default()
    };
    let ended = watcher::watch(&bench.program, world, &run)?;
    let text = fs::read_to_string(&trace).unwrap_or_default();
    let came = text.contains("(INJECTED)") || text.contains("+++ killed by") || text.contains("--- SIG");
    world.wait_for_runs();
    Ok((
        ended,
        match came {
            _ if text.lines().any(is_tokio_s_wake_up) => Came::WhereNothingFails,
            true => Came::Yes,
            false => Came::No,
        },
    ))
}

/// Whether a line of strace's is tokio waking itself, made to fail. The kernel never lets that fail, and
/// tokio panics. Such calls are left out by their numbers, but on a busy machine they come at others.
fn is_tokio_s_wake_up(line: &str) -> bool {
    line.starts_with("write(") && line.contains(r#""\1\0\0\0\0\0\0\0", 8)"#) && line.ends_with("(INJECTED)")
}

pub(super) fn kills(bench: &Bench) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (mode, calls) in bench.calls()? {
        for Call { name, number, .. } in &calls.0 {
            let (mode, call, number) = (*mode, name.clone(), *number);
            cases.push(Case::new(format!("{} {call} {number}", mode.name()), move |bench| {
                let world = mode.world()?;
                let allowed = Allowed { signal: Some(SIGKILL), ..Allowed::default() };
                let what = format!("signal=SIGKILL:when={number}");
                attack(bench, &world, mode, &call, &what, allowed)
            }));
        }
    }
    Ok(cases)
}

pub(super) fn failures(bench: &Bench) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (mode, calls) in bench.calls()? {
        let mode = *mode;
        for call in calls.0.iter().filter(|call| call.can_fail()) {
            for &error in call.errors() {
                let once = [("once", call.number.to_string())];
                let always = [("from then on", calls.range_from(call))];
                // A call that is always interrupted waits forever, and is allowed to.
                let always = always.into_iter().filter(|_| error != "EINTR");
                for (way, when) in once.into_iter().chain(always) {
                    let Call { name, number, .. } = call.clone();
                    // Nothing can be written to stderr either.
                    let silence = name == "write" && way != "once";
                    let what = format!("error={error}:when={when}");
                    cases.push(Case::new(
                        format!("{} {name} {number} {error} {way}", mode.name()),
                        move |bench| {
                            let allowed = Allowed { silence, ..Allowed::default() };
                            attack(bench, &mode.world()?, mode, &name, &what, allowed)
                        },
                    ));
                }
            }
        }
    }
    Ok(cases)
}

pub(super) fn attack(
    bench: &Bench,
    world: &World,
    mode: Mode,
    call: &str,
    what: &str,
    allowed: Allowed,
) -> Result<Verdict> {
    let (ended, came) = inject(bench, world, mode, call, what)?;
    let mut problems = Problems::default();
    judge::run(&mut problems, &ended, allowed);
    judge::record(&mut problems, world, allowed);
    world.behave(|behaviour| behaviour.confd = Manner::Good);
    judge::aftermath(&mut problems, &bench.program, world, allowed)?;
    Ok(match problems.into_result() {
        _ if came == Came::WhereNothingFails => Verdict::NotReached,
        Ok(()) if came == Came::No => Verdict::NotReached,
        result => result.into(),
    })
}
