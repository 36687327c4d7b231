//! How busy other nodes are, according to their monitoring daemons.
//!
//! `GET /1/report/default/cpu-avg-load`, by plain HTTP and without a password; what counts in the answer is
//! `{"data": {"cpu_number": N, "cpu_total": N}}`, both in processors.
//!
//! mond answers nothing while it reads its configuration, every 15 s: it asks the candidates' confd for it,
//! which takes 10 s when one of them is silent and not marked offline.
//!
//! Source: `Monitoring/Server.hs: main, oneReport`, `Confd/Client.hs: query`, `DataCollectors/CPUload.hs:
//! formatData`.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

use super::http;
use crate::decide::governor::Load;
use crate::layout::{Layout, Service};
use crate::luxi::client::LocalFuture;

/// For an answer: twice 10 s for a silent candidate, and a connection that is slow to come about.
pub const LIMIT: Duration = Duration::from_secs(25);
/// How many nodes are asked at once, by all groups together. To tell its load costs a node next to nothing
/// and asks nobody else, so this only saves our own descriptors, of which a program has 1024. While a
/// candidate is silent, two nodes of five are held up, for 5 s on average: 64 turns still are enough to ask
/// 160 nodes at once.
const AT_ONCE: usize = 64;
/// A load has a few hundred bytes, or 20 for each processor.
const LONGEST_LOAD: usize = 64 << 10;
const LOAD: &str = "/1/report/default/cpu-avg-load";

/// Reports how busy nodes are. The simulator supplies its own.
pub trait Monitor: fmt::Debug {
    /// The load of the node of that name at that IP address; `None` when it cannot be found out within
    /// [`LIMIT`]. Of many that are asked at once some have to wait for their turn first.
    fn load<'a>(&'a self, node: &'a str, address: &'a str) -> LocalFuture<'a, Option<Load>>;
}

/// ganeti-mond on every node, at the port given in this node's services file.
#[derive(Debug)]
pub struct Mond<'d> {
    layout: &'d Layout,
    turns: Semaphore,
}

impl<'d> Mond<'d> {
    /// That of a node with this layout.
    #[must_use]
    pub fn new(layout: &'d Layout) -> Self {
        Self { layout, turns: Semaphore::new(AT_ONCE) }
    }

    async fn ask(&self, address: &str) -> Result<Load> {
        let port = self.layout.port(Service::Mond)?;
        let _turn = self.turns.acquire().await?;
        match timeout(LIMIT, ask(address, port)).await {
            Ok(answer) => parse(&answer?),
            Err(_) => bail!("no answer within {} s", LIMIT.as_secs()),
        }
    }
}

impl Monitor for Mond<'_> {
    fn load<'a>(&'a self, node: &'a str, address: &'a str) -> LocalFuture<'a, Option<Load>> {
        Box::pin(async move {
            let load = self.ask(address).await;
            load.inspect_err(|error| {
                debug!("ganeti-mond on node '{node}' does not report its load: {error:#}");
            })
            .ok()
        })
    }
}

async fn ask(address: &str, port: u16) -> Result<String> {
    let stream = TcpStream::connect((address, port)).await.context("cannot connect")?;
    let answer = http::get(stream, &http::authority(address, port), LOAD, LONGEST_LOAD).await?;
    if answer.status != 200 {
        bail!("HTTP status {}", answer.status);
    }
    Ok(answer.body)
}

fn parse(report: &str) -> Result<Load> {
    #[derive(Deserialize)]
    struct Report {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        cpu_number: f64,
        cpu_total: f64,
    }
    let Report { data: Data { cpu_number, cpu_total } } =
        serde_json::from_str(report).context("strange report")?;
    if !(cpu_number >= 1.0 && cpu_total >= 0.0) {
        bail!("strange report: {cpu_total} of {cpu_number} processors");
    }
    Ok(Load { busy: cpu_total, processors: cpu_number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn r23_a_node_with_an_ipv6_address_is_asked_with_brackets() {
        // A machine without IPv6 has no such node.
        let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else { return };
        let port = listener.local_addr().unwrap().port();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1000];
            let length = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.unwrap();
            request.truncate(length);
            String::from_utf8(request).unwrap()
        };
        let (_answer, request) = tokio::join!(ask("::1", port), server);
        assert!(request.contains(&format!("\r\nhost: [::1]:{port}\r\n")), "{request}");
    }

    #[tokio::test]
    async fn not_all_nodes_are_asked_at_once() {
        let machine = crate::testing::Machine::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        machine.services(&format!("ganeti-mond {}/tcp\n", listener.local_addr().unwrap().port()));
        let mond = Mond::new(&machine.layout);
        let asked = futures_util::future::join_all((0..AT_ONCE + 1).map(|_| mond.load("a", "127.0.0.1")));
        let server = async {
            let mut silent = Vec::new();
            while silent.len() < AT_ONCE {
                silent.push(listener.accept().await.unwrap());
            }
            let one_more = timeout(Duration::from_millis(50), listener.accept()).await;
            assert!(one_more.is_err(), "more than {AT_ONCE} at once");
            silent.pop();
            // Its turn has come.
            drop(listener.accept().await.unwrap());
            drop(silent);
        };
        assert_eq!(tokio::join!(asked, server).0, vec![None; AT_ONCE + 1]);
    }

    #[test]
    fn any_report_is_a_load_or_an_error() {
        let seeds =
            [r#"{"name":"cpu-avg-load","data":{"cpu_number":2,"cpus":[0.75,0.81],"cpu_total":1.56}}"#];
        crate::testing::fuzz::fuzz_text(&seeds, |report| {
            if let Ok(Load { busy, processors }) = parse(report) {
                assert!(busy >= 0.0 && processors >= 1.0);
            }
        });
    }

    #[test]
    fn the_load_is_what_the_collector_says() {
        let report = r#"{"name":"cpu-avg-load","version":"B","format_version":1,"timestamp":1,"category":null,
            "kind":0,"data":{"cpu_number":2,"cpus":[0.75,0.81],"cpu_total":1.56}}"#;
        assert_eq!(parse(report).unwrap(), Load { busy: 1.56, processors: 2.0 });
        for strange in ["", "[]", r#"{"data":{"cpu_number":0,"cpu_total":1}}"#, r#"{"data":{"cpu_total":1}}"#]
        {
            assert!(parse(strange).is_err(), "{strange}");
        }
    }
}
