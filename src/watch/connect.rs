//! The connection to luxid, with the rules that distinguish a node that is not the master from a luxid that
//! is down.
//!
//! Source: `runtime.py: GetClient`, `rpc/transport.py: Transport._Connect`, `watcher/__init__.py:
//! GetLuxiClient, _CheckMaster`.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, Error, anyhow};
use tokio::time::{Instant, sleep};

use super::Context;
use super::cut_short::{CutShort, NotMaster};
use crate::luxi::Client;
use crate::luxi::client::{CONNECT_INTERVAL, CONNECT_TIMEOUT, may_pass};
use crate::node::daemons::LUXID;
use crate::node::own_name::{self, IsOwn, Nameless};
use crate::node::ssconf::{self, Untold};
use crate::observe::{self, ClusterFacts};
use crate::{logging, tell};

/// How long luxid may take to listen before it counts as down. `daemon-util` leaves a running luxid alone.
const START_GRACE: Duration = Duration::from_secs(3);

/// Connects to luxid, and starts it once when it seems to be down.
///
/// # Errors
/// [`NotMaster`] when this node is not the master, [`Nameless`] when that is unknown; otherwise why there is
/// no connection.
pub(super) async fn connect_or_start<'a>(context: &Context<'a>) -> Result<Client<'a>, CutShort> {
    match connect(context, START_GRACE, MayStart::Ask).await {
        Err(Unconnected::Down(error)) => {
            logging::log(tell::master::luxid_is_down(&error));
            let Some(armed) = context.armed else {
                return Err(anyhow!(
                    "luxid is down; a run would start ganeti-luxid, and only then could it see the cluster"
                )
                .into());
            };
            context.daemons.check_and_start(armed, LUXID).await.context("Can't start the master daemon")?;
        }
        other => return other.map_err(|unconnected| unconnected.describe(context)),
    }
    let again = connect(context, CONNECT_TIMEOUT, MayStart::IsKnown).await;
    again.map_err(|unconnected| unconnected.describe(context))
}

/// Connects to luxid, trying for `limit`.
///
/// # Errors
/// As [`connect_or_start`].
pub(super) async fn connect_within<'a>(
    context: &Context<'a>,
    limit: Duration,
) -> Result<Client<'a>, CutShort> {
    connect(context, limit, MayStart::Ask).await.map_err(|unconnected| unconnected.describe(context))
}

/// Asks luxid who the master is, and whether the queue is drained.
///
/// # Errors
/// [`NotMaster`] when it is another node, [`Nameless`] when that is unknown.
pub(super) async fn check_master(
    context: &Context<'_>,
    client: &mut Client<'_>,
) -> Result<ClusterFacts, CutShort> {
    let facts = observe::cluster_facts(client).await?;
    match own_name::is_own(context.layout, &facts.master_node).await {
        IsOwn::Yes => Ok(facts),
        IsOwn::No => Err(NotMaster::Is(facts.master_node).into()),
        IsOwn::Unknown(nameless) => Err(nameless.into()),
    }
}

/// Whether luxid belongs on this node.
#[derive(Clone, Copy, PartialEq)]
enum MayStart {
    /// Ask ssconf when luxid does not listen.
    Ask,
    /// It was asked already.
    IsKnown,
}

enum Unconnected {
    NotMaster(NotMaster),
    /// It is unknown whether luxid should be there.
    Nameless(Nameless),
    /// luxid should be there, and is not.
    Down(io::Error),
    Broken(io::Error),
}

impl Unconnected {
    fn describe(self, context: &Context<'_>) -> CutShort {
        match self {
            Self::NotMaster(not_master) => not_master.into(),
            Self::Nameless(nameless) => nameless.into(),
            Self::Down(error) | Self::Broken(error) => {
                let what = format!("cannot connect to luxid at {}", context.luxid.address());
                Error::from(error).context(what).into()
            }
        }
    }
}

async fn connect<'a>(
    context: &Context<'a>,
    limit: Duration,
    mut may_start: MayStart,
) -> Result<Client<'a>, Unconnected> {
    let deadline = Instant::now() + limit;
    loop {
        let error = match Client::connect(context.luxid).await {
            Ok(client) => return Ok(client),
            Err(error) if may_pass(&error) => error,
            Err(error) => return Err(Unconnected::Broken(error)),
        };
        if error.kind() != io::ErrorKind::WouldBlock && may_start == MayStart::Ask {
            check_ssconf_master(context).await?;
            may_start = MayStart::IsKnown;
        }
        if Instant::now() >= deadline {
            return Err(Unconnected::Down(error));
        }
        sleep(CONNECT_INTERVAL).await;
    }
}

/// Whether luxid belongs here, by ssconf.
///
/// When the file does not say who the master is, after a power cut for example, luxid decides, and is started
/// if need be. That is not a guess: luxid refuses to start where more than half of the nodes of its own
/// configuration do not name this host as the master (`Daemon/Utils.hs: verifyMasterVotes`), which is why
/// Ganeti's own script has every node start it at every boot (`daemon-util: start_all`). The run goes on only
/// when luxid then names this node.
async fn check_ssconf_master(context: &Context<'_>) -> Result<(), Unconnected> {
    let not_master = |why| Err(Unconnected::NotMaster(why));
    let master = match ssconf::master_node(context.layout) {
        Ok(master) => master,
        Err(Untold::Missing(_)) => return not_master(NotMaster::NoNode),
        Err(untold) => {
            logging::log(tell::master::unknown_to_ssconf(&untold));
            return Ok(());
        }
    };
    match own_name::is_own(context.layout, &master).await {
        IsOwn::Yes => Ok(()),
        IsOwn::No => not_master(NotMaster::Is(master)),
        IsOwn::Unknown(nameless) => Err(Unconnected::Nameless(nameless)),
    }
}
