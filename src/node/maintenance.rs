//! Node maintenance: a node that the master candidates call offline stops its instances and its DRBD minors.
//!
//! Only instances that Ganeti knows are stopped (`guests`). Source: `watcher/nodemaint.py`. The original
//! fails here for every real hypervisor: it ends at the first instance of KVM, Xen or LXC, and without DRBD's
//! module; and that ends the whole run. Here one failure stops nothing else.

mod chroot;
pub mod drbd;
mod fake;
mod guests;
mod hypervisor;
pub mod kvm;
mod listed;
mod lxc;
mod tools;
mod xen;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::StreamExt;
use tracing::{debug, error, info, warn};

use super::confd::client::{self, Patience};
use super::confd::packet::{Key, ask_for_role};
use super::confd::{Role, consensus};
use super::proc::LONGEST_PROC_FILE;
use super::{own_name, ssconf};
use crate::armed::Armed;
use crate::clock::Clock;
use crate::cluster::{LONGEST_QUOTE, quoted};
use crate::files::read_text;
use crate::layout::{Layout, Service};
use hypervisor::Hypervisor;

/// How many instances are stopped at once.
const STOPS_AT_ONCE: usize = 8;
const LONGEST_KEY: u64 = 4096;
/// How many characters of a nonsensical value are logged.
const LONGEST_SHOWN: usize = 64;

/// Does what is necessary on an offline node, and nothing on others. What goes wrong is logged.
pub async fn run(armed: Option<&Armed>, layout: &Layout, clock: &dyn Clock) {
    if !is_wanted(layout) {
        return;
    }
    match own_role(layout, clock).await {
        Ok(Role::Offline) => {
            warn!("The master candidates say that this node is offline: nothing may run here");
            stop_everything(armed, layout).await;
        }
        Ok(role) => debug!("Not doing anything for role {role:?}"),
        Err(problem) => warn!("Cannot do maintenance actions: {problem:#}"),
    }
}

/// Whether the cluster wants node maintenance.
fn is_wanted(layout: &Layout) -> bool {
    match ssconf::read(layout, "maintain_node_health") {
        Ok(value) if matches!(value.as_str(), "True" | "False") => value == "True",
        Ok(value) => {
            let value: String = value.chars().take(LONGEST_SHOWN).collect();
            error!(
                "Configuration error, not activating node maintenance: ssconf's maintain_node_health is '{value}', neither \
                 True nor False"
            );
            false
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            debug!("No node maintenance: this machine is not part of a cluster");
            false
        }
        Err(problem) => {
            error!("Configuration error, not activating node maintenance: {problem}");
            false
        }
    }
}

/// What the master candidates say this node is.
async fn own_role(layout: &Layout, clock: &dyn Clock) -> Result<Role> {
    let port = layout.port(Service::Confd)?;
    let candidates = candidates(layout)?;
    let candidates: Vec<SocketAddr> =
        candidates.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    let path = layout.confd_hmac_key();
    let key = read_text(&path, LONGEST_KEY).with_context(|| format!("cannot read '{}'", path.display()))?;
    let key = Key::new(key.as_bytes());
    let reply_salt = read_text(Path::new("/proc/sys/kernel/random/uuid"), LONGEST_PROC_FILE)
        .context("cannot create a salt")?;
    let reply_salt = reply_salt.trim();
    let own_name = own_name::find(layout).await;
    let question = ask_for_role(&key, &own_name, clock.since_epoch().as_secs(), reply_salt);
    let answers = client::ask_for_role(&key, &candidates, &question, reply_salt, Patience::default()).await?;
    for (candidate, answer) in &answers {
        debug!("confd on {candidate}: role {}, serial {}", answer.value, answer.serial);
    }
    let answer = consensus::judge(&answers, candidates.len()).map_err(|problem| match problem {
        consensus::NoConsensus::TooFew { .. } => anyhow!("Confd query timed out: {problem}"),
        consensus::NoConsensus::Inconsistent { .. } => {
            anyhow!("Inconsistent replies, not doing anything: {problem}")
        }
    })?;
    answer.as_i64().and_then(Role::from_number).ok_or_else(|| anyhow!("confd knows no role {answer}"))
}

fn candidates(layout: &Layout) -> Result<Vec<IpAddr>> {
    const KEY: &str = "master_candidates_ips";
    let text = ssconf::read(layout, KEY).with_context(|| format!("cannot read ssconf's {KEY}"))?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let address = line.parse().with_context(|| {
            format!("ssconf's {KEY} has the invalid address {}", quoted(line, LONGEST_QUOTE))
        })?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        bail!("ssconf's {KEY} is empty");
    }
    Ok(addresses)
}

/// First the instances, then the minors that they held. What goes wrong with one is logged and stops no
/// other. If it is unclear what belongs to Ganeti, nothing is stopped at all. A hypervisor that does not
/// answer keeps no minor up: DRBD itself refuses to shut down one that is in use.
async fn stop_everything(armed: Option<&Armed>, layout: &Layout) {
    let guests = match guests::find(layout).await {
        Ok(guests) => guests,
        Err(problem) => {
            return error!(
                "Cannot tell what belongs to Ganeti here, stopping nothing: {problem:#}. Stop by hand \
                 what must not run"
            );
        }
    };
    if !guests.others.is_empty() {
        warn!(
            "Not stopping guests that are not known to be running Ganeti instances: {}. Stop by hand what \
             must not run",
            guests.named_others()
        );
    }
    if !guests.instances.is_empty() {
        let names: Vec<&str> = guests.instances.keys().map(String::as_str).collect();
        let names = names.join(", ");
        match armed {
            Some(armed) => {
                info!("Following instances should not be running, shutting them down: {names}");
                stop_all(armed, layout, guests.instances).await;
            }
            None => info!("Would shut down instances that should not be running: {names}"),
        }
    }
    drbd::shut_down(armed, layout, drbd::TRY_AGAIN_AFTER).await;
}

async fn stop_all(armed: &Armed, layout: &Layout, running: BTreeMap<String, Hypervisor>) {
    let stop_one = |(name, hypervisor): (String, Hypervisor)| async move {
        match hypervisor.stop(armed, layout, &name).await {
            Ok(()) => info!("Instance '{name}' was shut down"),
            Err(problem) => error!("Cannot shut down instance '{name}' ({hypervisor}): {problem:#}"),
        }
    };
    futures_util::stream::iter(running).map(stop_one).buffer_unordered(STOPS_AT_ONCE).collect::<()>().await;
}

#[cfg(test)]
mod tests;
