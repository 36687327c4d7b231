//! The arguments of `tests/faults/run`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::attacks::{Attack, Case};

const HELP: &str = "\
usage: tests/faults/run [--quick] [--attack NAME]... [--case NAME] [--from NAME] [--sample N] [--watcher PATH] [--jobs N]
  --quick         a sample that is always the same, in some minutes; without it everything is tried, in hours
  --attack NAME   only this attack, and others named so
  --case NAME     only this case, such as a failure names it
  --from NAME     this case of an attack and all after it: a long sweep that was stopped goes on there
  --sample N      so many cases of each attack
  --watcher PATH  another program than the one that cargo just built
  --jobs N        so many worlds at once (12)
  --verbose       every case, and how it ended; with --case also what its runs wrote
  --list          the attacks";

/// What is asked for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    attacks: Vec<String>,
    pub(crate) case: Option<String>,
    from: Option<String>,
    sample: Option<usize>,
    pub(crate) program: PathBuf,
    pub(crate) jobs: usize,
    pub(crate) verbose: bool,
    pub(crate) list: bool,
}

pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Options> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_ganeti-watcher"));
    let mut options = Options { program, jobs: 12, ..Options::default() };
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value\n{HELP}"));
        match word.as_str() {
            "--quick" => options.quick = true,
            "--all" => options.quick = false,
            "--attack" => options.attacks.push(value()?),
            "--case" => options.case = Some(value()?),
            "--from" => options.from = Some(value()?),
            "--sample" => options.sample = Some(value()?.parse().context("--sample needs a number")?),
            "--watcher" => options.program = PathBuf::from(value()?),
            "--jobs" => options.jobs = value()?.parse().context("--jobs needs a number")?,
            "--verbose" => options.verbose = true,
            "--list" => options.list = true,
            _ => bail!("unknown word '{word}'\n{HELP}"),
        }
    }
    anyhow::ensure!(options.jobs > 0, "--jobs needs a number above 0");
    Ok(options)
}

impl Options {
    pub(crate) fn wants(&self, attack: &str) -> bool {
        self.attacks.is_empty() || self.attacks.iter().any(|wanted| wanted == attack)
    }

    /// The cases to try, always the same ones.
    pub(crate) fn choose(&self, mut cases: Vec<Case>, attack: &Attack) -> Vec<Case> {
        if let Some(name) = &self.case {
            cases.retain(|case| case.name == *name);
            return cases;
        }
        if let Some(name) = &self.from {
            let at = cases.iter().position(|case| case.name == *name);
            cases.drain(..at.unwrap_or(cases.len()));
        }
        let quick = self.quick.then_some(attack.quick);
        if let Some(sample) = self.sample.or(quick).filter(|&sample| sample < cases.len()) {
            fastrand::Rng::with_seed(1).shuffle(&mut cases);
            cases.truncate(sample);
        }
        cases
    }
}
