//! The token that every effect on the cluster requires.

/// Permission to change something. A dry run never holds one, so it cannot submit a job, start or stop
/// anything, or write a Ganeti file: every function with such an effect takes `&Armed`, or belongs to a value
/// that required one (such as [`StateFile`](crate::memory::state_file::StateFile)). Only `main` and the
/// cluster in a box make one.
#[derive(Debug)]
pub struct Armed(());

impl Armed {
    /// The token of a watcher run; `None` for a dry run.
    #[must_use]
    pub fn for_run(dry_run: bool) -> Option<Self> {
        (!dry_run).then_some(Self(()))
    }

    /// The token of the command `retry`, which has no dry run.
    #[must_use]
    pub fn for_retry() -> Self {
        Self(())
    }

    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        Self(())
    }
}
