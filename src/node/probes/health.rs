//! How healthy a daemon is.

use std::io;

use nix::errno::Errno;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The daemon answers as it should.
    Alive,
    /// It does not, and why.
    Dead(String),
    /// It is there, but its health cannot be judged from here, and why. A restart would not change that.
    Unclear(String),
}

/// Whether this process could not ask: too few descriptors or too little memory, or it is not allowed to.
/// That says nothing about the daemon.
pub(super) fn is_our_own(error: &anyhow::Error) -> bool {
    let codes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    codes.map(Errno::from_raw).any(|code| {
        matches!(
            code,
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS | Errno::EPERM | Errno::EACCES
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_cannot_ask_says_nothing_of_who_would_answer() {
        let error = |code: Errno| anyhow::Error::from(io::Error::from(code)).context("cannot connect");
        for code in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::EACCES] {
            assert!(is_our_own(&error(code)), "{code}");
        }
        for code in [Errno::ECONNREFUSED, Errno::ENOENT, Errno::ETIMEDOUT, Errno::EADDRNOTAVAIL] {
            assert!(!is_our_own(&error(code)), "{code}");
        }
    }
}
