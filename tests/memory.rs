//! How much memory, and how many lines, luxid's answers can cost: the client in a process of its own, and a
//! luxid that sends 60 MiB. `cargo test --test memory -- --nocapture` prints the figures.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail by panicking, and tell figures"
)]

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Command;

use ganeti_watcher::luxi::{Client, UnixSocket};
use ganeti_watcher::{logging, observe};

const SIZE: usize = 60 << 20;
const ROW: &str = "MEMORY_TEST_ROW";
const END_OF_MESSAGE: u8 = 3;

/// Rows by name: `count` of them, of about `length` bytes each, make [`SIZE`].
fn row(kind: &str, index: usize) -> String {
    match kind {
        "empty" => "[]".to_owned(),
        "zero" => "0".to_owned(),
        // Below the limit of rows, each of them wrong and long.
        "long and wrong" => format!(r#"[[0,"{index:0>320}"],7]"#),
        "correct" => format!(r#"[[0,"instance/{index:0>320}"],[0,"shared"]]"#),
        "short" => format!(r#"[[0,"instance/i{index}"],[0,"shared"]]"#),
        "many in a row" => format!(r#"[[0,"{}"],[0,[{}7]]]"#, "x".repeat(100), "7,".repeat(999)),
        other => panic!("no row is called {other}"),
    }
}

/// Answers one request with rows of that kind.
fn lie(listener: &UnixListener, kind: &str) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut byte = [0];
    while byte[0] != END_OF_MESSAGE {
        stream.read_exact(&mut byte).unwrap();
    }
    // In pieces, so that the answer is in memory only once, at the client.
    let mut piece = r#"{"success":true,"result":{"fields":[],"data":["#.to_owned();
    let mut sent = 0;
    for index in 0.. {
        piece += &row(kind, index);
        if sent + piece.len() >= SIZE {
            break;
        }
        piece.push(',');
        if piece.len() > 64 << 10 {
            sent += piece.len();
            // A client that has seen enough goes away.
            if stream.write_all(piece.as_bytes()).is_err() {
                return;
            }
            piece.clear();
        }
    }
    piece += "]}}\u{3}";
    drop(stream.write_all(piece.as_bytes()));
}

/// The most memory that this process ever had, in bytes, as the kernel counts it.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[test]
#[ignore = "a part of the others, which start it in a process of its own"]
fn client() {
    let kind = std::env::var(ROW).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("luxid");
    let listener = UnixListener::bind(&socket).unwrap();
    logging::start_on_stdout(false, &logging::Trouble::default());
    let before = peak();
    std::thread::scope(|scope| {
        scope.spawn(|| lie(&listener, &kind));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let connector = UnixSocket(socket.clone());
            let mut client = Client::connect(&connector).await.unwrap();
            match observe::locks(&mut client, None).await {
                Ok(locks) => println!("\n{} locks", locks.instances.len()),
                Err(error) => println!("\nLINE {error}"),
            }
        });
    });
    println!("PEAK {}", peak() - before);
}

/// Returns the peak as a multiple of the answer's size, and what was logged.
fn cost(kind: &str) -> (f64, String) {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", "client", "--ignored", "--nocapture", "--test-threads=1"]).env(ROW, kind);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{kind}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    let peak = text.lines().find_map(|line| line.strip_prefix("PEAK ")).unwrap();
    let multiple = peak.parse::<f64>().unwrap() / SIZE as f64;
    let is_told = |line: &&str| ["LINE ", "ERROR: ", "WARNING: "].iter().any(|word| line.starts_with(word));
    let lines: Vec<&str> = text.lines().filter(is_told).collect();
    println!("60 MiB of rows, {kind}: {multiple:.1} times the answer's size, {} lines", lines.len());
    assert!(lines.iter().all(|line| line.len() <= 4096), "{kind}: a line is too long");
    (multiple, lines.join("\n"))
}

#[test]
fn sixty_mib_of_rows_cost_at_most_four_times_their_size_and_ten_lines() {
    for (kind, words) in [
        ("empty", "it holds more than 2000000 values"),
        ("zero", "it holds more than 2000000 values"),
        ("short", "it holds more than 2000000 values"),
        ("many in a row", "it holds more than 2000000 values"),
        ("long and wrong", "more rows of the same answer"),
        ("correct", ""),
    ] {
        let (multiple, lines) = cost(kind);
        assert!(multiple <= 4.0, "{kind}: {multiple:.1} times the answer's size");
        assert!(lines.lines().count() <= 10 && lines.contains(words), "{kind}: {lines}");
        assert_eq!(lines.is_empty(), words.is_empty(), "{kind}: {lines}");
    }
}
