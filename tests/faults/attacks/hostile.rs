//! What can be in place of a file.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;

use crate::judge::Problems;
use crate::world::World;

pub(super) const SECRET: &str = "root:$6$salt$verysecret:19000:0:99999:7:::\n";
/// A user who is not root, as the daemons' users are.
const SOMEBODY: u32 = 12_345;
const SPARSE: u64 = 300 << 20;
const DEPTH: usize = 100_000;

/// Something that is not a proper file, or has no proper content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fifo,
    /// Somebody's link to one of root's files.
    LinkToSecret,
    /// Somebody's link to a missing file.
    LinkToNothing,
    LinkToZero,
    LinkToItself,
    Socket,
    /// Endless zero bytes.
    Device,
    Directory,
    Sparse,
    Nul,
    Garbage,
    DeepJson,
    Empty,
    LongLine,
    /// Root's link to the proper file elsewhere: this must work.
    AdministratorsLink,
}

impl Kind {
    pub(super) const ALL: [Self; 15] = [
        Self::Fifo,
        Self::LinkToSecret,
        Self::LinkToNothing,
        Self::LinkToZero,
        Self::LinkToItself,
        Self::Socket,
        Self::Device,
        Self::Directory,
        Self::Sparse,
        Self::Nul,
        Self::Garbage,
        Self::DeepJson,
        Self::Empty,
        Self::LongLine,
        Self::AdministratorsLink,
    ];

    /// Puts it there.
    pub(super) fn put(self, world: &World, path: &Path, original: &Path) -> Result<()> {
        let content = |bytes: &[u8]| Ok(fs::write(path, bytes)?);
        match self {
            Self::Fifo => Ok(mkfifo(path, Mode::from_bits_truncate(0o600))?),
            Self::LinkToSecret => somebodys_link(&secret(world), path),
            Self::LinkToNothing => somebodys_link(&nothing(world), path),
            Self::LinkToZero => somebodys_link(Path::new("/dev/zero"), path),
            Self::LinkToItself => somebodys_link(path, path),
            Self::Socket => {
                // It stays after the listener is gone.
                drop(UnixListener::bind(path).or_else(|_| {
                    let short = world.machine.root.join("s");
                    let listener = UnixListener::bind(&short)?;
                    fs::rename(&short, path)?;
                    Ok::<_, std::io::Error>(listener)
                })?);
                Ok(())
            }
            Self::Device => mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 5))
                .context("devices need root"),
            Self::Directory => Ok(fs::create_dir(path)?),
            Self::Sparse => Ok(File::create(path)?.set_len(SPARSE)?),
            Self::Nul => content(&[0; 1000]),
            Self::Garbage => {
                content(b"\xff\xfe\x80{]\r\n%n$(x)\x1b[31m\n\n=;\x00-1\n99999999999999999999999")
            }
            Self::DeepJson => content(&b"[".repeat(DEPTH)),
            Self::Empty => content(b""),
            Self::LongLine => {
                let mut file = File::create(path)?;
                for _ in 0..100 {
                    file.write_all(&[b'x'; 10_000])?;
                }
                Ok(())
            }
            Self::AdministratorsLink => Ok(symlink(original, path)?),
        }
    }

    /// Whether the run must end as if nothing were wrong.
    pub(super) fn is_fine(self) -> bool {
        self == Self::AdministratorsLink
    }

    /// How much memory a run may use, in KiB.
    pub(super) fn memory(self) -> u64 {
        // State files of up to 256 MiB are read.
        if self == Self::Sparse { 700 << 10 } else { 100 << 10 }
    }
}

pub(super) fn prepare(world: &World) -> Result<()> {
    fs::write(secret(world), SECRET)?;
    fs::set_permissions(secret(world), fs::Permissions::from_mode(0o640))?;
    Ok(())
}

fn secret(world: &World) -> PathBuf {
    world.outside().join("shadow")
}

fn nothing(world: &World) -> PathBuf {
    world.outside().join("made-by-root")
}

fn somebodys_link(target: &Path, path: &Path) -> Result<()> {
    symlink(target, path)?;
    lchown(path, Some(SOMEBODY), Some(SOMEBODY))?;
    if let Some(directory) = path.parent() {
        lchown(directory, Some(SOMEBODY), Some(SOMEBODY))?;
    }
    Ok(())
}

/// Outside files are unchanged, and nobody was shown their content.
pub(super) fn nothing_leaked(problems: &mut Problems, world: &World, told: &str) {
    if fs::read_to_string(secret(world)).unwrap_or_default() != SECRET {
        problems.add("a file outside was written to through a link");
    }
    if fs::metadata(secret(world)).is_ok_and(|metadata| metadata.permissions().mode() & 0o777 != 0o640) {
        problems.add("the mode of a file outside was changed through a link");
    }
    if fs::symlink_metadata(nothing(world)).is_ok() {
        problems.add("a file outside was made through a link");
    }
    if told.contains("verysecret") {
        problems.add("a file outside was read through a link, and reported");
    }
}
