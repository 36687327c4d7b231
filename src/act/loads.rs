//! How busy the nodes are on which starts wait, queried every ten seconds.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::cluster::Snapshot;
use crate::decide::agenda::Agenda;
use crate::decide::governor::{Governor, Load};
use crate::luxi::client::LocalFuture;
use crate::node::mond::Monitor;
use crate::{logging, tell};

/// Time between two looks at the nodes' load. mond reports a mean over some minutes.
const INTERVAL: Duration = Duration::from_secs(10);

/// The nodes' loads, by name; `None` is one that could not be found out. Empty when it is time to ask.
pub(super) type Answers = Vec<(String, Option<Load>)>;

/// Asks for the nodes' loads, and applies them.
#[derive(Debug)]
pub(super) struct Loads<'a> {
    monitor: &'a dyn Monitor,
    /// Names of nodes whose load is unknown, and was reported so.
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

    /// Passes the answers to the governor. That a limit cannot be applied on a node is reported once.
    pub(super) fn heed(&mut self, answers: Answers, governor: &mut Governor) {
        for (node, load) in answers {
            if load.is_none() && governor.has_load_limit() && self.unknown.insert(node.clone()) {
                logging::log(tell::load::unknown(&node));
            }
            governor.load_seen(&node, load);
            if let (Some(load), true) = (load, governor.is_over_limit(&node)) {
                logging::log(tell::load::too_high(&node, &load));
            }
        }
    }
}

/// Empty, after a while.
pub(super) fn pause<'a>() -> LocalFuture<'a, Answers> {
    Box::pin(async {
        sleep(INTERVAL).await;
        Answers::new()
    })
}
