//! The cluster of a scenario file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{File, Misfit, full_name};
use crate::cluster::AdminState;
use crate::sim::drbd::{Drbd, Side};
use crate::sim::model::{Disk, Group, Habits, Instance, Link, Live, Model, Node, Power, Trouble};
use crate::sim::names::Name;
use crate::sim::random::Seed;
use crate::sim::span::deserialize_some_duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct ClusterSpec {
    name: String,
    master: Option<Spanned<String>>,
    luxid_on: Option<Spanned<String>>,
    version: String,
    max_running_jobs: usize,
    user_shutdown: bool,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            name: "cluster".to_owned(),
            master: None,
            luxid_on: None,
            version: "3.0.2".to_owned(),
            max_running_jobs: 20,
            user_shutdown: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FillSpec {
    nodes: usize,
    instances: usize,
    #[serde(default = "drbd")]
    template: String,
    #[serde(default = "instance_memory")]
    memory: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct GroupSpec {
    name: Spanned<String>,
    uuid: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct NodeSpec {
    name: Spanned<String>,
    group: Option<Spanned<String>>,
    #[serde(default)]
    offline: bool,
    #[serde(default = "yes")]
    power: bool,
    #[serde(default)]
    link: LinkSpec,
    #[serde(default = "node_memory")]
    memory: u64,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LinkSpec {
    #[default]
    Up,
    Cut,
    Silent,
}

impl From<LinkSpec> for Link {
    fn from(link: LinkSpec) -> Self {
        match link {
            LinkSpec::Up => Self::Up,
            LinkSpec::Cut => Self::Cut,
            LinkSpec::Silent => Self::Silent,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct InstanceSpec {
    name: Spanned<String>,
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
    #[serde(default = "one")]
    disks: usize,
    #[serde(default)]
    missing_on: Vec<Spanned<String>>,
    #[serde(default)]
    forthcoming: bool,
    fails_to_start: Option<TroubleSpec>,
    fails_to_activate: Option<TroubleSpec>,
    fails_to_shut_down: Option<TroubleSpec>,
    #[serde(default, deserialize_with = "deserialize_some_duration")]
    dies_after: Option<Duration>,
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
    class: String,
    message: String,
    code: Option<String>,
    kills_job: bool,
}

impl Default for TroubleSpec {
    fn default() -> Self {
        Self {
            times: None,
            class: "OpExecError".to_owned(),
            message: "it does not work".to_owned(),
            code: None,
            kills_job: false,
        }
    }
}

impl From<&TroubleSpec> for Trouble {
    fn from(spec: &TroubleSpec) -> Self {
        let TroubleSpec { times, class, message, code, kills_job } = spec;
        Self {
            times: *times,
            class: class.clone(),
            message: message.clone(),
            code: code.clone(),
            kills_job: *kills_job,
        }
    }
}

fn yes() -> bool {
    true
}
fn one() -> usize {
    1
}
fn up() -> AdminState {
    AdminState::Up
}
fn drbd() -> String {
    "drbd".to_owned()
}
fn hypervisor() -> String {
    "fake".to_owned()
}
fn node_memory() -> u64 {
    65_536
}
fn instance_memory() -> u64 {
    1024
}

const DEFAULT_GROUP: &str = "default";

pub(super) fn build(file: &File, domain: &str) -> Result<Model, Misfit> {
    let seed = Seed(file.seed);
    let nodes = nodes(file, domain, seed)?;
    let Some(first) = nodes.keys().next().map(Name::to_string) else {
        return Err(Misfit { at: 0, key: None, problem: "a cluster needs a node".to_owned() });
    };
    let master = match &file.cluster.master {
        Some(master) => known_node(&nodes, master, "master", domain)?,
        None => first,
    };
    let luxid_on = match &file.cluster.luxid_on {
        Some(node) => known_node(&nodes, node, "luxid-on", domain)?,
        None => master.clone(),
    };
    let mut model = Model {
        name: full_name(&file.cluster.name, domain),
        master,
        luxid_on,
        software_version: file.cluster.version.clone(),
        max_running_jobs: file.cluster.max_running_jobs,
        user_shutdown: file.cluster.user_shutdown,
        drained: false,
        paused_until: None,
        groups: groups(file, seed)?,
        nodes,
        instances: BTreeMap::new(),
        timing: file.timing.clone(),
        seed,
    };
    let mut minors = Minors::default();
    for spec in &file.instance {
        let instance = instance(spec, &model, domain, &mut minors)?;
        if model.instances.insert(Name::from(instance.name.as_str()), instance.clone()).is_some() {
            return Err(Misfit::at(
                &spec.name,
                "name",
                format!("there are two instances '{}'", instance.name),
            ));
        }
    }
    if let Some(fill) = &file.fill {
        fill_up(fill, &mut model, domain, &mut minors);
    }
    let dark: Vec<String> =
        model.nodes.values().filter(|node| node.power == Power::Off).map(|node| node.name.clone()).collect();
    dark.iter().for_each(|node| model.power_off(node));
    Ok(model)
}

fn groups(file: &File, seed: Seed) -> Result<BTreeMap<Name, Group>, Misfit> {
    let mut groups = BTreeMap::new();
    for spec in &file.group {
        let name = spec.name.get_ref();
        let uuid = spec.uuid.clone().unwrap_or_else(|| seed.uuid(&format!("group {name}")));
        if groups.insert(Name::from(name.as_str()), Group { uuid }).is_some() {
            return Err(Misfit::at(&spec.name, "name", format!("there are two groups '{name}'")));
        }
    }
    if groups.is_empty() {
        let uuid = seed.uuid("group default");
        groups.insert(Name::from(DEFAULT_GROUP), Group { uuid });
    }
    Ok(groups)
}

fn nodes(file: &File, domain: &str, seed: Seed) -> Result<BTreeMap<Name, Node>, Misfit> {
    let mut nodes = BTreeMap::new();
    let default_group = file.group.first().map_or(DEFAULT_GROUP, |group| group.name.get_ref());
    let new_node = |name: &str, group: &str| Node {
        name: name.to_owned(),
        uuid: seed.uuid(&format!("node {name}")),
        group: group.to_owned(),
        offline: false,
        memory: node_memory(),
        power: Power::On,
        link: Link::Up,
        boots: 1,
        boot_id: seed.uuid(&format!("boot 1 of {name}")),
    };
    for spec in &file.node {
        let name = full_name(spec.name.get_ref(), domain);
        let group = spec.group.as_ref().map_or(default_group, |group| group.get_ref());
        let exists = group == default_group || file.group.iter().any(|known| known.name.get_ref() == group);
        if let Some(group) = spec.group.as_ref().filter(|_| !exists) {
            return Err(Misfit::at(group, "group", format!("there is no group '{}'", group.get_ref())));
        }
        let node = Node {
            offline: spec.offline,
            memory: spec.memory,
            power: if spec.power { Power::On } else { Power::Off },
            link: spec.link.into(),
            ..new_node(&name, group)
        };
        if nodes.insert(Name::from(name.as_str()), node).is_some() {
            return Err(Misfit::at(&spec.name, "name", format!("there are two nodes '{name}'")));
        }
    }
    for number in 1..=file.fill.as_ref().map_or(0, |fill| fill.nodes) {
        let name = full_name(&format!("node{number}"), domain);
        nodes.entry(Name::from(name.as_str())).or_insert_with(|| new_node(&name, default_group));
    }
    Ok(nodes)
}

fn known_node(
    nodes: &BTreeMap<Name, Node>,
    name: &Spanned<String>,
    key: &'static str,
    domain: &str,
) -> Result<String, Misfit> {
    let full = full_name(name.get_ref(), domain);
    if nodes.contains_key(&Name::from(full.as_str())) {
        Ok(full)
    } else {
        Err(Misfit::at(name, key, format!("there is no node '{full}'")))
    }
}

/// The next free DRBD minor of every node.
#[derive(Default)]
struct Minors(BTreeMap<String, u32>);

impl Minors {
    fn side(&mut self, node: &str) -> Side {
        let next = self.0.entry(node.to_owned()).or_default();
        *next += 1;
        Side::new(node, *next - 1)
    }
}

fn instance(
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
        let problem = "the secondary node must be another than the primary".to_owned();
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
    let mut instance =
        new_instance(model, &name, &primary, secondary.as_deref(), &template, spec.disks, minors);
    instance.admin_state = spec.admin;
    instance.set_by_user = spec.by_user;
    instance.hypervisor.clone_from(&spec.hypervisor);
    instance.notices_user_shutdown = spec.notices_user_shutdown;
    instance.memory = spec.memory;
    instance.forthcoming = spec.forthcoming;
    if live == Live::Absent && spec.admin != AdminState::Up {
        instance.detach_disks();
    }
    instance.live = live;
    instance.disks_active = spec.disks_active.unwrap_or(instance.disks_active);
    instance.disks.iter_mut().for_each(|disk| disk.missing_on.clone_from(&missing));
    instance.habits = Habits {
        start: spec.fails_to_start.as_ref().map(Trouble::from),
        activate: spec.fails_to_activate.as_ref().map(Trouble::from),
        shutdown: spec.fails_to_shut_down.as_ref().map(Trouble::from),
        dies_after: spec.dies_after,
        jobs: 0,
    };
    Ok(instance)
}

/// An instance that runs.
fn new_instance(
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

/// Instances on all nodes in turn, each with the next node as its secondary.
fn fill_up(fill: &FillSpec, model: &mut Model, domain: &str, minors: &mut Minors) {
    let nodes: Vec<String> = model.nodes.keys().map(Name::to_string).collect();
    for number in 0..fill.instances {
        let name = full_name(&format!("inst{}", number + 1), domain);
        let primary = &nodes[number % nodes.len()];
        let secondary = &nodes[(number + 1) % nodes.len()];
        let mirrored = fill.template == "drbd" && secondary != primary;
        let secondary = mirrored.then_some(secondary.as_str());
        let mut instance = new_instance(model, &name, primary, secondary, &fill.template, 1, minors);
        instance.memory = fill.memory;
        model.instances.entry(Name::from(name.as_str())).or_insert(instance);
    }
}
