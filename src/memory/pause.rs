//! The pause file: until when an administrator wants no watcher to run, in whole seconds since the epoch, as
//! digits.
//!
//! Source: `utils/io.py: ReadWatcherPauseFile`, `backend.py: SetWatcherPause`.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};
use tracing::{debug, warn};

use crate::armed::Armed;
use crate::cluster::Timestamp;
use crate::files::read_text;

/// An expired pause file is removed when it is older than this.
const REMOVE_AFTER: f64 = 3600.0;
const LONGEST_FILE: u64 = 4096;

/// What the pause file says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pause {
    /// Nothing, or a time that has passed.
    Off,
    /// Do nothing until that time (seconds since the epoch).
    Until(Timestamp),
}

#[derive(Debug, PartialEq)]
enum Content {
    Garbage,
    LongExpired,
    Expired,
    Active(Timestamp),
}

/// Reads the pause file and, when permitted, removes it if it is garbage or expired more than an hour ago.
///
/// # Errors
/// When it exists but cannot be read: it is then unknown whether the cluster is paused.
pub fn check(path: &Path, now: Timestamp, armed: Option<&Armed>) -> Result<Pause> {
    let content = match read_text(path, LONGEST_FILE) {
        Ok(text) => judge(&text, now),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pause::Off),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Content::Garbage,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read the pause file '{}'", path.display()));
        }
    };
    match content {
        Content::Active(until) => return Ok(Pause::Until(until)),
        Content::Expired => {}
        Content::LongExpired => {
            debug!("The pause in '{}' ended more than an hour ago, removing it", path.display());
            armed.map_or(Ok(()), |armed| remove(armed, path))?;
        }
        Content::Garbage => {
            warn!("Watcher pause file ({}) contains invalid value, removing it", path.display());
            armed.map_or(Ok(()), |armed| remove(armed, path))?;
        }
    }
    Ok(Pause::Off)
}

fn remove(_armed: &Armed, path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the pause file '{}'", path.display()))
        }
        _ => Ok(()),
    }
}

fn judge(text: &str, now: Timestamp) -> Content {
    match python_int(text) {
        None => Content::Garbage,
        Some(until) if now > until + REMOVE_AFTER => Content::LongExpired,
        Some(until) if now > until => Content::Expired,
        Some(until) => Content::Active(until),
    }
}

/// Parses a text as Python's `int()` does: surrounding white space, a sign and single underscores between
/// digits are fine. Precise enough for a time; a number too large for that means an endless pause.
fn python_int(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let well_formed =
        digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    well_formed.then(|| text.replace('_', "").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_pause_file_is_judged() {
        crate::testing::fuzz::fuzz_text(&["1795343883\n", " +1_000 ", "-5"], |text| {
            if let Content::Active(until) = judge(text, 1000.0) {
                assert!(until >= 1000.0);
            }
        });
    }

    #[test]
    fn only_an_integer_in_the_future_pauses() {
        let now = 1_000_000.5;
        for (text, content) in [
            ("1000001\n", Content::Active(1_000_001.0)),
            (" +1_000_600 ", Content::Active(1_000_600.0)),
            ("1000000", Content::Expired),
            ("996401", Content::Expired),
            ("996400", Content::LongExpired),
            ("-5", Content::LongExpired),
            ("0", Content::LongExpired),
            ("", Content::Garbage),
            ("tomorrow", Content::Garbage),
            ("1e9", Content::Garbage),
            ("1000001.0", Content::Garbage),
            ("1__0", Content::Garbage),
            ("_1", Content::Garbage),
            ("+ 1", Content::Garbage),
            ("- -1", Content::Garbage),
            ("1000001\n1000002", Content::Garbage),
        ] {
            assert_eq!(judge(text, now), content, "{text:?}");
        }
        assert_eq!(judge(&"9".repeat(400), now), Content::Active(f64::INFINITY));
    }

    #[test]
    fn the_boundaries_are_the_original_s() {
        assert_eq!(judge("100", 100.0), Content::Active(100.0));
        assert_eq!(judge("100", 3700.0), Content::Expired);
        assert_eq!(judge("100", 3700.1), Content::LongExpired);
    }

    #[test]
    fn garbage_and_old_files_are_removed_and_others_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watcher.pause");
        assert_eq!(check(&path, 0.0, None).unwrap(), Pause::Off);
        for (content, now, pause, kept) in [
            (&b"100\n"[..], 50.0, Pause::Until(100.0), true),
            (b"100\n", 200.0, Pause::Off, true),
            (b"100\n", 9999.0, Pause::Off, false),
            (b"soon", 50.0, Pause::Off, false),
            (b"\xff\xfe", 50.0, Pause::Off, false),
        ] {
            crate::files::replace(&path, content, |_| Ok(())).unwrap();
            assert_eq!(check(&path, now, None).unwrap(), pause);
            assert!(path.exists(), "a dry run removes nothing");
            assert_eq!(check(&path, now, Some(&Armed::for_test())).unwrap(), pause);
            assert_eq!(path.exists(), kept);
        }
    }

    #[test]
    fn an_unreadable_file_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(
            check(directory.path(), 0.0, None)
                .unwrap_err()
                .to_string()
                .contains("cannot read the pause file")
        );
    }
}
