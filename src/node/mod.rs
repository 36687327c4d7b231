//! This node: what Ganeti wrote on it, who it is, and its daemons.

pub mod confd;
pub mod daemons;
pub mod hooks;
pub mod maintenance;
pub mod own_name;
pub mod probes;
pub mod process;
pub mod ssconf;
pub mod systemd;
