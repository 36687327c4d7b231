//! The cluster of a scenario file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::instance::{self, InstanceSpec, Minors, drbd, instance_memory};
use super::misfit::{Misfit, full_name, known_node};
use super::step_spec::StepSpec;
use crate::sim::model::{Group, Instances, Link, Model, Node, Power};
use crate::sim::names::Name;
use crate::sim::random::Seed;
use crate::sim::span::deserialize_duration;
use crate::sim::timing::Timing;

/// What is in a scenario file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    #[serde(default)]
    pub(super) seed: u64,
    pub(super) start: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) oracle: bool,
    pub(super) domain: Option<String>,
    #[serde(default)]
    cluster: ClusterSpec,
    #[serde(default)]
    pub(super) timing: Timing,
    fill: Option<FillSpec>,
    #[serde(default)]
    group: Vec<GroupSpec>,
    #[serde(default)]
    node: Vec<NodeSpec>,
    #[serde(default)]
    instance: Vec<InstanceSpec>,
    #[serde(default)]
    pub(super) step: Vec<Spanned<StepSpec>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct ClusterSpec {
    name: String,
    master: Option<Spanned<String>>,
    luxid_on: Option<Spanned<String>>,
    version: String,
    max_running_jobs: usize,
    max_tracked_jobs: usize,
    user_shutdown: bool,
    tags: BTreeSet<String>,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            name: "cluster".to_owned(),
            master: None,
            luxid_on: None,
            version: "3.0.2".to_owned(),
            max_running_jobs: 20,
            max_tracked_jobs: 25,
            user_shutdown: false,
            tags: BTreeSet::new(),
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
    groups: Option<Spanned<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct GroupSpec {
    name: Spanned<String>,
    uuid: Option<String>,
    #[serde(default)]
    tags: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct NodeSpec {
    name: Spanned<String>,
    host_name: Option<String>,
    group: Option<Spanned<String>>,
    #[serde(default)]
    offline: bool,
    #[serde(default = "yes")]
    power: bool,
    #[serde(default)]
    link: LinkSpec,
    #[serde(default = "yes")]
    vm_capable: bool,
    #[serde(default = "yes")]
    candidate: bool,
    #[serde(default = "four")]
    cpus: u32,
    #[serde(default)]
    load: f64,
    #[serde(default = "yes")]
    monitor: bool,
    #[serde(default, deserialize_with = "deserialize_duration")]
    monitor_delay: Duration,
    #[serde(default)]
    slows_down: bool,
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

fn four() -> u32 {
    4
}
fn yes() -> bool {
    true
}
fn node_memory() -> u64 {
    65_536
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
        max_tracked_jobs: file.cluster.max_tracked_jobs,
        user_shutdown: file.cluster.user_shutdown,
        drained: false,
        paused_until: None,
        tags: file.cluster.tags.clone(),
        groups: groups(file, seed)?,
        nodes,
        instances: Instances::default(),
        timing: file.timing.clone(),
        seed,
        linked: Vec::new(),
        now: Duration::ZERO,
        starting: BTreeMap::new(),
    };
    let mut minors = Minors::default();
    for spec in &file.instance {
        let instance = instance::build(spec, &model, domain, &mut minors)?;
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
        if groups.insert(Name::from(name.as_str()), Group { uuid, tags: spec.tags.clone() }).is_some() {
            return Err(Misfit::at(&spec.name, "name", format!("there are two groups '{name}'")));
        }
    }
    for name in filled_groups(file)? {
        let uuid = seed.uuid(&format!("group {name}"));
        groups.entry(Name::from(name.as_str())).or_insert(Group { uuid, tags: BTreeSet::new() });
    }
    if groups.is_empty() {
        let uuid = seed.uuid("group default");
        groups.insert(Name::from(DEFAULT_GROUP), Group { uuid, tags: BTreeSet::new() });
    }
    Ok(groups)
}

/// Names of the groups that the nodes of `[fill]` are spread over; empty for the default group alone.
fn filled_groups(file: &File) -> Result<Vec<String>, Misfit> {
    let Some((fill, groups)) = file.fill.as_ref().and_then(|fill| Some((fill, fill.groups.as_ref()?))) else {
        return Ok(Vec::new());
    };
    let count = *groups.get_ref();
    if count == 0 || count > fill.nodes {
        let problem = format!("{} nodes cannot be spread over {count} groups", fill.nodes);
        return Err(Misfit::at(groups, "groups", problem));
    }
    Ok((1..=count).map(|number| format!("group{number}")).collect())
}

fn nodes(file: &File, domain: &str, seed: Seed) -> Result<BTreeMap<Name, Node>, Misfit> {
    let mut nodes = BTreeMap::new();
    let default_group = file.group.first().map_or(DEFAULT_GROUP, |group| group.name.get_ref());
    let new_node = |name: &str, group: &str| Node {
        name: name.to_owned(),
        uuid: seed.uuid(&format!("node {name}")),
        host_name: None,
        group: group.to_owned(),
        offline: false,
        vm_capable: true,
        candidate: true,
        memory: node_memory(),
        power: Power::On,
        link: Link::Up,
        cpus: four(),
        load: 0.0,
        monitor: true,
        monitor_delay: Duration::ZERO,
        slows_down: false,
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
            host_name: spec.host_name.clone(),
            offline: spec.offline,
            vm_capable: spec.vm_capable,
            candidate: spec.candidate,
            cpus: spec.cpus,
            load: spec.load,
            monitor: spec.monitor,
            monitor_delay: spec.monitor_delay,
            slows_down: spec.slows_down,
            memory: spec.memory,
            power: if spec.power { Power::On } else { Power::Off },
            link: spec.link.into(),
            ..new_node(&name, group)
        };
        if nodes.insert(Name::from(name.as_str()), node).is_some() {
            return Err(Misfit::at(&spec.name, "name", format!("there are two nodes '{name}'")));
        }
    }
    let filled = filled_groups(file)?;
    let count = file.fill.as_ref().map_or(0, |fill| fill.nodes);
    for number in 1..=count {
        let name = full_name(&format!("node{number}"), domain);
        let group = filled.get((number - 1) * filled.len() / count).map_or(default_group, String::as_str);
        nodes.entry(Name::from(name.as_str())).or_insert_with(|| new_node(&name, group));
    }
    Ok(nodes)
}

/// Instances on all nodes in turn, each with the next node as its secondary: the next of its primary's group
/// when there are several groups to fill.
fn fill_up(fill: &FillSpec, model: &mut Model, domain: &str, minors: &mut Minors) {
    let nodes: Vec<String> = model.nodes.keys().map(Name::to_string).collect();
    let seconds: Vec<String> = (0..nodes.len())
        .map(|place| {
            let others = nodes[place + 1..].iter().chain(&nodes[..place]);
            let together = |other: &&String| {
                fill.groups.is_none() || model.group_of_node(other) == model.group_of_node(&nodes[place])
            };
            others.clone().find(together).unwrap_or(&nodes[place]).clone()
        })
        .collect();
    for number in 0..fill.instances {
        let name = full_name(&format!("inst{}", number + 1), domain);
        let primary = &nodes[number % nodes.len()];
        let secondary = &seconds[number % nodes.len()];
        let mirrored = fill.template == "drbd" && secondary != primary;
        let secondary = mirrored.then_some(secondary.as_str());
        let mut instance = instance::running(model, &name, primary, secondary, &fill.template, 1, minors);
        instance.memory = fill.memory;
        let name = Name::from(name.as_str());
        if !model.instances.contains_key(&name) {
            model.instances.insert(name, instance);
        }
    }
}
