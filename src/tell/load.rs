//! How busy nodes are.

use std::time::Duration;

use super::line::LogLine;
use super::words::list;
use crate::decide::governor::Load;

/// The load of a node is unknown, and there is a limit for it.
#[must_use]
pub fn unknown(node: &str) -> LogLine {
    LogLine::warning(format!(
        "The load of node '{node}' is unknown (ganeti-mond does not report it): --load-limit cannot be \
         applied there"
    ))
}

/// The load of a node is over the limit.
#[must_use]
pub fn too_high(node: &str, load: &Load) -> LogLine {
    LogLine::debug(format!("Node '{node}' is given no starts: {:.1} of its processors are busy", load.busy))
}

/// The loads of these nodes were waited for that long, and did not come.
#[must_use]
pub fn late(nodes: &[String], patience: Duration) -> LogLine {
    LogLine::warning(format!(
        "ganeti-mond has not reported the load within {} s on {}: starts begin there, and --load-limit is \
         applied once it does",
        patience.as_secs(),
        list(nodes.iter().map(String::as_str))
    ))
}
