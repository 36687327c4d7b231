//! Repeatable randomness: every draw names its purpose, and depends only on that name and the seed. So an
//! additional node does not change what happens to the others.

use std::fmt::Write as _;
use std::time::Duration;

use super::span::Span;

/// The source of all randomness of one story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// A generator for one purpose, such as `boot id of node1, boot 3`.
    #[must_use]
    pub fn draw(self, purpose: &str) -> fastrand::Rng {
        // FNV-1a: any hash that is the same in every build will do.
        let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        fastrand::Rng::with_seed(hash ^ self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A duration within the span.
    #[must_use]
    pub fn duration(self, span: Span, purpose: &str) -> Duration {
        span.from + span.to.saturating_sub(span.from).mul_f64(self.draw(purpose).f64())
    }

    /// A random UUID in Ganeti's form.
    #[must_use]
    pub fn uuid(self, purpose: &str) -> String {
        let mut generator = self.draw(purpose);
        let mut uuid = String::new();
        for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
            if index > 0 {
                uuid.push('-');
            }
            for _ in 0..length {
                // Writing to a String does not fail.
                let _written = write!(uuid, "{:x}", generator.u8(0..16));
            }
        }
        uuid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ssconf::is_uuid;

    #[test]
    fn the_same_purpose_always_gives_the_same_and_another_another() {
        let seed = Seed(7);
        assert_eq!(seed.uuid("boot node1 1"), seed.uuid("boot node1 1"));
        assert_ne!(seed.uuid("boot node1 1"), seed.uuid("boot node1 2"));
        assert_ne!(seed.uuid("boot node1 1"), Seed(8).uuid("boot node1 1"));
        assert!(is_uuid(&seed.uuid("x")));
    }

    #[test]
    fn lengths_of_time_stay_within_their_span() {
        let span = Span { from: Duration::from_secs(4), to: Duration::from_secs(6) };
        for purpose in 0..100 {
            let drawn = Seed(1).duration(span, &purpose.to_string());
            assert!(span.from <= drawn && drawn <= span.to);
        }
        assert_eq!(Seed(1).duration(Span::exactly(Duration::ZERO), "x"), Duration::ZERO);
    }
}
