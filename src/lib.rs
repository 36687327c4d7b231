//! ganeti-watcher: what cron calls every five minutes on every node of a Ganeti cluster.
//!
//! # The house
//! A run observes, decides, acts and remembers. Each of these is a room, and calls go one way, downwards in
//! this list. `ARCHITECTURE.md` has the whole table, and `tests/architecture.rs` keeps the code to it.
//!
//! - [`cli`]: the command line, with its subcommands. [`options`]: the options of a run.
//! - [`watch`]: one run; the only place that knows the order of things.
//! - [`act`]: carries out plans through jobs.
//! - [`observe`]: asks luxid and turns the answers into a [`cluster::Snapshot`].
//! - [`luxi`]: the protocol. [`node`]: this node and its daemons. [`memory`]: the files, and the locks on
//!   them.
//! - [`logging`] and [`clock`]: log lines and time.
//! - [`decide`]: what to do. Pure: no clock, no file, no network, no runtime.
//! - [`cluster`] and [`memory::state`]: the values that decisions are based on. Pure as well.
//! - [`files`]: opens every file. [`layout`] and [`armed`]: paths, and the permission to change something.
//! - [`sim`]: a cluster in a box, which stands in for luxid and the rest of the world. [`simulate`] tells its
//!   story on a terminal.

// Everything that `main` and the seams use is documented; inside, only what a name does not already say.
pub mod act;
#[warn(missing_docs)]
pub mod armed;
#[warn(missing_docs)]
pub mod cli;
#[warn(missing_docs)]
pub mod clock;
pub mod cluster;
pub mod decide;
pub mod files;
#[warn(missing_docs)]
pub mod layout;
#[warn(missing_docs)]
pub mod logging;
pub mod luxi;
pub mod memory;
pub mod node;
pub mod observe;
pub mod options;
pub mod sim;
#[warn(missing_docs)]
pub mod simulate;
pub mod tell;
#[cfg(test)]
mod testing;
#[warn(missing_docs)]
pub mod watch;
