//! The instances of a scenario file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::misfit::{Misfit, full_name, known_node};
use crate::cluster::AdminState;
use crate::sim::drbd::{Drbd, Side};
use crate::sim::model::{Disk, Habits, Instance, Live, Model, Trouble};
use crate::sim::span::deserialize_some_duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct InstanceSpec {
    pub(super) name: Spanned<String>,
    primary: Spanned<String>,
    secondary: Option<Spanned<String>>,
    template: Option<String>,
    #[serde(default = "up")]
    admin: AdminState,
    #[serde(default)]
    by_user: bool,
    live: Option<LiveSpec>,
    on: Option<Spanned<String>>,
    #[serde(default = "hypervisor")]
    hypervisor: String,
    #[serde(default)]
    notices_user_shutdown: bool,
    #[serde(default = "instance_memory")]
    memory: u64,
    disks_active: Option<bool>,
    behind: Option<Spanned<String>>,
    #[serde(default = "one")]
    disks: usize,
    #[serde(default)]
    missing_on: Vec<Spanned<String>>,
    #[serde(default)]
    forthcoming: bool,
    #[serde(default)]
    tags: BTreeSet<String>,
    fails_to_start: Option<TroubleSpec>,
    fails_to_activate: Option<TroubleSpec>,
    fails_to_shut_down: Option<TroubleSpec>,
    #[serde(default, deserialize_with = "deserialize_some_duration")]
    dies_after: Option<Duration>,
}

pub(super) fn drbd() -> String {
    "drbd".to_owned()
}
pub(super) fn instance_memory() -> u64 {
    1024
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum LiveSpec {
    Running,
    Absent,
    Stopped,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct TroubleSpec {
    times: Option<u32>,
    #[serde(deserialize_with = "deserialize_some_duration")]
    until: Option<Duration>,
    class: String,
    message: String,
    code: Option<String>,
    kills_job: bool,
}

impl Default for TroubleSpec {
    fn default() -> Self {
        Self {
            times: None,
            until: None,
            class: "OpExecError".to_owned(),
            message: "it does not work".to_owned(),
            code: None,
            kills_job: false,
        }
    }
}

impl From<&TroubleSpec> for Trouble {
    fn from(spec: &TroubleSpec) -> Self {
        let TroubleSpec { times, until, class, message, code, kills_job } = spec;
        Self {
            times: *times,
            until: *until,
            class: class.clone(),
            message: message.clone(),
            code: code.clone(),
            kills_job: *kills_job,
        }
    }
}

fn one() -> usize {
    1
}

fn up() -> AdminState {
    AdminState::Up
}

fn hypervisor() -> String {
    "fake".to_owned()
}

/// The next free DRBD minor of every node.
#[derive(Default)]
pub(super) struct Minors(BTreeMap<String, u32>);

impl Minors {
    fn side(&mut self, node: &str) -> Side {
        let next = self.0.entry(node.to_owned()).or_default();
        *next += 1;
        Side::new(node, *next - 1)
    }
}

pub(super) fn build(
    spec: &InstanceSpec,
    model: &Model,
    domain: &str,
    minors: &mut Minors,
) -> Result<Instance, Misfit> {
    let name = full_name(spec.name.get_ref(), domain);
    let node = |name: &Spanned<String>, key| known_node(&model.nodes, name, key, domain);
    let primary = node(&spec.primary, "primary")?;
    let secondary = spec.secondary.as_ref().map(|secondary| node(secondary, "secondary")).transpose()?;
    if let Some(second) = spec.secondary.as_ref().filter(|_| secondary.as_ref() == Some(&primary)) {
        let problem = "the secondary node must differ from the primary".to_owned();
        return Err(Misfit::at(second, "secondary", problem));
    }
    let missing =
        spec.missing_on.iter().map(|name| node(name, "missing-on")).collect::<Result<Vec<_>, _>>()?;
    let on = spec.on.as_ref().map(|on| node(on, "on")).transpose()?.unwrap_or_else(|| primary.clone());
    let default = if spec.admin == AdminState::Up { LiveSpec::Running } else { LiveSpec::Absent };
    let live = match spec.live.unwrap_or(default) {
        LiveSpec::Running => Live::Running(on),
        LiveSpec::Stopped => Live::Stopped(on),
        LiveSpec::Absent => Live::Absent,
    };
    let template = spec.template.clone().unwrap_or_else(|| match secondary {
        Some(_) => drbd(),
        None => "plain".to_owned(),
    });
    let mut instance = running(model, &name, &primary, secondary.as_deref(), &template, spec.disks, minors);
    instance.admin_state = spec.admin;
    instance.set_by_user = spec.by_user;
    instance.hypervisor.clone_from(&spec.hypervisor);
    instance.notices_user_shutdown = spec.notices_user_shutdown;
    instance.memory = spec.memory;
    instance.forthcoming = spec.forthcoming;
    instance.tags.clone_from(&spec.tags);
    if live == Live::Absent && spec.admin != AdminState::Up {
        instance.detach_disks();
    }
    instance.live = live;
    instance.disks_active = spec.disks_active.unwrap_or(instance.disks_active);
    instance.disks.iter_mut().for_each(|disk| disk.missing_on.clone_from(&missing));
    if let Some(behind) = &spec.behind {
        fall_behind(&mut instance, &node(behind, "behind")?)
            .map_err(|text| Misfit::at(behind, "behind", text))?;
    }
    instance.habits = Habits {
        start: spec.fails_to_start.as_ref().map(Trouble::from),
        activate: spec.fails_to_activate.as_ref().map(Trouble::from),
        shutdown: spec.fails_to_shut_down.as_ref().map(Trouble::from),
        dies_after: spec.dies_after,
        jobs: 0,
    };
    Ok(instance)
}

/// The instance's mirrors on that node missed writes, and know it.
fn fall_behind(instance: &mut Instance, node: &str) -> Result<(), String> {
    let mirrors = instance.disks.iter_mut().filter_map(|disk| disk.mirror.as_mut());
    let sides = mirrors.flat_map(|mirror| &mut mirror.sides).filter(|side| side.node == node);
    let count = sides.map(|side| (side.behind, side.outdated) = (true, true)).count();
    if count == 0 { Err(format!("the instance has no mirror on '{node}'")) } else { Ok(()) }
}

/// An instance that runs.
pub(super) fn running(
    model: &Model,
    name: &str,
    primary: &str,
    secondary: Option<&str>,
    template: &str,
    disks: usize,
    minors: &mut Minors,
) -> Instance {
    let disks = if template == "diskless" { 0 } else { disks };
    let disk = |index: usize| Disk {
        uuid: model.seed.uuid(&format!("disk {index} of {name}")),
        mirror: secondary.map(|secondary| Drbd {
            sides: [minors.side(primary), minors.side(secondary)],
            resync_until: None,
        }),
        missing_on: Vec::new(),
    };
    Instance {
        name: name.to_owned(),
        uuid: model.seed.uuid(&format!("instance {name}")),
        primary: primary.to_owned(),
        tags: BTreeSet::new(),
        admin_state: AdminState::Up,
        set_by_user: false,
        live: Live::Running(primary.to_owned()),
        hypervisor: hypervisor(),
        notices_user_shutdown: false,
        memory: instance_memory(),
        disks_active: true,
        disk_template: template.to_owned(),
        disks: (0..disks).map(disk).collect(),
        forthcoming: false,
        habits: Habits::default(),
    }
}
