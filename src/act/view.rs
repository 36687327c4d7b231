//! The group as it was seen last, kept fresh.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Snapshot;
use crate::luxi::{Client, LuxiError};
use crate::observe::{self, Wanted};

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
    /// The tags by which was planned, of the instances that have some.
    first_tags: BTreeMap<String, Vec<String>>,
}

impl<'c> View<'c> {
    /// Looks at the group.
    ///
    /// # Errors
    /// As [`observe::group`].
    pub async fn take(mut client: Client<'c>, group: &str) -> Result<Self, LuxiError> {
        let seen = Instant::now();
        let snapshot = observe::group(&mut client, group).await?;
        let tagged = snapshot.instances.iter().filter(|instance| !instance.tags.is_empty());
        let first_tags = tagged.map(|instance| (instance.name.clone(), instance.tags.clone())).collect();
        Ok(Self { client, snapshot, seen, first_tags })
    }

    /// Whether the instance has other tags than when it was planned for.
    #[must_use]
    pub fn has_other_tags(&self, instance: &str) -> bool {
        let first = self.first_tags.get(instance).map_or(&[][..], Vec::as_slice);
        self.snapshot.instance(instance).is_some_and(|instance| instance.tags != first)
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

    /// Looks again at these instances, right before something is done to them: always at what the configuration wants of
    /// them, who holds their locks and which jobs are at them, which asks no node, and at everything when the snapshot
    /// is older than a minute.
    ///
    /// # Errors
    /// As [`observe::group`].
    pub async fn look_again_at(&mut self, instances: &[&str]) -> Result<(), LuxiError> {
        self.renew().await?;
        let (client, snapshot) = (&mut self.client, &mut self.snapshot);
        let mut wanted = observe::wanted_states(client, instances).await?;
        snapshot.locked_instances = observe::locked_instances(client).await?;
        // Last, so that what began meanwhile is seen here at the latest.
        snapshot.pending_jobs = observe::pending_jobs(client).await?;
        snapshot.instances.retain_mut(|instance| {
            if !instances.contains(&instance.name.as_str()) {
                return true;
            }
            match wanted.remove(&instance.name) {
                Some(Wanted { admin_state, disks_active, tags }) => {
                    (instance.admin_state, instance.disks_active) = (admin_state, disks_active);
                    instance.tags = tags;
                    true
                }
                None => false,
            }
        });
        Ok(())
    }
}
