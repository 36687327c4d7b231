//! Whether cron calls the watcher on this node, which a run started by a systemd timer must know.
//!
//! Source of the format: `crontab(5)`, and `cron(8)` for which files of `/etc/cron.d` count.

use std::io;
use std::path::{Path, PathBuf};

use crate::files;
use crate::layout::Layout;

const LONGEST_FILE: u64 = 1 << 20;

/// Whether cron calls the watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// It does, by this file.
    Cron(PathBuf),
    /// It does not.
    Nobody,
    /// Not as far as can be read; and why not everything can.
    Unknown(String),
}

/// Looks for a line that calls `ganeti-watcher` in `/etc/crontab`, root's own crontab, and the files of
/// `/etc/cron.d`.
#[must_use]
pub fn caller(layout: &Layout) -> Caller {
    let mut unread = None;
    let mut files = layout.crontabs().to_vec();
    let directory = layout.cron_directory();
    match jobs(&directory) {
        Ok(mut jobs) => files.append(&mut jobs),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => unread = Some(format!("cannot list '{}': {error}", directory.display())),
    }
    for file in files {
        // cron ignores what is not a file.
        if std::fs::metadata(&file).is_ok_and(|found| !found.is_file()) {
            continue;
        }
        match files::read_bytes(&file, LONGEST_FILE) {
            Ok(text) if String::from_utf8_lossy(&text).lines().any(calls_watcher) => {
                return Caller::Cron(file);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => unread = unread.or(Some(format!("cannot read '{}': {error}", file.display()))),
        }
    }
    unread.map_or(Caller::Nobody, Caller::Unknown)
}

/// The files of a directory that cron reads, in the order of their names.
fn jobs(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let mut jobs: Vec<PathBuf> =
        entries.iter().map(std::fs::DirEntry::path).filter(|path| is_minded(path)).collect();
    jobs.sort();
    Ok(jobs)
}

/// cron ignores files with a dot in their name, such as those that dpkg and editors leave behind.
fn is_minded(path: &Path) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.chars().all(is_plain))
}

/// Programs that take the watcher's name as an argument and do not run it.
const LOOKERS: [&str; 13] =
    ["[", "[[", "test", "command", "type", "which", "ls", "ps", "pgrep", "pidof", "grep", "echo", "logger"];

/// With one of these the watcher does not make a run.
const NO_RUN: [&str; 6] = ["--dry-run", "--help", "-h", "--version", "retry", "simulate"];

/// Whether a crontab line makes `ganeti-watcher`, or the original next to it, do a run, by whatever path.
fn calls_watcher(line: &str) -> bool {
    let line = line.trim_start();
    let is_comment = line.starts_with('#');
    let (before, _) = line.split_once('=').unwrap_or_default();
    let is_variable = before.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"')
        && !before.trim_end().contains(char::is_whitespace);
    let line = with_looked_up_programs(line);
    !is_comment && !is_variable && line.split([';', '&', '|', '(', ')', '`']).any(is_run)
}

/// The line with `ganeti-watcher` in place of what a shell expands to its path: `$(command -v
/// ganeti-watcher)` and the like. It is then recognised as if the name had been written there.
fn with_looked_up_programs(line: &str) -> String {
    let mut line = line.to_owned();
    for (start, end) in [("$(", ')'), ("`", '`')] {
        let mut rest = 0;
        while let Some(begin) = line[rest..].find(start).map(|found| rest + found) {
            let inner = begin + start.len();
            let Some(length) = line[inner..].find(end) else { break };
            let words: Vec<&str> = line[inner..inner + length].split_whitespace().collect();
            let is_look_up = matches!(words.as_slice(), ["command", "-v", program] | ["which", program]
                if is_watcher(program.trim_matches(['"', '\''])));
            if is_look_up {
                line.replace_range(begin..=inner + length, "ganeti-watcher");
            }
            rest = inner;
        }
    }
    line
}

fn is_watcher(word: &str) -> bool {
    matches!(word.rsplit('/').next(), Some("ganeti-watcher" | "ganeti-watcher.distrib"))
}

/// Whether one command of a line is a watcher run.
fn is_run(command: &str) -> bool {
    let words: Vec<&str> = command
        .split(|c: char| c.is_whitespace() || c == '\'' || c == '"')
        .filter(|word| !word.is_empty())
        .collect();
    words.iter().position(|word| is_watcher(word)).is_some_and(|place| {
        let (before, after) = words.split_at(place);
        !before.iter().any(|word| LOOKERS.contains(word)) && !after.iter().any(|word| NO_RUN.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    #[test]
    fn any_line_of_a_crontab_is_read() {
        let seeds =
            ["*/5 * * * * root [ -x /usr/sbin/ganeti-watcher ] && /usr/sbin/ganeti-watcher", "A=b", "# x"];
        crate::testing::fuzz::fuzz_text(&seeds, |line| {
            let calls = calls_watcher(line);
            assert!(!calls || line.contains("ganeti-watcher"));
        });
    }

    #[test]
    fn a_line_that_calls_the_watcher_is_known_from_others() {
        for line in [
            "*/5 * * * * root [ -x /usr/sbin/ganeti-watcher ] && /usr/sbin/ganeti-watcher",
            "5-25/5,35-55/5 * * * * root [ -x /usr/sbin/ganeti-watcher ] && /usr/sbin/ganeti-watcher --no-strict",
            "  @hourly root ganeti-watcher",
            "0 * * * * root X=1 sh -c 'nice -n 5 /usr/local/sbin/ganeti-watcher'",
            "*/5 * * * * root /usr/sbin/ganeti-watcher.distrib",
            "*/5 * * * * root $(command -v ganeti-watcher)",
            "*/5 * * * * \"$(command -v ganeti-watcher)\" --no-strict",
            "*/5 * * * * nice $( which 'ganeti-watcher' ) >/dev/null 2>&1",
            "*/5 * * * * root `command -v ganeti-watcher`",
            "*/5 * * * * root [ -x \"$(command -v ganeti-watcher)\" ] && \"$(command -v ganeti-watcher)\"",
        ] {
            assert!(calls_watcher(line), "{line}");
        }
        for line in [
            "",
            "# */5 * * * * root /usr/sbin/ganeti-watcher",
            "PROGRAM=/usr/sbin/ganeti-watcher",
            "MAILTO = ganeti-watcher",
            "45 1 * * * gnt-masterd [ -x /usr/sbin/ganeti-cleaner ] && /usr/sbin/ganeti-cleaner master",
            "0 * * * * root /usr/sbin/ganeti-watcher-check",
            "0 * * * * root pgrep -x ganeti-watcher || echo none",
            "0 6 * * * root ganeti-watcher --dry-run | mail admin",
            "0 6 * * * root /usr/sbin/ganeti-watcher retry --all",
            "0 6 * * * root [ -x \"$(command -v ganeti-watcher)\" ] || echo 'it is away'",
            "0 6 * * * root ls -l $(command -v ganeti-watcher)",
            "0 6 * * * root $(command -v ganeti-watcher) --dry-run | mail admin",
            "0 6 * * * root echo $(command -v ganeti-watcher | wc -l) `which ganeti-watcher",
            "0 6 * * * root $(command -v ganeti-cleaner) node",
            "0 6 * * * root $(command -v ganeti-watcher",
        ] {
            assert!(!calls_watcher(line), "{line}");
        }
    }

    #[test]
    fn the_file_that_cron_minds_is_named() {
        let machine = Machine::new();
        assert_eq!(caller(&machine.layout), Caller::Nobody);
        let put = |name: &str| {
            let path = machine.system.join("etc").join(name);
            machine.write(&path, "*/5 * * * * root /usr/sbin/ganeti-watcher\n");
            path
        };
        put("cron.d/ganeti.dpkg-old");
        assert_eq!(caller(&machine.layout), Caller::Nobody);
        let job = put("cron.d/ganeti");
        assert_eq!(caller(&machine.layout), Caller::Cron(job));
        let crontab = put("crontab");
        assert_eq!(caller(&machine.layout), Caller::Cron(crontab));
    }

    #[test]
    fn r29_root_s_own_crontab_is_found_where_debian_and_where_red_hat_have_it() {
        for place in ["var/spool/cron/crontabs/root", "var/spool/cron/root"] {
            let machine = Machine::new();
            let path = machine.system.join(place);
            machine.write(&path, "*/5 * * * * $(command -v ganeti-watcher)\n");
            assert_eq!(caller(&machine.layout), Caller::Cron(path));
        }
    }

    #[test]
    fn r29_a_crontab_that_cannot_be_read_is_no_no() {
        let machine = Machine::new();
        let put = |name: &str, text: &[u8]| {
            let path = machine.system.join("etc").join(name);
            machine.write(&path, text);
            path
        };
        std::fs::create_dir_all(machine.layout.cron_directory().join("directory")).unwrap();
        assert_eq!(caller(&machine.layout), Caller::Nobody, "a directory is not a crontab");
        let round = machine.layout.cron_directory().join("round");
        std::os::unix::fs::symlink(&round, &round).unwrap();
        let Caller::Unknown(why) = caller(&machine.layout) else { panic!() };
        assert!(why.contains("cron.d/round'"), "{why}");
        // What was read counts, even if other parts cannot be read; and text in another encoding is still
        // text.
        let job = put("cron.d/ganeti", b"# \xfcberall\n*/5 * * * * root ganeti-watcher\n");
        assert_eq!(caller(&machine.layout), Caller::Cron(job));
        std::fs::remove_dir_all(machine.layout.cron_directory()).unwrap();
        put("cron.d", b"");
        let Caller::Unknown(why) = caller(&machine.layout) else { panic!() };
        assert!(why.contains("cannot list"), "{why}");
    }
}
