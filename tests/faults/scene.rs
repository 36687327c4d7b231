//! The cluster of a world, and the thread of everything that answers.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::SystemTime;

use anyhow::Result;
use ganeti_watcher::sim::ClusterInABox;
use ganeti_watcher::sim::scenario::Scenario;
use ganeti_watcher::sim::stage::Stage;
use tokio::sync::oneshot;

use crate::luxid::{self, Recorded};
use crate::program::HOST;
use crate::stand_ins::{self, Ports};
use crate::world::{Behaviour, Shared};

/// What the box does takes this fraction of its time.
const FACTOR: f64 = 0.01;

/// Two instances to be started, one that cannot be, one whose disks need activation, one whose mirror is
/// broken.
const CLUSTER: &str = r#"
[[node]]
name = "node1"
[[node]]
name = "node2"
[[node]]
name = "node3"
[[instance]]
name = "web1"
primary = "node2"
secondary = "node3"
live = "absent"
[[instance]]
name = "web2"
primary = "node3"
secondary = "node1"
live = "absent"
[[instance]]
name = "broken"
primary = "node1"
template = "plain"
live = "absent"
fails-to-start = { class = "HypervisorError", message = "Failed to start instance broken.example.com" }
[[instance]]
name = "db1"
primary = "node2"
secondary = "node3"
[[instance]]
name = "db2"
primary = "node1"
secondary = "node2"
[[instance]]
name = "idle"
primary = "node1"
template = "plain"
[[step]]
run = []
"#;

/// The box, the UUID of its node group, and where the others listen.
pub(crate) type Ready = Result<(ClusterInABox, String, Ports)>;

/// The world's thread, until it is stopped.
pub(crate) fn live(
    directory: &Path,
    behaviour: &Shared<Behaviour>,
    recorded: &Shared<Vec<Recorded>>,
    ready: &mpsc::Sender<Ready>,
    stopped: oneshot::Receiver<()>,
) -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let scenario = Scenario::parse("faults", CLUSTER)?.scaled(FACTOR, now);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stage = Stage::set_up(&scenario, directory)?;
        let sockets = stage.directory(HOST).join("var/run/ganeti/socket");
        let luxid = luxid::listen(&sockets.join("ganeti-query"))?;
        let ports = stand_ins::start(&sockets.join("ganeti-wconfd"), behaviour).await?;
        tokio::spawn(luxid::serve(luxid, stage.cluster.clone(), Arc::clone(behaviour), Arc::clone(recorded)));
        drop(ready.send(Ok((stage.cluster.clone(), stage.with_group("GROUP"), ports))));
        drop(stopped.await);
        Ok(())
    })
}
