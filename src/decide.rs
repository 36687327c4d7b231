//! The decisions: pure functions from what was seen and remembered to what should be done, with the reasons
//! as data.
//!
//! Nothing here knows a clock, a file, the network or the runtime. A pass returns [`Step`]s in the order in
//! which they are to be taken; [`crate::act`] takes them and feeds every [`Outcome`] back.

pub mod action;
pub mod activations;
pub mod agenda;
pub mod backoff;
pub mod blame;
pub mod budget;
pub mod degraded;
pub mod elsewhere;
pub mod event;
pub mod full;
pub mod governor;
pub mod hold;
pub mod instances;
pub mod intent;
pub mod likeness;
pub mod mirrors;
pub mod pass;
pub mod policy;
pub mod reason;
pub mod remedy;
pub mod schedule;
pub mod second_look;
pub mod shared;
pub mod shortage;
pub mod slots;
pub mod steps;
pub mod tags;
pub mod verdict;
pub mod verify;

pub use action::{Action, ActionKind};
pub use event::Event;
pub use steps::{Note, NoteKind, Outcome, Step, split};

#[cfg(test)]
mod tests;
