use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

type Opener = fn(&Path) -> io::Result<File>;

const OPENERS: [Opener; 4] = [open, open_to_change, |path| open_or_make(path, 0o600), open_to_append];

#[test]
fn a_file_is_replaced_whole_and_private() {
    let directory = directory();
    let path = directory.path().join("state");
    replace(&path, b"old", |_| Ok(())).unwrap();
    replace(&path, b"new", |_| Ok(())).unwrap();
    assert_eq!(read_text(&path, 10).unwrap(), "new");
    assert_eq!(mode_of(&path), 0o600);
    replace_by_copy(&directory.path().join("copy"), &open(&path).unwrap()).unwrap();
    assert_eq!(read_text(&directory.path().join("copy"), 10).unwrap(), "new");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn a_failure_leaves_the_old_content_and_nothing_else() {
    let directory = directory();
    let path = directory.path().join("state");
    replace(&path, b"old", |_| Ok(())).unwrap();
    let refuse = |_: &File| Err(io::Error::other("locked"));
    assert!(replace(&path, b"new", refuse).is_err());
    assert_eq!(read_text(&path, 10).unwrap(), "old");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_text_that_is_too_long_or_none_is_refused() {
    let directory = directory();
    let path = directory.path().join("file");
    replace(&path, b"12345", |_| Ok(())).unwrap();
    assert_eq!(read_text(&path, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(read_text(&path, 5).unwrap(), "12345");
    replace(&path, b"\xff", |_| Ok(())).unwrap();
    assert_eq!(read_text(&path, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

/// F1: every one of them hung, or did something to a device.
#[test]
fn what_is_no_regular_file_is_refused_at_once_by_every_way_of_opening() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
    fs::create_dir(path("directory")).unwrap();
    let _listener = UnixListener::bind(path("socket")).unwrap();
    symlink("/dev/zero", path("device")).unwrap();
    for (name, words) in [
        ("fifo", "it is a FIFO and not a regular file"),
        ("directory", "it is a directory and not a regular file"),
        ("socket", "it is a socket and not a regular file"),
        ("device", "it is a device and not a regular file"),
    ] {
        for opener in OPENERS {
            let error = opener(&path(name)).unwrap_err();
            assert!(is_refused(&error), "{name}: {error}");
            assert_eq!(error.to_string(), words);
        }
    }
}

/// F11 and F7: a link from a daemon's user led root to any file.
#[test]
fn a_link_is_followed_only_where_nobody_else_could_have_made_it() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    replace(&path("target"), b"secret", |_| Ok(())).unwrap();
    symlink(path("target"), path("absolute")).unwrap();
    symlink("target", path("relative")).unwrap();
    symlink("relative", path("twice")).unwrap();
    symlink("made", path("dangling")).unwrap();
    symlink("loop", path("loop")).unwrap();
    for name in ["absolute", "relative", "twice"] {
        assert_eq!(read_text(&path(name), 10).unwrap(), "secret", "an administrator's link to another disk");
    }
    assert_eq!(open(&path("loop")).unwrap_err().raw_os_error(), Some(nix::errno::Errno::ELOOP as i32));
    for shared in [0o770, 0o1777, 0o702] {
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(shared)).unwrap();
        for (name, opener) in ["absolute", "relative", "twice", "dangling"].iter().zip(OPENERS) {
            let error = opener(&path(name)).unwrap_err();
            assert!(is_refused(&error), "{name}: {error}");
        }
        assert!(open(&path("target")).is_ok(), "files are still opened there");
    }
    assert!(!path("made").exists());
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(open_to_append(&path("dangling")).unwrap());
    assert!(path("made").exists());
}

#[test]
fn directories_may_be_links_to_anywhere() {
    let (directory, elsewhere) = (directory(), directory());
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    symlink(elsewhere.path(), directory.path().join("log")).unwrap();
    drop(open_to_append(&directory.path().join("log/watcher.log")).unwrap());
    assert!(elsewhere.path().join("watcher.log").is_file());
}

#[test]
fn whose_links_are_followed() {
    let (root, own, other) = (0, 1000, 33);
    assert!(may_be_followed(root, root, 0o755, root));
    assert!(may_be_followed(own, own, 0o700, own));
    assert!(may_be_followed(root, root, 0o755, own));
    for (link, directory, mode) in [
        (other, root, 0o755),
        (root, other, 0o755),
        // Like /var/log/ganeti, /var/run/ganeti and /run/lock.
        (root, root, 0o770),
        (root, root, 0o775),
        (root, root, 0o1777),
    ] {
        assert!(!may_be_followed(link, directory, mode, root), "{link} {directory} {mode:o}");
    }
}

#[test]
fn what_is_made_has_the_mode_that_the_original_gives_it() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    let status = read_text(Path::new("/proc/self/status"), 1 << 16).unwrap();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    let umask = u32::from_str_radix(umask.trim(), 8).unwrap();
    let less_umask = |mode: u32| mode & !umask;
    drop(open_to_append(&path("log")).unwrap());
    drop(open_or_make(&path("lock"), 0o664).unwrap());
    drop(open_or_make(&path("state"), 0o600).unwrap());
    assert_eq!(mode_of(&path("log")), less_umask(0o666));
    assert_eq!(mode_of(&path("lock")), less_umask(0o664));
    assert_eq!(mode_of(&path("state")), 0o600);
    for opener in [open as Opener, open_to_change] {
        assert_eq!(opener(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
    assert!(!path("none").exists());
}

/// E: they were never removed.
#[test]
fn temporary_files_of_killed_runs_are_removed_and_no_others() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    let state = path("watcher.u.data");
    let kept = ["watcher.u.data", "watcher.u.data.bad-1", "watcher.u.data.new", "watcher.v.datadGhT9x.new"];
    for name in kept.iter().chain(&["watcher.u.datadGhT9x.new", "watcher.u.datak3_x8abc.new"]) {
        replace(&path(name), b"x", |_| Ok(())).unwrap();
    }
    let count = || fs::read_dir(directory.path()).unwrap().count();
    remove_left_over(&state, Duration::from_secs(3600));
    assert_eq!(count(), kept.len() + 2, "they are new");
    remove_left_over(&state, Duration::ZERO);
    assert_eq!(count(), kept.len());
}
