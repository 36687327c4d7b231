//! The cluster's software version, which decides which fields an opcode may have.

/// Ganeti's release, such as `3.0.2` or `3.1.0~rc2`; only the first two numbers matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GanetiVersion {
    pub major: u32,
    pub minor: u32,
}

impl GanetiVersion {
    /// Reads the `software_version` of `QueryClusterInfo`; `None` when it does not start with two numbers.
    #[must_use]
    pub fn parse(software_version: &str) -> Option<Self> {
        let mut numbers = software_version.split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        Some(Self { major, minor })
    }

    /// Whether `OP_GROUP_VERIFY_DISKS` knows `is_strict`: since 3.1; earlier versions refuse the whole job.
    #[must_use]
    pub fn knows_is_strict(self) -> bool {
        self >= Self { major: 3, minor: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_and_compared() {
        let knows = |text| GanetiVersion::parse(text).map(GanetiVersion::knows_is_strict);
        assert_eq!(knows("2.16.2"), Some(false));
        assert_eq!(knows("3.0.2"), Some(false));
        assert_eq!(knows("3.1.0~rc2"), Some(true));
        assert_eq!(knows("3.2~alpha1"), Some(true));
        assert_eq!(knows("10.0.1"), Some(true));
        assert_eq!(knows("3"), None);
        assert_eq!(knows("three.one"), None);
    }
}
