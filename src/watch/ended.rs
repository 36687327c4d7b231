//! How a run ends, and its exit code.

/// `constants.EXIT_SUCCESS`.
const EXIT_SUCCESS: u8 = 0;
/// `constants.EXIT_FAILURE`.
const EXIT_FAILURE: u8 = 1;
/// `constants.EXIT_NOTMASTER`.
const EXIT_NOTMASTER: u8 = 11;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything was done, or there was nothing to do here.
    Done,
    /// Something failed, and was logged.
    Failed,
    /// This is not the master, which was found out too late to stay quiet about it.
    NotMaster,
}

impl Ended {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => EXIT_SUCCESS,
            Self::Failed => EXIT_FAILURE,
            Self::NotMaster => EXIT_NOTMASTER,
        }
    }
}
