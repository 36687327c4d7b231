//! One connection to luxid: calls with time limits, and reconnection where a call may be repeated.
//!
//! Source: `rpc/client.py`, `rpc/transport.py`. Unlike the original, a call that changes something is never
//! repeated automatically; see [`super::jobs::submit`].

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::messages::{LuxiError, parse_answer};
use super::rows::{RawRows, Row, UnreadableRow};
use super::wire::{FRAME_LIMIT, FrameDecoder, encode};

/// How long an answer can take: luxid's own limit is 180 s (`Constants.hs: luxiDefRwto`).
pub const CALL_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a lost or refused connection is retried (`luxiDefCtmo`).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long luxid may be away, restarting for example, before a call fails.
pub const AWAY_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two attempts to connect.
pub const CONNECT_INTERVAL: Duration = Duration::from_secs(1);

const READ_SIZE: usize = 64 << 10;
const NO_NAMES: [&str; 0] = [];

/// A future that need not be sent to another thread: the program has only one.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// How luxid is reached. The simulator supplies its own.
pub trait Connector: fmt::Debug {
    /// Opens one connection, without trying again. The error is the kernel's; see [`may_pass`].
    fn connect(&self) -> LocalFuture<'_, io::Result<Box<dyn Stream>>>;
    /// The name of the other end in messages: the path of the socket.
    fn address(&self) -> String;
}

/// luxid's UNIX socket.
#[derive(Debug, Clone)]
pub struct UnixSocket(pub PathBuf);

impl Connector for UnixSocket {
    fn connect(&self) -> LocalFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async { Ok(Box::new(UnixStream::connect(&self.0).await?) as Box<dyn Stream>) })
    }

    fn address(&self) -> String {
        self.0.display().to_string()
    }
}

struct Connection {
    stream: Box<dyn Stream>,
    decoder: FrameDecoder,
}

/// A client of luxid. One request at a time; a lost connection is reopened.
pub struct Client<'a> {
    connector: &'a dyn Connector,
    connection: Option<Connection>,
}

impl fmt::Debug for Client<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("connector", &self.connector).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Request<'a, A> {
    method: &'static str,
    args: &'a A,
}

impl<'a> Client<'a> {
    /// Connects once; the caller decides what a failure means and whether to try again.
    ///
    /// # Errors
    /// The kernel's error, unchanged.
    pub async fn connect(connector: &'a dyn Connector) -> io::Result<Self> {
        let connection = Some(Self::open(connector).await?);
        Ok(Self { connector, connection })
    }

    /// Another client for the same luxid. It connects with its first call.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { connector: self.connector, connection: None }
    }

    async fn open(connector: &dyn Connector) -> io::Result<Connection> {
        let stream = timeout(CONNECT_TIMEOUT, connector.connect()).await??;
        Ok(Connection { stream, decoder: FrameDecoder::new(FRAME_LIMIT) })
    }

    /// Calls a method that can be carried out twice without harm. While luxid is away it is retried, for
    /// [`AWAY_TIMEOUT`].
    pub(super) async fn call<T: DeserializeOwned>(
        &mut self,
        method: &'static str,
        args: &impl Serialize,
    ) -> Result<T, LuxiError> {
        self.call_and(method, args, |frame| parse_answer(method, frame)).await
    }

    /// As [`Client::call`]; `parse` turns an answer into the result.
    async fn call_and<T>(
        &mut self,
        method: &'static str,
        args: &impl Serialize,
        parse: impl Fn(&[u8]) -> Result<T, LuxiError>,
    ) -> Result<T, LuxiError> {
        let deadline = Instant::now() + AWAY_TIMEOUT;
        loop {
            match self.call_once_and(method, args, &parse).await {
                Err(error) if error.is_connection_loss() && Instant::now() < deadline => {
                    debug!("{error}, trying again");
                    sleep(CONNECT_INTERVAL).await;
                }
                answer => return answer,
            }
        }
    }

    /// Calls a method and never sends it twice.
    pub(super) async fn call_once<T: DeserializeOwned>(
        &mut self,
        method: &'static str,
        args: &impl Serialize,
    ) -> Result<T, LuxiError> {
        self.call_once_and(method, args, |frame| parse_answer(method, frame)).await
    }

    async fn call_once_and<T>(
        &mut self,
        method: &'static str,
        args: &impl Serialize,
        parse: impl Fn(&[u8]) -> Result<T, LuxiError>,
    ) -> Result<T, LuxiError> {
        self.drop_unasked_answers(method);
        self.ensure_connected().await?;
        let request = encode(&Request { method, args })
            .map_err(|error| LuxiError::Malformed { method, reason: format!("request: {error}") })?;
        let started = Instant::now();
        let answer = match timeout(CALL_TIMEOUT, self.exchange(method, &request)).await {
            Ok(Ok(frame)) => parse(&frame),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LuxiError::Timeout { method, seconds: CALL_TIMEOUT.as_secs() }),
        };
        // Anything still in transit on a failed connection must not be mistaken for a later answer.
        if !matches!(answer, Ok(_) | Err(LuxiError::Ganeti { .. })) {
            self.connection = None;
        }
        debug!("luxi {method}: {} ms", started.elapsed().as_millis());
        answer
    }

    /// Data that is there before a question is asked is not its answer: such a connection is dropped, or
    /// every later answer would be attributed to the wrong question.
    fn drop_unasked_answers(&mut self, method: &'static str) {
        let Some(Connection { stream, decoder }) = &mut self.connection else { return };
        let mut byte = [0];
        // A connection that luxid has closed fails when written to.
        let has_more = matches!(stream.read(&mut byte).now_or_never(), Some(Ok(1..)));
        if has_more || !decoder.is_empty() {
            warn!("luxid sent an answer that nobody asked for; reconnecting before {method}");
            self.connection = None;
        }
    }

    async fn exchange(&mut self, method: &'static str, request: &[u8]) -> Result<Vec<u8>, LuxiError> {
        let lost = |source: io::Error| LuxiError::ConnectionLost { method, source };
        let Some(Connection { stream, decoder }) = &mut self.connection else {
            return Err(lost(io::ErrorKind::NotConnected.into()));
        };
        stream.write_all(request).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        let mut buffer = vec![0; READ_SIZE];
        loop {
            let frame = decoder
                .next_frame()
                .map_err(|error| LuxiError::Malformed { method, reason: error.to_string() })?;
            if let Some(frame) = frame {
                return Ok(frame);
            }
            match stream.read(&mut buffer).await.map_err(lost)? {
                0 => return Err(lost(io::ErrorKind::UnexpectedEof.into())),
                length => decoder.push(&buffer[..length]),
            }
        }
    }

    /// Opens the connection when there is none, trying for [`CONNECT_TIMEOUT`].
    pub(super) async fn ensure_connected(&mut self) -> Result<(), LuxiError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        while self.connection.is_none() {
            match Self::open(self.connector).await {
                Ok(connection) => self.connection = Some(connection),
                Err(error) if may_pass(&error) && Instant::now() < deadline => {
                    sleep(CONNECT_INTERVAL).await;
                }
                Err(source) => {
                    return Err(LuxiError::Connect { address: self.connector.address(), source });
                }
            }
        }
        Ok(())
    }

    /// `QueryConfigValues`: what luxid holds under the names of the row's fields, such as `drain_flag`, as
    /// bare values.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn query_config_values<R: Row>(&mut self) -> Result<R, LuxiError> {
        self.call("QueryConfigValues", &(R::FIELDS,)).await
    }

    /// `QueryClusterInfo`: `T` is read from one object, such as
    /// `{"software_version": "3.0.2", "tags": [], …}`.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn query_cluster_info<T: DeserializeOwned>(&mut self) -> Result<T, LuxiError> {
        self.call("QueryClusterInfo", &NO_NAMES).await
    }

    /// `QueryGroups`: a row of bare values for each node group, in natural order of names.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn query_groups<R: Row>(&mut self) -> Result<Vec<R>, LuxiError> {
        self.call("QueryGroups", &(NO_NAMES, R::FIELDS, false)).await
    }

    /// `Query`: a row of [`Cell`](super::rows::Cell)s for each `what` (`instance`, `node`, `group`, `lock`,
    /// `job`) that passes the filter; cells of unknown fields have no value. The filter is in the language of
    /// queries (`Query/Language.hs`), such as `["==", "group.uuid", UUID]`; without one, all rows are
    /// returned.
    ///
    /// # Errors
    /// See [`LuxiError`]; a connection that stays lost for [`AWAY_TIMEOUT`] is one. A row of the wrong shape
    /// is an individual error within the answer.
    pub async fn query<R: Row>(
        &mut self,
        what: &'static str,
        filter: Option<Value>,
    ) -> Result<Vec<Result<R, UnreadableRow>>, LuxiError> {
        // Rows are parsed straight from the received answer, without a copy in between.
        let typed = |frame: &[u8]| parse_answer::<RawRows<'_>>("Query", frame).map(|rows| rows.typed(what));
        self.call_and("Query", &(what, R::FIELDS, filter), typed).await
    }
}

/// Whether a connection error may pass on its own: luxid is starting, or its queue of new connections (5) is
/// full.
#[must_use]
pub fn may_pass(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock
    )
}

#[cfg(test)]
mod tests;
