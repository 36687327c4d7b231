//! Replacing files so that a kill at any moment leaves the old or the new content.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// Writes `content` to a temporary file beside `path`, syncs it, and renames it to `path`. The mode is 0600, as with
/// the original (`utils/io.py: WriteFile`). `before_rename` is called with the new file, to lock it for example.
/// Returns the new file, still open.
///
/// # Errors
/// When the directory cannot be written or `before_rename` fails; `path` is then unchanged.
pub fn replace(
    path: &Path,
    content: &[u8],
    before_rename: impl FnOnce(&File) -> io::Result<()>,
) -> Result<File> {
    write_and_rename(path, content, before_rename)
        .with_context(|| format!("cannot write '{}'", path.display()))
}

fn write_and_rename(
    path: &Path,
    content: &[u8],
    before_rename: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<File> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut file: NamedTempFile =
        tempfile::Builder::new().prefix(name).suffix(".new").tempfile_in(directory)?;
    before_rename(file.as_file())?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    let file = file.persist(path)?;
    // The rename itself is safe on disk only after this; a file system that cannot sync directories is no reason to
    // report the new content as lost.
    if let Ok(directory) = File::open(directory) {
        drop(directory.sync_all());
    }
    Ok(file)
}

/// Reads at most `limit` bytes of text.
///
/// # Errors
/// The kernel's; `InvalidData` when it is longer than that or not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    read_text_from(&fs::File::open(path)?, limit)
}

/// As [`read_text`], from a file that is open already.
///
/// # Errors
/// As [`read_text`].
pub fn read_text_from(file: &File, limit: u64) -> io::Result<String> {
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {limit} bytes")));
    }
    String::from_utf8(content).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        replace(&path, b"old", |_| Ok(())).unwrap();
        replace(&path, b"new", |_| Ok(())).unwrap();
        assert_eq!(read_text(&path, 10).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_leaves_the_old_content_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        replace(&path, b"old", |_| Ok(())).unwrap();
        let refuse = |_: &File| Err(io::Error::other("locked"));
        assert!(replace(&path, b"new", refuse).is_err());
        assert_eq!(read_text(&path, 10).unwrap(), "old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_text_that_is_too_long_or_none_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        replace(&path, b"12345", |_| Ok(())).unwrap();
        assert_eq!(read_text(&path, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        replace(&path, b"\xff", |_| Ok(())).unwrap();
        assert_eq!(read_text(&path, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
