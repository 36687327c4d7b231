//! One DRBD device: what its two sides know, from which DRBD's visible states are derived.
//!
//! Source: the DRBD 8.4 manual; `storage/drbd_info.py`, `backend.py: DrbdNeedsActivation`.

use std::fmt;
use std::time::Duration;

/// A mirrored disk, on its primary and its secondary node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drbd {
    /// The two sides.
    pub sides: [Side; 2],
    /// When the current resynchronisation will be done, as time since the box started.
    pub resync_until: Option<Duration>,
}

/// One side of a mirrored disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Name of the node.
    pub node: String,
    /// The minor's number there.
    pub minor: u32,
    /// Whether the minor exists; a boot forgets it.
    pub attached: bool,
    /// Whether it lost its local disk because of an error.
    pub diskless: bool,
    /// Whether it gave up looking for its peer.
    pub stand_alone: bool,
    /// Whether it missed writes of its peer.
    pub behind: bool,
    /// Whether it knows that: its local disk is Outdated, or Inconsistent because a resynchronisation was
    /// interrupted.
    pub outdated: bool,
}

/// The state of a side's local disk (`ds:` in `/proc/drbd`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalDisk {
    /// It has all writes, as far as it knows.
    UpToDate,
    /// It receives from its peer what it missed.
    Inconsistent,
    /// It knows that it missed something, and has nowhere to get it from.
    Outdated,
    /// There is none.
    Diskless,
}

/// `cs:` in `/proc/drbd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// There is no such minor.
    Unconfigured,
    /// It does not look for its peer.
    StandAlone,
    /// It looks for its peer.
    WfConnection,
    /// It has its peer.
    Connected,
    /// It sends its peer what the peer missed.
    SyncSource,
    /// It receives from its peer what it missed.
    SyncTarget,
}

impl fmt::Display for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unconfigured => "Unconfigured",
            Self::StandAlone => "StandAlone",
            Self::WfConnection => "WFConnection",
            Self::Connected => "Connected",
            Self::SyncSource => "SyncSource",
            Self::SyncTarget => "SyncTarget",
        })
    }
}

impl Side {
    /// A side that works, and has all writes.
    #[must_use]
    pub fn new(node: &str, minor: u32) -> Self {
        Self {
            node: node.to_owned(),
            minor,
            attached: true,
            diskless: false,
            stand_alone: false,
            behind: false,
            outdated: false,
        }
    }

    /// Whether verify-disks reports it.
    #[must_use]
    pub fn needs_activation(&self) -> bool {
        !self.attached || self.diskless || self.stand_alone
    }
}

impl Drbd {
    /// The side on that node.
    #[must_use]
    pub fn side(&self, node: &str) -> Option<&Side> {
        self.sides.iter().find(|side| side.node == node)
    }

    /// Whether the sides can talk to each other, given the state of the network in `linked`.
    #[must_use]
    pub fn is_connected(&self, linked: bool) -> bool {
        linked && self.sides.iter().all(|side| side.attached && !side.stand_alone)
    }

    /// What the side with that index, 0 or 1, shows.
    #[must_use]
    pub fn connection(&self, index: usize, linked: bool) -> Connection {
        let [mine, peer] = [&self.sides[index], &self.sides[1 - index]];
        match self.is_connected(linked) {
            _ if !mine.attached => Connection::Unconfigured,
            _ if mine.stand_alone => Connection::StandAlone,
            false => Connection::WfConnection,
            true if mine.behind => Connection::SyncTarget,
            true if peer.behind => Connection::SyncSource,
            true => Connection::Connected,
        }
    }

    /// The state of the local disk of the side with that index, 0 or 1.
    #[must_use]
    pub fn local_disk(&self, index: usize, linked: bool) -> LocalDisk {
        let mine = &self.sides[index];
        // In a split brain both sides have all writes, as far as they know.
        let is_split = self.sides.iter().all(|side| side.behind);
        match self.connection(index, linked) {
            _ if mine.diskless => LocalDisk::Diskless,
            Connection::SyncTarget if !is_split => LocalDisk::Inconsistent,
            _ if mine.outdated => LocalDisk::Outdated,
            _ => LocalDisk::UpToDate,
        }
    }

    /// Whether DRBD lets the side on `node` become primary: it needs a disk that is up to date, here or at
    /// its peer.
    #[must_use]
    pub fn can_be_primary(&self, node: &str, linked: bool) -> bool {
        let is_good = |index: usize| self.local_disk(index, linked) == LocalDisk::UpToDate;
        let Some(index) = self.sides.iter().position(|side| side.node == node) else { return false };
        self.sides[index].attached && (is_good(index) || (self.is_connected(linked) && is_good(1 - index)))
    }

    /// Assembles the side on `node`, as Ganeti does for an instance that is started or whose disks are
    /// activated.
    pub fn assemble(&mut self, node: &str) {
        for side in &mut self.sides {
            if side.node == node {
                side.attached = true;
                side.diskless = false;
                side.stand_alone = false;
            }
        }
    }

    /// Takes the side on `node` down: its node lost power, or the disk is no longer needed.
    pub fn detach(&mut self, node: &str) {
        for side in self.sides.iter_mut().filter(|side| side.node == node) {
            side.attached = false;
            side.stand_alone = false;
        }
    }

    /// Draws the consequences of what happened, at `now`: which side misses writes, splits, or resynchronises
    /// and for how long (`resync`, which is drawn only then). `writer` is the node on which the disk is
    /// written to.
    pub fn settle(
        &mut self,
        linked: bool,
        writer: Option<&str>,
        now: Duration,
        resync: impl FnOnce() -> Duration,
    ) {
        if self.is_connected(linked) && self.sides.iter().all(|side| side.behind) {
            // Both sides have writes that the other has not: a split brain, which no activation repairs.
            self.sides.iter_mut().for_each(|side| side.stand_alone = true);
        }
        if !self.is_connected(linked) {
            self.resync_until = None;
            if let Some(writer) = writer {
                self.sides.iter_mut().filter(|side| side.node != writer).for_each(|side| side.behind = true);
            }
            return;
        }
        match self.resync_until {
            None if self.sides.iter().any(|side| side.behind) => {
                self.resync_until = Some(now + resync());
                self.sides.iter_mut().for_each(|side| side.outdated = side.behind);
            }
            Some(until) if until <= now => {
                self.resync_until = None;
                for side in &mut self.sides {
                    side.behind = false;
                    side.outdated = false;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESYNC: Duration = Duration::from_secs(60);

    fn device() -> Drbd {
        Drbd { sides: [Side::new("n1", 0), Side::new("n2", 0)], resync_until: None }
    }

    fn shown(device: &Drbd, linked: bool) -> [Connection; 2] {
        [device.connection(0, linked), device.connection(1, linked)]
    }

    #[test]
    fn a_reboot_of_the_secondary_breaks_the_link_until_its_side_is_assembled() {
        let mut device = device();
        device.detach("n2");
        device.settle(true, Some("n1"), Duration::ZERO, || RESYNC);
        assert_eq!(shown(&device, true), [Connection::WfConnection, Connection::Unconfigured]);
        assert!(device.sides[1].needs_activation() && !device.sides[0].needs_activation());
        device.assemble("n2");
        device.settle(true, Some("n1"), Duration::from_secs(1), || RESYNC);
        assert_eq!(shown(&device, true), [Connection::SyncSource, Connection::SyncTarget]);
        device.settle(true, Some("n1"), Duration::from_secs(61), || RESYNC);
        assert_eq!(shown(&device, true), [Connection::Connected; 2]);
    }

    #[test]
    fn a_cut_link_mends_itself_with_a_resync() {
        let mut device = device();
        device.settle(false, Some("n1"), Duration::ZERO, || RESYNC);
        assert_eq!(shown(&device, false), [Connection::WfConnection; 2]);
        device.settle(true, Some("n1"), Duration::from_secs(5), || RESYNC);
        assert_eq!(shown(&device, true)[1], Connection::SyncTarget);
        device.settle(false, Some("n1"), Duration::from_secs(6), || RESYNC);
        device.settle(true, Some("n1"), Duration::from_secs(100), || RESYNC);
        assert_eq!(device.resync_until, Some(Duration::from_secs(160)), "it starts over");
    }

    #[test]
    fn a_side_that_lost_its_peer_while_it_caught_up_cannot_be_primary() {
        let mut device = device();
        device.settle(false, Some("n1"), Duration::ZERO, || RESYNC);
        assert!(device.can_be_primary("n2", false), "it does not know yet");
        device.settle(true, Some("n1"), Duration::ZERO, || RESYNC);
        assert_eq!(device.local_disk(1, true), LocalDisk::Inconsistent);
        assert!(device.can_be_primary("n2", true), "its peer has everything");
        device.settle(false, None, Duration::from_secs(1), || RESYNC);
        assert_eq!(device.local_disk(1, false), LocalDisk::Outdated);
        assert!(!device.can_be_primary("n2", false) && device.can_be_primary("n1", false));
        for seconds in [2, 62] {
            device.settle(true, None, Duration::from_secs(seconds), || RESYNC);
        }
        assert!(device.can_be_primary("n2", false));
    }

    #[test]
    fn writes_on_both_sides_are_a_split_brain_that_activation_does_not_mend() {
        let mut device = device();
        device.settle(false, Some("n1"), Duration::ZERO, || RESYNC);
        device.settle(false, Some("n2"), Duration::ZERO, || RESYNC);
        for _ in 0..2 {
            device.settle(true, Some("n2"), Duration::ZERO, || RESYNC);
            assert_eq!(shown(&device, true), [Connection::StandAlone; 2]);
            device.assemble("n1");
            device.assemble("n2");
        }
    }
}
