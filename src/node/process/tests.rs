//! Real programs: what comes back from them, and what they must not take with them.

use std::path::Path;

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn shell(text: &str, limit: Duration) -> Program {
    Program::new("/bin/sh", limit).args(["-c", text])
}

#[tokio::test]
async fn output_and_exit_code_come_back() {
    let text = "echo out; echo err >&2; echo $LC_ALL; pwd; cat; exit 3";
    for program in [shell(text, LONG), shell(text, LONG).leaves_daemons()] {
        let finished = program.run().await.unwrap();
        assert_eq!(finished.ending, Ending::Exited(3));
        assert_eq!(finished.output(), "out\nC\n/\nerr");
        let error = finished.stdout_of_success(&Program::new("/bin/x", LONG)).unwrap_err().to_string();
        assert_eq!(error, "'/bin/x' failed (exit: 3), output: out\nC\n/\nerr");
    }
}

#[tokio::test]
async fn much_output_is_cut_and_does_not_stop_the_program() {
    let finished = shell("yes | head -c 1000000; echo end >&2", LONG).run().await.unwrap();
    assert!(finished.succeeded());
    assert!(finished.stdout.len() < LONGEST_OUTPUT + 20);
    assert!(finished.stdout.ends_with("(and more)"));
    assert_eq!(finished.stderr, "end\n");
}

#[tokio::test]
async fn a_signal_is_told_by_its_name() {
    let finished = shell("kill -SEGV $$", LONG).run().await.unwrap();
    assert_eq!(finished.ending.to_string(), "killed by SIGSEGV");
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_killed_with_its_whole_group() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let text = format!("trap '' TERM; sleep 300 & echo $! > {}; wait; sleep 300", pid_file.display());
    let program = shell(&text, LONG);
    let run = tokio::spawn(async move { program.run().await });
    // The paused clock only moves when everything waits for it: the shell gets its time from ours.
    let pid = loop {
        tokio::task::yield_now().await;
        if let Ok(text) = std::fs::read_to_string(&pid_file)
            && let Ok(pid) = text.trim().parse::<i32>()
        {
            break pid;
        }
    };
    let finished = run.await.unwrap().unwrap();
    assert_eq!(finished.ending, Ending::TookTooLong(LONG));
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    let lives = || std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z "));
    let deadline = std::time::Instant::now() + LONG;
    while lives() {
        assert!(std::time::Instant::now() < deadline, "its child lives on");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn what_it_leaves_running_is_not_waited_for() {
    let finished = shell("sleep 60 & echo $!", LONG).run().await.unwrap();
    assert!(finished.succeeded());
    nix::sys::signal::kill(Pid::from_raw(finished.stdout.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn no_lock_of_ours_is_inherited() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    let lock = crate::memory::locks::share(&crate::armed::Armed::for_test(), &path).unwrap();
    let listing = shell("ls -l /proc/$$/fd", LONG).run().await.unwrap();
    assert!(listing.succeeded());
    assert!(!listing.stdout.contains("lock"), "{}", listing.stdout);
    // And by effect: something lives on, yet the lock is free as soon as this process lets go.
    let left = shell("sleep 60 >/dev/null 2>&1 & echo $!", LONG).leaves_daemons().run().await.unwrap();
    drop(lock);
    // Another test's child has it for a moment, between fork and exec.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while File::open(&path).unwrap().try_lock().is_err() {
        assert!(std::time::Instant::now() < deadline, "the lock was inherited");
        std::thread::yield_now();
    }
    nix::sys::signal::kill(Pid::from_raw(left.stdout.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_missing_program_is_an_error() {
    let error = Program::new("/nonexistent/program", LONG).run().await.unwrap_err();
    assert!(format!("{error:#}").starts_with("cannot run '/nonexistent/program'"), "{error:#}");
}

#[test]
fn a_command_line_is_quoted_for_the_shell() {
    let program = Program::new("/bin/x", LONG).args(["a-b", "c d", "it's", ""]);
    assert_eq!(program.to_string(), r"/bin/x a-b 'c d' 'it'\''s' ''");
}

#[tokio::test]
async fn a_daemon_may_write_to_what_it_keeps_when_its_starter_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (go, wrote) = (directory.path().join("go"), directory.path().join("wrote"));
    let text = format!(
        "echo started; (until [ -e {} ]; do sleep 0.01; done; echo more && echo more >&2 && touch {}) &",
        go.display(),
        wrote.display()
    );
    let finished = shell(&text, LONG).leaves_daemons().run().await.unwrap();
    assert_eq!(finished.output(), "started");
    std::fs::create_dir(&go).unwrap();
    let deadline = std::time::Instant::now() + LONG;
    while !wrote.exists() {
        assert!(std::time::Instant::now() < deadline, "it could no longer write");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn what_keeps_no_output_is_run_all_the_same() {
    let program = shell("echo lost; exit 3", LONG).leaves_daemons();
    let finished = program.run_without_output(&io::Error::other("no memory")).await.unwrap();
    assert_eq!(finished.ending, Ending::Exited(3));
    assert_eq!(finished.output(), "(its output cannot be kept: no memory)");
}
