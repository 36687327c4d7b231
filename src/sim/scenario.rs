//! Scenario files: a cluster and what happens to it, in TOML. Every key is explained in
//! `tests/scenarios/README.md`.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use thiserror::Error;

use super::model::Model;
use crate::files;

/// Longer than any real one.
const LONGEST_FILE: u64 = 64 << 20;

mod cluster;
mod instance;
mod misfit;
mod step_spec;
mod steps;

use cluster::File;
use misfit::Misfit;
pub use steps::{Run, ScenarioStep, WatcherCommand};

/// What is wrong with a scenario file, and where.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{file}:{line}: {}{problem}", key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
pub struct ScenarioError {
    /// Path of the file.
    pub file: String,
    /// Number of the line, from 1; 0 for a file that cannot be read.
    pub line: usize,
    /// The key in that line, if there is one.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
}

/// A scenario, read and checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The cluster at the beginning.
    pub model: Model,
    /// The moment of the beginning, since 1970.
    pub epoch: Duration,
    /// Whether Debian's original can be run on it for comparison.
    pub oracle: bool,
    /// What is done, in order.
    pub steps: Vec<ScenarioStep>,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or something in it is wrong.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        // Whoever names a file can name a link to it.
        let named = fs::canonicalize(path);
        match named.and_then(|path| files::read_text(&path, LONGEST_FILE)) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => Err(unreadable(file, &error)),
        }
    }

    /// The same story with all durations multiplied by `factor`, beginning at `epoch`.
    #[must_use]
    pub fn scaled(mut self, factor: f64, epoch: Duration) -> Self {
        self.epoch = epoch;
        self.model.timing = self.model.timing.scaled(factor);
        for instance in self.model.instances.values_mut() {
            instance.habits.dies_after = instance.habits.dies_after.map(|after| after.mul_f64(factor));
            for trouble in instance.troubles_mut() {
                trouble.until = trouble.until.map(|until| until.mul_f64(factor));
            }
        }
        for step in &mut self.steps {
            step.scale(factor);
        }
        self
    }

    /// Reads the text of a scenario. `file` is its name in errors.
    ///
    /// # Errors
    /// When something in it is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let error = |at: usize, key: Option<&str>, problem: String| {
            let line_start = text[..at.min(text.len())].rfind('\n').map_or(0, |end| end + 1);
            let line = text[..line_start].matches('\n').count() + 1;
            let content = text[line_start..].lines().next().unwrap_or_default();
            let key = key.or_else(|| content.split_once('=').map(|(key, _)| key.trim()));
            let key = key.filter(|key| !problem.contains(&format!("`{key}`"))).map(str::to_owned);
            ScenarioError { file: file.to_owned(), line, key, problem }
        };
        let parsed: File = toml::from_str(text).map_err(|problem| {
            let at = problem.span().map_or(0, |span| span.start);
            error(at, None, problem.message().to_owned())
        })?;
        Self::build(&parsed).map_err(|Misfit { at, key, problem }| error(at, key, problem))
    }

    fn build(file: &File) -> Result<Self, Misfit> {
        let domain = file.domain.clone().unwrap_or_else(|| "example.com".to_owned());
        let epoch = match &file.start {
            None => Duration::from_secs(1_795_342_500),
            Some(start) => {
                parse_time(start.get_ref()).map_err(|problem| Misfit::at(start, "start", problem))?
            }
        };
        let model = cluster::build(file, &domain)?;
        let steps = steps::build(&file.step, &model, &domain)?;
        Ok(Self { model, epoch, oracle: file.oracle, steps })
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| format!("'{text}' is not a time: expected something like 2026-11-22T10:15:00Z"))?;
    Duration::try_from(time.as_duration()).map_err(|_| format!("'{text}' is before 1970"))
}

fn unreadable(file: String, error: &io::Error) -> ScenarioError {
    ScenarioError { file, line: 0, key: None, problem: format!("cannot be read: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Scenario::parse("cluster.toml", text).unwrap_err().to_string()
    }

    const NODE: &str = "[[node]]\nname = \"node1\"\n";

    #[test]
    fn errors_name_the_file_the_line_and_the_key() {
        for (text, expected) in [
            (format!("{NODE}colour = \"red\"\n"), "cluster.toml:3: unknown field `colour`, expected one of"),
            (
                format!("{NODE}[[instance]]\nname = \"inst1\"\nprimary = \"node7\"\n"),
                "cluster.toml:5: primary: there is no node 'node7.example.com'",
            ),
            (format!("{NODE}[[step]]\nwait = \"-5s\"\n"), "cluster.toml:4: wait: '-5s' is negative"),
            (format!("{NODE}{NODE}"), "cluster.toml:4: name: there are two nodes 'node1.example.com'"),
            (
                format!("{NODE}[[step]]\ncrash = [\"inst1\"]\n"),
                "cluster.toml:4: crash: there is no instance 'inst1.example.com'",
            ),
            (
                format!("{NODE}[[step]]\ncrash = [\"all\"]\nwait = \"5s\"\n"),
                "cluster.toml:3: a step does one thing, this one has: wait, crash",
            ),
            (
                format!("{NODE}[[step]]\nafter = \"5s\"\nrun = []\n"),
                "cluster.toml:3: 'after' and the 'on-' keys are for what happens during a run",
            ),
            ("seed = 1\n[[node]\n".to_owned(), "cluster.toml:2: "),
            (
                format!("start = \"noon\"\n{NODE}"),
                "cluster.toml:1: start: 'noon' is not a time: expected something like",
            ),
            (format!("{NODE}[[step]]\nrun = [\"--bogus\"]\n"), "cluster.toml:4: run: Usage: ganeti-watcher"),
        ] {
            let problem = problem(&text);
            assert!(problem.starts_with(expected), "{problem}\nis not\n{expected}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let problem = Scenario::load(Path::new("/nonexistent/cluster.toml")).unwrap_err().to_string();
        assert!(problem.starts_with("/nonexistent/cluster.toml:0: cannot be read: "), "{problem}");
    }

    #[test]
    fn filling_makes_groups_and_no_mirror_leaves_its_own() {
        let scenario = Scenario::parse("t", "[fill]\nnodes = 7\ninstances = 30\ngroups = 3\n").unwrap();
        let model = scenario.model;
        let sizes = ["group1", "group2", "group3"]
            .map(|group| model.nodes.values().filter(|node| node.group == group).count());
        assert_eq!((model.groups.len(), sizes), (3, [3, 2, 2]));
        for instance in model.instances.values() {
            let groups: Vec<_> =
                instance.all_nodes().into_iter().map(|node| model.group_of_node(node)).collect();
            assert!(groups.len() == 2 && groups[0] == groups[1], "{}", instance.name);
        }
        assert_eq!(
            problem("[fill]\nnodes = 2\ninstances = 1\ngroups = 3\n"),
            "cluster.toml:4: groups: 2 nodes cannot be spread over 3 groups"
        );
    }

    #[test]
    fn filling_makes_a_whole_cluster() {
        let scenario = Scenario::parse(
            "t",
            "[fill]\nnodes = 4\ninstances = 62\ntemplate = \"drbd\"\n[timing]\nstartup = \"29s\"\n",
        )
        .unwrap();
        assert_eq!(scenario.model.nodes.len(), 4);
        assert_eq!(scenario.model.instances.len(), 62);
        let last = scenario.model.instance("inst62.example.com").unwrap();
        assert_eq!(
            (last.primary.as_str(), last.secondaries()),
            ("node2.example.com", vec!["node3.example.com"])
        );
    }
}
