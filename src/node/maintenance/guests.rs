//! Which guests of this node are Ganeti's instances. Nothing else is ever stopped.
//!
//! A node may run more than that: stub domains, Xenstore and driver domains, zombies without a name, and
//! other people's guests. The original takes everything that its hypervisors list for an instance. Here an
//! instance has to be in `ssconf_instance_list`, and Ganeti must have left on this node the traces of an
//! instance that it starts: on an offline node the list is old, and somebody else's guest may have the name
//! of an instance that runs elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tracing::error;

use super::hypervisor::Hypervisor;
use super::listed::Listed;
use crate::layout::Layout;
use crate::node::ssconf;

/// How many guests are named in a log line.
const NAMED: usize = 10;
/// How many characters of a name or a reason are logged.
const LONGEST_NAME: usize = 64;
const LONGEST_REASON: usize = 160;

/// The guests on this node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Guests {
    /// Ganeti's running instances, by name: with two kinds of Xen every domain is listed twice.
    pub(super) instances: BTreeMap<String, Hypervisor>,
    /// The others, or unclear ones: for the log, each with why it is left alone.
    pub(super) others: Vec<String>,
}

impl Guests {
    /// The others, as many as fit into a log line.
    pub(super) fn named_others(&self) -> String {
        let mut named = self.others.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if let more @ 1.. = self.others.len().saturating_sub(NAMED) {
            named += &format!(" and {more} more");
        }
        named
    }

    fn leave(&mut self, hypervisor: Hypervisor, name: &str, reason: &str) {
        let (name, reason) = (cut(name, LONGEST_NAME), cut(reason, LONGEST_REASON));
        self.others.push(format!("'{name}' ({hypervisor}: {reason})"));
    }
}

/// Asks every hypervisor of the cluster. One that gives no answer is logged, and counts as having no guests
/// here.
///
/// # Errors
/// When it is unclear which hypervisors the cluster has, or which instances.
pub(super) async fn find(layout: &Layout) -> Result<Guests> {
    let hypervisors = lines_of(layout, "hypervisor_list")?;
    if hypervisors.is_empty() {
        bail!("ssconf's hypervisor_list is empty");
    }
    let known = lines_of(layout, "instance_list")?.into_iter().collect();
    let mut guests = Guests::default();
    let mut asked = Vec::new();
    for name in &hypervisors {
        let Some(hypervisor) = Hypervisor::from_name(name) else {
            error!("Error while listing instances for hypervisor {name}: unknown hypervisor");
            continue;
        };
        if asked.contains(&hypervisor) {
            continue;
        }
        asked.push(hypervisor);
        match hypervisor.list(layout).await {
            Ok(listed) => judge(layout, hypervisor, listed, &known, &mut guests),
            Err(problem) => error!("Error while listing instances for hypervisor {name}: {problem:#}"),
        }
    }
    Ok(guests)
}

fn judge(
    layout: &Layout,
    hypervisor: Hypervisor,
    listed: Listed,
    known: &BTreeSet<String>,
    guests: &mut Guests,
) {
    for (name, reason) in listed.unclear {
        guests.leave(hypervisor, &name, &reason);
    }
    for name in listed.running {
        match is_instance(layout, hypervisor, &name, known) {
            Ok(()) => drop(guests.instances.insert(name, hypervisor)),
            Err(reason) => guests.leave(hypervisor, &name, &reason),
        }
    }
}

/// Whether a guest is certainly an instance; otherwise why that is not known.
fn is_instance(
    layout: &Layout,
    hypervisor: Hypervisor,
    name: &str,
    known: &BTreeSet<String>,
) -> Result<(), String> {
    // A name that cannot be a file's cannot be an instance's either.
    if !known.contains(name) || name.contains('/') || name.starts_with('.') {
        return Err("not in ssconf_instance_list".to_owned());
    }
    let trace = trace(layout, hypervisor, name);
    match trace.symlink_metadata() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("there is no '{}'", trace.display()))
        }
        Err(error) => Err(format!("cannot look at '{}': {error}", trace.display())),
    }
}

/// What Ganeti keeps on the node for an instance that it started there. Source: `hypervisor/hv_xen.py:
/// _ConfigFileName`, `hypervisor/hv_kvm: _InstancePidFile`, `hypervisor/hv_lxc.py: _InstanceConfFilePath`,
/// and the directories in which `hv_chroot.py` and `hv_fake.py` keep their instances.
fn trace(layout: &Layout, hypervisor: Hypervisor, name: &str) -> PathBuf {
    match hypervisor {
        Hypervisor::Kvm => layout.run_dir("kvm-hypervisor/pid").join(name),
        Hypervisor::Xen => layout.xen_config(name),
        Hypervisor::Lxc => layout.run_dir("lxc/instance").join(name).join("config"),
        Hypervisor::Chroot => layout.run_dir("chroot-hypervisor").join(name),
        Hypervisor::Fake => layout.run_dir("fake-hypervisor").join(name),
    }
}

fn lines_of(layout: &Layout, key: &str) -> Result<Vec<String>> {
    let text = ssconf::read(layout, key).with_context(|| format!("cannot read ssconf's {key}"))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
