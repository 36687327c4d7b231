//! Programs for tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// An executable shell script.
pub(crate) fn script(path: &Path, text: &str) {
    // Written by another process: a descriptor open for writing, inherited by a child of another test's thread
    // for a moment, would make running the script fail.
    let mut child = std::process::Command::new("sh")
        .args(["-c", "cat > \"$0\""])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}
