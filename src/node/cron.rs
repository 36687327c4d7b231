//! Whether cron calls the watcher on this node, which a run by a systemd timer must know.
//!
//! Source of the format: `crontab(5)`, and `cron(8)` for which files of `/etc/cron.d` count.

use std::path::PathBuf;

use crate::layout::Layout;

/// The first file of cron with a line that calls `ganeti-watcher`: `/etc/crontab`, those of `/etc/cron.d`, or root's own
/// crontab. `None` too when they cannot be read.
#[must_use]
pub fn caller(layout: &Layout) -> Option<PathBuf> {
    let mut files = layout.crontabs().to_vec();
    let entries = std::fs::read_dir(layout.cron_directory()).into_iter().flatten().flatten();
    let mut jobs: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_minded(path)).collect();
    jobs.sort();
    files.append(&mut jobs);
    files.into_iter().find(|file| {
        let text = std::fs::read(file).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().any(calls_watcher)
    })
}

/// cron passes over files with a dot in their name, such as those that dpkg and editors leave behind.
fn is_minded(path: &std::path::Path) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.chars().all(is_plain))
}

/// Programs that are told of the watcher and do not run it.
const LOOKERS: [&str; 13] =
    ["[", "[[", "test", "command", "type", "which", "ls", "ps", "pgrep", "pidof", "grep", "echo", "logger"];

/// With one of these the watcher makes no run.
const NO_RUN: [&str; 6] = ["--dry-run", "--help", "-h", "--version", "retry", "simulate"];

/// Whether a line of a crontab has a run made by `ganeti-watcher`, or by the original beside it, by whatever path.
fn calls_watcher(line: &str) -> bool {
    let line = line.trim_start();
    let is_comment = line.starts_with('#');
    let (before, _) = line.split_once('=').unwrap_or_default();
    let is_variable = before.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"')
        && !before.trim_end().contains(char::is_whitespace);
    !is_comment && !is_variable && line.split([';', '&', '|', '(', ')', '`']).any(is_run)
}

/// Whether one command of a line is a run of the watcher.
fn is_run(command: &str) -> bool {
    let words: Vec<&str> = command
        .split(|c: char| c.is_whitespace() || c == '\'' || c == '"')
        .filter(|word| !word.is_empty())
        .collect();
    let is_watcher =
        |word: &&str| matches!(word.rsplit('/').next(), Some("ganeti-watcher" | "ganeti-watcher.distrib"));
    words.iter().position(is_watcher).is_some_and(|place| {
        let (before, after) = words.split_at(place);
        !before.iter().any(|word| LOOKERS.contains(word)) && !after.iter().any(|word| NO_RUN.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_line_of_a_crontab_is_read() {
        let seeds =
            ["*/5 * * * * root [ -x /usr/sbin/ganeti-watcher ] && /usr/sbin/ganeti-watcher", "A=b", "# x"];
        crate::fuzz_tests::fuzz_text(&seeds, |line| {
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
        ] {
            assert!(!calls_watcher(line), "{line}");
        }
    }

    #[test]
    fn the_file_that_cron_minds_is_named() {
        let machine = tempfile::tempdir().unwrap();
        let layout = Layout::new(None, None).unwrap().with_machine(machine.path());
        assert_eq!(caller(&layout), None);
        std::fs::create_dir_all(machine.path().join("etc/cron.d")).unwrap();
        let line = "*/5 * * * * root /usr/sbin/ganeti-watcher\n";
        let put = |name: &str| {
            let path = machine.path().join("etc").join(name);
            std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), line.as_bytes()).unwrap();
            path
        };
        put("cron.d/ganeti.dpkg-old");
        assert_eq!(caller(&layout), None);
        let job = put("cron.d/ganeti");
        assert_eq!(caller(&layout), Some(job));
        let crontab = put("crontab");
        assert_eq!(caller(&layout), Some(crontab));
    }
}
