//! luxid's socket, between the program and the box: answers are recorded, or changed on their way.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ganeti_watcher::luxi::wire::END_OF_MESSAGE;
use ganeti_watcher::sim::ClusterInABox;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::sleep;

use crate::world::{Behaviour, Shared, lock};

/// An answer, by what was asked.
pub(crate) type Recorded = (String, Value);

/// How luxid lies.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    None,
    /// Answers to `question` have `raw`, a JSON text, in place of the value at the pointer.
    Value {
        question: String,
        pointer: String,
        raw: Arc<str>,
    },
    /// Answers to `question` are this JSON text.
    Whole {
        question: String,
        raw: Arc<str>,
    },
    /// Answers to `question` cross the wire this way.
    Wire {
        question: String,
        wire: Wire,
    },
}

/// What can go wrong on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wire {
    /// Half of it, then the end of the connection.
    Truncated,
    /// Half of it, then its end byte.
    CutShort,
    /// All of it, without its end byte, and then silence.
    NoEnd,
    /// An end byte in front of it.
    EndFirst,
    /// The answer twice.
    Twice,
    /// Not UTF-8.
    NotText,
    /// Zero bytes in front of it.
    Zeros,
    /// A byte at a time.
    Drip,
    /// After three seconds.
    Late,
    /// No answer, the connection is closed.
    Closed,
    /// No answer.
    Silent,
    /// More than any answer may contain.
    TooLong,
    /// Without an end.
    Endless,
}

/// Distinguishes its answers from others: the method, and what a query is about and asks for.
fn question(request: &[u8]) -> String {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let method = request["method"].as_str().unwrap_or_default().to_owned();
    match (method.as_str(), &request["args"]) {
        ("Query", arguments) => {
            let fields = arguments[1].as_array().into_iter().flatten().filter_map(Value::as_str);
            format!(
                "Query {} {}",
                arguments[0].as_str().unwrap_or_default(),
                fields.collect::<Vec<_>>().join(",")
            )
        }
        ("QueryConfigValues", arguments) => format!("{method} {}", arguments[0]),
        _ => method,
    }
}

pub(crate) fn listen(path: &Path) -> Result<UnixListener> {
    UnixListener::bind(path).with_context(|| format!("cannot listen at '{}'", path.display()))
}

pub(crate) async fn serve(
    listener: UnixListener,
    cluster: ClusterInABox,
    behaviour: Shared<Behaviour>,
    recorded: Shared<Vec<Recorded>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(luxid) = cluster.connect() else { continue };
        tokio::spawn(relay(client, luxid, behaviour.clone(), recorded.clone()));
    }
}

async fn relay(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut luxid: impl AsyncRead + AsyncWrite + Unpin,
    behaviour: Shared<Behaviour>,
    recorded: Shared<Vec<Recorded>>,
) {
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    while let Some(request) = frame(&mut client, &mut asked).await {
        let question = question(&request);
        if luxid.write_all(&[&request[..], &[END_OF_MESSAGE]].concat()).await.is_err() {
            return;
        }
        let Some(answer) = frame(&mut luxid, &mut answered).await else { return };
        // The nodes' monitoring daemons are all one, on this machine.
        let text = (1..=3).fold(String::from_utf8_lossy(&answer).into_owned(), |text, node| {
            text.replace(&format!("\"192.0.2.{node}\""), "\"127.0.0.1\"")
        });
        lock(&recorded).push((question.clone(), serde_json::from_str(&text).unwrap_or_default()));
        let lie = lock(&behaviour).luxid.clone();
        let (text, wire) = match lie {
            Lie::Value { question: about, pointer, raw } if about == question => {
                (replaced(&text, &pointer, &raw), None)
            }
            Lie::Whole { question: about, raw } if about == question => (raw.to_string(), None),
            Lie::Wire { question: about, wire } if about == question => (text, Some(wire)),
            _ => (text, None),
        };
        if !send(&mut client, text.as_bytes(), wire).await {
            return;
        }
    }
}

/// The next message, without its end byte; `rest` is what was read but belongs to later ones.
async fn frame(stream: &mut (impl AsyncRead + Unpin), rest: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = rest.iter().position(|&byte| byte == END_OF_MESSAGE) {
            let later = rest.split_off(end + 1);
            let mut message = std::mem::replace(rest, later);
            message.pop();
            return Some(message);
        }
        if stream.read_buf(rest).await.ok()? == 0 {
            return None;
        }
    }
}

/// The text with `raw` at that place; unchanged if there is no such place.
fn replaced(text: &str, pointer: &str, raw: &str) -> String {
    const MARK: &str = "@@lie@@";
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    let Some(place) = value.pointer_mut(pointer) else { return text.to_owned() };
    *place = Value::String(MARK.to_owned());
    value.to_string().replace(&format!("\"{MARK}\""), raw)
}

/// Whether the connection still exists.
async fn send(client: &mut (impl AsyncWrite + Unpin), text: &[u8], wire: Option<Wire>) -> bool {
    let half = &text[..text.len() / 2];
    let whole = [text, &[END_OF_MESSAGE]].concat();
    let bytes = match wire {
        None => whole,
        Some(Wire::Truncated) => {
            drop(client.write_all(half).await);
            return false;
        }
        Some(Wire::CutShort) => [half, &[END_OF_MESSAGE]].concat(),
        Some(Wire::NoEnd) => text.to_vec(),
        Some(Wire::EndFirst) => [&[END_OF_MESSAGE], &whole[..]].concat(),
        Some(Wire::Twice) => [&whole[..], &whole].concat(),
        Some(Wire::NotText) => [&b"\"\xff\xfe"[..], &whole].concat(),
        Some(Wire::Zeros) => [&[0; 100][..], &whole].concat(),
        Some(Wire::Drip) => {
            for byte in whole {
                sleep(Duration::from_millis(1)).await;
                if client.write_all(&[byte]).await.is_err() {
                    return false;
                }
            }
            return true;
        }
        Some(Wire::Late) => {
            sleep(Duration::from_secs(3)).await;
            whole
        }
        Some(Wire::Closed) => return false,
        Some(Wire::Silent) => std::future::pending().await,
        Some(Wire::TooLong) => [&vec![b' '; 66 << 20][..], &whole].concat(),
        Some(Wire::Endless) => {
            while client.write_all(&[b' '; 65_536]).await.is_ok() {}
            return false;
        }
    };
    client.write_all(&bytes).await.is_ok()
}
