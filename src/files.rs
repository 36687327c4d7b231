//! The only place that opens files. Whatever a name refers to, opening it never blocks, and only regular
//! files are read or written: a FIFO would block every run forever, and a device could do anything.
//!
//! A symbolic link is followed only if nobody but root can have put it there: root owns the link, and only
//! root can write its directory. `/var/log/ganeti` and `/var/run/ganeti` can be written by the users of
//! Ganeti's daemons (`tools/ensure_dirs.py`), and root must not be led from there to other files. Directories
//! may be links to anywhere.
//!
//! Files are replaced so that a kill at any moment leaves either the old or the new content.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use tempfile::NamedTempFile;
use thiserror::Error;
use tracing::debug;

/// As many as the kernel follows (`path_resolution(7)`).
const MOST_LINKS: usize = 40;
/// Anybody else who can write a directory could have put anything there.
const OTHERS_MAY_WRITE: u32 = 0o022;
/// The suffix of temporary files, as in the original (`utils/io.py: WriteFile`).
const TEMPORARY_SUFFIX: &str = ".new";
/// How many random characters are between name and suffix: tempfile's six, Python's eight.
const RANDOM_CHARACTERS: std::ops::RangeInclusive<usize> = 6..=8;

/// What a name refers to, if it is not opened. It is the inner error of an [`io::Error`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// Not a regular file.
    #[error("it is {0} and not a regular file")]
    NotRegular(&'static str),
    /// A link that leads elsewhere, and that somebody other than root may have put there.
    #[error("it is a symbolic link to '{}' that someone other than root may have made", .0.display())]
    Link(PathBuf),
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(io::ErrorKind::InvalidInput, refused)
    }
}

/// Whether something other than a regular file is in the way.
#[must_use]
pub fn is_refused(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Refused>)
}

/// Opens a file for reading.
///
/// # Errors
/// The kernel's; [`Refused`] inside.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true), Missing::IsAnError)
}

/// Opens an existing file for reading and writing.
///
/// # Errors
/// As [`open`].
pub fn open_to_change(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true).write(true), Missing::IsAnError)
}

/// As [`open_to_change`]; a file that does not exist is created, with this mode less the umask.
///
/// # Errors
/// As [`open`].
pub fn open_or_make(path: &Path, mode: u32) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true).write(true).mode(mode), Missing::IsMade)
}

/// Opens a file for appending; one that does not exist is created, with mode 0666 less the umask, as by
/// Python's `open`.
///
/// # Errors
/// As [`open`].
pub fn open_to_append(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().append(true), Missing::IsMade)
}

#[derive(Clone, Copy, PartialEq)]
enum Missing {
    IsAnError,
    IsMade,
}

fn open_with(path: &Path, options: &mut OpenOptions, missing: Missing) -> io::Result<File> {
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        // Checked before it is opened, because merely opening some devices makes them do something.
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => path = followed(&path, &found)?,
            // Without O_CREAT: in a directory like /run/lock the kernel would refuse a file that another user
            // created (`fs.protected_regular`).
            Ok(found) => {
                refuse_irregular(&found)?;
                return open_regular(&path, options.create_new(false));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::IsMade => {
                match open_regular(&path, options.create_new(true)) {
                    // Somebody else was quicker.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    made => return made,
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(nix::errno::Errno::ELOOP))
}

/// What is opened may not be what was checked, so it is checked again.
fn open_regular(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let file = options.open(path)?;
    refuse_irregular(&file.metadata()?)?;
    Ok(file)
}

/// Where a link leads, if it may be followed.
fn followed(path: &Path, link: &Metadata) -> io::Result<PathBuf> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let target = fs::read_link(path)?;
    let around = fs::metadata(directory)?;
    if may_be_followed(link.uid(), around.uid(), around.mode(), geteuid().as_raw()) {
        Ok(directory.join(target))
    } else {
        Err(Refused::Link(target).into())
    }
}

/// Whether only root, or this process's own user, can have made a link: judged by the owners of link and
/// directory, and by the directory's mode.
fn may_be_followed(link_owner: u32, directory_owner: u32, directory_mode: u32, own: u32) -> bool {
    let is_trusted = |user: u32| user == 0 || user == own;
    is_trusted(link_owner) && is_trusted(directory_owner) && directory_mode & OTHERS_MAY_WRITE == 0
}

fn refuse_irregular(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () if kind.is_symlink() => "a symbolic link",
        () => "a device",
    };
    Err(Refused::NotRegular(what).into())
}

/// Reads a whole file.
///
/// # Errors
/// As [`open`]; `InvalidData` when it is longer than `limit` bytes.
pub fn read_bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_bytes_from(&open(path)?, limit)
}

/// Reads a whole file as text.
///
/// # Errors
/// As [`read_bytes`]; `InvalidData` also when it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    read_text_from(&open(path)?, limit)
}

/// As [`read_text`], from a file that is already open.
///
/// # Errors
/// As [`read_text`].
pub fn read_text_from(file: &File, limit: u64) -> io::Result<String> {
    String::from_utf8(read_bytes_from(file, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))
}

fn read_bytes_from(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {limit} bytes")));
    }
    Ok(content)
}

/// Writes `content` to a temporary file next to `path`, syncs it, and renames it to `path`. The mode is 0600,
/// as with the original (`utils/io.py: WriteFile`). `before_rename` is called with the new file, to lock it
/// for example. Returns the new file, still open.
///
/// # Errors
/// When the directory cannot be written or `before_rename` fails; `path` is then unchanged.
pub fn replace(
    path: &Path,
    content: &[u8],
    before_rename: impl FnOnce(&File) -> io::Result<()>,
) -> Result<File> {
    replace_by(path, |mut file| {
        before_rename(file)?;
        file.write_all(content)
    })
}

/// As [`replace`], with the whole content of an open file.
///
/// # Errors
/// As [`replace`].
pub fn replace_by_copy(path: &Path, mut from: &File) -> Result<File> {
    replace_by(path, |mut file| {
        io::Seek::rewind(&mut from)?;
        io::copy(&mut from, &mut file).map(drop)
    })
}

fn replace_by(path: &Path, fill: impl FnOnce(&File) -> io::Result<()>) -> Result<File> {
    write_and_rename(path, fill).with_context(|| format!("cannot write '{}'", path.display()))
}

fn write_and_rename(path: &Path, fill: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let file: NamedTempFile =
        tempfile::Builder::new().prefix(name).suffix(TEMPORARY_SUFFIX).tempfile_in(directory)?;
    fill(file.as_file())?;
    file.as_file().sync_all()?;
    let file = file.persist(path)?;
    // The rename itself is safe on disk only after this; a file system that cannot sync directories is not a
    // reason to report the new content as lost.
    if let Ok(directory) = File::open(directory) {
        drop(directory.sync_all());
    }
    Ok(file)
}

/// A temporary file that has not been written for this long is a leftover: writing one takes milliseconds.
pub const LEFT_AFTER: Duration = Duration::from_secs(60);

/// Removes the temporary files that killed processes left next to `path` while replacing it, if they have not
/// been written for this long. With zero, the caller must hold the lock that everybody holds who replaces
/// `path`; where there is none, use [`LEFT_AFTER`]. A file that stays does no harm; the next run tries again.
pub fn remove_left_over(path: &Path, older_than: Duration) {
    if let Err(error) = try_to_remove_left_over(path, older_than) {
        debug!("Cannot remove what killed runs left beside '{}': {error}", path.display());
    }
}

fn try_to_remove_left_over(path: &Path, older_than: Duration) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !is_temporary_name(&entry.file_name(), name) {
            continue;
        }
        let metadata = entry.metadata()?;
        let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
        if metadata.is_file() && age >= older_than {
            fs::remove_file(entry.path())?;
            debug!("Removed '{}', which a killed run left", entry.path().display());
        }
    }
    Ok(())
}

fn is_temporary_name(found: &OsStr, name: &OsStr) -> bool {
    let random = found.as_bytes().strip_prefix(name.as_bytes());
    let random = random.and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX.as_bytes()));
    random.is_some_and(|random| {
        RANDOM_CHARACTERS.contains(&random.len())
            && random.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    })
}

#[cfg(test)]
mod tests;
