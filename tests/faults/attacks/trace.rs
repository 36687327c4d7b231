//! The system calls of a run, as strace sees them, and which ones can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};

use super::{Bench, Mode};
use crate::watcher::{self, Run};

/// Calls that are not made to fail: those of the C library and the runtime, for memory, threads and signals,
/// whose failure no program survives; and those that cannot fail.
const NEVER_FAIL: [&str; 24] = [
    "arch_prctl",
    "brk",
    "execve",
    "exit",
    "exit_group",
    "futex",
    "getpid",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "prlimit64",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "uname",
];

/// Calls that wait, and fail only by interruption.
const ONLY_INTERRUPTED: [&str; 6] =
    ["clock_nanosleep", "epoll_pwait", "epoll_pwait2", "epoll_wait", "getrandom", "poll"];

/// A system call: its name, and its number among those of that name.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) number: usize,
    /// Its descriptor is the runtime's own, or a directory being closed: it cannot fail in the kernel.
    cannot_fail: bool,
    /// It comes before the program could set up its handling of the signal for files that are too long.
    pub(super) is_early: bool,
}

/// The calls of a run, in order, from where the program itself begins.
#[derive(Debug)]
pub(super) struct Calls(pub(super) Vec<Call>);

impl Calls {
    pub(super) fn trace(bench: &Bench, mode: Mode) -> Result<Self> {
        let world = mode.world()?;
        let trace = world.outputs().join("trace");
        let run = Run {
            before: vec!["strace".into(), "-o".into(), trace.display().to_string()],
            arguments: mode.arguments(&world),
            ..Run::default()
        };
        let ended = watcher::watch(&bench.program, &world, &run).context("strace is needed")?;
        anyhow::ensure!(
            ended.code() == Some(0),
            "the traced run ({}): {}\n{}{}",
            mode.name(),
            ended.how(),
            ended.output,
            ended.log
        );
        let text =
            fs::read_to_string(&trace).context("strace wrote nothing: may processes be traced here?")?;
        world.wait_for_runs();
        let calls = Self::parse(&text);
        anyhow::ensure!(calls.0.len() > 100, "strace saw only {} system calls", calls.0.len());
        Ok(calls)
    }

    fn parse(text: &str) -> Self {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut own = Own::default();
        let mut calls = Vec::new();
        for line in text.lines() {
            let Some((name, rest)) = line.split_once('(') else { continue };
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            let number = numbers.entry(name).or_default();
            *number += 1;
            let cannot_fail = own.see(name, rest);
            // The first thing that Rust's runtime does; anything before is the dynamic linker's.
            if name == "poll" && rest.starts_with("[{fd=0") && *number == 1 {
                calls.clear();
                continue;
            }
            calls.push(Call { name: name.to_owned(), number: *number, cannot_fail, is_early: false });
            if name == "rt_sigaction" && rest.starts_with("SIGXFSZ") {
                calls.iter_mut().for_each(|call| call.is_early = true);
            }
        }
        Self(calls)
    }

    /// strace's words for "from this call on", up to one of that name that cannot fail.
    pub(super) fn range_from(&self, call: &Call) -> String {
        let later = self
            .0
            .iter()
            .find(|later| later.name == call.name && later.number > call.number && later.cannot_fail);
        match later {
            Some(later) => format!("{}..{}", call.number, later.number - 1),
            None => format!("{}+", call.number),
        }
    }
}

impl Call {
    pub(super) fn can_fail(&self) -> bool {
        // The first is the program's own check whether it can create one; at a later one tokio simply panics.
        let is_tokios = self.name == "socketpair" && self.number > 1;
        !self.cannot_fail && !is_tokios && !NEVER_FAIL.contains(&self.name.as_str())
    }

    /// The error it is made to fail with.
    pub(super) fn errors(&self) -> &'static [&'static str] {
        match self.name.as_str() {
            name if ONLY_INTERRUPTED.contains(&name) => &["EINTR"],
            // The kernel never reports more, and Rust's library rightly relies on that.
            "close" => &["EIO", "ENOSPC", "EINTR"],
            _ => &["EIO", "ENOSPC", "EACCES", "EMFILE", "EINTR"],
        }
    }
}

/// The open descriptors that lead nowhere: tokio's events, its pipe to itself, the pipe on which a child
/// reports whether it could run; and directories.
#[derive(Debug, Default)]
struct Own {
    descriptors: BTreeSet<i32>,
    directories: BTreeSet<i32>,
}

impl Own {
    /// Takes in a call, and returns whether it uses such a descriptor. `rest` is what follows the
    /// parenthesis.
    fn see(&mut self, name: &str, rest: &str) -> bool {
        let first: Option<i32> = rest.split([',', ')']).next().and_then(|word| word.trim().parse().ok());
        let result: Option<i32> = rest.rsplit_once("= ").and_then(|(_, word)| word.trim().parse().ok());
        let is_own = first.is_some_and(|first| self.descriptors.contains(&first));
        match (name, result) {
            ("eventfd2" | "epoll_create1", Some(made)) => {
                self.descriptors.insert(made);
            }
            ("socketpair", Some(0)) => {
                let pair = rest
                    .split_once('[')
                    .and_then(|(_, pair)| pair.split_once(']'))
                    .map_or("", |(pair, _)| pair);
                self.descriptors.extend(pair.split(", ").filter_map(|word| word.parse::<i32>().ok()));
            }
            ("fcntl", Some(made)) if is_own && rest.contains("F_DUPFD") => {
                self.descriptors.insert(made);
            }
            ("openat", Some(made)) if rest.contains("O_DIRECTORY") => {
                self.directories.insert(made);
            }
            ("close", _) => {
                let closed = first.unwrap_or(-1);
                let was_directory = self.directories.remove(&closed);
                return self.descriptors.remove(&closed) || was_directory;
            }
            _ => {}
        }
        is_own && !["epoll_ctl", "fcntl"].contains(&name)
    }
}
