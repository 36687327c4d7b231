//! The hypervisors that instances run on.

use std::fmt;

use anyhow::Result;

use super::listed::Listed;
use super::{chroot, fake, kvm, lxc, xen};
use crate::armed::Armed;
use crate::layout::Layout;
use crate::node::proc;

/// The families of hypervisors, by the tool that asks them. Both kinds of Xen show the same domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hypervisor {
    Kvm,
    Xen,
    Lxc,
    Chroot,
    Fake,
}

impl Hypervisor {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "kvm" => Some(Self::Kvm),
            "xen-pvm" | "xen-hvm" => Some(Self::Xen),
            "lxc" => Some(Self::Lxc),
            "chroot" => Some(Self::Chroot),
            "fake" => Some(Self::Fake),
            _ => None,
        }
    }

    pub(super) async fn list(self, layout: &Layout) -> Result<Listed> {
        match self {
            Self::Kvm => kvm::list(layout),
            Self::Xen => xen::list(layout).await.map(Listed::from),
            Self::Lxc => lxc::list(layout).await.map(Listed::from),
            Self::Chroot => chroot::list(layout).await,
            Self::Fake => fake::list(layout).map(Listed::from),
        }
    }

    pub(super) async fn stop(self, armed: &Armed, layout: &Layout, name: &str) -> Result<()> {
        match self {
            Self::Kvm => kvm::stop(armed, layout, name, proc::Patience::default()).await,
            Self::Xen => xen::stop(armed, layout, name).await,
            Self::Lxc => lxc::stop(armed, layout, name).await,
            Self::Chroot => chroot::stop(armed, layout, name, chroot::KILL_GRACE).await,
            Self::Fake => fake::stop(armed, layout, name),
        }
    }
}

impl fmt::Display for Hypervisor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kvm => "kvm",
            Self::Xen => "xen",
            Self::Lxc => "lxc",
            Self::Chroot => "chroot",
            Self::Fake => "fake",
        })
    }
}
