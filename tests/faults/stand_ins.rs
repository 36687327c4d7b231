//! Stand-ins for RAPI, WConfD, mond and confd, well behaved or not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ganeti_watcher::node::confd::packet::Key;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, UnixListener};
use tokio::time::sleep;

use crate::world::{Behaviour, HMAC_KEY, Shared, lock};

const END_OF_MESSAGE: u8 = 3;
/// confd's word for a master (`CONFD_NODE_ROLE_MASTER`).
const MASTER: u32 = 0;
/// `CONFD_NODE_ROLE_OFFLINE`.
const OFFLINE: u32 = 2;

/// How a stand-in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Good,
    /// Meaningless bytes.
    Garbage,
    /// The first half of what is expected.
    Half,
    /// Zero bytes.
    Zeros,
    /// Nothing, and the connection stays open.
    Silent,
    /// Without an end.
    Endless,
    /// What is expected, and then endless data.
    GoodThenEndless,
    /// A byte now and then.
    Drip,
    /// The connection is closed at once.
    Closed,
    /// What is expected, with an absurd number in it.
    Numbers,
    /// confd: this node is marked offline.
    Offline,
}

impl Manner {
    pub(crate) const BAD: [(&'static str, Self); 9] = [
        ("garbage", Self::Garbage),
        ("half", Self::Half),
        ("zeros", Self::Zeros),
        ("closed", Self::Closed),
        ("numbers", Self::Numbers),
        ("endless", Self::Endless),
        ("good, then endless", Self::GoodThenEndless),
        ("silent", Self::Silent),
        ("drip", Self::Drip),
    ];
}

/// Where they listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) rapi: u16,
    pub(crate) mond: u16,
    pub(crate) confd: u16,
}

pub(crate) async fn start(wconfd: &Path, behaviour: &Shared<Behaviour>) -> Result<Ports> {
    let rapi = tcp(behaviour, |behaviour| behaviour.rapi, |_| http("2\n")).await?;
    let mond = tcp(behaviour, |behaviour| behaviour.mond, |manner| http(report(manner))).await?;
    let listener = UnixListener::bind(wconfd)?;
    let its = Arc::clone(behaviour);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let manner = lock(&its).wconfd;
            tokio::spawn(converse(stream, manner, END_OF_MESSAGE, echo));
        }
    });
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let confd = socket.local_addr()?.port();
    tokio::spawn(answer_datagrams(socket, Arc::clone(behaviour)));
    Ok(Ports { rapi, mond, confd })
}

async fn tcp(
    behaviour: &Shared<Behaviour>,
    manner: fn(&Behaviour) -> Manner,
    answer: fn(Manner) -> Vec<u8>,
) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let behaviour = Arc::clone(behaviour);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let manner = manner(&lock(&behaviour));
            tokio::spawn(converse(stream, manner, b'\n', move |_| answer(manner)));
        }
    });
    Ok(port)
}

fn http(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn report(manner: Manner) -> &'static str {
    match manner {
        Manner::Numbers => r#"{"data":{"cpu_number":1e308,"cpu_total":1e309}}"#,
        _ => r#"{"data":{"cpu_number":4,"cpu_total":0.5}}"#,
    }
}

fn echo(request: &[u8]) -> Vec<u8> {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let mut answer = json!({"success": true, "result": request["args"][0]}).to_string().into_bytes();
    answer.push(END_OF_MESSAGE);
    answer
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    manner: Manner,
    end: u8,
    answer: impl FnOnce(&[u8]) -> Vec<u8>,
) {
    if manner == Manner::Closed {
        return;
    }
    let mut request = Vec::new();
    while let Ok(byte) = stream.read_u8().await
        && byte != end
    {
        request.push(byte);
    }
    say(&mut stream, manner, &answer(&request)).await;
    // Until the other side has closed its end, so that unread data does not cancel what was sent.
    drop(stream.shutdown().await);
    while stream.read(&mut [0; 512]).await.is_ok_and(|length| length > 0) {}
}

/// Answers in that manner.
pub(crate) async fn say(stream: &mut (impl AsyncWrite + Unpin), manner: Manner, good: &[u8]) {
    const GARBAGE: &[u8] = b"\x16\x03\x01\xff\xfe{]\r\n\r\n\x00\x03\x80%n%s'\"";
    match manner {
        Manner::Good | Manner::Numbers | Manner::Offline => drop(stream.write_all(good).await),
        Manner::Garbage => drop(stream.write_all(GARBAGE).await),
        Manner::Half => drop(stream.write_all(&good[..good.len() / 2]).await),
        Manner::Zeros => drop(stream.write_all(&[0; 4096]).await),
        Manner::Closed => {}
        Manner::Silent => std::future::pending().await,
        Manner::Endless => while stream.write_all(&[b'x'; 4096]).await.is_ok() {},
        Manner::GoodThenEndless => {
            drop(stream.write_all(good).await);
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
        Manner::Drip => {
            for byte in good.iter().chain(std::iter::repeat(&b' ')) {
                sleep(Duration::from_millis(300)).await;
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn answer_datagrams(socket: UdpSocket, behaviour: Shared<Behaviour>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let manner = lock(&behaviour).confd;
        let number = match manner {
            Manner::Numbers => u32::MAX,
            Manner::Offline => OFFLINE,
            _ => MASTER,
        };
        let good = role(&buffer[..length], number);
        let datagrams: Vec<Vec<u8>> = match manner {
            Manner::Silent | Manner::Closed => Vec::new(),
            Manner::Good | Manner::Numbers | Manner::Offline => vec![good],
            Manner::Half => vec![good[..good.len() / 2].to_vec()],
            Manner::Garbage => vec![b"plj0\xff{]".to_vec(), b"".to_vec(), vec![b'['; 60_000]],
            Manner::Zeros => vec![vec![0; 60_000]],
            Manner::Drip => good.iter().map(|byte| vec![*byte]).collect(),
            Manner::Endless => vec![b"plj0{\"msg\":".to_vec(); 5000],
            Manner::GoodThenEndless => std::iter::once(good).chain(vec![b"plj0".to_vec(); 5000]).collect(),
        };
        for datagram in datagrams {
            drop(socket.send_to(&datagram, client).await);
        }
    }
}

/// A signed answer to a question about a node's role.
fn role(question: &[u8], role: u32) -> Vec<u8> {
    let signed: Value =
        question.strip_prefix(b"plj0").and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
    let query: Value = serde_json::from_str(signed["msg"].as_str().unwrap_or_default()).unwrap_or_default();
    let salt = query["rsalt"].as_str().unwrap_or_default();
    let message = json!({"protocol": 1, "status": 0, "answer": role, "serial": 20}).to_string();
    let hmac = Key::new(HMAC_KEY.as_bytes()).sign(salt, &message);
    [b"plj0", json!({"msg": message, "salt": salt, "hmac": hmac}).to_string().as_bytes()].concat()
}
