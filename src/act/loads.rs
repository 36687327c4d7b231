//! How busy the nodes are on which starts wait, asked every ten seconds.
//!
//! No start waits for an answer, unless there is a limit to the load. Then nothing is begun on a node before
//! its load is known: for [`GRACE`] nothing at all, so that what waits begins in its order; after that
//! nothing on the nodes that have not answered; and after [`PATIENCE`] those count as unknown.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, sleep_until};

use crate::cluster::Snapshot;
use crate::decide::agenda::Agenda;
use crate::decide::governor::{Governor, Load};
use crate::luxi::client::LocalFuture;
use crate::node::mond::Monitor;
use crate::{logging, tell};

/// Between an answer and the next question to the same node. mond reports a mean over some minutes.
const INTERVAL: Duration = Duration::from_secs(10);
/// A healthy mond answers much faster.
const GRACE: Duration = Duration::from_secs(2);
/// A candidate that is silent and not marked offline holds answers up for 10 s (`node::mond`). A start takes
/// about as long: to wait for more would cost more than starts on a node that turns out to be busy.
const PATIENCE: Duration = Duration::from_secs(12);

/// What was heard of a node.
#[derive(Debug)]
enum News {
    /// Its load; `None` if it could not be found out.
    Load(Option<Load>),
    /// It is time to ask again.
    Due,
}

/// Asks for the nodes' loads, and applies them.
#[derive(Debug)]
pub(super) struct Loads<'a> {
    monitor: &'a dyn Monitor,
    asked: FuturesUnordered<LocalFuture<'a, (Node, News)>>,
    /// Until when starts wait for loads.
    patience: Option<Instant>,
    /// Names of nodes whose load is unknown, and was reported so.
    unknown: BTreeSet<String>,
}

#[derive(Debug)]
struct Node {
    name: String,
    address: String,
}

/// What was heard at one moment; nothing means that the patience is over.
#[derive(Debug)]
pub(super) struct Heard(Vec<(Node, News)>);

impl<'a> Loads<'a> {
    pub(super) fn new(monitor: &'a dyn Monitor) -> Self {
        Self { monitor, asked: FuturesUnordered::new(), patience: None, unknown: BTreeSet::new() }
    }

    /// Begins to ask the nodes on which starts wait. If there is a limit to the load, waits a little for the
    /// answers.
    pub(super) async fn begin(&mut self, agenda: &Agenda, snapshot: &Snapshot, governor: &mut Governor) {
        self.asked.clear();
        for name in agenda.nodes_waited_for() {
            let Some(node) = snapshot.node(name).filter(|node| !node.address.is_empty()) else { continue };
            // One that did not answer in this run is not waited for again.
            if !self.unknown.contains(name) {
                governor.wait_for_load(name);
            }
            self.ask(Node { name: name.to_owned(), address: node.address.clone() });
        }
        self.patience = governor.waits_for_loads().then(|| Instant::now() + PATIENCE);
        let grace = Instant::now() + GRACE;
        while governor.waits_for_loads() {
            tokio::select! {
                biased;
                heard = self.next() => {
                    let _begins = self.heed(heard, agenda, governor);
                }
                () = sleep_until(grace) => break,
            }
        }
    }

    fn ask(&self, node: Node) {
        let monitor = self.monitor;
        self.asked.push(Box::pin(async move {
            let load = monitor.load(&node.name, &node.address).await;
            (node, News::Load(load))
        }));
    }

    /// Asks no longer: nobody would listen, and others wait for their turn.
    pub(super) fn end(&mut self) {
        self.asked.clear();
    }

    /// The next news, with all others that are there; never completes if none is to come. Nothing is lost
    /// when this is dropped.
    pub(super) async fn next(&mut self) -> Heard {
        let patience = self.patience;
        let over = async {
            match patience {
                Some(moment) => sleep_until(moment).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(first) = self.asked.next() => {
                let mut heard = vec![first];
                heard.extend(std::iter::from_fn(|| self.asked.next().now_or_never().flatten()));
                Heard(heard)
            }
            () = over => Heard(Vec::new()),
        }
    }

    /// Passes loads to the governor, and asks again. Returns whether starts may begin that were held back.
    /// That a limit cannot be applied on a node is reported once.
    pub(super) fn heed(&mut self, Heard(news): Heard, agenda: &Agenda, governor: &mut Governor) -> bool {
        let mut is_free = news.is_empty() && self.be_patient_no_longer(governor);
        for (node, news) in news {
            match news {
                News::Load(load) => {
                    let was_closed = governor.width(&node.name) == 0;
                    self.apply(&node.name, load, governor);
                    is_free |= was_closed && governor.width(&node.name) > 0;
                    self.asked.push(Box::pin(async move {
                        sleep(INTERVAL).await;
                        (node, News::Due)
                    }));
                }
                News::Due if agenda.waits_for(&node.name) => self.ask(node),
                News::Due => {}
            }
        }
        if !governor.waits_for_loads() {
            self.patience = None;
        }
        is_free
    }

    fn apply(&mut self, node: &str, load: Option<Load>, governor: &mut Governor) {
        if load.is_none() && governor.has_load_limit() && self.unknown.insert(node.to_owned()) {
            logging::log(tell::load::unknown(node));
        }
        governor.load_seen(node, load);
        if let (Some(load), true) = (load, governor.is_over_limit(node)) {
            logging::log(tell::load::too_high(node, &load));
        }
    }

    /// Returns whether a load was still waited for.
    fn be_patient_no_longer(&mut self, governor: &mut Governor) -> bool {
        let late = governor.wait_no_longer();
        if late.is_empty() {
            return false;
        }
        logging::log(tell::load::late(&late, PATIENCE));
        self.unknown.extend(late);
        true
    }
}

#[cfg(test)]
mod tests;
