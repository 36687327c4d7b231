//! The cluster in a box: a simulated cluster that speaks LUXI, for tests, rehearsals and a first look.
//!
//! [`model`] is the cluster's actual condition: nodes, instances and their disks ([`drbd`]). [`engine`] moves
//! it from event to event: jobs ([`jobs`]) with locks ([`locks`]) that carry out opcodes ([`opcodes`],
//! [`work`]), and what happens from outside ([`events`]). [`luxid`] answers requests about it ([`query`],
//! [`filter`], [`status`]). All of these are pure, except for the master's pause file: time is passed in as a
//! number, randomness comes from a seed ([`random`]).
//!
//! [`server`] puts it behind a stream, and [`socket`] behind a real socket, on tokio's time: real,
//! accelerated ([`pacer`]) or virtual. [`scenario`] reads a cluster and a course of events from a file;
//! [`story`] plays it on a [`stage`], which has the nodes' files. [`view`] is for observers.

pub mod clock;
pub mod drbd;
pub mod engine;
pub mod events;
pub mod failure;
pub mod faults;
pub mod filter;
mod happen;
pub mod jobs;
pub mod locks;
pub mod luxid;
pub mod model;
pub mod names;
pub mod opcodes;
pub mod pacer;
pub mod query;
mod queue;
pub mod random;
pub mod scenario;
pub mod server;
pub mod socket;
pub mod span;
pub mod stage;
pub mod status;
pub mod story;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod timing;
pub mod view;
pub mod work;

pub use server::ClusterInABox;
