//! The remote API: it is alive if it gives its version, or demands authentication.
//!
//! Source: `watcher/__init__.py: IsRapiResponding`, `rapi/client.py`. Proxy settings are ignored: the address
//! is this node's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{Error as TlsError, InvalidMessage};
use tracing::debug;

use super::endpoint::Endpoint;
use super::health::{Health, is_our_own};
use super::{interface, tls};
use crate::layout::Layout;
use crate::node::http::{self, Response};

/// `constants.RAPI_VERSION`.
const VERSION: &str = "2";
/// Far more than RAPI's answer to this question.
const LONGEST_ANSWER: usize = 64 << 10;

/// Asks RAPI for its version, at all its possible addresses at once. One answer is enough; it is dead only if
/// none of them answers and all of them were really asked.
pub(super) async fn probe(layout: &Layout, rapi_ip: &str, limit: Duration) -> Health {
    let endpoint = Endpoint::find(layout, rapi_ip, &interface::addresses);
    let mut asked: FuturesUnordered<_> =
        endpoint.hosts.iter().map(|host| probe_at(&endpoint, host, limit)).collect();
    let mut reasons = Vec::new();
    let mut unclear = endpoint.doubt.is_some();
    while let Some(health) = asked.next().await {
        match health {
            Health::Alive => return Health::Alive,
            Health::Dead(why) => reasons.push(why),
            Health::Unclear(why) => {
                unclear = true;
                reasons.push(why);
            }
        }
    }
    reasons.sort_unstable();
    reasons.extend(endpoint.doubt.iter().map(|doubt| format!("where it listens is unknown: {doubt}")));
    let why = reasons.join("; ");
    if unclear { Health::Unclear(why) } else { Health::Dead(why) }
}

async fn probe_at(endpoint: &Endpoint, host: &str, limit: Duration) -> Health {
    let at = http::authority(host, endpoint.port);
    debug!("Attempting to talk to remote API on {at}{}", if endpoint.tls { "" } else { ", without TLS" });
    // A silent name server says nothing about RAPI, so that has its own time limit.
    let addresses = match timeout(limit, resolve(host, endpoint.port)).await {
        Ok(Ok(addresses)) => addresses,
        // It had an address when RAPI began to listen.
        Ok(Err(error)) => return Health::Unclear(format!("{at}: {error}")),
        Err(_) => {
            return Health::Unclear(format!(
                "{at}: name servers did not answer within {} s",
                limit.as_secs()
            ));
        }
    };
    let name = match server_name(host) {
        name @ Some(_) if endpoint.tls => name,
        None if endpoint.tls => {
            return Health::Unclear(format!("{at}: it is neither an address nor a host name"));
        }
        _ => None,
    };
    match timeout(limit, ask(&at, name, &addresses)).await {
        Ok(Ok(response)) => judge(&at, &response),
        Ok(Err(error)) => judge_error(&at, &error),
        Err(_) => Health::Dead(format!("{at} did not answer within {} s", limit.as_secs())),
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host((host, port)).await?.collect())
}

/// What the other end is called in TLS; `None` for what is neither an address nor a host name.
fn server_name(host: &str) -> Option<ServerName<'static>> {
    // The scope of a link-local address, such as `%br0`, means nothing to the other end.
    let name = host.split('%').next().unwrap_or(host).to_owned();
    ServerName::try_from(name).ok()
}

fn judge(at: &str, response: &Response) -> Health {
    match (response.status, response.body.trim()) {
        (200, VERSION) | (401, _) => Health::Alive,
        (200, body) => {
            let body: String = body.chars().take(100).collect();
            Health::Dead(format!("{at} answered with '{body}' instead of version {VERSION}"))
        }
        (status, _) => Health::Dead(format!("{at} answered with status {status}")),
    }
}

fn judge_error(at: &str, error: &Error) -> Health {
    let why = format!("{at}: {error:#}");
    if is_our_own(error) {
        return Health::Unclear(why);
    }
    match tls_error(error) {
        // Its process works; a restart would not give the two ends a common cipher.
        Some(TlsError::AlertReceived(_) | TlsError::PeerIncompatible(_)) => Health::Unclear(why),
        _ => Health::Dead(why),
    }
}

fn tls_error(error: &Error) -> Option<&TlsError> {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .find_map(|cause| cause.get_ref()?.downcast_ref())
}

/// Over TLS where there is a name for it.
async fn ask(
    authority: &str,
    name: Option<ServerName<'static>>,
    addresses: &[SocketAddr],
) -> Result<Response> {
    let Some(name) = name else { return ask_plainly(authority, addresses).await };
    match ask_over_tls(authority, name, addresses).await {
        // The answer is not TLS: the daemon was started without it, in a way that its command line did not
        // show.
        Err(error) if is_plain(&error) => ask_plainly(authority, addresses).await,
        answer => answer,
    }
}

fn is_plain(error: &Error) -> bool {
    matches!(tls_error(error), Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)))
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream> {
    TcpStream::connect(addresses).await.context("cannot connect")
}

async fn ask_plainly(authority: &str, addresses: &[SocketAddr]) -> Result<Response> {
    http::get(connect(addresses).await?, authority, "/version", LONGEST_ANSWER).await
}

async fn ask_over_tls(
    authority: &str,
    name: ServerName<'static>,
    addresses: &[SocketAddr],
) -> Result<Response> {
    let connector = TlsConnector::from(Arc::new(tls::config()?));
    let stream = connector.connect(name, connect(addresses).await?).await.context("TLS")?;
    http::get(stream, authority, "/version", LONGEST_ANSWER).await
}
