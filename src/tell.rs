//! The words. Everything that people read of a run is made here, out of verdicts, events and outcomes: the
//! lines of the log and of a dry run, the answers of `retry`, the end of a story. No other room makes
//! sentences about instances, nodes or runs; `tests/architecture/words.rs` checks that.
//!
//! Where the original has a line for the same thing, its greppable words are kept.

mod actions;
pub mod answers;
pub mod begin;
mod conditions;
mod events;
pub mod group;
mod line;
pub mod load;
pub mod master;
pub mod mirrors;
mod notes;
pub mod records;
mod remedy;
pub mod retry;
pub mod run;
mod same;
mod shortage;
pub mod story;
mod verdicts;
pub mod verify;
pub mod why;
mod words;

pub use actions::{begun, change_of_width, ended, would};
pub use conditions::{Conditions, conditions, is_news};
pub use events::event;
pub use line::{LogLine, Severity};
pub use notes::{note, notes};
pub use verdicts::verdicts;
pub use words::Times;
