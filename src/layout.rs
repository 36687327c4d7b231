//! Every path, port and name that the watcher shares with Ganeti.
//!
//! Source: Ganeti's `pathutils.py` and `vcluster.py`. The paths are those of Debian's build.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

/// Environment variable that moves Ganeti's files below another directory (`vcluster.py`).
pub const ROOTDIR_VARIABLE: &str = "GANETI_ROOTDIR";
/// Environment variable that names the virtual node; goes together with [`ROOTDIR_VARIABLE`].
pub const HOSTNAME_VARIABLE: &str = "GANETI_HOSTNAME";

/// `GANETI_ROOTDIR` and `GANETI_HOSTNAME` do not fit together.
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
}

/// Where things are on this node.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    virtual_host: Option<String>,
    daemon_util: PathBuf,
}

impl Layout {
    /// The layout of this process's environment.
    ///
    /// # Errors
    /// When the two variables of a virtual cluster contradict each other (`vcluster.py: _PreparePaths`).
    pub fn from_environment() -> Result<Self, LayoutError> {
        Self::new(std::env::var_os(ROOTDIR_VARIABLE), std::env::var_os(HOSTNAME_VARIABLE))
    }

    /// The layout for the given values of `GANETI_ROOTDIR` and `GANETI_HOSTNAME`; empty counts as unset.
    ///
    /// # Errors
    /// As [`Layout::from_environment`].
    pub fn new(rootdir: Option<OsString>, hostname: Option<OsString>) -> Result<Self, LayoutError> {
        let daemon_util = PathBuf::from("/usr/lib/ganeti/daemon-util");
        let rootdir = rootdir.filter(|value| !value.is_empty());
        let hostname = hostname.filter(|value| !value.is_empty());
        let (rootdir, hostname) = match (rootdir, hostname) {
            (None, None) => return Ok(Self { root: PathBuf::from("/"), virtual_host: None, daemon_util }),
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
        Ok(Self { root, virtual_host: Some(host), daemon_util })
    }

    /// The same layout with another `daemon-util`. It is never below the virtual root, so tests need this.
    #[must_use]
    pub fn with_daemon_util(self, daemon_util: PathBuf) -> Self {
        Self { daemon_util, ..self }
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

    /// The shared lock that every run holds, and that Ganeti's maintenance takes exclusively.
    #[must_use]
    pub fn watcher_lock(&self) -> PathBuf {
        self.below("var/lock/ganeti-watcher.lock")
    }

    /// The file written by `gnt-cluster watcher pause`.
    #[must_use]
    pub fn pause_file(&self) -> PathBuf {
        self.below("var/lib/ganeti/watcher.pause")
    }

    /// The state file of one node group.
    #[must_use]
    pub fn group_state(&self, group_uuid: &str) -> PathBuf {
        self.below(&format!("var/lib/ganeti/watcher.{group_uuid}.data"))
    }

    /// The instance-status file of one node group.
    #[must_use]
    pub fn group_instance_status(&self, group_uuid: &str) -> PathBuf {
        self.below(&format!("var/lib/ganeti/watcher.{group_uuid}.instance-status"))
    }

    /// The instance-status file of the whole cluster.
    #[must_use]
    pub fn instance_status(&self) -> PathBuf {
        self.below("var/run/ganeti/instance-status")
    }

    /// luxid's socket.
    #[must_use]
    pub fn luxi_socket(&self) -> PathBuf {
        self.below("var/run/ganeti/socket/ganeti-query")
    }

    /// The file that holds one ssconf key.
    #[must_use]
    pub fn ssconf(&self, key: &str) -> PathBuf {
        self.below(&format!("var/lib/ganeti/ssconf_{key}"))
    }

    /// The script that checks, starts and stops Ganeti's daemons.
    #[must_use]
    pub fn daemon_util(&self) -> &Path {
        &self.daemon_util
    }

    fn below(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }
}

/// Removes `.` and `..` by text alone, as Python's `os.path.normpath` does.
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
mod tests {
    use super::*;

    fn layout(root: &str, host: &str) -> Result<Layout, LayoutError> {
        Layout::new(Some(root.into()), Some(host.into()))
    }

    #[test]
    fn a_real_node_uses_debian_paths() {
        let layout = Layout::new(None, Some(OsString::new())).unwrap();
        assert_eq!(layout.pause_file(), Path::new("/var/lib/ganeti/watcher.pause"));
        assert_eq!(layout.luxi_socket(), Path::new("/var/run/ganeti/socket/ganeti-query"));
        assert_eq!(layout.virtual_host(), None);
    }

    #[test]
    fn a_virtual_node_has_every_path_below_its_root_but_not_daemon_util() {
        let layout = layout("/srv/cluster/./x/../node1.example.com/", "node1.example.com").unwrap();
        assert_eq!(
            layout.group_state("u"),
            Path::new("/srv/cluster/node1.example.com/var/lib/ganeti/watcher.u.data")
        );
        assert_eq!(layout.daemon_util(), Path::new("/usr/lib/ganeti/daemon-util"));
        assert_eq!(layout.virtual_host(), Some("node1.example.com"));
    }

    #[test]
    fn contradicting_variables_are_refused() {
        assert_eq!(Layout::new(Some("/a".into()), None).unwrap_err(), LayoutError::OnlyOne);
        assert_eq!(layout("a/n", "n").unwrap_err(), LayoutError::NotAbsolute("a/n".into()));
        assert_eq!(layout("/a/n", "a/n").unwrap_err(), LayoutError::BadHostname("a/n".into()));
        assert!(matches!(layout("/a/m", "n").unwrap_err(), LayoutError::Mismatch { .. }));
    }
}
