//! A step of a scenario file, as written there. Every key is explained in `tests/scenarios/README.md`.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::sim::span::deserialize_some_duration;

pub(super) type Names = Option<Vec<Spanned<String>>>;
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct StepSpec {
    // Runs.
    pub(super) run: Option<Spanned<Vec<String>>>,
    pub(super) node: Option<Spanned<String>>,
    pub(super) exit: u8,
    #[serde(deserialize_with = "deserialize_some_duration")]
    pub(super) kill_after: Option<Duration>,
    pub(super) during: Vec<Spanned<StepSpec>>,
    pub(super) kill_watcher: Option<bool>,
    // When, during a run.
    #[serde(deserialize_with = "deserialize_some_duration")]
    pub(super) after: Option<Duration>,
    pub(super) on_start: Option<String>,
    pub(super) on_end: Option<String>,
    pub(super) on_submit: Option<String>,
    // Time and files.
    #[serde(deserialize_with = "deserialize_some_duration")]
    pub(super) wait: Option<Duration>,
    pub(super) write: Option<String>,
    pub(super) content: Option<String>,
    pub(super) remove_file: Option<String>,
    pub(super) hold_lock: Option<String>,
    pub(super) release_lock: Option<String>,
    // Nodes.
    pub(super) power_off: Names,
    pub(super) power_on: Names,
    pub(super) cut: Names,
    pub(super) silence: Names,
    pub(super) restore: Names,
    pub(super) offline: Names,
    pub(super) online: Names,
    pub(super) master_failover: Option<Spanned<String>>,
    pub(super) crash_master: Option<bool>,
    // Instances.
    pub(super) crash: Names,
    pub(super) user_shutdown: Names,
    pub(super) stop: Names,
    pub(super) start: Names,
    pub(super) take_out: Names,
    pub(super) r#move: Names,
    pub(super) remove: Names,
    pub(super) repair: Names,
    pub(super) occupy: Names,
    #[serde(rename = "for", deserialize_with = "deserialize_some_duration")]
    pub(super) duration: Option<Duration>,
    pub(super) stand_alone: Names,
    pub(super) split_brain: Names,
    pub(super) lose_disk: Names,
    pub(super) on: Option<Spanned<String>>,
    // Tags.
    pub(super) add_tag: Option<String>,
    pub(super) remove_tag: Option<String>,
    pub(super) of: Option<Spanned<String>>,
    // Queue and pause.
    pub(super) drain: Option<bool>,
    #[serde(deserialize_with = "deserialize_some_duration")]
    pub(super) pause: Option<Duration>,
    pub(super) resume: Option<bool>,
    pub(super) cancel: Option<String>,
    pub(super) submit: Option<Spanned<String>>,
    pub(super) failed_job: Option<Spanned<String>>,
    pub(super) succeeded_job: Option<Spanned<String>>,
    pub(super) archive: Option<String>,
    pub(super) message: Option<String>,
    pub(super) code: Option<String>,
    // luxid.
    pub(super) luxid: Option<Spanned<String>>,
    pub(super) method: Option<String>,
    pub(super) what: Option<String>,
    pub(super) calls_before: u32,
    pub(super) times: Option<u32>,
    #[serde(deserialize_with = "deserialize_some_duration")]
    pub(super) delay: Option<Duration>,
    pub(super) text: Option<String>,
    pub(super) class: Option<String>,
    pub(super) job: Option<u64>,
}
