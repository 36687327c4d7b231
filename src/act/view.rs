//! The group as last seen, kept fresh.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Snapshot;
use crate::luxi::{Client, LuxiError};
use crate::observe::{self, InstanceConfig};

/// A snapshot must be no older than this when something is done because of it.
const FRESH: Duration = Duration::from_secs(60);

/// A snapshot with its age, and the connection that renews it.
#[derive(Debug)]
pub struct View<'c> {
    /// The connection to luxid.
    pub client: Client<'c>,
    /// The group as last seen.
    pub snapshot: Snapshot,
    seen: Instant,
    /// The tags used for planning, for the instances that have some.
    first_tags: BTreeMap<String, Vec<String>>,
}

impl<'c> View<'c> {
    /// Looks at the group with this UUID.
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

    /// The tags that the instance had when the plan was made.
    #[must_use]
    pub fn first_tags(&self, instance: &str) -> &[String] {
        self.first_tags.get(instance).map_or(&[], Vec::as_slice)
    }

    /// Looks again when the snapshot is older than a minute.
    ///
    /// # Errors
    /// As [`observe::group`].
    pub async fn renew(&mut self) -> Result<(), LuxiError> {
        self.renew_if_older(FRESH).await
    }

    /// Looks again at the jobs.
    ///
    /// # Errors
    /// As [`observe::pending_jobs`].
    pub async fn renew_jobs(&mut self) -> Result<(), LuxiError> {
        self.snapshot.pending_jobs = observe::pending_jobs(&mut self.client).await?;
        Ok(())
    }

    /// Looks again when the snapshot is older than that.
    ///
    /// # Errors
    /// As [`observe::group`].
    pub async fn renew_if_older(&mut self, age: Duration) -> Result<(), LuxiError> {
        if self.seen.elapsed() > age {
            let seen = Instant::now();
            self.snapshot = observe::group(&mut self.client, &self.snapshot.group).await?;
            self.seen = seen;
        }
        Ok(())
    }

    /// Looks again at these instances, right before something is done to them: always at what the
    /// configuration wants of them, who holds their locks and which jobs are working on them, which asks no
    /// node, and at everything if the snapshot is older than a minute.
    ///
    /// # Errors
    /// As [`observe::group`].
    pub async fn look_again_at(&mut self, instances: &[&str]) -> Result<(), LuxiError> {
        self.renew().await?;
        let (client, snapshot) = (&mut self.client, &mut self.snapshot);
        let mut wanted = observe::wanted_states(client, instances).await?;
        let locks = lock_names(snapshot, instances);
        let locks: Vec<&str> = locks.iter().map(String::as_str).collect();
        let locks = observe::locks(client, Some(&locks)).await?;
        let alone = locks.nodes.into_iter().filter(|(_, mode)| mode.may_be_exclusive());
        snapshot.locked_nodes = alone.map(|(node, _)| node).collect();
        snapshot.locked_instances = locks.instances;
        // Last, so that anything that began in the meantime is seen here at the latest.
        snapshot.pending_jobs = observe::pending_jobs(client).await?;
        let unreadable = &mut snapshot.unreadable_instances;
        snapshot.instances.retain_mut(|instance| {
            if !instances.contains(&instance.name.as_str()) {
                return true;
            }
            match wanted.remove(&instance.name) {
                Some(Some(InstanceConfig { admin_state, disks_active, tags })) => {
                    (instance.admin_state, instance.disks_active) = (admin_state, disks_active);
                    instance.tags = tags;
                    true
                }
                Some(None) => {
                    unreadable.push(instance.name.clone());
                    false
                }
                None => false,
            }
        });
        Ok(())
    }
}

/// The locks that jobs for these instances may need: their own, and those of their nodes.
fn lock_names(snapshot: &Snapshot, instances: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = instances.iter().map(|name| format!("instance/{name}")).collect();
    let described = instances.iter().filter_map(|name| snapshot.instance(name));
    let nodes = described.flat_map(|instance| instance.secondaries.iter().chain([&instance.primary]));
    names.extend(nodes.filter_map(|name| snapshot.node(name)).map(|node| format!("node/{}", node.uuid)));
    names.sort_unstable();
    names.dedup();
    names
}
