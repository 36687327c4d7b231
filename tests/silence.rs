//! No run ends without leaving a readable reason: the program from outside, on a node that is not the master,
//! with no usable log, standard error or descriptors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use ganeti_watcher::logging::{self, Trouble};
use nix::sys::signal::Signal;
use program::{HOST, Machine, Run};

/// Makes this test program panic, as the program would.
const PANIC_VARIABLE: &str = "GANETI_WATCHER_TEST_PANIC";

/// A node whose daemon-util records which signals it is started with.
fn node() -> Machine {
    let node = Machine::new();
    node.daemon_util("grep -E 'Sig(Blk|Ign)' /proc/self/status >> \"${0%/*}/calls\"");
    node
}

impl Machine {
    /// A shell that runs `preparation` and then becomes the watcher.
    fn watcher_after(&self, preparation: &str, arguments: &[&str]) -> Command {
        let mut command = program::command("sh");
        command.arg("-c").arg(format!("{preparation}\nexec \"$0\" \"$@\""));
        command.arg(program::watcher().get_program()).args(arguments);
        self.put_on(&mut command);
        command
    }

    fn run_after(&self, preparation: &str, arguments: &[&str]) -> Run {
        Run::of(&mut self.watcher_after(preparation, arguments))
    }

    fn did_its_duties(&self) -> bool {
        let started =
            |name: &str| self.calls().contains(&format!("daemon-util check-and-start ganeti-{name}"));
        started("noded") && started("confd")
    }
}

#[test]
fn a_log_that_cannot_grow_is_told_on_stderr_once_and_the_run_goes_on() {
    let node = node();
    File::create(node.log()).unwrap().set_len(1 << 20).unwrap();
    // The maximum in a shell's units.
    let run = node.run_after("ulimit -f 1024", &[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
    let reason = format!(
        "ganeti-watcher: error: cannot write to the log file '{}': File too large",
        node.log().display()
    );
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "the reason, and the line: {}", run.stderr);
    assert!(lines[0].starts_with(&reason) && lines[1].contains(" INFO RunCmd "), "{}", run.stderr);
    assert!(node.did_its_duties());
    let too_large = 1 << (Signal::SIGXFSZ as i32 - 1);
    let calls = node.calls();
    let words = calls.iter().flat_map(|call| call.split_whitespace());
    let masks = words.filter_map(|word| u64::from_str_radix(word, 16).ok());
    assert!(
        masks.clone().count() > 4 && masks.clone().all(|mask| mask & too_large == 0),
        "daemons mind it: {calls:?}"
    );

    let run = node.run_after("ulimit -f 1024", &["--node-group", "no-uuid"]);
    assert!(run.code == Some(1) && run.stderr.contains(" ERROR Node group parameter "), "{}", run.stderr);
}

#[test]
fn a_log_that_cannot_be_opened_stops_no_run_and_nothing_is_made_or_followed() {
    for hostile in [
        "rmdir \"$d\"",
        "rmdir \"$d\"; echo >\"$d\"",
        "mkfifo \"$f\"",
        // As Ganeti makes the directory: the users of its daemons may write there.
        "chmod 0770 \"$d\"; ln -s \"$d/../target\" \"$f\"",
        "mkdir \"$f\"",
    ] {
        let node = node();
        let log_dir = node.log().parent().unwrap().to_owned();
        let prepared =
            Command::new("sh").args(["-c", hostile]).env("d", &log_dir).env("f", node.log()).status();
        assert!(prepared.unwrap().success());
        let before = fs::read_dir(node.root.join("var/log")).unwrap().count();
        for arguments in [&[][..], &["--debug"]] {
            let run = node.run_after("", arguments);
            assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{hostile}: {}", run.stderr);
            let first = run.stderr.lines().next().unwrap();
            let told = format!(
                " ERROR Cannot open the log file '{}', logging to stderr only: ",
                node.log().display()
            );
            assert!(first.contains(&told), "{hostile}: {first}");
            assert!(run.stderr.contains(" INFO RunCmd "), "{hostile}: {}", run.stderr);
            assert!(node.did_its_duties(), "{hostile}");
        }
        assert_eq!(fs::read_dir(node.root.join("var/log")).unwrap().count(), before, "{hostile}");
    }
}

#[test]
fn a_log_in_a_directory_that_is_a_link_is_used() {
    let node = node();
    let other_disk = node.directory().join("disk");
    fs::create_dir(&other_disk).unwrap();
    let log_dir = node.root.join("var/log/ganeti");
    fs::remove_dir(&log_dir).unwrap();
    symlink(&other_disk, &log_dir).unwrap();
    let run = node.run_after("", &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(fs::read_to_string(other_disk.join("watcher.log")).unwrap().contains(" INFO RunCmd "));
}

#[test]
fn who_is_not_root_is_told_so_once_and_makes_nothing() {
    let node = node();
    let is_root = nix::unistd::geteuid().is_root();
    // Without root's rights, and where even the owner may not write.
    let become_nobody =
        if is_root { "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" \"$@\"" } else { "" };
    let open = format!(
        "chmod 755 '{}'; chmod 555 '{}'",
        node.directory().display(),
        node.log().parent().unwrap().display()
    );
    let run = node.run_after(&format!("{open}\n{become_nobody}"), &[]);
    if run.stderr.contains("setpriv") {
        io::stderr().write_all(b"left out: a run that is not root's, without setpriv\n").unwrap();
        return;
    }
    let told = format!(
        "ganeti-watcher: error: cannot open the log file '{}': Permission denied (os error 13); run it as root\n",
        node.log().display()
    );
    assert_eq!((run.code, run.stderr), (Some(1), told));
    assert!(node.calls().is_empty() && fs::read_dir(node.root.join("var/lock")).unwrap().next().is_none());
}

#[test]
fn a_wrong_ganeti_rootdir_is_an_error_and_nothing_is_made() {
    let node = node();
    let wrong = node.directory().join("wrong");
    let file = node.directory().join("file");
    for arguments in [&[][..], &["--dry-run"], &["retry", "--all"]] {
        let run = node.run_after(&format!("export GANETI_ROOTDIR={}/{HOST}", wrong.display()), arguments);
        let told = format!(
            "ganeti-watcher: error: GANETI_ROOTDIR '{}/{HOST}' is not the directory",
            wrong.display()
        );
        assert!(run.code == Some(1) && run.stdout.is_empty(), "{}", run.stderr);
        assert!(run.stderr.starts_with(&told) && run.stderr.lines().count() == 1, "{}", run.stderr);
        assert!(!wrong.exists() && node.calls().is_empty());

        let run = node.run_after(
            &format!("echo >{0}; export GANETI_ROOTDIR={0} GANETI_HOSTNAME=file", file.display()),
            arguments,
        );
        assert!(run.code == Some(1) && run.stderr.contains("GANETI_ROOTDIR '"), "{}", run.stderr);
    }
    // In an existing, empty directory, nothing is created except what the original creates.
    fs::create_dir_all(wrong.join(HOST)).unwrap();
    let run = node.run_after(&format!("export GANETI_ROOTDIR={}/{HOST}", wrong.display()), &[]);
    assert!(run.code == Some(1) && run.stderr.contains("Cannot open the log file"), "{}", run.stderr);
    assert_eq!(fs::read_dir(wrong.join(HOST)).unwrap().count(), 0);
}

#[test]
fn with_hardly_any_descriptors_the_run_says_so_and_with_few_it_does_its_duties() {
    for limit in 4..40 {
        let node = node();
        let run = node.run_after(&format!("ulimit -n {limit}"), &[]);
        match run.code {
            // The linker cannot load what a program with a shared C library needs.
            Some(127) if limit < 8 => {}
            Some(0) => assert!(node.did_its_duties() && run.stderr.is_empty(), "{limit}: {}", run.stderr),
            code => {
                let told = format!("does not allow (RLIMIT_NOFILE is {limit})");
                assert!(code == Some(1) && run.stderr.contains(&told), "{limit}, {code:?}: {}", run.stderr);
                assert!(run.stderr.lines().count() == 1 && limit < 24, "{limit}: {}", run.stderr);
            }
        }
    }
    let node = node();
    let run = node.run_after("ulimit -S -n 6", &[]);
    assert!(run.code == Some(0) && node.did_its_duties(), "the hard limit is what counts: {}", run.stderr);
}

#[test]
fn a_stderr_that_is_closed_or_full_stops_no_run() {
    for stderr in ["exec 2>&-", "exec 2>/dev/full", "exec >&- 2>&- <&-"] {
        let node = node();
        let run = node.run_after(stderr, &["--debug"]);
        assert_eq!(run.code, Some(0), "{stderr}");
        assert!(node.did_its_duties(), "{stderr}");
        fs::remove_file(node.log()).unwrap();
        fs::create_dir(node.log()).unwrap();
        assert_eq!(node.run_after(stderr, &[]).code, Some(1), "{stderr}: no log either");
    }
}

#[test]
fn a_dry_run_that_cannot_print_says_so_but_not_when_its_reader_has_gone() {
    let node = node();
    let run = node.run_after("exec >/dev/full", &["--dry-run"]);
    assert_eq!(run.code, Some(1));
    let reason = "ganeti-watcher: error: cannot write to the standard output: No space left on device";
    assert!(run.stderr.starts_with(reason), "{}", run.stderr);

    let mut child = node.watcher_after("read go", &["--dry-run"]);
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_panic_is_one_line_on_stderr_with_its_place() {
    if std::env::var_os(PANIC_VARIABLE).is_some() {
        let trouble = Trouble::default();
        assert!(!trouble.occurred());
        let done = logging::contain(&trouble, || panic!("no such\nthing"));
        assert!(done.is_none() && trouble.occurred());
        return;
    }
    let this = "a_panic_is_one_line_on_stderr_with_its_place";
    let run = Run::of(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this, "--nocapture"])
            .env(PANIC_VARIABLE, "1"),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().collect();
    let [line] = lines.as_slice() else { panic!("{}", run.stderr) };
    assert!(
        line.starts_with("ganeti-watcher: internal error, please report it: tests/silence.rs:"),
        "{line}"
    );
    assert!(line.ends_with(": no such\\nthing"), "{line}");
}
