//! The site's watcher hooks: programs that every run starts on every node.
//!
//! Source: `watcher/__init__.py: RunWatcherHooks`, `utils/process.py: RunParts`. Unlike the original, a hook
//! has a time limit and a limit on its output, and its result is logged when it ends and not after all the
//! others.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use tracing::{debug, info, warn};

use super::process::Program;
use crate::armed::Armed;

/// Runs all hooks of a directory, one after another; without permission only reports which. What goes wrong
/// is logged. A hook that runs longer than `time_limit` is killed with its process group.
pub async fn run(armed: Option<&Armed>, directory: &Path, time_limit: Duration) {
    let names = match visible(directory) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            warn!("RunParts: skipping {} (cannot list: {error})", directory.display());
            return;
        }
    };
    for name in names {
        let path = directory.join(&name);
        let shown = name.to_string_lossy();
        match is_hook(&name, &path) {
            Ok(true) => {}
            Ok(false) => {
                debug!("Watcher hook {shown}: skipped");
                continue;
            }
            Err(error) => {
                warn!("Watcher hook {shown}: error (cannot look at '{}': {error})", path.display());
                continue;
            }
        }
        match armed {
            Some(armed) => run_one(armed, &shown, &path, time_limit).await,
            None => info!("Would run watcher hook {shown}"),
        }
    }
}

async fn run_one(_armed: &Armed, name: &str, path: &Path, time_limit: Duration) {
    match Program::new(path, time_limit).run().await {
        Ok(finished) if finished.succeeded() => {
            debug!("Watcher hook {name}: success (output: {})", finished.output());
        }
        Ok(finished) => {
            warn!("Watcher hook {name}: failed ({}) (output: {})", finished.ending, finished.output());
        }
        Err(error) => warn!("Watcher hook {name}: error ({error:#})"),
    }
}

/// The names that are not hidden, in byte order, which is that of Python's code points.
fn visible(directory: &Path) -> io::Result<Vec<OsString>> {
    let names: io::Result<Vec<OsString>> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect();
    let mut names = names?;
    names.retain(|name| !name.as_bytes().starts_with(b"."));
    names.sort();
    Ok(names)
}

/// Whether it is a valid name (`constants.EXT_PLUGIN_MASK`) of an executable file. Links are followed: hooks
/// are often kept elsewhere.
///
/// # Errors
/// When that cannot be determined, for example because the link leads to a file server that does not answer.
fn is_hook(name: &OsStr, path: &Path) -> io::Result<bool> {
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !name.as_bytes().iter().all(is_good) {
        return Ok(false);
    }
    match path.metadata() {
        Ok(found) if !found.is_file() => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    match access(path, AccessFlags::X_OK) {
        Ok(()) => Ok(true),
        Err(Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::logging::testing::logged;
    use crate::testing::Machine;

    const LONG: Duration = Duration::from_secs(60);

    fn log_of(directory: &Path, time_limit: Duration, armed: Option<&Armed>) -> String {
        logged(async { run(armed, directory, time_limit).await })
    }

    #[test]
    fn hooks_of_every_kind() {
        let machine = Machine::new();
        let hooks = machine.layout.watcher_hooks();
        let path = |name| hooks.join(name);
        machine.hook("10-good", "echo $# $LC_ALL; pwd; cat; echo err >&2");
        machine.hook("20-fails", "echo reason; exit 4");
        machine.hook("30-killed", "kill -9 $$");
        machine.hook("40-much", "yes | head -c 100000; exit 1");
        machine.hook("bad.name", "exit 9");
        machine.hook(".hidden", "exit 9");
        machine.hook("not-executable", "exit 9");
        fs::set_permissions(path("not-executable"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("20-fails", path("25-link")).unwrap();
        symlink("nowhere", path("broken-link")).unwrap();
        fs::create_dir(path("directory")).unwrap();
        machine.write(path("50-no-program"), "#!/nonexistent\n");
        fs::set_permissions(path("50-no-program"), fs::Permissions::from_mode(0o700)).unwrap();

        let log = log_of(&hooks, LONG, Some(&Armed::for_test()));
        let expected = [
            "DEBUG Watcher hook 10-good: success (output: 0 C\\n/\\nerr)",
            "WARNING Watcher hook 20-fails: failed (exit: 4) (output: reason)",
            "WARNING Watcher hook 25-link: failed (exit: 4) (output: reason)",
            "WARNING Watcher hook 30-killed: failed (killed by SIGKILL) (output: )",
            "WARNING Watcher hook 40-much: failed (exit: 1) (output: y\\ny\\n",
            "WARNING Watcher hook 50-no-program: error (cannot run '",
            "DEBUG Watcher hook bad.name: skipped",
            "DEBUG Watcher hook broken-link: skipped",
            "DEBUG Watcher hook directory: skipped",
            "DEBUG Watcher hook not-executable: skipped",
        ];
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("Watcher hook")).collect();
        assert_eq!(lines.len(), expected.len(), "{log}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}\n{expected}");
        }
        assert_eq!(machine.calls(), ["10-good", "20-fails", "25-link", "30-killed", "40-much"]);
    }

    #[test]
    fn links_are_followed_and_one_that_cannot_be_is_told() {
        let machine = Machine::new();
        machine.program("elsewhere", "echo ran");
        let (site, linked) = (machine.system.join("site"), machine.system.join("watcher"));
        fs::create_dir(&site).unwrap();
        symlink(&site, &linked).unwrap();
        symlink(machine.layout.program("elsewhere"), site.join("10-link")).unwrap();
        symlink("20-loop", site.join("20-loop")).unwrap();
        let log = log_of(&linked, LONG, Some(&Armed::for_test()));
        assert!(log.contains("DEBUG Watcher hook 10-link: success (output: ran)"), "{log}");
        assert!(log.contains("WARNING Watcher hook 20-loop: error (cannot look at '"), "{log}");
    }

    #[test]
    fn a_hook_that_hangs_is_killed_and_the_next_one_runs() {
        let machine = Machine::new();
        machine.hook("1", "sleep 300");
        machine.hook("2", "exit 5");
        let log =
            log_of(&machine.layout.watcher_hooks(), Duration::from_millis(50), Some(&Armed::for_test()));
        let words =
            "WARNING Watcher hook 1: failed (still running after 0.05 s, killed with its process group)";
        assert!(log.contains(words), "{log}");
        assert!(log.contains("WARNING Watcher hook 2: failed ("), "{log}");
    }

    #[test]
    fn a_dry_run_runs_none() {
        let machine = Machine::new();
        machine.hook("1", "exit 0");
        assert_eq!(log_of(&machine.layout.watcher_hooks(), LONG, None), "INFO Would run watcher hook 1\n");
        assert_eq!(machine.calls(), [""; 0]);
    }

    #[test]
    fn no_directory_means_no_hooks() {
        assert_eq!(log_of(Path::new("/nonexistent"), LONG, Some(&Armed::for_test())), "");
    }
}
