//! The group as it was seen last, kept fresh.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Snapshot;
use crate::luxi::{Client, LuxiError};
use crate::observe;

/// A snapshot gets no older than this before something is done because of it.
const FRESH: Duration = Duration::from_secs(60);

/// A snapshot with its age, and the connection that renews it.
#[derive(Debug)]
pub struct View<'c> {
    /// The connection to luxid.
    pub client: Client<'c>,
    /// The group as it was seen last.
    pub snapshot: Snapshot,
    seen: Instant,
}

impl<'c> View<'c> {
    /// Looks at the group.
    ///
    /// # Errors
    /// As [`observe::group`].
    pub async fn take(mut client: Client<'c>, group: &str) -> Result<Self, LuxiError> {
        let seen = Instant::now();
        let snapshot = observe::group(&mut client, group).await?;
        Ok(Self { client, snapshot, seen })
    }

    /// Looks again when the snapshot is older than a minute.
    ///
    /// # Errors
    /// As [`observe::group`].
    pub async fn renew(&mut self) -> Result<(), LuxiError> {
        if self.seen.elapsed() > FRESH {
            let seen = Instant::now();
            self.snapshot = observe::group(&mut self.client, &self.snapshot.group).await?;
            self.seen = seen;
        }
        Ok(())
    }

    /// Looks again at one instance, right before something is done to it: always at what the configuration wants of it
    /// and which jobs are at it, which costs little, and at everything when the snapshot is older than a minute.
    ///
    /// # Errors
    /// As [`observe::group`].
    pub async fn look_again_at(&mut self, instance: &str) -> Result<(), LuxiError> {
        self.renew().await?;
        self.snapshot.pending_jobs = observe::pending_jobs(&mut self.client).await?;
        let wanted = observe::wanted_state(&mut self.client, instance).await?;
        let known = self.snapshot.instances.iter().position(|known| known.name == instance);
        match (known, wanted) {
            (Some(at), Some(wanted)) => {
                let known = &mut self.snapshot.instances[at];
                (known.admin_state, known.disks_active) = wanted;
            }
            (Some(at), None) => drop(self.snapshot.instances.remove(at)),
            (None, _) => {}
        }
        Ok(())
    }
}
