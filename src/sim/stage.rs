//! Where a story is played: a box, and a directory with what Ganeti keeps on each node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::ClusterInABox;
use super::engine::Engine;
use super::names::Name;
use super::scenario::Scenario;
use crate::armed::Armed;
use crate::decide::governor::Load;
use crate::files;
use crate::layout::Layout;
use crate::luxi::Connector;
use crate::luxi::client::{LocalFuture, Stream};
use crate::node::daemons::{Daemons, LUXID};
use crate::node::mond::{self, Monitor};

/// A box with the files of its nodes.
#[derive(Debug)]
pub struct Stage {
    /// The box.
    pub cluster: ClusterInABox,
    root: PathBuf,
    locks: BTreeMap<PathBuf, File>,
    /// Files that a step has written, which Ganeti does not overwrite.
    written: BTreeSet<PathBuf>,
}

impl Stage {
    /// Sets a stage up below `root`, which must exist. Needs a runtime.
    ///
    /// # Errors
    /// When files cannot be written there.
    pub fn set_up(scenario: &Scenario, root: &Path) -> Result<Self> {
        let root = root.canonicalize().with_context(|| format!("cannot use '{}'", root.display()))?;
        let mut engine = Engine::new(scenario.model.clone(), scenario.epoch);
        let stage =
            |cluster| Self { cluster, root: root.clone(), locks: BTreeMap::new(), written: BTreeSet::new() };
        let master = engine.model.master.clone();
        engine.pause_file = Some(layout(&root, &master)?.pause_file());
        let stage = stage(ClusterInABox::start(engine));
        stage.write_ssconf(&master)?;
        Ok(stage)
    }

    /// Name of the master node.
    #[must_use]
    pub fn master(&self) -> String {
        self.cluster.look(|engine| engine.model.master.clone())
    }

    /// UUIDs and names of the groups, in natural order of names.
    #[must_use]
    pub fn groups(&self) -> Vec<(String, String)> {
        let groups = |engine: &Engine| {
            engine.model.groups.iter().map(|(name, group)| (group.uuid.clone(), name.to_string())).collect()
        };
        self.cluster.look(groups)
    }

    /// The layout of a node: `GANETI_ROOTDIR` is a directory of its name below the stage's. The node has its
    /// kernel's name if that does not resolve.
    ///
    /// # Errors
    /// When the node's name cannot be the name of a directory.
    pub fn layout(&self, node: &str) -> Result<Layout> {
        let layout = layout(&self.root, node)?;
        let host_name =
            self.cluster.look(|engine| engine.model.nodes.get(&Name::from(node))?.host_name.clone());
        Ok(match host_name {
            Some(host_name) => layout.with_unresolved_host(host_name),
            None => layout,
        })
    }

    /// The directory of a node.
    #[must_use]
    pub fn directory(&self, node: &str) -> PathBuf {
        self.root.join(node)
    }

    /// Writes what Ganeti would have distributed to the node about the cluster, with the directories for it.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn write_ssconf(&self, node: &str) -> Result<()> {
        let layout = self.layout(node)?;
        let directory = self.directory(node);
        for below in [
            "proc/sys/kernel/random",
            "var/log/ganeti",
            "var/lock",
            "var/lib/ganeti",
            "var/run/ganeti/socket",
            "etc/ganeti",
        ] {
            let directory = directory.join(below);
            fs::create_dir_all(&directory)
                .with_context(|| format!("cannot create '{}'", directory.display()))?;
        }
        let boot_id = self.cluster.look(|engine| engine.model.node(node).map(|node| node.boot_id.clone()));
        let mut groups = String::new();
        for (uuid, name) in self.groups() {
            // Writing to a String does not fail.
            let _written = writeln!(groups, "{uuid} {name}");
        }
        let lines = |names: Vec<String>| names.iter().map(|name| format!("{name}\n")).collect::<String>();
        let nodes = self.cluster.look(|engine| engine.model.nodes.keys().map(Name::to_string).collect());
        let instances =
            self.cluster.look(|engine| engine.model.instances.keys().map(Name::to_string).collect());
        let (name, version) =
            self.cluster.look(|engine| (engine.model.name.clone(), engine.model.software_version.clone()));
        let ssconf = [
            ("master_node", format!("{}\n", self.master())),
            ("nodegroups", groups),
            ("node_list", lines(nodes)),
            ("instance_list", lines(instances)),
            ("cluster_name", format!("{name}\n")),
            ("release_version", format!("{version}\n")),
            ("maintain_node_health", "False\n".to_owned()),
            ("hypervisor_list", "fake\n".to_owned()),
        ];
        let files = ssconf.map(|(key, value)| (layout.ssconf(key), value)).into_iter();
        for (path, value) in files.chain(boot_id.map(|boot_id| (layout.boot_id(), boot_id + "\n"))) {
            // Not safe against a kill, but much faster: nobody reads it while it is written.
            if self.written.contains(&path) {
                continue;
            }
            let written = files::open_or_make(&path, 0o644).and_then(|mut file| {
                file.set_len(0)?;
                file.write_all(value.as_bytes())
            });
            written.with_context(|| format!("cannot write '{}'", path.display()))?;
        }
        Ok(())
    }

    /// Writes a file below the directory of the master, or removes it. See
    /// [`super::scenario::ScenarioStep::Write`].
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn write(&mut self, path: &str, content: Option<&str>) -> Result<()> {
        let path = self.path(path);
        self.written.insert(path.clone());
        match content {
            Some(content) => {
                let now = crate::clock::Clock::since_epoch(&self.cluster.clock()).as_secs();
                let mut content = self.with_group(content).replace("NOW", &now.to_string());
                let boot_ids: Vec<String> = self
                    .cluster
                    .look(|engine| engine.model.nodes.values().map(|node| node.boot_id.clone()).collect());
                for (index, boot_id) in boot_ids.iter().enumerate() {
                    content = content.replace(&format!("BOOT{}", index + 1), boot_id);
                }
                files::replace(&path, content.as_bytes(), |_| Ok(())).map(drop)
            }
            None => fs::remove_file(&path).with_context(|| format!("cannot remove '{}'", path.display())),
        }
    }

    /// Holds the lock of a file on the master, or releases it.
    ///
    /// # Errors
    /// When it is not available.
    pub fn lock(&mut self, path: &str, held: bool) -> Result<()> {
        let path = self.path(path);
        if !held {
            self.locks.remove(&path);
            return Ok(());
        }
        let file = files::open_or_make(&path, 0o644);
        let file = file.with_context(|| format!("cannot open '{}'", path.display()))?;
        file.try_lock().with_context(|| format!("cannot lock '{}'", path.display()))?;
        self.locks.insert(path, file);
        Ok(())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory(&self.master()).join(self.with_group(path).trim_start_matches('/'))
    }

    /// The text with the UUID of the first group for `GROUP`.
    #[must_use]
    pub fn with_group(&self, text: &str) -> String {
        let groups = self.groups();
        text.replace("GROUP", groups.first().map(|(uuid, _)| uuid.as_str()).unwrap_or_default())
    }
}

fn layout(root: &Path, node: &str) -> Result<Layout> {
    let layout = Layout::new(Some(root.join(node).into()), Some(node.into()))?;
    Ok(layout.with_proc(root.join(node).join("proc")))
}

/// The box as one of its nodes sees it: luxid listens on one node only, usually the master.
#[derive(Debug)]
pub struct OnNode<'a> {
    /// The box.
    pub cluster: &'a ClusterInABox,
    /// Name of the node.
    pub node: &'a str,
}

impl Connector for OnNode<'_> {
    fn connect(&self) -> LocalFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async {
            if self.cluster.look(|engine| engine.model.luxid_on != self.node) {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(Box::new(self.cluster.connect()?) as Box<dyn Stream>)
        })
    }

    fn address(&self) -> String {
        "/var/run/ganeti/socket/ganeti-query".to_owned()
    }
}

impl Monitor for OnNode<'_> {
    fn load<'a>(&'a self, node: &'a str, _address: &'a str) -> LocalFuture<'a, Option<Load>> {
        Box::pin(async move {
            let delay = self.cluster.look(|engine| engine.model.node(node).map(|node| node.monitor_delay))?;
            sleep(delay.min(mond::LIMIT)).await;
            if delay >= mond::LIMIT {
                return None;
            }
            let (busy, processors) = self.cluster.look(|engine| engine.model.load(node))?;
            Some(Load { busy, processors: f64::from(processors) })
        })
    }
}

impl Daemons for OnNode<'_> {
    fn check_and_start<'a>(&'a self, _armed: &'a Armed, daemon: &'a str) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            if daemon != LUXID || self.cluster.listens() {
                return Ok(());
            }
            sleep(self.cluster.look(|engine| engine.model.timing.daemon_start.to)).await;
            if !self.cluster.start_luxid() {
                anyhow::bail!("Can't start daemon '{daemon}': 'check-and-start' failed (exit status: 1)");
            }
            Ok(())
        })
    }
}
