//! The scenarios of `tests/scenarios`, by topic: `TOPIC/name/`. Every test that reads them finds them here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file that makes a directory a scenario.
pub(crate) const CLUSTER: &str = "cluster.toml";
const README: &str = "README.md";

/// A scenario that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScenarioDirectory {
    /// `TOPIC/name`, which is also the name of its test.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// The scenarios of this repository, see [`scenarios_below`].
pub(crate) fn scenarios() -> Result<Vec<ScenarioDirectory>, String> {
    scenarios_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios"))
}

/// The scenarios below `root`, in the order of their names.
///
/// # Errors
/// When something is out of place: a scenario that nobody plays must not go unnoticed. One line each.
pub(crate) fn scenarios_below(root: &Path) -> Result<Vec<ScenarioDirectory>, String> {
    let mut walk = Walk::default();
    walk.root(root).map_err(|error| format!("{}: {error}", root.display()))?;
    if walk.by_last_name.is_empty() {
        walk.problems.push(format!("{} has no scenarios", root.display()));
    }
    if !walk.problems.is_empty() {
        return Err(walk.problems.join("\n"));
    }
    let mut found: Vec<ScenarioDirectory> = walk.by_last_name.into_values().collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// What was found so far.
#[derive(Debug, Default)]
struct Walk {
    by_last_name: BTreeMap<String, ScenarioDirectory>,
    problems: Vec<String>,
}

impl Walk {
    fn root(&mut self, root: &Path) -> io::Result<()> {
        for path in sorted_entries(root)? {
            if path.join(CLUSTER).exists() {
                self.problems.push(format!("{} is a scenario outside of any topic", path.display()));
            } else if path.is_dir() {
                self.topic(&path)?;
            } else if !path.ends_with(README) {
                self.problems.push(format!("{} belongs to no scenario", path.display()));
            }
        }
        Ok(())
    }

    fn topic(&mut self, topic: &Path) -> io::Result<()> {
        let entries = sorted_entries(topic)?;
        if entries.is_empty() {
            self.problems.push(format!("{} is a topic without scenarios", topic.display()));
        } else if !entries.iter().any(|entry| entry.is_dir()) {
            self.problems.push(format!("{} is neither a topic nor a scenario", topic.display()));
            return Ok(());
        }
        self.check_number(topic);
        for path in entries {
            if path.join(CLUSTER).exists() {
                self.scenario(topic, path);
            } else if path.is_dir() {
                self.problems.push(format!("{} is not a scenario: it has no {CLUSTER}", path.display()));
            } else {
                self.problems.push(format!("{} belongs to no scenario", path.display()));
            }
        }
        Ok(())
    }

    fn scenario(&mut self, topic: &Path, path: PathBuf) {
        self.check_number(&path);
        let last_name = file_name(&path);
        let name = format!("{}/{last_name}", file_name(topic));
        if let Some(other) = self.by_last_name.get(&last_name) {
            self.problems.push(format!("{} and {name} have the same name", other.name));
            return;
        }
        self.by_last_name.insert(last_name, ScenarioDirectory { name, path });
    }

    /// A leading number would say nothing, and two branches would pick the same one.
    fn check_number(&mut self, path: &Path) {
        if file_name(path).starts_with(|first: char| first.is_ascii_digit()) {
            self.problems.push(format!("{} must have a name without a number in front", path.display()));
        }
    }
}

fn sorted_entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    Ok(entries)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
