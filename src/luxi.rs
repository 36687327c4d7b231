//! The LUXI client: what luxid is asked, how it answers, and what to do when it does not.
//!
//! [`wire`] cuts messages out of bytes, [`messages`] and [`rows`] give them types, [`client`] talks,
//! [`opcodes`] writes jobs, [`jobs`] submits them, [`following`] finds out how they end.

#[warn(missing_docs)]
pub mod client;
pub mod following;
pub mod jobs;
pub mod messages;
pub mod opcodes;
pub mod rows;
pub mod wire;

pub use client::{Client, Connector, UnixSocket};
pub use messages::LuxiError;
