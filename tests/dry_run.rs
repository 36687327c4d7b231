//! A dry run on a master with work to do everywhere: a real run shows that there is work, and a dry run that none of it
//! leaves the program. luxid is a stand-in that writes down what it is asked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use serde_json::{Value, json};

const HOST: &str = "node1.example.com";
const GROUP: &str = "0f7fae7f-b9b2-4d37-87e1-808357d8239a";
const END: u8 = 3;

type Calls = Arc<Mutex<Vec<String>>>;

struct Master {
    directory: tempfile::TempDir,
    root: PathBuf,
    luxi_calls: Calls,
}

impl Master {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join(HOST);
        for path in ["lib/ganeti", "log/ganeti", "lock", "run/ganeti/socket", "run/ganeti/fake-hypervisor"] {
            fs::create_dir_all(root.join("var").join(path)).unwrap();
        }
        fs::create_dir_all(root.join("etc/ganeti/hooks/watcher")).unwrap();
        let luxi_calls = luxid(&root.join("var/run/ganeti/socket/ganeti-query"));
        let master = Self { directory, root, luxi_calls };
        let ssconf = |key: &str, text: &str| master.write(&format!("var/lib/ganeti/ssconf_{key}"), text);
        ssconf("master_node", &format!("{HOST}\n"));
        ssconf("nodegroups", &format!("{GROUP} default\n"));
        // An expired pause file, which a real run removes.
        master.write("var/lib/ganeti/watcher.pause", "1000\n");
        // No daemon runs, and two will not start: those need not be probed.
        master.script("daemon-util", "case \"$*\" in check\\ *|check-*rapi|check-*wconfd) exit 1;; esac");
        let hook = master.root.join("etc/ganeti/hooks/watcher/hook");
        master.script("hook", ":");
        fs::rename(master.directory.path().join("hook"), hook).unwrap();
        master
    }

    fn write(&self, path: &str, content: &str) {
        File::create(self.root.join(path)).unwrap().write_all(content.as_bytes()).unwrap();
    }

    /// A shell script that writes down how it is called.
    fn script(&self, name: &str, text: &str) {
        let calls = self.directory.path().join("calls");
        let text = format!("#!/bin/sh\necho {name} \"$@\" >> '{}'\n{text}\n", calls.display());
        let made = Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$0\" && chmod 700 \"$0\""])
            .arg(self.directory.path().join(name))
            .arg(text)
            .status();
        assert!(made.unwrap().success());
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ganeti-watcher"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
        command.env("GANETI_ROOTDIR", &self.root).env("GANETI_HOSTNAME", HOST);
        command.env("GANETI_WATCHER_MACHINE", self.directory.path());
        let output = command.args(arguments).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The names of the methods that luxid was asked, without those that only look.
    fn changing_luxi_calls(&self) -> Vec<String> {
        let looks = ["Query", "QueryConfigValues", "QueryClusterInfo", "QueryGroups", "QueryJobs"];
        let calls = self.luxi_calls.lock().unwrap();
        calls.iter().filter(|call| !looks.contains(&call.as_str())).cloned().collect()
    }

    fn files(&self) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                files.insert(path.clone(), (metadata.len(), metadata.modified().unwrap()));
                if metadata.is_dir() {
                    directories.push(path);
                }
            }
        }
        files
    }
}

fn luxid(socket: &Path) -> Calls {
    let listener = UnixListener::bind(socket).unwrap();
    let calls = Calls::default();
    let noted = Arc::clone(&calls);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let noted = Arc::clone(&noted);
            thread::spawn(move || serve(&stream.unwrap(), &noted));
        }
    });
    calls
}

fn serve(stream: &UnixStream, calls: &Mutex<Vec<String>>) {
    for request in BufReader::new(stream).split(END).map_while(Result::ok) {
        let request: Value = serde_json::from_slice(&request).unwrap();
        let method = request["method"].as_str().unwrap();
        calls.lock().unwrap().push(method.to_owned());
        let mut answer = json!({"success": true, "result": result(method, &request["args"])}).to_string();
        answer.push(char::from(END));
        let mut writer = stream;
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn result(method: &str, args: &Value) -> Value {
    let names = |names: &Value| names.as_array().cloned().unwrap_or_default();
    match method {
        "QueryConfigValues" => {
            let value = |name: Value| if name == "master_node" { json!(HOST) } else { json!(false) };
            names(&args[0]).into_iter().map(value).collect()
        }
        "QueryClusterInfo" => json!({"software_version": "3.0.2", "tags": []}),
        "QueryGroups" => json!([["default", GROUP]]),
        "AutoArchiveJobs" => json!([0, 0]),
        "ArchiveJob" => json!(true),
        "SubmitJob" => json!(7),
        "QueryJobs" => json!([["success", ["success"], [[{}, [], {}]], [null], [null]]]),
        "Query" if args[0] == "instance" => table(&names(&args[1]), &instance()),
        "Query" if args[0] == "node" => {
            table(&names(&args[1]), &json!({"name": HOST, "bootid": "new", "offline": false, "uuid": "u"}))
        }
        "Query" if args[0] == "group" => table(&names(&args[1]), &json!({"tags": []})),
        "Query" => json!({"fields": [], "data": []}),
        other => panic!("luxid was asked {other}"),
    }
}

fn instance() -> Value {
    json!({
        "name": "inst1.example.com", "status": "ERROR_down", "admin_state": "up", "disks_active": true,
        "snodes": [], "pnode.group.uuid": GROUP, "snodes.group.uuid": [], "disk_template": "plain",
        "pnode": HOST, "tags": [],
    })
}

fn table(fields: &[Value], row: &Value) -> Value {
    let cells: Vec<Value> = fields
        .iter()
        .map(|field| match row.get(field.as_str().unwrap()) {
            Some(value) => json!([0, value]),
            None => json!([1, null]),
        })
        .collect();
    json!({"fields": [], "data": [cells]})
}

#[test]
fn a_real_run_does_it_all() {
    let master = Master::new();
    let before = master.files();
    assert_eq!(master.run(&[]), "");
    let submitted = master.changing_luxi_calls();
    assert!(submitted.iter().filter(|call| *call == "SubmitJob").count() >= 2, "{submitted:?}");
    assert!(submitted.contains(&"AutoArchiveJobs".to_owned()), "{submitted:?}");
    let calls = master.calls();
    assert!(calls.contains(&"hook".to_owned()), "{calls:?}");
    assert!(calls.contains(&"daemon-util check-and-start ganeti-noded".to_owned()), "{calls:?}");
    let after = master.files();
    for file in [
        "var/log/ganeti/watcher.log",
        "var/lock/ganeti-watcher.lock",
        "var/run/ganeti/instance-status",
        &format!("var/lib/ganeti/watcher.{GROUP}.data"),
    ] {
        assert!(!before.contains_key(&master.root.join(file)), "{file}");
        assert!(after.contains_key(&master.root.join(file)), "{file}");
    }
    assert!(!after.contains_key(&master.root.join("var/lib/ganeti/watcher.pause")));
}

#[test]
fn a_dry_run_tells_it_all_and_does_nothing() {
    let master = Master::new();
    let before = master.files();
    let told = master.run(&["--dry-run"]);
    assert_eq!(master.changing_luxi_calls(), [""; 0], "{told}");
    assert_eq!(master.files(), before, "no file was made, changed or removed");
    for call in master.calls() {
        let looks =
            call.starts_with("daemon-util check ganeti-") || call.starts_with("daemon-util is-daemon-name ");
        assert!(looks, "{call}");
    }
    for line in [
        "Would start daemon 'ganeti-noded': it does not run",
        "Would start daemon 'ganeti-wconfd': it does not run",
        "Would run watcher hook hook",
        "Would archive jobs that ended more than 21600 s ago",
        "Would restart instance 'inst1.example.com' (attempt #1): its status is ERROR_down",
        &format!("Would verify the disks of group '{GROUP}', and activate those that are found broken"),
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\n{told}");
    }
}
