//! A daemon-util and a systemctl that record how they are called.

use std::fs;

use super::*;
use crate::logging::testing::logged;
use crate::testing::Machine;

impl Machine {
    /// `daemon_util` is a shell script that is run after its arguments have been recorded.
    pub(super) fn with_daemon_util(daemon_util: &str) -> Self {
        let machine = Self::new();
        machine.daemon_util(daemon_util);
        machine.script(machine.system.join("ganeti-rapi"), "exit 1");
        machine
    }

    /// Units answer as `units` (the body of a shell `case` on the unit's name) says.
    pub(super) fn with_systemd(units: &str) -> Self {
        let machine = Self::with_daemon_util("exit 1");
        fs::create_dir(machine.layout.systemd_marker()).unwrap();
        machine.set_units(units);
        machine
    }

    pub(super) fn set_units(&self, units: &str) {
        self.set_systemctl("echo LoadState=loaded; exit", units);
    }

    /// `target` is a shell command that answers for `ganeti.target`.
    pub(super) fn set_systemctl(&self, target: &str, units: &str) {
        let text = format!(
            "case \"$1 $3\" in 'show ganeti.target') {target};; esac\n\
             [ \"$1\" = show ] || exit 0\ncase \"$3\" in\n{units}\nesac"
        );
        self.program("systemctl", &text);
    }

    /// The calls without those in which systemctl only looks.
    pub(super) fn calls_but_show(&self) -> Vec<String> {
        self.calls().into_iter().filter(|call| !call.starts_with("systemctl show ")).collect()
    }

    fn told(&self) -> String {
        fs::read_to_string(self.layout.daemon_states()).unwrap_or_default()
    }
}

pub(super) const RUNNING: &str =
    "*) printf 'LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\nCanStart=yes\\n';;";

#[tokio::test]
async fn the_node_daemons_are_ensured_in_the_original_s_order() {
    let machine = Machine::with_daemon_util("exit 0");
    let armed = Armed::for_test();
    NodeDaemons::new(&machine.layout, Some(&armed)).await.ensure_on_every_node().await;
    assert_eq!(
        machine.calls(),
        [
            "daemon-util check-and-start ganeti-noded",
            "daemon-util check-and-start ganeti-confd",
            "daemon-util is-daemon-name ganeti-mond",
            "daemon-util check-and-start ganeti-mond",
            "daemon-util check-and-start ganeti-kvmd"
        ]
    );
}

#[tokio::test]
async fn a_pid_file_that_a_killed_daemon_left_is_removed_and_one_of_a_live_daemon_is_not() {
    for (name_of_process, removed) in [(None, true), (Some("sshd"), true), (Some("ganeti-rapi"), false)] {
        let machine = Machine::new();
        let pid_file = machine.layout.pid_file(RAPI);
        // Refuses to start over the pid file, and otherwise starts process 4712.
        let text = format!("[ -e {0} ] && exit 2; echo 4712 > {0}", pid_file.display());
        machine.daemon_util(&text);
        machine.pid_file(RAPI, "4711\n");
        let program = format!("/usr/sbin/{}", name_of_process.unwrap_or_default());
        let arguments = ["/usr/bin/python3", &program];
        if name_of_process.is_some() {
            machine.process("4711", &arguments);
        }
        machine.process("4712", &["/usr/sbin/ganeti-rapi"]);
        let armed = Armed::for_test();
        let runs = NodeDaemons::new(&machine.layout, Some(&armed)).await.ensure(RAPI).await;
        assert_eq!(runs, removed, "{name_of_process:?}");
        let now = if removed { "4712\n" } else { "4711\n" };
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), now, "{name_of_process:?}");
        let calls = vec!["daemon-util check-and-start ganeti-rapi"; if removed { 2 } else { 1 }];
        assert_eq!(machine.calls(), calls, "{name_of_process:?}");
    }
}

#[tokio::test]
async fn a_ganeti_without_mond_is_not_asked_to_start_it_and_one_failure_stops_nothing() {
    let machine = Machine::with_daemon_util(
        "case $1 in is-daemon-name) echo \"Unknown daemon name '$2'\" >&2;; *) echo broken;; esac; exit 1",
    );
    let armed = Armed::for_test();
    let mut daemons = NodeDaemons::new(&machine.layout, Some(&armed)).await;
    daemons.ensure_on_every_node().await;
    assert_eq!(machine.calls().len(), 4, "{:?}", machine.calls());
    assert!(!daemons.ensure("ganeti-noded").await);
}

#[tokio::test]
async fn a_dry_run_only_checks() {
    let machine = Machine::with_daemon_util("[ \"$1\" = is-daemon-name ]");
    let mut daemons = NodeDaemons::new(&machine.layout, None).await;
    daemons.ensure_on_every_node().await;
    assert!(matches!(daemons.restart(RAPI).await, Restarted::No(_)));
    for call in machine.calls() {
        assert!(
            call.starts_with("daemon-util check ") || call.starts_with("daemon-util is-daemon-name "),
            "{call}"
        );
    }
}

#[tokio::test]
async fn without_systemd_a_restart_is_stop_and_start() {
    let machine = Machine::with_daemon_util(
        "[ $1 = daemon-executable ] && echo \"$(dirname \"$0\")/ganeti-rapi\"; exit 0",
    );
    let armed = Armed::for_test();
    let restarted = NodeDaemons::new(&machine.layout, Some(&armed)).await.restart(RAPI).await;
    assert_eq!(restarted, Restarted::Yes);
    let expected = [
        "daemon-util daemon-executable ganeti-rapi",
        "daemon-util stop ganeti-rapi",
        "daemon-util check-and-start ganeti-rapi",
    ];
    assert_eq!(machine.calls(), expected);
}

#[tokio::test]
async fn what_could_not_be_started_again_is_not_stopped() {
    let machine = Machine::with_daemon_util("echo /nonexistent/ganeti-rapi");
    let armed = Armed::for_test();
    let restarted = NodeDaemons::new(&machine.layout, Some(&armed)).await.restart(RAPI).await;
    assert!(matches!(restarted, Restarted::No(why) if why.contains("could not be started again")));
    assert_eq!(machine.calls(), ["daemon-util daemon-executable ganeti-rapi"]);
}

#[tokio::test]
async fn under_systemd_units_that_run_are_left_alone_and_restarted_by_systemd() {
    let machine = Machine::with_systemd(RUNNING);
    let armed = Armed::for_test();
    let mut daemons = NodeDaemons::new(&machine.layout, Some(&armed)).await;
    daemons.ensure_on_every_node().await;
    assert_eq!(machine.calls_but_show(), [""; 0]);
    assert_eq!(daemons.restart(WCONFD).await, Restarted::Yes);
    assert_eq!(machine.calls_but_show(), ["systemctl restart ganeti-wconfd.service"]);
}

#[tokio::test]
async fn under_systemd_a_stopped_unit_stays_so_and_is_told_once() {
    let stopped = "ganeti-kvmd*) printf 'LoadState=loaded\\nActiveState=inactive\\nSubState=dead\\n';;\n";
    let machine = Machine::with_systemd(&format!("{stopped}{RUNNING}"));
    let armed = Armed::for_test();
    let mut daemons = NodeDaemons::new(&machine.layout, Some(&armed)).await;
    daemons.ensure_on_every_node().await;
    assert_eq!(machine.told(), r#"{"ganeti-kvmd":"inactive, dead"}"#);
    assert!(matches!(daemons.restart("ganeti-kvmd").await, Restarted::No(_)));
    assert_eq!(machine.calls_but_show(), [""; 0], "neither stopped nor started");

    let next_run = NodeDaemons::new(&machine.layout, Some(&armed)).await;
    assert_eq!(next_run.told.get("ganeti-kvmd").map(String::as_str), Some("inactive, dead"));
    machine.set_units(RUNNING);
    let mut third_run = NodeDaemons::new(&machine.layout, Some(&armed)).await;
    assert!(third_run.ensure("ganeti-kvmd").await);
    assert_eq!(machine.told(), "{}");
}

#[tokio::test]
async fn under_systemd_only_a_failed_unit_is_started() {
    let failed =
        "ganeti-noded*) printf 'LoadState=loaded\\nActiveState=failed\\nResult=signal\\nCanStart=yes\\n';;\n";
    let masked = "ganeti-mond*) printf 'LoadState=masked\\nActiveState=failed\\nCanStart=no\\n';;\n";
    let machine = Machine::with_systemd(&format!("{failed}{masked}{RUNNING}"));
    let armed = Armed::for_test();
    NodeDaemons::new(&machine.layout, None).await.ensure_on_every_node().await;
    assert_eq!(machine.calls_but_show(), [""; 0], "a dry run");
    assert_eq!(machine.told(), "", "a dry run");
    NodeDaemons::new(&machine.layout, Some(&armed)).await.ensure_on_every_node().await;
    assert_eq!(machine.calls_but_show(), ["systemctl start ganeti-noded.service"]);
    let told = r#"{"ganeti-noded":"failed, signal","ganeti-mond":"masked"}"#;
    let told: BTreeMap<String, String> = serde_json::from_str(told).unwrap();
    let now: BTreeMap<String, String> = serde_json::from_str(&machine.told()).unwrap();
    assert_eq!(now, told, "systemctl succeeded, and the unit is still a failed one");
}

#[tokio::test]
async fn a_missing_daemon_util_is_an_error_and_no_end() {
    let machine = Machine::with_daemon_util("");
    let layout = machine.layout.clone().with_daemon_util("/nonexistent/daemon-util".into());
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
        let machine = Machine::with_systemd(RUNNING);
        machine.set_systemctl(no_answer, RUNNING);
        let log = logged(async {
            let armed = Armed::for_test();
            let mut daemons = NodeDaemons::new(&machine.layout, Some(&armed)).await;
            daemons.ensure_on_every_node().await;
            assert!(!daemons.ensure(RAPI).await);
            let Restarted::No(why) = daemons.restart(RAPI).await else { panic!("restarted: {no_answer}") };
            assert!(why.starts_with("cannot tell whether systemd looks after it"), "{why}");
        });
        assert_eq!(machine.calls_but_show(), [""; 0], "{no_answer}");
        let warnings: Vec<&str> = log.lines().filter(|line| !line.starts_with("DEBUG")).collect();
        let [warning] = warnings[..] else { panic!("{no_answer}: {log}") };
        assert!(warning.contains("systemctl show -pLoadState ganeti.target"), "{warning}");
    }
}

#[test]
fn a_marker_that_cannot_be_looked_at_is_no_answer_either() {
    let machine = Machine::with_daemon_util("exit 0");
    let directory = machine.system.join("loop");
    std::os::unix::fs::symlink("loop", &directory).unwrap();
    let layout = machine.layout.clone().with_machine(&directory);
    let log = logged(async {
        let found = systemd::supervision(&layout).await;
        assert!(matches!(found, Supervision::Unknown(_)), "{found:?}");
    });
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn a_run_asks_who_looks_after_the_daemons_once_and_says_once_that_it_cannot_be_told() {
    let machine = Machine::with_systemd(RUNNING);
    machine.set_systemctl("exit 1", RUNNING);
    let log = logged(async {
        let armed = Armed::for_test();
        let duties = crate::node::Duties {
            layout: &machine.layout,
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
    assert_eq!(machine.calls(), ["systemctl show -pLoadState ganeti.target"]);
    assert_eq!(log.lines().filter(|line| line.starts_with("WARNING")).count(), 1, "{log}");
}

#[test]
fn a_unit_without_an_answer_is_left_alone_and_the_others_are_not() {
    let failed = "printf 'LoadState=loaded\\nActiveState=failed\\nResult=signal\\nCanStart=yes\\n'";
    for no_answer in
        ["exit 1", "exit 0", "echo ActiveState=failed", "echo Connection timed out", "kill -9 $$"]
    {
        let units = format!("ganeti-noded*) {no_answer};;\n*) {failed};;");
        let machine = Machine::with_systemd(&units);
        let log = logged(async {
            let armed = Armed::for_test();
            let mut daemons = NodeDaemons::new(&machine.layout, Some(&armed)).await;
            daemons.ensure_on_every_node().await;
            assert!(matches!(daemons.restart("ganeti-noded").await, Restarted::No(_)), "{no_answer}");
        });
        let starts = ["ganeti-confd", "ganeti-mond", "ganeti-kvmd"];
        assert_eq!(
            machine.calls_but_show(),
            starts.map(|name| format!("systemctl start {name}.service")),
            "{no_answer}"
        );
        let warning = "WARNING Cannot tell whether daemon 'ganeti-noded' runs, leaving it alone: ";
        assert_eq!(log.matches(warning).count(), 1, "{no_answer}: {log}");
    }
}

#[tokio::test]
async fn who_looks_after_the_daemons_is_told_by_daemon_util_s_rule() {
    let machine = Machine::with_daemon_util("exit 0");
    assert_eq!(systemd::supervision(&machine.layout).await, Supervision::DaemonUtil);
    fs::create_dir(machine.layout.systemd_marker()).unwrap();
    assert_eq!(
        systemd::supervision(&machine.layout).await,
        Supervision::DaemonUtilBesideSystemd,
        "no systemctl"
    );
    for (target, expected) in [
        ("echo LoadState=loaded; exit", Supervision::Systemd),
        ("echo LoadState=not-found; exit", Supervision::DaemonUtilBesideSystemd),
        ("echo LoadState=masked; exit", Supervision::DaemonUtilBesideSystemd),
    ] {
        machine.set_systemctl(target, RUNNING);
        assert_eq!(systemd::supervision(&machine.layout).await, expected, "{target}");
    }
}
