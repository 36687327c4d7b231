//! The guests that a hypervisor lists.

/// What a hypervisor says about its guests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Names of those running.
    pub(super) running: Vec<String>,
    /// Names of those for which that is unclear, and why.
    pub(super) unclear: Vec<(String, String)>,
}

impl From<Vec<String>> for Listed {
    fn from(running: Vec<String>) -> Self {
        Self { running, unclear: Vec::new() }
    }
}
