//! WConfD: it is alive if it echoes what was sent to it.
//!
//! Source: `watcher/__init__.py: IsWconfdResponding`, `wconfd.py`. The framing is that of LUXI, the methods
//! are its own. The original tries a dead socket for eighteen minutes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::debug;

use super::health::{Health, is_our_own};
use crate::clock::Clock;
use crate::luxi::wire::{FrameDecoder, encode};

const LONGEST_ANSWER: usize = 64 << 10;

/// Asks for an echo.
pub(super) async fn probe(socket: &Path, clock: &dyn Clock, limit: Duration) -> Health {
    debug!("Attempting to talk to WConfD at {}", socket.display());
    let words = format!("ganeti watcher probe {}", clock.since_epoch().as_secs());
    match timeout(limit, call(socket, "echo", &json!([words]))).await {
        Ok(Ok(echo)) if echo == words.as_str() => Health::Alive,
        Ok(Ok(echo)) => {
            let echo: String = echo.to_string().chars().take(100).collect();
            Health::Dead(format!("it was asked to echo '{words}' and answered {echo}"))
        }
        Ok(Err(error)) if is_our_own(&error) => Health::Unclear(format!("{error:#}")),
        Ok(Err(error)) => Health::Dead(format!("{error:#}")),
        Err(_) => Health::Dead(format!("it did not answer within {} s", limit.as_secs())),
    }
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
    result: Value,
}

/// One call over its own connection; returns the result unchanged.
async fn call(socket: &Path, method: &str, args: &Value) -> Result<Value> {
    let mut stream = UnixStream::connect(socket)
        .await
        .with_context(|| format!("cannot connect to '{}'", socket.display()))?;
    let request = encode(&json!({ "method": method, "args": args }))?;
    stream.write_all(&request).await.context("cannot send the request")?;
    let mut decoder = FrameDecoder::new(LONGEST_ANSWER);
    let mut buffer = vec![0; 4096];
    let frame = loop {
        if let Some(frame) = decoder.next_frame()? {
            break frame;
        }
        match stream.read(&mut buffer).await.context("cannot read the answer")? {
            0 => bail!("the connection was closed before the answer"),
            length => decoder.push(&buffer[..length]),
        }
    };
    let Answer { success, result } = serde_json::from_slice(&frame).context("the answer is malformed")?;
    if !success {
        bail!("'{method}' failed: {result}");
    }
    Ok(result)
}
