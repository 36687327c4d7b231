//! Ganeti's words for the status of an instance.

use std::fmt;

/// Status of an instance (`constants.INSTST_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceStatus {
    /// Runs on its primary node, as it should.
    Running,
    /// Runs although it should not.
    ErrorUp,
    /// Does not run although it should.
    ErrorDown,
    /// Its primary node does not answer.
    NodeDown,
    /// Its primary node is marked offline.
    NodeOffline,
    /// Runs on a node that is not its primary.
    WrongNode,
    /// Stopped by its user from inside.
    UserDown,
    /// Stopped, as it should be.
    AdminDown,
    /// Marked offline by an administrator.
    AdminOffline,
    /// A word that this program does not know; nothing is done about such an instance.
    Other(String),
}

impl InstanceStatus {
    const WORDS: [(Self, &'static str); 9] = [
        (Self::Running, "running"),
        (Self::ErrorUp, "ERROR_up"),
        (Self::ErrorDown, "ERROR_down"),
        (Self::NodeDown, "ERROR_nodedown"),
        (Self::NodeOffline, "ERROR_nodeoffline"),
        (Self::WrongNode, "ERROR_wrongnode"),
        (Self::UserDown, "USER_down"),
        (Self::AdminDown, "ADMIN_down"),
        (Self::AdminOffline, "ADMIN_offline"),
    ];

    /// The status that Ganeti writes as `word`.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        Self::WORDS
            .iter()
            .find(|(_, known)| *known == word)
            .map_or_else(|| Self::Other(word.to_owned()), |(status, _)| status.clone())
    }

    /// Ganeti's word for it.
    #[must_use]
    pub fn as_word(&self) -> &str {
        match self {
            Self::Other(word) => word,
            known => Self::WORDS.iter().find(|(status, _)| status == known).map_or("", |(_, word)| word),
        }
    }

    /// Whether nothing can be done for the instance because its primary node is away
    /// (`watcher/__init__.py: HELPLESS_STATES`).
    #[must_use]
    pub fn is_helpless(&self) -> bool {
        matches!(self, Self::NodeDown | Self::NodeOffline)
    }

    /// Whether it is one that this program knows. For any other it is unknown whether the instance runs.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Whether the instance does not run although it should, as far as can be seen.
    #[must_use]
    pub fn may_be_down(&self) -> bool {
        *self == Self::ErrorDown || self.is_helpless() || !self.is_known()
    }
}

impl fmt::Display for InstanceStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_itself() {
        for (status, word) in &InstanceStatus::WORDS {
            assert_eq!(&InstanceStatus::from_word(word), status);
            assert_eq!(status.as_word(), *word);
        }
        assert_eq!(InstanceStatus::from_word("ERROR_new").as_word(), "ERROR_new");
    }
}
