//! This node: what Ganeti wrote on it, who it is, and its daemons.

pub mod daemons;
pub mod own_name;
pub mod ssconf;
