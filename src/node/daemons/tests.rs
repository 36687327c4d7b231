//! A daemon-util and a systemctl that write down what they are asked, below a temporary directory.

use std::fs;

use super::*;
use crate::logging::testing::logged;
use crate::node::proc::testing::machine_with;
use crate::node::process::testing::script;

pub(super) struct Fixture {
    pub(super) directory: tempfile::TempDir,
    pub(super) layout: Layout,
}

impl Fixture {
    /// `daemon_util` is a shell script that is run after its arguments have been written down.
    pub(super) fn new(daemon_util: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("node1.example.com");
        fs::create_dir_all(root.join("var/lib/ganeti")).unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        let calls = directory.path().join("calls");
        let note = format!("echo \"$@\" >> {}\n", calls.display());
        script(&directory.path().join("daemon-util"), &(note.clone() + daemon_util));
        script(&directory.path().join("ganeti-rapi"), "exit 1");
        let layout = Layout::new(Some(root.into()), Some("node1.example.com".into()))
            .unwrap()
            .with_machine(directory.path());
        Self { directory, layout }
    }

    /// Units answer as `units` (a shell `case` body on the unit's name) says.
    pub(super) fn with_systemd(units: &str) -> Self {
        let fixture = Self::new("exit 1");
        fs::create_dir(fixture.layout.systemd_marker()).unwrap();
        fixture.set_units(units);
        fixture
    }

    pub(super) fn set_units(&self, units: &str) {
        self.set_systemctl("echo LoadState=loaded; exit", units);
    }

    /// `target` is a shell command that answers for `ganeti.target`.
    pub(super) fn set_systemctl(&self, target: &str, units: &str) {
        let calls = self.directory.path().join("calls");
        let text = format!(
            "case \"$1 $3\" in 'show ganeti.target') {target};; esac\n\
             [ \"$1\" = show ] || echo \"systemctl $@\" >> {}\n\
             [ \"$1\" = show ] || exit 0\ncase \"$3\" in\n{units}\nesac",
            calls.display()
        );
        script(&self.layout.program("systemctl"), &text);
    }

    pub(super) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn told(&self) -> String {
        fs::read_to_string(self.layout.daemon_states()).unwrap_or_default()
    }
}

pub(super) const RUNNING: &str =
    "*) printf 'LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\nCanStart=yes\\n';;";

#[tokio::test]
async fn the_node_daemons_are_ensured_in_the_original_s_order() {
    let fixture = Fixture::new("exit 0");
    let armed = Armed::for_test();
    NodeDaemons::new(&fixture.layout, Some(&armed)).await.ensure_on_every_node().await;
    assert_eq!(
        fixture.calls(),
        [
            "check-and-start ganeti-noded",
            "check-and-start ganeti-confd",
            "is-daemon-name ganeti-mond",
            "check-and-start ganeti-mond",
            "check-and-start ganeti-kvmd"
        ]
    );
}

#[tokio::test]
async fn a_pid_file_that_a_killed_daemon_left_is_removed_and_one_of_a_live_daemon_is_not() {
    for (name_of_process, removed) in [(None, true), (Some("sshd"), true), (Some("ganeti-rapi"), false)] {
        let directory = tempfile::tempdir().unwrap();
        // Refuses to start over the pid file, and otherwise starts process 4712.
        let link = directory.path().join("pid-file");
        let fixture = Fixture::new(&format!(
            "file=$(readlink {}); [ -e $file ] && exit 2; echo 4712 > $file",
            link.display()
        ));
        let pid_file = fixture.layout.pid_file(RAPI);
        std::os::unix::fs::symlink(&pid_file, &link).unwrap();
        fs::create_dir_all(pid_file.parent().unwrap()).unwrap();
        replace(&pid_file, b"4711\n", |_| Ok(())).map(drop).unwrap();
        let program = format!("/usr/sbin/{}", name_of_process.unwrap_or_default());
        let arguments = ["/usr/bin/python3", &program];
        machine_with(&fixture.layout, name_of_process.map(|_| ("4711", &arguments[..])));
        machine_with(&fixture.layout, Some(("4712", &["/usr/sbin/ganeti-rapi"])));
        let armed = Armed::for_test();
        let runs = NodeDaemons::new(&fixture.layout, Some(&armed)).await.ensure(RAPI).await;
        assert_eq!(runs, removed, "{name_of_process:?}");
        let now = if removed { "4712\n" } else { "4711\n" };
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), now, "{name_of_process:?}");
        let calls = vec!["check-and-start ganeti-rapi"; if removed { 2 } else { 1 }];
        assert_eq!(fixture.calls(), calls, "{name_of_process:?}");
    }
}

#[tokio::test]
async fn a_ganeti_without_mond_is_not_asked_to_start_it_and_one_failure_stops_nothing() {
    let fixture = Fixture::new(
        "case $1 in is-daemon-name) echo \"Unknown daemon name '$2'\" >&2;; *) echo broken;; esac; exit 1",
    );
    let armed = Armed::for_test();
    let mut daemons = NodeDaemons::new(&fixture.layout, Some(&armed)).await;
    daemons.ensure_on_every_node().await;
    assert_eq!(fixture.calls().len(), 4, "{:?}", fixture.calls());
    assert!(!daemons.ensure("ganeti-noded").await);
}

#[tokio::test]
async fn a_dry_run_only_checks() {
    let fixture = Fixture::new("[ \"$1\" = is-daemon-name ]");
    let mut daemons = NodeDaemons::new(&fixture.layout, None).await;
    daemons.ensure_on_every_node().await;
    assert!(matches!(daemons.restart(RAPI).await, Restarted::No(_)));
    for call in fixture.calls() {
        assert!(call.starts_with("check ") || call.starts_with("is-daemon-name "), "{call}");
    }
}

#[tokio::test]
async fn without_systemd_a_restart_is_stop_and_start() {
    let fixture =
        Fixture::new("[ $1 = daemon-executable ] && echo \"$(dirname \"$0\")/ganeti-rapi\"; exit 0");
    let armed = Armed::for_test();
    let restarted = NodeDaemons::new(&fixture.layout, Some(&armed)).await.restart(RAPI).await;
    assert_eq!(restarted, Restarted::Yes);
    let expected = ["daemon-executable ganeti-rapi", "stop ganeti-rapi", "check-and-start ganeti-rapi"];
    assert_eq!(fixture.calls(), expected);
}

#[tokio::test]
async fn what_could_not_be_started_again_is_not_stopped() {
    let fixture = Fixture::new("echo /nonexistent/ganeti-rapi");
    let armed = Armed::for_test();
    let restarted = NodeDaemons::new(&fixture.layout, Some(&armed)).await.restart(RAPI).await;
    assert!(matches!(restarted, Restarted::No(why) if why.contains("could not be started again")));
    assert_eq!(fixture.calls(), ["daemon-executable ganeti-rapi"]);
}

#[tokio::test]
async fn under_systemd_units_that_run_are_left_alone_and_restarted_by_systemd() {
    let fixture = Fixture::with_systemd(RUNNING);
    let armed = Armed::for_test();
    let mut daemons = NodeDaemons::new(&fixture.layout, Some(&armed)).await;
    daemons.ensure_on_every_node().await;
    assert_eq!(fixture.calls(), [""; 0]);
    assert_eq!(daemons.restart(WCONFD).await, Restarted::Yes);
    assert_eq!(fixture.calls(), ["systemctl restart ganeti-wconfd.service"]);
}

#[tokio::test]
async fn under_systemd_a_stopped_unit_stays_so_and_is_told_once() {
    let stopped = "ganeti-kvmd*) printf 'LoadState=loaded\\nActiveState=inactive\\nSubState=dead\\n';;\n";
    let fixture = Fixture::with_systemd(&format!("{stopped}{RUNNING}"));
    let armed = Armed::for_test();
    let mut daemons = NodeDaemons::new(&fixture.layout, Some(&armed)).await;
    daemons.ensure_on_every_node().await;
    assert_eq!(fixture.told(), r#"{"ganeti-kvmd":"inactive, dead"}"#);
    assert!(matches!(daemons.restart("ganeti-kvmd").await, Restarted::No(_)));
    assert_eq!(fixture.calls(), [""; 0], "neither stopped nor started");

    let next_run = NodeDaemons::new(&fixture.layout, Some(&armed)).await;
    assert_eq!(next_run.told.get("ganeti-kvmd").map(String::as_str), Some("inactive, dead"));
    fixture.set_units(RUNNING);
    let mut third_run = NodeDaemons::new(&fixture.layout, Some(&armed)).await;
    assert!(third_run.ensure("ganeti-kvmd").await);
    assert_eq!(fixture.told(), "{}");
}

#[tokio::test]
async fn under_systemd_only_a_failed_unit_is_started() {
    let failed =
        "ganeti-noded*) printf 'LoadState=loaded\\nActiveState=failed\\nResult=signal\\nCanStart=yes\\n';;\n";
    let masked = "ganeti-mond*) printf 'LoadState=masked\\nActiveState=failed\\nCanStart=no\\n';;\n";
    let fixture = Fixture::with_systemd(&format!("{failed}{masked}{RUNNING}"));
    let armed = Armed::for_test();
    NodeDaemons::new(&fixture.layout, None).await.ensure_on_every_node().await;
    assert_eq!(fixture.calls(), [""; 0], "a dry run");
    assert_eq!(fixture.told(), "", "a dry run");
    NodeDaemons::new(&fixture.layout, Some(&armed)).await.ensure_on_every_node().await;
    assert_eq!(fixture.calls(), ["systemctl start ganeti-noded.service"]);
    let told = r#"{"ganeti-noded":"failed, signal","ganeti-mond":"masked"}"#;
    let told: BTreeMap<String, String> = serde_json::from_str(told).unwrap();
    let now: BTreeMap<String, String> = serde_json::from_str(&fixture.told()).unwrap();
    assert_eq!(now, told, "systemctl succeeded, and the unit is still a failed one");
}

#[tokio::test]
async fn a_missing_daemon_util_is_an_error_and_no_end() {
    let fixture = Fixture::new("");
    let layout = fixture.layout.clone().with_daemon_util("/nonexistent/daemon-util".into());
    let armed = Armed::for_test();
    assert!(!NodeDaemons::new(&layout, Some(&armed)).await.ensure(LUXID).await);
}

/// What `systemctl show -pLoadState ganeti.target` does when it has no answer.
const NO_ANSWER: [&str; 6] = [
    "echo 'Failed to connect to bus: Connection refused' >&2; exit 1",
    "echo LoadState=loaded; exit 1",
    "echo LoadState=; exit",
    "echo LoadState=error; exit",
    "exit 0",
    "kill -9 $$",
];

#[test]
fn a_systemctl_without_an_answer_is_neither_systemd_nor_none_and_touches_no_daemon() {
    for no_answer in NO_ANSWER {
        let fixture = Fixture::with_systemd(RUNNING);
        fixture.set_systemctl(no_answer, RUNNING);
        let log = logged(async {
            let armed = Armed::for_test();
            let mut daemons = NodeDaemons::new(&fixture.layout, Some(&armed)).await;
            daemons.ensure_on_every_node().await;
            assert!(!daemons.ensure(RAPI).await);
            let Restarted::No(why) = daemons.restart(RAPI).await else { panic!("restarted: {no_answer}") };
            assert!(why.starts_with("cannot tell whether systemd looks after it"), "{why}");
        });
        assert_eq!(fixture.calls(), [""; 0], "{no_answer}");
        let warnings: Vec<&str> = log.lines().filter(|line| !line.starts_with("DEBUG")).collect();
        let [warning] = warnings[..] else { panic!("{no_answer}: {log}") };
        assert!(warning.contains("systemctl show -pLoadState ganeti.target"), "{warning}");
    }
}

#[test]
fn a_marker_that_cannot_be_looked_at_is_no_answer_either() {
    let fixture = Fixture::new("exit 0");
    let directory = fixture.directory.path().join("loop");
    std::os::unix::fs::symlink("loop", &directory).unwrap();
    let layout = fixture.layout.clone().with_machine(&directory);
    let log = logged(async {
        let found = systemd::supervision(&layout).await;
        assert!(matches!(found, Supervision::Unknown(_)), "{found:?}");
    });
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn a_run_asks_who_looks_after_the_daemons_once_and_says_once_that_it_cannot_be_told() {
    let fixture = Fixture::with_systemd(RUNNING);
    fixture.set_systemctl("echo asked >> \"$0.asked\"; exit 1", RUNNING);
    let log = logged(async {
        let armed = Armed::for_test();
        let duties = crate::node::Duties {
            layout: &fixture.layout,
            clock: &crate::clock::SystemClock,
            rapi_ip: "127.0.0.1",
            hook_limit: TIME_LIMIT,
            supervision: tokio::sync::OnceCell::new(),
        };
        duties.on_every_node(Some(&armed)).await;
        let error = duties.check_and_start(&armed, LUXID).await.unwrap_err().to_string();
        assert!(error.contains("was left alone: cannot tell whether systemd"), "{error}");
        duties.on_master(Some(&armed)).await;
    });
    let asked = fs::read_to_string(fixture.directory.path().join("bin/systemctl.asked")).unwrap();
    assert_eq!(asked, "asked\n");
    assert_eq!(log.lines().filter(|line| line.starts_with("WARNING")).count(), 1, "{log}");
    assert_eq!(fixture.calls(), [""; 0]);
}

#[test]
fn a_unit_without_an_answer_is_left_alone_and_the_others_are_not() {
    let failed = "printf 'LoadState=loaded\\nActiveState=failed\\nResult=signal\\nCanStart=yes\\n'";
    for no_answer in
        ["exit 1", "exit 0", "echo ActiveState=failed", "echo Connection timed out", "kill -9 $$"]
    {
        let units = format!("ganeti-noded*) {no_answer};;\n*) {failed};;");
        let fixture = Fixture::with_systemd(&units);
        let log = logged(async {
            let armed = Armed::for_test();
            let mut daemons = NodeDaemons::new(&fixture.layout, Some(&armed)).await;
            daemons.ensure_on_every_node().await;
            assert!(matches!(daemons.restart("ganeti-noded").await, Restarted::No(_)), "{no_answer}");
        });
        let starts = ["ganeti-confd", "ganeti-mond", "ganeti-kvmd"];
        assert_eq!(
            fixture.calls(),
            starts.map(|name| format!("systemctl start {name}.service")),
            "{no_answer}"
        );
        let warning = "WARNING Cannot tell whether daemon 'ganeti-noded' runs, leaving it alone: ";
        assert_eq!(log.matches(warning).count(), 1, "{no_answer}: {log}");
    }
}

#[tokio::test]
async fn who_looks_after_the_daemons_is_told_by_daemon_util_s_rule() {
    let fixture = Fixture::new("exit 0");
    assert_eq!(systemd::supervision(&fixture.layout).await, Supervision::DaemonUtil);
    fs::create_dir(fixture.layout.systemd_marker()).unwrap();
    assert_eq!(
        systemd::supervision(&fixture.layout).await,
        Supervision::DaemonUtilBesideSystemd,
        "no systemctl"
    );
    for (target, expected) in [
        ("echo LoadState=loaded; exit", Supervision::Systemd),
        ("echo LoadState=not-found; exit", Supervision::DaemonUtilBesideSystemd),
        ("echo LoadState=masked; exit", Supervision::DaemonUtilBesideSystemd),
    ] {
        fixture.set_systemctl(target, RUNNING);
        assert_eq!(systemd::supervision(&fixture.layout).await, expected, "{target}");
    }
}
