//! One GET over an existing stream, by hyper, within limits. Who asks limits the time.

mod stream;

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::pin;

use anyhow::{Context, Error, Result, anyhow, ensure};
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use tokio::io::{AsyncRead, AsyncWrite};

use stream::Conversation;

/// Status line and header lines. Ganeti's have a few hundred bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Empty unless the status is 200.
    pub(super) body: String,
}

/// Where an answer comes from, for messages and the `Host` header: `HOST:PORT`, with an IPv6 address in
/// brackets and without the scope, which only this end knows.
pub(super) fn authority(host: &str, port: u16) -> String {
    match host.split_once('%') {
        Some((address, _)) => format!("[{address}]:{port}"),
        None if host.contains(':') => format!("[{host}]:{port}"),
        None => format!("{host}:{port}"),
    }
}

/// Asks for a path, once, for a body of at most `longest` bytes.
///
/// A status other than 200 is an answer whatever becomes of its body, which is not read. A header that
/// cannot be read is ignored: what answers is not dead for a strange header.
///
/// # Errors
/// When the stream breaks, the answer is cut off or too long, or what arrives is not HTTP.
pub(super) async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    authority: &str,
    path: &str,
    longest: usize,
) -> Result<Response> {
    let request = Request::get(path)
        .header(HOST, authority.as_bytes())
        .header(USER_AGENT, "Ganeti RAPI Client")
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .body(String::new())
        .context("cannot ask")?;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake(Conversation::new(stream))
        .await
        .map_err(explain)?;
    // Its end, good or bad, shows in the answer.
    let connection = async {
        drop(connection.await);
        pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        answer = ask(sender, request, longest) => answer,
        never = connection => match never {},
    }
}

async fn ask(mut sender: SendRequest<String>, request: Request<String>, longest: usize) -> Result<Response> {
    let answer = sender.send_request(request).await.map_err(explain)?;
    let status = answer.status().as_u16();
    let body = if status == 200 { read(answer.into_body(), longest).await? } else { Vec::new() };
    Ok(Response { status, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Copies it: kept as it arrives, a body in chunks of one byte would take many times its limit.
async fn read(body: Incoming, longest: usize) -> Result<Vec<u8>> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        if let Ok(data) = frame.map_err(explain)?.into_data() {
            ensure!(data.len() <= longest - bytes.len(), "the answer has more than {} KiB", longest >> 10);
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

fn explain(error: hyper::Error) -> Error {
    if error.is_incomplete_message() {
        return anyhow!("the connection was closed before the answer was complete");
    }
    let what = if error.is_parse() { "the answer cannot be read as HTTP" } else { "cannot get an answer" };
    Error::new(error).context(what)
}

#[cfg(test)]
mod tests;
