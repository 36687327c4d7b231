//! Real error texts, with their sources in `texts.txt`: of several versions of Xen (libxl), KVM and QEMU,
//! LXC, LVM, DRBD, Ceph, Gluster and Ganeti. They reach us wrapped by Ganeti.

use super::super::{Blame, tests};
use super::Cause::{self, Configuration, Ganeti, Hypervisor, Memory, Network, Storage, Unknown};

/// What Ganeti puts around a text.
#[derive(Clone, Copy)]
enum By {
    /// `hv_kvm/__init__.py: _ExecuteKvmCommand`.
    Kvm,
    /// `hv_xen.py: _StartInstance`.
    Xen,
    /// `hv_lxc.py: StartInstance`.
    Lxc,
    /// `backend.py: StartInstance`, for a storage error.
    Disk,
    /// It is Ganeti's own, as reported by the node daemon.
    Node,
    /// It is the whole text of an `OpExecError`.
    Job,
}

impl By {
    fn wrap(self, text: &str) -> String {
        let failed = "Could not start instance 'i1.example.com': Hypervisor error: Failed to start instance \
                      i1.example.com: ";
        match self {
            Self::Kvm => format!("{failed}exited with exit code 1 ({text}\n)"),
            Self::Xen => format!(
                "{failed}exited with exit code 3 (Parsing config from /etc/xen/i1.example.com\n{text}\n). Moved config \
                 file to /var/log/ganeti/xen/i1.example.com"
            ),
            Self::Lxc => format!("{failed}{text}"),
            Self::Disk => format!("Could not start instance 'i1.example.com': Block device error: {text}"),
            Self::Node => format!("Could not start instance 'i1.example.com': Hypervisor error: {text}"),
            Self::Job => text.to_owned(),
        }
    }
}

/// Their rows: source, wrapping, cause and text.
fn texts() -> Vec<(&'static str, By, Cause, &'static str)> {
    let row = |line: &'static str| {
        let mut cells = line.splitn(4, " | ");
        let mut cell = || cells.next().unwrap_or_else(|| panic!("four cells: {line}"));
        let (source, by, cause) = (cell(), cell(), cell());
        let by = match by {
            "Kvm" => By::Kvm,
            "Xen" => By::Xen,
            "Lxc" => By::Lxc,
            "Disk" => By::Disk,
            "Node" => By::Node,
            "Job" => By::Job,
            _ => panic!("no wrapping: {line}"),
        };
        let causes = [Memory, Hypervisor, Network, Storage, Configuration, Ganeti, Unknown];
        let cause = causes.into_iter().find(|known| format!("{known:?}") == cause);
        (source, by, cause.unwrap_or_else(|| panic!("no cause: {line}")), cell())
    };
    let lines = include_str!("texts.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(row).collect()
}

#[test]
fn real_texts_of_several_versions_tell_their_cause() {
    let texts = texts();
    assert!(texts.len() >= 60, "{}", texts.len());
    for (source, by, cause, text) in texts {
        assert_eq!(Cause::of_text(text), cause, "{source}: {text}");
        // What Ganeti puts around it changes nothing.
        let failure = match text {
            text if text.starts_with("Not enough memory") => {
                tests::error("OpPrereqError", text, Some("insufficient_resources"))
            }
            text => tests::error("OpExecError", &by.wrap(text), None),
        };
        assert_eq!(Cause::of(&failure), cause, "{source}: {failure}");
        let blame = match cause {
            Memory | Hypervisor | Network | Ganeti => Blame::Node,
            Storage | Configuration | Unknown => Blame::Instance,
        };
        assert_eq!(Blame::of(&failure, true, false), blame, "{source}: {failure}");
    }
}

#[test]
fn every_row_of_the_table_is_in_lower_case_and_told_by_its_own_words() {
    for (cause, words) in super::TABLE {
        for word in words {
            assert_eq!(word.to_lowercase(), *word);
            assert_eq!(Cause::of_text(word), cause, "{word}");
        }
    }
}

#[test]
fn what_an_instance_s_own_configuration_asks_for_is_never_its_node_s_fault() {
    for text in [
        "Could not start instance: hypervisor error: cannot find the kernel",
        "Could not start instance 'i1': Hypervisor error: Parameter 'kernel_path' is missing",
        "Could not start instance 'i1': Hypervisor error: Failed to start instance i1: exited with exit code 1 (kvm: -M pc-9: \
         unsupported machine type\nUse -machine help)",
    ] {
        let failure = tests::error("OpExecError", text, None);
        assert_eq!(Cause::of(&failure), Configuration, "{text}");
        assert_eq!(Blame::of(&failure, true, false), Blame::Instance, "{text}");
    }
}
