//! The attacks. Each makes a list of cases; a case creates a world, attacks a run in it, and checks the
//! result.

mod calls;
mod daemons;
mod disks;
mod files;
mod hostile;
mod lies;
mod limits;
mod signals;
mod together;
mod trace;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};

pub(crate) use calls::Mode;
use trace::Calls;

/// The result of a case.
#[derive(Debug)]
pub(crate) enum Verdict {
    Held,
    /// The run ended before the attack took place.
    NotReached,
    Failed(String),
}

impl From<Result<(), String>> for Verdict {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Held)
    }
}

type Work = Box<dyn Fn(&Bench) -> Result<Verdict> + Send + Sync>;

/// One attempt.
pub(crate) struct Case {
    /// Always the same for the same case.
    pub(crate) name: String,
    pub(crate) work: Work,
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Case {
    fn new(name: String, work: impl Fn(&Bench) -> Result<Verdict> + Send + Sync + 'static) -> Self {
        Self { name, work: Box::new(work) }
    }
}

/// A kind of attack.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// How many of its cases the quick form tries.
    pub(crate) quick: usize,
    pub(crate) cases: fn(&Bench) -> Result<Vec<Case>>,
}

pub(crate) const ALL: &[Attack] = &[
    Attack { name: "kill", about: "killed at every system call", quick: 70, cases: calls::kills },
    Attack {
        name: "fail",
        about: "each system call fails, once and from then on",
        quick: 80,
        cases: calls::failures,
    },
    Attack {
        name: "signals",
        about: "a signal at a system call; nobody reads its output",
        quick: 30,
        cases: signals::cases,
    },
    Attack { name: "limits", about: "few descriptors, short files", quick: 25, cases: limits::cases },
    Attack { name: "disks", about: "full and read-only disks", quick: 20, cases: disks::cases },
    Attack {
        name: "files",
        about: "a hostile file at every path that is opened",
        quick: 70,
        cases: files::cases,
    },
    Attack {
        name: "lies",
        about: "luxid lies at every place of its answers",
        quick: 80,
        cases: lies::values,
    },
    Attack { name: "wire", about: "luxid's answers are broken on the wire", quick: 14, cases: lies::wires },
    Attack {
        name: "silence",
        about: "luxid's answers do not come, for minutes",
        quick: 0,
        cases: lies::silence,
    },
    Attack { name: "rows", about: "luxid's answers have far too many rows", quick: 3, cases: lies::rows },
    Attack { name: "daemons", about: "RAPI, WConfD, mond and confd lie", quick: 10, cases: daemons::cases },
    Attack {
        name: "together",
        about: "twenty runs at once, with retry and a pause",
        quick: 2,
        cases: together::cases,
    },
];

/// What all cases share.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The program under attack.
    pub(crate) program: PathBuf,
    /// This many bytes are too many rows.
    many_rows: usize,
    calls: OnceLock<Vec<(Mode, Calls)>>,
}

impl Bench {
    pub(crate) fn new(program: &Path, quick: bool) -> Result<Self> {
        let program =
            program.canonicalize().with_context(|| format!("no program '{}'", program.display()))?;
        let many_rows = if quick { 6 << 20 } else { 60 << 20 };
        Ok(Self { program, many_rows, calls: OnceLock::new() })
    }

    /// The system calls of an undisturbed run, in every mode.
    fn calls(&self) -> Result<&[(Mode, Calls)]> {
        if let Some(known) = self.calls.get() {
            return Ok(known);
        }
        let traced: Vec<(Mode, Calls)> =
            Mode::ALL.into_iter().map(|mode| Ok((mode, Calls::trace(self, mode)?))).collect::<Result<_>>()?;
        Ok(self.calls.get_or_init(|| traced))
    }
}
