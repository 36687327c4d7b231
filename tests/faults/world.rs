//! One small cluster for one attack: a virtual master node below a directory of its own, the box behind
//! luxid's socket, and stand-ins for the daemons that the program asks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use ganeti_watcher::memory::State;
use ganeti_watcher::sim::ClusterInABox;
use ganeti_watcher::sim::events::Event;
use ganeti_watcher::sim::model::Live;
use serde_json::json;
use tokio::sync::oneshot;

use crate::luxid::{Lie, Recorded};
use crate::program::Machine;
use crate::scene::live;
use crate::stand_ins::{Manner, Ports};

pub(crate) const HMAC_KEY: &str = "deadbeef\n";
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The daemons that run here, in a `/proc` of their own, RAPI first; no process on the machine has such a
/// number.
const DAEMONS: [&str; 7] = [
    "ganeti-rapi",
    "ganeti-noded",
    "ganeti-confd",
    "ganeti-mond",
    "ganeti-kvmd",
    "ganeti-wconfd",
    "ganeti-luxid",
];
const FIRST_PID: usize = 5_000_001;

/// Instances that a run must start, and those that it must not.
pub(crate) const TO_START: [&str; 2] = ["web1.example.com", "web2.example.com"];
pub(crate) const TRIED: &str = "broken.example.com";
/// How many of its tries are on record.
pub(crate) const TRIES: u64 = 2;

/// How everything behaves that the program asks; can be changed at any time.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    pub(crate) luxid: Lie,
    pub(crate) rapi: Manner,
    pub(crate) wconfd: Manner,
    pub(crate) mond: Manner,
    pub(crate) confd: Manner,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            luxid: Lie::None,
            rapi: Manner::Good,
            wconfd: Manner::Good,
            mond: Manner::Good,
            confd: Manner::Good,
        }
    }
}

pub(crate) type Shared<T> = Arc<Mutex<T>>;

pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) cluster: ClusterInABox,
    pub(crate) group: String,
    pub(crate) behaviour: Shared<Behaviour>,
    pub(crate) recorded: Shared<Vec<Recorded>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        let machine = Machine::new();
        let behaviour = Shared::<Behaviour>::default();
        let recorded = Shared::<Vec<Recorded>>::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn({
            let (directory, behaviour) = (machine.directory().to_owned(), Arc::clone(&behaviour));
            let recorded = Arc::clone(&recorded);
            move || {
                let lived = live(&directory, &behaviour, &recorded, &ready, stopped);
                if let Err(problem) = lived {
                    drop(ready.send(Err(problem)));
                }
            }
        });
        let (cluster, group, ports) = is_ready.recv().context("the world's thread ended")??;
        let world =
            Self { machine, cluster, group, behaviour, recorded, stop: Some(stop), thread: Some(thread) };
        world.furnish(&ports)?;
        Ok(world)
    }

    /// For what a run writes to its outputs, and for traces.
    pub(crate) fn outputs(&self) -> &Path {
        self.machine.directory()
    }

    /// A place that does not concern the program.
    pub(crate) fn outside(&self) -> PathBuf {
        self.machine.directory().join("outside")
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.machine.layout.group_state(&self.group)
    }

    fn furnish(&self, ports: &Ports) -> Result<()> {
        let machine = &self.machine;
        for directory in
            [machine.layout.cron_directory(), machine.layout.run_dir("fake-hypervisor"), self.outside()]
        {
            fs::create_dir_all(directory)?;
        }
        let Ports { rapi, mond, confd } = ports;
        machine
            .services(&format!("ganeti-rapi {rapi}/tcp\nganeti-mond {mond}/tcp\nganeti-confd {confd}/udp\n"));
        let [crontab, roots_own, _] = machine.layout.crontabs();
        machine.write(crontab, "17 * * * * root true\n");
        machine.write(roots_own, "17 * * * * true\n");
        machine.write(machine.layout.boot_id(), "f983f4c0-6233-d77b-02e6-b3d03af1b230\n");
        for (number, daemon) in DAEMONS.into_iter().enumerate() {
            let pid = (FIRST_PID + number).to_string();
            machine.pid_file(daemon, format!("{pid}\n"));
            let program = format!("/usr/sbin/{daemon}");
            let option = (daemon == "ganeti-rapi").then_some("--no-ssl");
            let arguments: Vec<&str> = ["python3", &program].into_iter().chain(option).collect();
            machine.process(&pid, &arguments);
        }
        machine.write(machine.layout.confd_hmac_key(), HMAC_KEY);
        fs::set_permissions(machine.layout.confd_hmac_key(), fs::Permissions::from_mode(0o640))?;
        machine.ssconf("maintain_node_health", "True\n");
        machine.ssconf("master_candidates_ips", "127.0.0.1\n");
        machine.write(machine.layout.daemon_states(), "{}\n");
        // A daemon is stopped only when its program exists, which would start it again.
        machine.daemon_util("[ \"$1\" != daemon-executable ] || echo \"$0\"");
        machine.script(machine.layout.watcher_hooks().join("hook"), "exit 0");
        self.write_state()?;
        self.cluster.apply(&Event::StandAlone("db2.example.com".to_owned()));
        Ok(())
    }

    fn write_state(&self) -> Result<()> {
        let boot_id = |node: &str| {
            let node = format!("{node}.example.com");
            self.cluster.look(|engine| engine.model.node(&node).map(|node| node.boot_id.clone()))
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let state = json!({
            "instance": {TRIED: {"restart_count": TRIES, "restart_when": now - 600}},
            "node": {
                "node1.example.com": {"bootid": boot_id("node1")},
                "node2.example.com": {"bootid": boot_id("node2")},
                "node3.example.com": {"bootid": "before-its-reboot"},
            },
        });
        fs::write(self.state_file(), format!("{state}\n"))?;
        fs::set_permissions(self.state_file(), fs::Permissions::from_mode(0o600))?;
        Ok(())
    }

    /// What is remembered, as the program's own parser reads it.
    pub(crate) fn state(&self) -> Result<State, String> {
        let text =
            fs::read_to_string(self.state_file()).map_err(|error| format!("no state file: {error}"))?;
        State::parse(&text).map_err(|problem| format!("the state file cannot be read: {problem}"))
    }

    /// The tries of the instance that cannot be started, according to that state.
    pub(crate) fn tries(state: &State) -> u64 {
        state.restart_attempts(TRIED)
    }

    /// How often somebody submitted a start of that instance.
    pub(crate) fn starts(&self, instance: &str) -> usize {
        let summary = format!("INSTANCE_STARTUP({instance})");
        self.cluster.look(|engine| {
            engine.jobs().values().flat_map(|job| &job.ops).filter(|op| op.opcode.summary == summary).count()
        })
    }

    /// What should run and does not.
    pub(crate) fn not_started(&self) -> Vec<&'static str> {
        let is_down = |name: &&str| {
            self.cluster.look(|engine| {
                engine.model.instance(name).is_some_and(|instance| !matches!(instance.live, Live::Running(_)))
            })
        };
        TO_START.into_iter().filter(is_down).collect()
    }

    /// Whether something is still in progress.
    pub(crate) fn has_unfinished_jobs(&self) -> bool {
        self.cluster.look(|engine| engine.jobs().values().any(|job| !job.is_final()))
    }

    /// Until no run holds the watcher's lock: group parts may run on their own.
    pub(crate) fn wait_for_runs(&self) {
        let path = self.machine.layout.watcher_lock();
        let deadline = Instant::now() + LONGEST_WAIT;
        while Instant::now() < deadline
            && fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file())
        {
            match fs::File::open(&path).map(|file| file.try_lock()) {
                Ok(Err(_)) => std::thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.behaviour));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
