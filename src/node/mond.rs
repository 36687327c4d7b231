//! How busy other nodes are, according to their monitoring daemons.
//!
//! `GET /1/report/default/cpu-avg-load`, by plain HTTP and without a password; what counts in the answer is
//! `{"data": {"cpu_number": N, "cpu_total": N}}`, both in processors.
//!
//! Source: `Monitoring/Server.hs: oneReport`, `DataCollectors/CPUload.hs: formatData`.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::http;
use crate::decide::governor::Load;
use crate::layout::{Layout, Service};
use crate::luxi::client::LocalFuture;

/// A node that is too busy to answer this is busy enough.
const LIMIT: Duration = Duration::from_secs(2);
/// A load has a few hundred bytes: a number for each processor.
const LONGEST_ANSWER: usize = 64 << 10;
const REPORT: &str = "/1/report/default/cpu-avg-load";

/// Reports how busy nodes are. The simulator supplies its own.
pub trait Monitor: fmt::Debug {
    /// The load of the node of that name at that IP address; `None` when it cannot be found out in time.
    fn load<'a>(&'a self, node: &'a str, address: &'a str) -> LocalFuture<'a, Option<Load>>;
}

/// ganeti-mond on every node, at the port given in this node's services file.
#[derive(Debug, Clone, Copy)]
pub struct Mond<'d> {
    /// Where things are.
    pub layout: &'d Layout,
}

impl Monitor for Mond<'_> {
    fn load<'a>(&'a self, node: &'a str, address: &'a str) -> LocalFuture<'a, Option<Load>> {
        Box::pin(async move {
            let load = match self.layout.port(Service::Mond) {
                Ok(port) => timeout(LIMIT, ask(address, port)).await.unwrap_or_else(|_| bail_late()),
                Err(error) => Err(error.into()),
            };
            load.inspect_err(|error| {
                debug!("ganeti-mond on node '{node}' does not report its load: {error:#}");
            })
            .ok()
        })
    }
}

fn bail_late() -> Result<Load> {
    bail!("no answer within {} s", LIMIT.as_secs())
}

async fn ask(address: &str, port: u16) -> Result<Load> {
    let stream = TcpStream::connect((address, port)).await.context("cannot connect")?;
    let answer = http::get(stream, &http::authority(address, port), REPORT, LONGEST_ANSWER).await?;
    if answer.status != 200 {
        bail!("HTTP status {}", answer.status);
    }
    parse(&answer.body)
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
