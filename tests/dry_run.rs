//! A dry run on a master with work to do everywhere: a real run shows that there is work, and a dry run shows
//! that nothing leaves the program. luxid is a stand-in that records what it is asked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use program::{GROUP, HOST, Machine};
use serde_json::{Value, json};

const END: u8 = 3;

type Calls = Arc<Mutex<Vec<String>>>;

struct Master {
    machine: Machine,
    luxi_calls: Calls,
}

impl Master {
    fn new() -> Self {
        let machine = Machine::new();
        fs::create_dir(machine.layout.run_dir("fake-hypervisor")).unwrap();
        let luxi_calls = luxid(&machine.layout.luxi_socket());
        machine.master(HOST);
        machine.one_node_group();
        // An expired pause file, which a real run removes.
        machine.write("var/lib/ganeti/watcher.pause", "1000\n");
        // No daemon runs, and two will not start: those need no probe.
        machine.daemon_util("case \"$*\" in check\\ *|check-*rapi|check-*wconfd) exit 1;; esac");
        machine.hook("hook", ":");
        Self { machine, luxi_calls }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let run = self.machine.run(arguments);
        assert!(run.stderr.is_empty(), "{}", run.stderr);
        run.stdout
    }

    /// The names of the luxid methods called, without those that only look.
    fn changing_luxi_calls(&self) -> Vec<String> {
        let looks = ["Query", "QueryConfigValues", "QueryClusterInfo", "QueryGroups", "QueryJobs"];
        let calls = self.luxi_calls.lock().unwrap();
        calls.iter().filter(|call| !looks.contains(&call.as_str())).cloned().collect()
    }

    fn files(&self) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.machine.root.clone()];
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
        "Query" if args[0] == "group" => table(&names(&args[1]), &json!({"name": "default", "tags": []})),
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
    let calls = master.machine.calls();
    assert!(calls.contains(&"hook".to_owned()), "{calls:?}");
    assert!(calls.contains(&"daemon-util check-and-start ganeti-noded".to_owned()), "{calls:?}");
    let after = master.files();
    for file in [
        "var/log/ganeti/watcher.log",
        "var/lock/ganeti-watcher.lock",
        "var/run/ganeti/instance-status",
        &format!("var/lib/ganeti/watcher.{GROUP}.data"),
    ] {
        assert!(!before.contains_key(&master.machine.root.join(file)), "{file}");
        assert!(after.contains_key(&master.machine.root.join(file)), "{file}");
    }
    assert!(!after.contains_key(&master.machine.root.join("var/lib/ganeti/watcher.pause")));
}

#[test]
fn a_dry_run_tells_it_all_and_does_nothing() {
    let master = Master::new();
    let before = master.files();
    let told = master.run(&["--dry-run"]);
    assert_eq!(master.changing_luxi_calls(), [""; 0], "{told}");
    assert_eq!(master.files(), before, "no file was made, changed or removed");
    for call in master.machine.calls() {
        let looks =
            call.starts_with("daemon-util check ganeti-") || call.starts_with("daemon-util is-daemon-name ");
        assert!(looks, "{call}");
    }
    for line in [
        "Would start daemon 'ganeti-noded': it does not run",
        "Would start daemon 'ganeti-wconfd': it does not run",
        "Would run watcher hook hook",
        "Would archive jobs that ended more than 6 h ago",
        "Would restart instance 'inst1.example.com' (attempt #1): its status is ERROR_down",
        "Would verify the disks of group 'default', and activate those found broken",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\n{told}");
    }
    let last = "Node group 'default': 0 of 1 instances run; 1 would be started. Nothing was changed";
    assert_eq!(told.lines().next_back(), Some(last), "{told}");
}
