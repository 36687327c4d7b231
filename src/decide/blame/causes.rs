//! Why a start failed, judged by what error texts share across versions of hypervisors, storage and Ganeti.
//! The texts behind this table are in its tests, each with its source.

/// What made a start fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its node does not have enough memory for it.
    Memory,
    /// Its node's hypervisor, or something that needs, cannot be used: modules, cgroups, huge pages.
    Hypervisor,
    /// Its node's network: a bridge, a tap device, a script that connects it.
    Network,
    /// Its disks, or the storage that they are on.
    Storage,
    /// Ganeti itself: a daemon, or a node with trouble in its own file systems.
    Ganeti,
    /// What its configuration asks for: a kernel, a machine, an option.
    Configuration,
    /// Unknown.
    Unknown,
}

/// Rows in the order in which they are tried, each with words in lower case. Memory comes first, because a
/// text that ends with it often begins with whatever needed it. Rows that name a device come before storage,
/// which opens devices too.
const TABLE: [(Cause, &[&str]); 6] = [
    (
        Cause::Memory,
        &[
            // libc's words for ENOMEM, in what qemu, libxl and lxc say, and those of other C libraries.
            "cannot allocate memory",
            "out of memory",
            // libxc, whatever error follows: for the hypervisor's memory it can be EPERM or EBUSY.
            "xc_dom_boot_mem_init",
            "allocate low memory",
            "failed to allocate memory",
            // xl, and xm before it.
            "failed to free memory",
            "memory shortage",
            "not enough memory",
            "not enough free memory",
        ],
    ),
    (
        Cause::Hypervisor,
        &[
            // qemu with KVM; the wording differs between versions.
            "failed to initialize kvm",
            "could not access kvm kernel module",
            "kvm_create_vm",
            "can't open backing store",
            // `hv_kvm/__init__.py: _ParseKVMVersion, _GetKVMOutput, _StartKvmd`.
            "unable to get kvm ",
            "failed to start kvm daemon",
            // libxl without its hypervisor, its store or its device model.
            "privileged command interface",
            "cannot init xl context",
            "getting physinfo",
            "libxl_get_physinfo failed",
            "is not executable",
            // `hv_xen.py: _GetAllInstanceList, _ParseInstanceList`.
            "listing instances failed",
            "can't parse instance list",
            // lxc, and `hv_lxc.py: _MountCgroupSubsystem, _GetCgroupEnabledKernelSubsystems`.
            "failed to mount cgroup",
            "failed to read cgroup",
            "creating cgroup",
            "failed to create /sys/fs/cgroup",
        ],
    ),
    (
        Cause::Network,
        &[
            // `hv_base.py: ConfigureNIC`: an Open vSwitch bridge, for example, which no prerequisite checks.
            "failed to configure interface",
            // `hv_kvm/netdev.py: OpenTap`, `hv_kvm/__init__.py: _GetNetworkDeviceFeatures`, and qemu.
            "/dev/net/tun",
            "/dev/vhost-net",
            "vhost-net requested",
            "tap device",
            "device 'tap' could not be initialized",
            "is configured but it is not available",
            "bridge helper",
            "network script",
            "mtu of bridge",
            // libxl.
            "/scripts/vif-",
            "unable to add nic devices",
            "unable to add vif devices",
            "/backend/vif/",
            // lxc.
            "failed to create the network",
            "failed to create network",
            "failed to create netdev",
            "failed to create veth",
            "to the bridge '",
            "to bridge \"",
            "openvswitch bridge",
            // `common.py: CheckNicsBridgesExist`.
            "missing bridges",
        ],
    ),
    (
        Cause::Configuration,
        &[
            // qemu, libxc and pygrub; `hv_base.py` checks paths.
            "load kernel",
            "open kernel",
            "find the kernel",
            "invalid kernel",
            "kernel is not ",
            "kernel not found",
            "kernel too old",
            "no loader found",
            "'kernel_path'",
            "load initrd",
            "invalid option",
            "unsupported machine type",
            "can not be used with",
            "cannot be used with",
            "unable to find cpu",
            "cpu doesn't match",
            "cdrom iso image",
            "is not viable",
        ],
    ),
    (Cause::Ganeti, &["no space left on device", "too many open files"]),
    (
        Cause::Storage,
        &[
            "block device",
            "disk consistency error",
            "disk image",
            "assembling disk",
            // LVM.
            "volume group",
            "logical volume",
            "activate lv",
            "find device with uuid",
            "check of pool",
            // DRBD.
            "drbd",
            "device minor",
            "backing device",
            // Ceph, Gluster and other file systems.
            "rbd: ",
            "rbd map",
            "gluster",
            "transport endpoint",
            "stale file handle",
            "input/output error",
            // qemu.
            "\"write\" lock",
            "could not read l1 table",
            "qcow2",
            "could not open '",
            // libxl.
            "failed to stat",
            "disk defaults",
            "unable to add disk devices",
            "/scripts/block",
            "/backend/vbd/",
            // lxc.
            "rootfs",
        ],
    ),
];

impl Cause {
    /// The cause given by the words of a failure.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let text = text.to_lowercase();
        let told = |(_, words): &&(Self, &[&str])| words.iter().any(|word| text.contains(word));
        TABLE.iter().find(told).map_or(Self::Unknown, |(cause, _)| *cause)
    }
}

#[cfg(test)]
mod tests;
