//! What systemd says about a daemon's unit, and what can be done about it.
//!
//! Source: `daemon-util: use_systemctl, check, check_and_start`. Under systemd the original's way to restart
//! a daemon stops the unit, and then does not start it, because an inactive unit may have been stopped on
//! purpose.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tracing::warn;

use super::process::Program;
use crate::layout::Layout;

const LOOK_TIME_LIMIT: Duration = Duration::from_secs(20);
/// What systemd calls the state of a unit (`org.freedesktop.systemd1(5)`).
const ACTIVE_STATES: [&str; 8] =
    ["active", "reloading", "refreshing", "inactive", "failed", "activating", "deactivating", "maintenance"];
/// How many characters of a nonsensical answer are reported.
const LONGEST_SHOWN: usize = 200;
const PROPERTIES: &str = "-pLoadState,ActiveState,SubState,UnitFileState,Result,CanStart";

/// Who looks after Ganeti's daemons on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supervision {
    /// systemd, through Ganeti's units.
    Systemd,
    /// `daemon-util`; systemd is there, but has no such units.
    DaemonUtilBesideSystemd,
    /// `daemon-util`, and there is no systemd.
    DaemonUtil,
    /// Unclear, and why. No daemon is touched then: `daemon-util` asks the same question again each time, and
    /// may stop a unit that it then refuses to start.
    Unknown(String),
}

/// A unit as described by `systemctl show`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    load: String,
    active: String,
    sub: String,
    file: String,
    result: String,
    can_start: bool,
}

/// What to do about a unit whose daemon should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it runs, or is about to.
    Runs,
    /// Start it: it failed on its own and systemd has given up.
    Start,
    /// Leave it alone, because it may be stopped on purpose.
    Leave {
        /// What it is, in systemd's words.
        state: String,
        /// Whether its configuration says that it is not wanted.
        unwanted: bool,
    },
}

impl Unit {
    /// Reads the `KEY=VALUE` lines of `systemctl show`; what is missing is empty.
    ///
    /// # Errors
    /// When the unit's state is missing or unknown, so that it is unclear whether the daemon runs.
    pub fn parse(text: &str) -> Result<Self> {
        let values: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let value = |key| values.get(key).copied().unwrap_or_default().to_owned();
        let unit = Self {
            load: value("LoadState"),
            active: value("ActiveState"),
            sub: value("SubState"),
            file: value("UnitFileState"),
            result: value("Result"),
            can_start: values.get("CanStart") == Some(&"yes"),
        };
        if !ACTIVE_STATES.contains(&unit.active.as_str()) || unit.load.is_empty() {
            bail!("no known state");
        }
        Ok(unit)
    }

    /// What to do so that the daemon runs. Never more than starting a unit that is wanted and failed: an
    /// inactive one was stopped by somebody, or ended on its own without an error, as `ganeti-kvmd` does.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let leave = |state: String, unwanted| Verdict::Leave { state, unwanted };
        match (self.active.as_str(), self.load.as_str(), self.file.as_str()) {
            ("active" | "activating" | "reloading" | "refreshing", ..) => Verdict::Runs,
            (_, "masked", _) | (.., "masked" | "masked-runtime") => leave("masked".to_owned(), true),
            (_, "not-found", _) => leave("no such unit".to_owned(), true),
            (active, "loaded", "disabled") => leave(format!("{active}, disabled"), true),
            ("failed", "loaded", _) if self.can_start => Verdict::Start,
            (active, "loaded", _) => leave(format!("{active}, {}", self.sub), false),
            (_, load, _) => leave(load.to_owned(), false),
        }
    }

    /// Whether a restart is certain to start the unit again.
    #[must_use]
    pub fn can_be_restarted(&self) -> bool {
        self.can_start && self.load == "loaded" && !self.file.starts_with("masked")
    }

    /// Why the unit failed, in systemd's words.
    #[must_use]
    pub fn result(&self) -> &str {
        &self.result
    }
}

/// Finds out who looks after Ganeti's daemons here, by the same rule as `daemon-util: use_systemctl`. If that
/// is unclear, it is logged, once per call.
pub async fn supervision(layout: &Layout) -> Supervision {
    let answer = ask(layout).await;
    if let Supervision::Unknown(why) = &answer {
        warn!(
            "Cannot tell whether systemd looks after Ganeti's daemons, leaving all of them alone: {why}. See \
             'systemctl status' and 'systemctl show -pLoadState ganeti.target'"
        );
    }
    answer
}

async fn ask(layout: &Layout) -> Supervision {
    let marker = layout.systemd_marker();
    match marker.metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Supervision::DaemonUtil,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Supervision::DaemonUtil,
        Err(error) => return Supervision::Unknown(format!("cannot look at '{}': {error}", marker.display())),
    }
    let program = systemctl(layout, "show", LOOK_TIME_LIMIT).args(["-pLoadState", "ganeti.target"]);
    let finished = match program.run_quietly().await {
        Ok(finished) => finished,
        // daemon-util also looks for the program.
        Err(error) if is_not_found(&error) => return Supervision::DaemonUtilBesideSystemd,
        Err(error) => return Supervision::Unknown(format!("{error:#}")),
    };
    match (finished.succeeded(), finished.stdout.trim().strip_prefix("LoadState=")) {
        (true, Some("loaded")) => Supervision::Systemd,
        (true, Some("not-found" | "masked")) => Supervision::DaemonUtilBesideSystemd,
        (true, _) => Supervision::Unknown(format!("'{program}' answered '{}'", shown(&finished.output()))),
        (false, _) => {
            let (ending, output) = (finished.ending, finished.output());
            Supervision::Unknown(format!("'{program}' failed ({ending}), output: {}", shown(&output)))
        }
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    let kind = error.root_cause().downcast_ref().map(io::Error::kind);
    kind == Some(io::ErrorKind::NotFound)
}

/// Enough of a nonsensical answer to recognise it.
fn shown(text: &str) -> String {
    text.trim().chars().take(LONGEST_SHOWN).collect()
}

/// Asks systemd about a daemon's unit.
///
/// # Errors
/// When that is unknown: systemctl cannot be run, does not succeed, or gives a nonsensical answer.
pub async fn unit(layout: &Layout, daemon: &str) -> Result<Unit> {
    let program = systemctl(layout, "show", LOOK_TIME_LIMIT).args([PROPERTIES, &service(daemon)]);
    let text = program.run_quietly().await?.answer(&program)?;
    Unit::parse(&text).with_context(|| format!("'{program}' answered '{}'", shown(&text)))
}

/// `systemctl VERB`, ready for more arguments.
#[must_use]
pub fn systemctl(layout: &Layout, verb: &str, time_limit: Duration) -> Program {
    Program::new(layout.program("systemctl"), time_limit).args([verb])
}

/// The name of a daemon's unit.
#[must_use]
pub fn service(daemon: &str) -> String {
    format!("{daemon}.service")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active: &str, load: &str, file: &str, can_start: &str) -> Unit {
        Unit::parse(&format!(
            "LoadState={load}\nActiveState={active}\nSubState=sub\nUnitFileState={file}\nResult=exit-code\nCanStart={can_start}\n"
        ))
        .unwrap()
    }

    #[test]
    fn only_a_unit_that_failed_and_is_wanted_is_started() {
        let left = |state: &str, unwanted| Verdict::Leave { state: state.to_owned(), unwanted };
        for (active, load, file, can_start, verdict) in [
            ("active", "loaded", "enabled", "yes", Verdict::Runs),
            ("activating", "loaded", "disabled", "yes", Verdict::Runs),
            ("active", "masked", "masked", "no", Verdict::Runs),
            ("failed", "loaded", "enabled", "yes", Verdict::Start),
            ("failed", "loaded", "static", "yes", Verdict::Start),
            ("failed", "loaded", "enabled", "no", left("failed, sub", false)),
            ("failed", "loaded", "disabled", "yes", left("failed, disabled", true)),
            ("failed", "loaded", "masked-runtime", "yes", left("masked", true)),
            ("inactive", "masked", "masked", "no", left("masked", true)),
            ("inactive", "loaded", "disabled", "yes", left("inactive, disabled", true)),
            ("inactive", "loaded", "enabled", "yes", left("inactive, sub", false)),
            ("deactivating", "loaded", "enabled", "yes", left("deactivating, sub", false)),
            ("inactive", "not-found", "", "no", left("no such unit", true)),
            ("inactive", "bad-setting", "enabled", "no", left("bad-setting", false)),
        ] {
            assert_eq!(unit(active, load, file, can_start).verdict(), verdict, "{active} {load} {file}");
        }
    }

    #[test]
    fn nothing_is_restarted_that_may_not_start_again() {
        assert!(unit("active", "loaded", "enabled", "yes").can_be_restarted());
        assert!(unit("active", "loaded", "disabled", "yes").can_be_restarted());
        assert!(!unit("active", "loaded", "enabled", "no").can_be_restarted());
        assert!(!unit("active", "loaded", "masked", "yes").can_be_restarted());
        assert!(!unit("active", "not-found", "", "yes").can_be_restarted(), "its file was removed");
    }

    #[test]
    fn an_answer_that_says_nothing_is_no_state() {
        for text in [
            "",
            "LoadState=loaded\n",
            "ActiveState=active",
            "LoadState=loaded\nActiveState=odd",
            "Connection refused",
        ] {
            assert!(Unit::parse(text).is_err(), "{text}");
        }
    }
}
