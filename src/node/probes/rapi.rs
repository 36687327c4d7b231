//! The remote API: it lives when it tells its version, or asks who wants to know.
//!
//! Source: `watcher/__init__.py: IsRapiResponding`, `rapi/client.py`. No proxy is minded: the address is this node's.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{Error as TlsError, InvalidMessage};
use tracing::debug;

use super::endpoint::Endpoint;
use super::{Health, tls};
use crate::layout::Layout;
use crate::node::http::{self, Response};

/// `constants.RAPI_VERSION`.
const VERSION: &str = "2";

/// Asks RAPI for its version.
pub(super) async fn probe(layout: &Layout, rapi_ip: &str, limit: Duration) -> Health {
    let endpoint = Endpoint::find(layout, rapi_ip);
    let at = endpoint.authority();
    debug!("Attempting to talk to remote API on {at}{}", if endpoint.tls { "" } else { ", without TLS" });
    match timeout(limit, ask(&endpoint)).await {
        Ok(Ok(response)) => judge(&at, &response),
        Ok(Err(error)) => judge_error(&at, &error),
        Err(_) => Health::Dead(format!("{at} did not answer within {} s", limit.as_secs())),
    }
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
    match tls_error(error) {
        // Its process does its work; that the two ends have no cipher in common is not cured by a restart.
        Some(TlsError::AlertReceived(_) | TlsError::PeerIncompatible(_)) => Health::Unclear(why),
        _ => Health::Dead(why),
    }
}

fn tls_error(error: &Error) -> Option<&TlsError> {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .find_map(|cause| cause.get_ref()?.downcast_ref())
}

async fn ask(endpoint: &Endpoint) -> Result<Response> {
    if !endpoint.tls {
        return ask_plainly(endpoint).await;
    }
    match ask_over_tls(endpoint).await {
        // What came is no TLS: the daemon was started without it, in a way that its command line did not tell.
        Err(error) if is_plain(&error) => ask_plainly(endpoint).await,
        answer => answer,
    }
}

fn is_plain(error: &Error) -> bool {
    matches!(tls_error(error), Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)))
}

async fn connect(endpoint: &Endpoint) -> Result<TcpStream> {
    TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.context("cannot connect")
}

async fn ask_plainly(endpoint: &Endpoint) -> Result<Response> {
    http::get(connect(endpoint).await?, &endpoint.authority(), "/version").await
}

async fn ask_over_tls(endpoint: &Endpoint) -> Result<Response> {
    let name = ServerName::try_from(endpoint.host.clone()).context("not an address or a host name")?;
    let connector = TlsConnector::from(Arc::new(tls::config()?));
    let stream = connector.connect(name, connect(endpoint).await?).await.context("TLS")?;
    http::get(stream, &endpoint.authority(), "/version").await
}
