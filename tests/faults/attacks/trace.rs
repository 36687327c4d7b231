//! The system calls of a run, as strace sees them, and which of them can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};

use super::{Bench, Mode};
use crate::watcher::{self, Run};

/// Calls that are not made to fail: they are the C library's and the runtime's own, for memory, threads and
/// signals, and no program outlives that they fail; or they cannot.
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

/// Calls that wait, and fail with nothing but an interruption.
const ONLY_INTERRUPTED: [&str; 6] =
    ["clock_nanosleep", "epoll_pwait", "epoll_pwait2", "epoll_wait", "getrandom", "poll"];

/// A system call: its name, and which of that name it is.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) number: usize,
    /// Its descriptor is the runtime's own, or a directory that is closed: nothing that can fail in the
    /// kernel.
    cannot_fail: bool,
    /// It is made before the program could say that it minds no signal of files that are too long.
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
            // The first thing that Rust's runtime does; what was before is the dynamic linker's.
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
        // The first one is the program's own question whether there can be any; at a later one tokio panics,
        // and gives nobody a choice.
        let is_tokios = self.name == "socketpair" && self.number > 1;
        !self.cannot_fail && !is_tokios && !NEVER_FAIL.contains(&self.name.as_str())
    }

    /// What it is made to fail with.
    pub(super) fn errors(&self) -> &'static [&'static str] {
        match self.name.as_str() {
            name if ONLY_INTERRUPTED.contains(&name) => &["EINTR"],
            // More the kernel never says, and Rust's library rightly believes it.
            "close" => &["EIO", "ENOSPC", "EINTR"],
            _ => &["EIO", "ENOSPC", "EACCES", "EMFILE", "EINTR"],
        }
    }
}

/// The descriptors that are open and lead nowhere: tokio's events, its pipe to itself, the pipe over which a
/// child tells whether it could run; and directories.
#[derive(Debug, Default)]
struct Own {
    descriptors: BTreeSet<i32>,
    directories: BTreeSet<i32>,
}

impl Own {
    /// Takes in a call, and tells whether it is made with such a descriptor. `rest` is what follows the
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
