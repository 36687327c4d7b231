//! Instances under KVM: one process each, named by its command line.
//!
//! Source: `hypervisor/hv_kvm: ListInstances, _InstancePidAlive, _StopInstance`, `utils/process.py:
//! KillProcess`.

use std::io;

use anyhow::{Context, Result, bail};

use super::listed::Listed;
use super::tools::{names_in, remove_file};
use crate::armed::Armed;
use crate::files::read_text;
use crate::layout::Layout;
use crate::node::proc::{self, Patience, Process, pid_in};

const LONGEST_PID_FILE: u64 = 64;
/// The names of the running instances.
///
/// # Errors
/// When the directory of their pid files cannot be read.
pub(super) fn list(layout: &Layout) -> Result<Listed> {
    let mut listed = Listed::default();
    for name in names_in(&layout.run_dir("kvm-hypervisor/pid"))? {
        match process_of(layout, &name) {
            Ok(Some(_)) => listed.running.push(name),
            Ok(None) => {}
            Err(problem) => listed.unclear.push((name, format!("{problem:#}"))),
        }
    }
    Ok(listed)
}

/// Ends the process of an instance: SIGTERM, and SIGKILL when that does not help.
///
/// # Errors
/// When it cannot be signalled, is still there in the end, or cannot be looked at.
pub(super) async fn stop(armed: &Armed, layout: &Layout, name: &str, patience: Patience) -> Result<()> {
    if let Some(process) = process_of(layout, name)? {
        proc::end(armed, process, patience, || process_of(layout, name)).await?;
    }
    clear_user_shutdown(armed, layout, name)
}

/// The note that the user shut the instance down, useless once we have stopped it.
fn clear_user_shutdown(armed: &Armed, layout: &Layout, name: &str) -> Result<()> {
    remove_file(armed, &layout.run_dir("kvm-hypervisor/ctrl").join(format!("{name}.shutdown")))
}

/// The live process of the instance; `None` when the pid file leads to no process, or to somebody else's.
///
/// # Errors
/// When that is unclear: the pid file or the process cannot be read.
fn process_of(layout: &Layout, name: &str) -> Result<Option<Process>> {
    let path = layout.run_dir("kvm-hypervisor/pid").join(name);
    let text = match read_text(&path, LONGEST_PID_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read '{}'", path.display()))?,
    };
    let Some(pid) = pid_in(&text) else { bail!("'{}' contains no process number", path.display()) };
    let seen = proc::look(layout, pid)?;
    Ok(seen.filter(|seen| instance_of(&seen.command_line) == Some(name.as_bytes())).map(|seen| seen.process))
}

/// The instance's name in qemu's command line: the value of `-name`, up to the first comma.
fn instance_of(command_line: &[u8]) -> Option<&[u8]> {
    let mut arguments = command_line.split(|byte| *byte == 0);
    arguments.find(|argument| argument == b"-name")?;
    arguments.next()?.split(|byte| *byte == b',').next()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use nix::sys::signal::Signal;

    use super::*;
    use crate::testing::Machine;

    #[test]
    fn any_command_line_has_a_name_or_none() {
        let seeds: [&[u8]; 2] =
            [b"/usr/bin/kvm\0-enable-kvm\0-name\0i1.example.com,debug-threads=on\0-m\x00512\0", b"-name\0"];
        crate::testing::fuzz::fuzz(&seeds, |bytes| {
            assert!(instance_of(bytes).is_none_or(|name| !name.contains(&0)));
        });
    }

    #[test]
    fn the_name_is_the_one_after_its_option() {
        let name = |text: &str| instance_of(text.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(name("qemu\0-m\x0064\0-name\0i1\0-x\0"), Some(b"i1".to_vec()));
        assert_eq!(name("qemu\0-name\0i1,debug-threads=on\0"), Some(b"i1".to_vec()));
        assert_eq!(name("qemu\0-names\0i1\0"), None);
        assert_eq!(name("vi\0i1\0"), None);
        assert_eq!(name(""), None);
        assert_eq!(name("qemu\0-name"), None);
    }

    /// A stand-in for qemu: a shell that waits for input and ignores `-name`.
    fn qemu(name: &str, before: &str) -> Child {
        Command::new("sh")
            .args(["-c", &format!("{before}; echo; read x"), "qemu", "-name", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn started(child: &mut Child) {
        let stdout = child.stdout.as_mut().unwrap();
        std::io::Read::read_exact(stdout, &mut [0]).unwrap();
    }

    fn machine() -> Machine {
        let machine = Machine::new();
        symlink("/proc", machine.layout.proc()).unwrap();
        machine
    }

    const SHORT: Patience = Patience { term: Duration::from_millis(300), kill: Duration::from_secs(10) };

    #[tokio::test]
    async fn only_the_instance_s_own_process_is_listed_and_stopped() {
        let machine = machine();
        let mut good = qemu("i1.example.com,debug-threads=on", ":");
        let mut other = qemu("someone-else", ":");
        started(&mut good);
        started(&mut other);
        for (name, pid) in [
            ("i1.example.com", good.id().to_string()),
            ("reused-pid", other.id().to_string()),
            ("init", "1".to_owned()),
            ("group", format!("-{}", good.id())),
            ("zero", "0".to_owned()),
            ("dead", "4194304".to_owned()),
            ("garbage", "x".to_owned()),
        ] {
            machine.write(machine.layout.run_dir(&format!("kvm-hypervisor/pid/{name}")), format!("{pid}\n"));
        }
        machine.write(machine.layout.run_dir("kvm-hypervisor/ctrl/i1.example.com.shutdown"), "");
        let listed = list(&machine.layout).unwrap();
        assert_eq!(listed.running, ["i1.example.com"]);
        let unclear: Vec<&str> = listed.unclear.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(unclear, ["garbage", "group", "init", "zero"]);
        for name in ["i1.example.com", "reused-pid"] {
            stop(&Armed::for_test(), &machine.layout, name, Patience::default()).await.unwrap();
        }
        for name in unclear {
            let stopped = stop(&Armed::for_test(), &machine.layout, name, Patience::default()).await;
            assert!(stopped.is_err(), "{name}");
        }
        assert_eq!(list(&machine.layout).unwrap().running, [""; 0]);
        assert!(!machine.layout.run_dir("kvm-hypervisor/ctrl/i1.example.com.shutdown").exists());
        assert!(other.try_wait().unwrap().is_none(), "a process of somebody else was ended");
        other.kill().unwrap();
        other.wait().unwrap();
        let status = good.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::SIGTERM as i32));
    }

    #[tokio::test]
    async fn a_process_that_does_not_mind_is_killed() {
        let machine = machine();
        let mut stubborn = qemu("i1", "trap '' TERM");
        started(&mut stubborn);
        machine.write(machine.layout.run_dir("kvm-hypervisor/pid/i1"), stubborn.id().to_string());
        stop(&Armed::for_test(), &machine.layout, "i1", SHORT).await.unwrap();
        let status = stubborn.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::SIGKILL as i32));
    }

    #[test]
    fn a_process_that_cannot_be_looked_at_is_not_gone() {
        let machine = Machine::new();
        machine.write(machine.layout.run_dir("kvm-hypervisor/pid/i1"), "4711\n");
        let listed = list(&machine.layout).unwrap();
        assert!(listed.running.is_empty());
        assert!(listed.unclear[0].1.contains("cannot read"), "without /proc: {:?}", listed.unclear);
    }

    #[test]
    fn without_the_directory_there_are_none() {
        assert_eq!(list(&machine().layout).unwrap(), Listed::default());
    }
}
