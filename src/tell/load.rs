//! How busy nodes are.

use super::line::LogLine;
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
