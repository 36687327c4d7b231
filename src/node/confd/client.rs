//! Asks all master candidates at once, over one unconnected UDP socket.
//!
//! Source: `confd/client.py: ConfdClient`. Unlike the original, a question is repeated to those that have not
//! answered, and only the candidates themselves are listened to: a copy of an answer from another address
//! does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use super::consensus::needed_answers;
use super::packet::{self, Answer, Key, LONGEST_DATAGRAM};

/// After an error of the socket, which may come again at once, before it is read again.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// How long the candidates may take (`constants.CONFD_CLIENT_EXPIRE_TIMEOUT`), and how often they are asked
/// in that time.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// After this, it is over.
    pub total: Duration,
    /// After this, those that have not answered are asked again.
    pub ask_again: Duration,
    /// Once there are enough answers, wait this much longer for the others: one of them may know better.
    pub listen_on: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(10),
            ask_again: Duration::from_secs(3),
            listen_on: Duration::from_millis(500),
        }
    }
}

/// Asks for the role of a node, with the datagram of [`super::packet::ask_for_role`]. Returns the first
/// answer of each candidate; there may be none. `reply_salt` is the one in the datagram, and must never have
/// been used before.
///
/// # Errors
/// When there is nobody to ask, the addresses are of different families, or no socket can be created.
pub async fn ask_for_role(
    key: &Key,
    candidates: &[SocketAddr],
    question: &[u8],
    reply_salt: &str,
    patience: Patience,
) -> Result<BTreeMap<IpAddr, Answer>> {
    let Some(first) = candidates.first() else { bail!("no master candidates are known") };
    if candidates.iter().any(|candidate| candidate.is_ipv4() != first.is_ipv4()) {
        bail!("the master candidates have addresses of different families");
    }
    let any = if first.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.context("cannot create a UDP socket")?;
    let asked: BTreeSet<IpAddr> = candidates.iter().map(SocketAddr::ip).collect();

    let mut answers = BTreeMap::new();
    let mut deadline = Instant::now() + patience.total;
    let mut next_question = Instant::now();
    // One byte more than is accepted, to notice longer ones.
    let mut buffer = vec![0; LONGEST_DATAGRAM + 1];
    // The time is looked at each time round: datagrams of others, or errors, may come without an end.
    while answers.len() < asked.len() && Instant::now() < deadline {
        if Instant::now() >= next_question {
            let silent = candidates.iter().filter(|candidate| !answers.contains_key(&candidate.ip()));
            send(&socket, silent, question).await;
            next_question += patience.ask_again;
        }
        let received = timeout_at(deadline.min(next_question), socket.recv_from(&mut buffer)).await;
        match received {
            Ok(Ok((length, sender))) => {
                let sender = sender.ip().to_canonical();
                if !asked.contains(&sender) {
                    debug!("Ignoring a datagram from {sender}, which is not a master candidate");
                    continue;
                }
                match packet::read_answer(key, &buffer[..length], reply_salt) {
                    Ok(answer) => drop(answers.entry(sender).or_insert(answer)),
                    Err(reason) => debug!("Ignoring a datagram from {sender}: {reason}"),
                }
                if answers.len() >= needed_answers(asked.len()) {
                    deadline = deadline.min(Instant::now() + patience.listen_on);
                }
            }
            // An ICMP message about one candidate, for example, says nothing about the others.
            Ok(Err(error)) => {
                debug!("Receiving from confd: {error}");
                sleep_until(deadline.min(Instant::now() + AFTER_ERROR)).await;
            }
            // It is time to ask again, or to end.
            Err(_) => {}
        }
    }
    Ok(answers)
}

async fn send(socket: &UdpSocket, candidates: impl Iterator<Item = &SocketAddr>, question: &[u8]) {
    for candidate in candidates {
        let sent: io::Result<usize> = socket.send_to(question, candidate).await;
        if let Err(error) = sent {
            debug!("Cannot ask confd on {candidate}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::testing;
    use super::*;

    const SALT: &str = "11111111-2222-3333-4444-555555555555";
    const QUICK: Patience = Patience {
        total: Duration::from_millis(300),
        ask_again: Duration::from_millis(100),
        listen_on: Duration::from_millis(50),
    };
    const OFFLINE: &str = r#"{"protocol":1,"status":0,"answer":2,"serial":20}"#;

    fn key() -> Key {
        Key::new(b"deadbeef\n")
    }

    /// A confd on a loopback address, which answers every question with what `answers` makes of it.
    async fn confd(
        address: &str,
        port: u16,
        answers: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + 'static,
    ) -> SocketAddr {
        let socket = UdpSocket::bind((address, port)).await.unwrap();
        let own = socket.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let mut buffer = vec![0; 4096];
            let mut questions = 0;
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                questions += 1;
                for answer in answers(questions, &buffer[..length]) {
                    socket.send_to(&answer, client).await.unwrap();
                }
            }
        });
        own
    }

    async fn ask(candidates: &[SocketAddr], patience: Patience) -> Vec<(String, i64, i64)> {
        let question = packet::ask_for_role(&key(), "node3.example.com", 1_700_000_000, SALT);
        let answers = ask_for_role(&key(), candidates, &question, SALT, patience).await.unwrap();
        let row = |(address, answer): (IpAddr, Answer)| {
            (address.to_string(), answer.value.as_i64().unwrap(), answer.serial)
        };
        answers.into_iter().map(row).collect()
    }

    fn good(_count: usize, question: &[u8]) -> Vec<Vec<u8>> {
        let salt = testing::reply_salt(&key(), question).unwrap();
        vec![testing::reply(&key(), OFFLINE, &salt)]
    }

    #[tokio::test]
    async fn every_candidate_s_first_answer_is_taken() {
        let local = tokio::task::LocalSet::new();
        let work = async {
            let first = confd("127.0.0.1", 0, good).await;
            let twice = |count, question: &[u8]| {
                let mut answers = good(count, question);
                answers.push(testing::reply(&key(), &OFFLINE.replace("20", "21"), SALT));
                answers
            };
            let second = confd("127.0.0.2", 0, twice).await;
            ask(&[first, second], Patience::default()).await
        };
        let answers = local.run_until(work).await;
        assert_eq!(answers, [("127.0.0.1".to_owned(), 2, 20), ("127.0.0.2".to_owned(), 2, 20)]);
    }

    #[tokio::test]
    async fn bad_datagrams_are_ignored_and_a_lost_one_is_asked_for_again() {
        let local = tokio::task::LocalSet::new();
        let work = async {
            let flaky = |count, question: &[u8]| match count {
                1 => vec![
                    testing::reply(&Key::new(b"other"), OFFLINE, SALT),
                    testing::reply(&key(), OFFLINE, "other salt"),
                    vec![b'x'; LONGEST_DATAGRAM + 1000],
                    b"plj0{".to_vec(),
                    Vec::new(),
                ],
                _ => good(count, question),
            };
            ask(&[confd("127.0.0.1", 0, flaky).await], QUICK).await
        };
        assert_eq!(local.run_until(work).await, [("127.0.0.1".to_owned(), 2, 20)]);
    }

    #[tokio::test]
    async fn who_is_no_candidate_is_not_listened_to_and_silence_ends() {
        let local = tokio::task::LocalSet::new();
        let work = async {
            let stranger = UdpSocket::bind(("127.0.0.9", 0)).await.unwrap();
            let silent = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
            let candidates = [silent.local_addr().unwrap()];
            tokio::task::spawn_local(async move {
                let mut buffer = vec![0; 4096];
                let (length, client) = silent.recv_from(&mut buffer).await.unwrap();
                for answer in good(1, &buffer[..length]) {
                    stranger.send_to(&answer, client).await.unwrap();
                }
                std::future::pending::<()>().await;
            });
            ask(&candidates, QUICK).await
        };
        assert_eq!(local.run_until(work).await, []);
    }

    #[tokio::test]
    async fn nobody_and_mixed_families_cannot_be_asked() {
        let ask = |candidates: Vec<SocketAddr>| async move {
            ask_for_role(&key(), &candidates, b"", SALT, QUICK).await.unwrap_err().to_string()
        };
        assert_eq!(ask(vec![]).await, "no master candidates are known");
        let mixed = ["127.0.0.1:1", "[::1]:1"].map(|address| address.parse().unwrap());
        assert!(ask(mixed.to_vec()).await.contains("different families"));
    }
}
