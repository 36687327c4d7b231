//! Tags, files, variables and exit codes of the page.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ganeti_watcher::decide::tags::{PREFIX, Problem, Rules};
use ganeti_watcher::layout::{HOSTNAME_VARIABLE, Layout, MACHINE_VARIABLE, ROOTDIR_VARIABLE};
use ganeti_watcher::logging::LOG_FILE;
use ganeti_watcher::watch::Ended;

use super::page;

fn heads(section: &str, of: &str) -> BTreeSet<String> {
    page::section(section).items().iter().flat_map(|item| page::names(&item.head, of)).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn tags_are_those_that_the_program_reads() {
    let tags = heads("TAGS", "Li");
    let (_, problems) = Rules::parse([format!("{PREFIX}nonsense").as_str()]);
    let [Problem::Unreadable { why, .. }] = problems.as_slice() else { panic!("{problems:?}") };
    let expected = why.split_once("expected ").unwrap().1;
    let grammar = expected.split_once(" after ").unwrap().0;
    let grammar: BTreeSet<String> = grammar
        .split([',', ' '])
        .filter(|word| !["", "or"].contains(word))
        .map(|word| format!("{PREFIX}{word}"))
        .collect();
    assert_eq!(tags, grammar);
    for tag in tags {
        let (kind, value) = tag.rsplit_once(':').unwrap();
        let value = match value {
            "N" => "3",
            "T" => "5m",
            "TIMESTAMP" => "1795342592",
            word => word,
        };
        let tag = format!("{kind}:{value}");
        assert_eq!(Rules::parse([tag.as_str()]).1, [], "{tag}");
    }
}

#[test]
fn files_are_those_of_the_program() {
    let layout = Layout::new(None, None).unwrap();
    let bad = |path: PathBuf| PathBuf::from(format!("{}.bad-TIME", path.display()));
    let own = [
        layout.log_dir().join(LOG_FILE),
        layout.group_state("UUID"),
        bad(layout.group_state("UUID")),
        layout.group_instance_status("UUID"),
        layout.instance_status(),
        layout.pause_file(),
        layout.daemon_states(),
        layout.kept_out(),
        layout.watcher_lock(),
        layout.watcher_hooks(),
        layout.ssconf("*"),
        layout.confd_hmac_key(),
        layout.luxi_socket(),
        layout.wconfd_socket(),
        layout.pid_file("ganeti-*"),
        layout.run_dir("*-hypervisor"),
        layout.xen_config("*"),
        layout.proc_drbd(),
        layout.daemon_util().to_owned(),
        layout.systemd_marker().to_owned(),
    ];
    let mut files: BTreeSet<String> = own.iter().map(|path| path.display().to_string()).collect();
    // Not opened by name, or not touched by this program.
    files.extend(set(["/etc/services", "/etc/cron.d/ganeti", "/usr/sbin/ganeti-watcher.distrib"]));
    files.extend(set(["/etc/crontab", "/etc/cron.d/*", "/var/spool/cron/crontabs/root"]));
    files.extend(set(["/var/spool/cron/root"]));
    assert_eq!(heads("FILES", "Pa"), files);
}

#[test]
fn variables_are_those_of_the_program() {
    let mut variables = set([ROOTDIR_VARIABLE, HOSTNAME_VARIABLE, MACHINE_VARIABLE]);
    // Those that libraries honour, and the C library's.
    variables.extend(set(["PATH", "TMPDIR", "TZ", "TZDIR"]));
    assert_eq!(heads("ENVIRONMENT", "Ev"), variables);
}

#[test]
fn exit_codes_are_those_of_the_program() {
    let main = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs")).unwrap();
    let constants = main.lines().filter_map(|line| line.strip_prefix("const ")?.split_once(": u8 = "));
    let mut codes: BTreeSet<String> =
        constants.map(|(_, code)| code.trim_end_matches(';').to_owned()).collect();
    codes.extend([Ended::Done, Ended::Failed, Ended::NotMaster].map(|ended| ended.exit_code().to_string()));
    assert_eq!(heads("EXIT STATUS", ""), codes);
}
