//! The token that every effect on the cluster demands.

/// Permission to change something. A dry run never holds one, so it cannot submit a job, start or stop anything, or
/// write a file: every function with such an effect takes `&Armed`.
#[derive(Debug)]
pub struct Armed(());

impl Armed {
    /// A token, unless this is a dry run.
    #[must_use]
    pub fn unless(dry_run: bool) -> Option<Self> {
        (!dry_run).then_some(Self(()))
    }

    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        Self(())
    }
}
