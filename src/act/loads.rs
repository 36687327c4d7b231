//! How busy the nodes are on which starts wait: asked for every ten seconds.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::cluster::Snapshot;
use crate::decide::agenda::Agenda;
use crate::decide::governor::{Governor, Load};
use crate::luxi::client::LocalFuture;
use crate::node::mond::Monitor;

/// Between two looks at the nodes' load. What mond tells is a mean over some minutes.
const INTERVAL: Duration = Duration::from_secs(10);

/// The nodes' loads, by name; `None` is one that could not be learnt. None at all when it is time to ask.
pub(super) type Answers = Vec<(String, Option<Load>)>;

/// Asks for the nodes' loads, and has them minded.
#[derive(Debug)]
pub(super) struct Loads<'a> {
    monitor: &'a dyn Monitor,
    /// Names of nodes for which that is unknown, and of which was told.
    unknown: BTreeSet<String>,
}

impl<'a> Loads<'a> {
    pub(super) fn new(monitor: &'a dyn Monitor) -> Self {
        Self { monitor, unknown: BTreeSet::new() }
    }

    /// Asks the nodes on which starts wait how busy they are.
    pub(super) fn ask(&self, agenda: &Agenda, snapshot: &Snapshot) -> LocalFuture<'a, Answers> {
        let address = |name: &str| snapshot.node(name).map(|node| node.address.clone());
        let nodes: Vec<(String, String)> = agenda
            .nodes_waited_for()
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), address(name)?)))
            .filter(|(_, address)| !address.is_empty())
            .collect();
        if nodes.is_empty() {
            return pause();
        }
        let monitor = self.monitor;
        Box::pin(async move {
            let ask = |(name, address): (String, String)| async move {
                let load = monitor.load(&name, &address).await;
                (name, load)
            };
            join_all(nodes.into_iter().map(ask)).await
        })
    }

    /// Has the governor mind the answers. That a limit cannot be kept on a node is told once.
    pub(super) fn heed(&mut self, answers: Answers, governor: &mut Governor) {
        for (node, load) in answers {
            if load.is_none() && governor.has_load_limit() && self.unknown.insert(node.clone()) {
                warn!(
                    "The load of node '{node}' is unknown (ganeti-mond does not report it): --load-limit \
                     cannot be applied there"
                );
            }
            governor.load_seen(&node, load);
            if let (Some(load), true) = (load, governor.is_over_limit(&node)) {
                debug!("Node '{node}' is given no starts: {:.1} of its processors are busy", load.busy);
            }
        }
    }
}

/// No answers, after a while.
pub(super) fn pause<'a>() -> LocalFuture<'a, Answers> {
    Box::pin(async {
        sleep(INTERVAL).await;
        Answers::new()
    })
}
