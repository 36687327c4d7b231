//! confd, which knows what the master candidates know: asked over UDP, believed only if signed.
//!
//! [`packet`] has the datagrams, [`consensus`] what several answers mean, both without I/O; [`client`] asks.
//!
//! Source: `confd/__init__.py`, `confd/client.py`, `Confd/Server.hs`.

pub mod client;
pub mod consensus;
pub mod packet;

/// What confd says that a node is, 0 to 4 in this order (`Confd/Types.hs: ConfdNodeRole`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Master,
    Candidate,
    /// Marked offline: nothing must run there.
    Offline,
    Drained,
    /// A node like any other.
    Regular,
}

impl Role {
    /// The role in an answer; `None` for a number without a meaning.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        let roles = [Self::Master, Self::Candidate, Self::Offline, Self::Drained, Self::Regular];
        usize::try_from(number).ok().and_then(|index| roles.get(index).copied())
    }
}
