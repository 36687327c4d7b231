//! What a run works with.

use anyhow::Result;

use crate::armed::Armed;
use crate::clock::Clock;
use crate::layout::Layout;
use crate::luxi::Connector;
use crate::memory::pause::{self, Pause};
use crate::node::daemons::Daemons;
use crate::node::mond::Monitor;
use crate::options::Options;

/// What a run works with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What it was asked to do.
    pub options: &'a Options,
    /// Where things are.
    pub layout: &'a Layout,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// How luxid is reached.
    pub luxid: &'a dyn Connector,
    /// How this node's daemons are checked and started.
    pub daemons: &'a dyn Daemons,
    /// How busy nodes are.
    pub monitor: &'a dyn Monitor,
    /// Permission to change something; a dry run has none.
    pub armed: Option<&'a Armed>,
}

impl Context<'_> {
    /// Whether an administrator wants the watcher to do nothing now.
    pub(super) fn is_paused(&self) -> Result<bool> {
        // Read before the option is applied: an expired or broken pause file is removed either way.
        let pause = pause::check(&self.layout.pause_file(), self.clock.now(), self.armed)?;
        Ok(pause != Pause::Off && !self.options.ignore_pause)
    }
}
