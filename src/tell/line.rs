//! A line for the log, and how much it matters.

/// How much a line matters, in Python's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Only with `--debug`.
    Debug,
    /// What a run does.
    Info,
    /// What the administrator should know.
    Warning,
    /// What did not work.
    Error,
}

/// One line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub severity: Severity,
    /// What it says.
    pub text: String,
}

impl LogLine {
    pub(super) fn debug(text: impl Into<String>) -> Self {
        Self { severity: Severity::Debug, text: text.into() }
    }

    pub(super) fn info(text: impl Into<String>) -> Self {
        Self { severity: Severity::Info, text: text.into() }
    }

    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, text: text.into() }
    }

    pub(super) fn error(text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, text: text.into() }
    }
}
