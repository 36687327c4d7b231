//! What a run leaves for the next one and for others: state, status and pause files, and the locks on them.
//!
//! [`state`], [`recovery`] and [`python_json`] are pure; the others touch files.

pub mod kept_out;
pub mod locks;
pub mod pause;
pub mod python_json;
pub mod recovery;
pub mod state;
pub mod state_file;
pub mod status;

pub use state::State;
