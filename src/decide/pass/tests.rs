//! Whole passes: a cluster is seen, planned for and acted on, and what is remembered goes into the next run.

mod disks;
mod group;
mod starts;
mod verdicts;
