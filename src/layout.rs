//! Every path, port and name that the watcher shares with Ganeti.
//!
//! Source: Ganeti's `pathutils.py` and `vcluster.py`. The paths are those of Debian's build; in a virtual
//! cluster they are below `GANETI_ROOTDIR`.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::files;

/// Environment variable that moves Ganeti's files below another directory (`vcluster.py`).
pub const ROOTDIR_VARIABLE: &str = "GANETI_ROOTDIR";
/// Environment variable that names the virtual node; goes together with [`ROOTDIR_VARIABLE`].
pub const HOSTNAME_VARIABLE: &str = "GANETI_HOSTNAME";

/// Environment variable of this watcher alone, honoured in a virtual cluster only: a directory that stands
/// for the machine, see [`Layout::with_machine`]. So a virtual node can be tried out on a machine whose own
/// daemons do not concern it.
pub const MACHINE_VARIABLE: &str = "GANETI_WATCHER_MACHINE";

/// A hundred times what Debian ships.
const LONGEST_SERVICES: u64 = 2 << 20;

/// `GANETI_ROOTDIR` and `GANETI_HOSTNAME` are inconsistent.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    /// Only one of the two variables is set.
    #[error("GANETI_ROOTDIR and GANETI_HOSTNAME must both be set or both be unset")]
    OnlyOne,
    /// The root directory is a relative path.
    #[error("GANETI_ROOTDIR must be an absolute path, not '{0}'")]
    NotAbsolute(PathBuf),
    /// The host name contains a slash or is not text.
    #[error("GANETI_HOSTNAME '{0}' cannot be used as the name of a directory")]
    BadHostname(String),
    /// The last part of the root directory is not the host name.
    #[error("the last directory of GANETI_ROOTDIR '{root}' must be GANETI_HOSTNAME '{host}'")]
    Mismatch {
        /// The root directory as given, normalised.
        root: PathBuf,
        /// The host name as given.
        host: String,
    },
    /// The root directory cannot be used as one.
    #[error("GANETI_ROOTDIR '{root}' is not the directory of a virtual node: {reason}")]
    NoDirectory {
        /// The root directory as given, normalised.
        root: PathBuf,
        /// What the kernel said.
        reason: String,
    },
}

/// Where things are on this node.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    virtual_host: Option<String>,
    machine: Machine,
}

/// What belongs to the machine and not to Ganeti's virtual root.
#[derive(Debug, Clone)]
struct Machine {
    daemon_util: PathBuf,
    systemd_marker: PathBuf,
    services: PathBuf,
    proc: PathBuf,
    /// What cron's `etc` and `var` are in.
    cron: PathBuf,
    /// Instead of the directories of `PATH`.
    programs: Option<PathBuf>,
    /// Instead of what the kernel and name servers say.
    host_name: Option<String>,
}

impl Layout {
    /// The layout according to this process's environment.
    ///
    /// # Errors
    /// When the two variables of a virtual cluster contradict each other (`vcluster.py: _PreparePaths`), and
    /// when there is no such directory: the original then fails too, at the log.
    pub fn from_environment() -> Result<Self, LayoutError> {
        let layout = Self::new(std::env::var_os(ROOTDIR_VARIABLE), std::env::var_os(HOSTNAME_VARIABLE))?;
        // With a slash at its end, the name of a file is an error too.
        if let Err(error) = layout.root.join("").metadata() {
            return Err(LayoutError::NoDirectory { root: layout.root, reason: error.to_string() });
        }
        match std::env::var_os(MACHINE_VARIABLE) {
            Some(machine) if layout.virtual_host.is_some() && !machine.is_empty() => {
                Ok(layout.with_machine(Path::new(&machine)))
            }
            _ => Ok(layout),
        }
    }

    /// The layout for the given values of `GANETI_ROOTDIR` and `GANETI_HOSTNAME`; empty counts as unset.
    ///
    /// # Errors
    /// As [`Layout::from_environment`].
    pub fn new(rootdir: Option<OsString>, hostname: Option<OsString>) -> Result<Self, LayoutError> {
        let rootdir = rootdir.filter(|value| !value.is_empty());
        let hostname = hostname.filter(|value| !value.is_empty());
        let (rootdir, hostname) = match (rootdir, hostname) {
            (None, None) => return Ok(Self::below_root(PathBuf::from("/"), None)),
            (Some(rootdir), Some(hostname)) => (PathBuf::from(rootdir), hostname),
            _ => return Err(LayoutError::OnlyOne),
        };
        if !rootdir.is_absolute() {
            return Err(LayoutError::NotAbsolute(rootdir));
        }
        let root = normalize(&rootdir);
        let host = hostname
            .into_string()
            .map_err(|name| LayoutError::BadHostname(name.to_string_lossy().into_owned()))?;
        if host.contains('/') {
            return Err(LayoutError::BadHostname(host));
        }
        if root.file_name().is_none_or(|last| last != host.as_str()) {
            return Err(LayoutError::Mismatch { root, host });
        }
        Ok(Self::below_root(root, Some(host)))
    }

    fn below_root(root: PathBuf, virtual_host: Option<String>) -> Self {
        Self {
            root,
            virtual_host,
            machine: Machine {
                daemon_util: PathBuf::from("/usr/lib/ganeti/daemon-util"),
                systemd_marker: PathBuf::from("/run/systemd/system"),
                services: PathBuf::from("/etc/services"),
                proc: PathBuf::from("/proc"),
                cron: PathBuf::from("/"),
                programs: None,
                host_name: None,
            },
        }
    }

    /// The same layout with another `daemon-util`. It is never below the virtual root, so tests need this.
    #[must_use]
    pub fn with_daemon_util(self, daemon_util: PathBuf) -> Self {
        Self { machine: Machine { daemon_util, ..self.machine }, ..self }
    }

    /// The same layout on another machine, all of it below a directory: `daemon-util`, `bin`, `proc`,
    /// `services`, `systemd`, and cron's files. For tests and rehearsals.
    #[must_use]
    pub fn with_machine(self, directory: &Path) -> Self {
        let machine = Machine {
            daemon_util: directory.join("daemon-util"),
            systemd_marker: directory.join("systemd"),
            services: directory.join("services"),
            proc: directory.join("proc"),
            cron: directory.to_owned(),
            programs: Some(directory.join("bin")),
            host_name: self.machine.host_name,
        };
        Self { machine, ..self }
    }

    /// The same layout on a machine with this host name, which does not resolve. For tests and rehearsals.
    #[must_use]
    pub fn with_unresolved_host(self, host_name: String) -> Self {
        Self { machine: Machine { host_name: Some(host_name), ..self.machine }, ..self }
    }

    /// The host name of [`Layout::with_unresolved_host`]; `None` if the kernel and name servers are to be
    /// asked.
    #[must_use]
    pub fn unresolved_host(&self) -> Option<&str> {
        self.machine.host_name.as_deref()
    }

    /// The same layout with another `/proc`, for rehearsals.
    #[must_use]
    pub fn with_proc(self, proc: PathBuf) -> Self {
        Self { machine: Machine { proc, ..self.machine }, ..self }
    }

    /// The node's name in a virtual cluster; `None` on a real node.
    #[must_use]
    pub fn virtual_host(&self) -> Option<&str> {
        self.virtual_host.as_deref()
    }

    /// `/var/log/ganeti`.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.below("var/log/ganeti")
    }

    /// `/var/lock/ganeti-watcher.lock`, which every run holds shared, and Ganeti's maintenance holds
    /// exclusively.
    #[must_use]
    pub fn watcher_lock(&self) -> PathBuf {
        self.below("var/lock/ganeti-watcher.lock")
    }

    /// `/var/lib/ganeti/watcher.kept-out`, how many runs in a row have found the watcher lock held. Only this
    /// watcher uses it.
    #[must_use]
    pub fn kept_out(&self) -> PathBuf {
        self.below("var/lib/ganeti/watcher.kept-out")
    }

    /// `/var/lib/ganeti/watcher.pause`, written by `gnt-cluster watcher pause`.
    #[must_use]
    pub fn pause_file(&self) -> PathBuf {
        self.below("var/lib/ganeti/watcher.pause")
    }

    /// `/var/lib/ganeti/watcher.UUID.data`, the state file of one node group.
    #[must_use]
    pub fn group_state(&self, group_uuid: &str) -> PathBuf {
        self.below(&format!("var/lib/ganeti/watcher.{group_uuid}.data"))
    }

    /// `/var/lib/ganeti/watcher.UUID.instance-status`, of one node group.
    #[must_use]
    pub fn group_instance_status(&self, group_uuid: &str) -> PathBuf {
        self.below(&format!("var/lib/ganeti/watcher.{group_uuid}.instance-status"))
    }

    /// `/var/run/ganeti/instance-status`, of the whole cluster.
    #[must_use]
    pub fn instance_status(&self) -> PathBuf {
        self.below("var/run/ganeti/instance-status")
    }

    /// `/var/run/ganeti/socket/ganeti-query`, luxid's socket.
    #[must_use]
    pub fn luxi_socket(&self) -> PathBuf {
        self.below("var/run/ganeti/socket/ganeti-query")
    }

    /// `/var/lib/ganeti/ssconf_KEY`.
    #[must_use]
    pub fn ssconf(&self, key: &str) -> PathBuf {
        self.below(&format!("var/lib/ganeti/ssconf_{key}"))
    }

    /// `/usr/lib/ganeti/daemon-util`, the script that checks, starts and stops Ganeti's daemons.
    #[must_use]
    pub fn daemon_util(&self) -> &Path {
        &self.machine.daemon_util
    }

    /// `/run/systemd/system`, which exists when systemd is the init system (`sd_booted(3)`).
    #[must_use]
    pub fn systemd_marker(&self) -> &Path {
        &self.machine.systemd_marker
    }

    /// `/proc`.
    #[must_use]
    pub fn proc(&self) -> &Path {
        &self.machine.proc
    }

    /// `/proc/sys/kernel/random/boot_id`, in which the kernel identifies the boot.
    #[must_use]
    pub fn boot_id(&self) -> PathBuf {
        self.machine.proc.join("sys/kernel/random/boot_id")
    }

    /// `/proc/drbd`, which exists when DRBD's module is loaded.
    #[must_use]
    pub fn proc_drbd(&self) -> PathBuf {
        self.machine.proc.join("drbd")
    }

    /// The system's crontab, and root's own, in Debian's and in Red Hat's place.
    #[must_use]
    pub fn crontabs(&self) -> [PathBuf; 3] {
        ["etc/crontab", "var/spool/cron/crontabs/root", "var/spool/cron/root"]
            .map(|path| self.machine.cron.join(path))
    }

    /// The directory in which packages put their lines for cron.
    #[must_use]
    pub fn cron_directory(&self) -> PathBuf {
        self.machine.cron.join("etc/cron.d")
    }

    /// The path of a program that is not Ganeti's, such as `drbdsetup`: from the directories of `PATH`, then
    /// those for administrators, which a cron job's `PATH` may lack. Just the name when it is in none, so
    /// that running it says so.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        if let Some(directory) = &self.machine.programs {
            return directory.join(name);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let more = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
        let mut candidates = std::env::split_paths(&path).chain(more).map(|directory| directory.join(name));
        candidates.find(|candidate| candidate.is_file()).unwrap_or_else(|| PathBuf::from(name))
    }

    /// The port of a service: the one in `/etc/services`, otherwise Ganeti's (`netutils.py: GetDaemonPort`).
    ///
    /// # Errors
    /// When the file exists but cannot be read, so that the site's own port is unknown.
    pub fn port(&self, service: Service) -> io::Result<u16> {
        let (name, protocol, default) = service.entry();
        let services = &self.machine.services;
        match files::read_bytes(services, LONGEST_SERVICES) {
            Ok(text) => Ok(port_in(&String::from_utf8_lossy(&text), name, protocol).unwrap_or(default)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(default),
            Err(error) => {
                let problem =
                    format!("the port of {name} is not known: cannot read '{}': {error}", services.display());
                Err(io::Error::new(error.kind(), problem))
            }
        }
    }

    /// `/var/lib/ganeti/watcher.daemons`, what was last reported about daemons that do not run: a JSON object
    /// of strings by daemon. It is this watcher's alone; neither the original nor `ganeti-cleaner` looks for
    /// such a name.
    #[must_use]
    pub fn daemon_states(&self) -> PathBuf {
        self.below("var/lib/ganeti/watcher.daemons")
    }

    /// `/var/run/ganeti/DAEMON.pid`, with the process number of a running daemon.
    #[must_use]
    pub fn pid_file(&self, daemon: &str) -> PathBuf {
        self.below(&format!("var/run/ganeti/{daemon}.pid"))
    }

    /// `/var/run/ganeti/socket/ganeti-wconfd`.
    #[must_use]
    pub fn wconfd_socket(&self) -> PathBuf {
        self.below("var/run/ganeti/socket/ganeti-wconfd")
    }

    /// `/etc/ganeti/hooks/watcher`, the directory of the hooks that every run runs on every node.
    #[must_use]
    pub fn watcher_hooks(&self) -> PathBuf {
        self.below("etc/ganeti/hooks/watcher")
    }

    /// `/var/lib/ganeti/hmac.key`, which signs questions to confd and its answers.
    #[must_use]
    pub fn confd_hmac_key(&self) -> PathBuf {
        self.below("var/lib/ganeti/hmac.key")
    }

    /// A directory or file below `/var/run/ganeti` in which a hypervisor keeps what it knows about running
    /// instances, such as `kvm-hypervisor/pid`.
    #[must_use]
    pub fn run_dir(&self, relative: &str) -> PathBuf {
        self.below("var/run/ganeti").join(relative)
    }

    /// `/etc/xen/NAME`, the configuration file of an instance under Xen.
    #[must_use]
    pub fn xen_config(&self, instance: &str) -> PathBuf {
        self.below("etc/xen").join(instance)
    }

    fn below(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }
}

/// A service whose port a site may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// confd, over UDP; 1814 unless `ganeti-confd` says otherwise.
    Confd,
    /// The remote API, over TCP; 5080 unless `ganeti-rapi` says otherwise.
    Rapi,
    /// The monitoring daemon, over TCP; 1815 unless `ganeti-mond` says otherwise.
    Mond,
}

impl Service {
    fn entry(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::Confd => ("ganeti-confd", "udp", 1814),
            Self::Rapi => ("ganeti-rapi", "tcp", 5080),
            Self::Mond => ("ganeti-mond", "tcp", 1815),
        }
    }
}

/// The port of a service in the text of `/etc/services`: lines `NAME PORT/PROTOCOL [ALIAS…] [# comment]`.
fn port_in(text: &str, name: &str, protocol: &str) -> Option<u16> {
    text.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let first = words.next()?;
        let (port, its_protocol) = words.next()?.split_once('/')?;
        let is_meant = its_protocol == protocol && (first == name || words.any(|alias| alias == name));
        port.parse().ok().filter(|_| is_meant)
    })
}

/// Removes `.` and `..` purely textually, as Python's `os.path.normpath` does.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => normal.push(component),
        }
    }
    normal
}

#[cfg(test)]
mod tests;
