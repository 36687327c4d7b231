//! From the question to confd to the last minor, with a confd on the loopback network.

use std::fs;

use tokio::net::UdpSocket;

use super::super::confd::packet::testing::{reply, reply_salt};
use super::*;
use crate::clock::SystemClock;
use crate::logging::testing::logged;
use crate::testing::Machine;

const KEY: &str = "deadbeef\n";
const DRBD: &str = "version: 8.4.11 (api:1/proto:86-101)\n 3: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----\n";

/// A node with running instances, and a line in `services` for the port of the stand-ins.
fn machine(candidates: &[&str], port: u16) -> Machine {
    let machine = Machine::new();
    machine.ssconf("maintain_node_health", "True\n");
    machine.ssconf("master_candidates_ips", candidates.join("\n") + "\n");
    machine.ssconf("hypervisor_list", "lxc\nkvm\nfake\nxen-pvm\nxen-hvm\nwarp\n");
    machine.ssconf("hvparams_kvm", "kernel_args=ro console=ttyS0\n");
    machine.write(machine.layout.confd_hmac_key(), KEY);
    machine.services(&format!("ganeti-confd {port}/udp\n"));
    machine.ssconf("instance_list", "elsewhere\nfake1\nfake2\nxen1\nxen2\n");
    machine.write(machine.layout.run_dir("fake-hypervisor/fake1"), "");
    machine.write(machine.layout.run_dir("fake-hypervisor/fake2"), "");
    machine.write(machine.layout.xen_config("xen1"), "");
    machine.program("lxc-ls", "echo broken; exit 1");
    machine.program("xl", "[ $1 = destroy ] && exit 1\nprintf 'Name\\nxen1 1 512 1 r----- 1.0\\n'");
    machine.program("drbdsetup", "exit 0");
    machine.write(machine.layout.proc_drbd(), DRBD);
    machine
}

/// One confd per candidate, with the role and serial number that it answers; from 127.0.0.1 up, on one port.
async fn confds(answers: &[(i64, i64)]) -> u16 {
    let mut port = 0;
    for (index, &(role, serial)) in answers.iter().enumerate() {
        let socket = UdpSocket::bind((format!("127.0.0.{}", index + 1), port)).await.unwrap();
        port = socket.local_addr().unwrap().port();
        let message = format!("{{\"protocol\":1,\"status\":0,\"answer\":{role},\"serial\":{serial}}}");
        tokio::spawn(async move {
            let key = Key::new(KEY.as_bytes());
            let mut buffer = vec![0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let salt = reply_salt(&key, &buffer[..length]).unwrap();
                socket.send_to(&reply(&key, &message, &salt), client).await.unwrap();
            }
        });
    }
    port
}

fn run_with(answers: &'static [(i64, i64)], armed: bool) -> (Machine, String) {
    let made = std::cell::OnceCell::new();
    let log = logged(async {
        let port = confds(answers).await;
        let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
        let machine = made.get_or_init(|| machine(&addresses[..answers.len()], port));
        let armed = armed.then(Armed::for_test);
        run(armed.as_ref(), &machine.layout, &SystemClock).await;
    });
    (made.into_inner().unwrap(), log)
}

#[test]
fn an_offline_node_stops_everything_and_one_failure_stops_nothing() {
    let (machine, log) = run_with(&[(2, 20), (1, 19)], true);
    let calls = ["lxc-ls --running", "xl list", "xl destroy xen1", "xl list", "drbdsetup down resource3"];
    assert_eq!(machine.calls(), calls, "{log}");
    assert_eq!(fake::list(&machine.layout).unwrap(), [""; 0]);
    for line in [
        "ERROR Error while listing instances for hypervisor lxc: ",
        "ERROR Error while listing instances for hypervisor warp: ",
        "INFO Following instances should not be running, shutting them down: fake1, fake2, xen1",
        "ERROR Cannot shut down instance 'xen1' (xen): ",
        "INFO Following DRBD minors should not be active, shutting them down: 3",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
}

#[test]
fn a_dry_run_only_tells() {
    let (machine, log) = run_with(&[(2, 20)], false);
    assert_eq!(machine.calls(), ["lxc-ls --running", "xl list"]);
    assert_eq!(fake::list(&machine.layout).unwrap(), ["fake1", "fake2"]);
    assert!(log.contains("INFO Would shut down instances that should not be running: fake1, fake2, xen1"));
    assert!(log.contains("INFO Would shut down DRBD minors that should not be active: 3"), "{log}");
}

#[test]
fn other_roles_and_contradictions_touch_nothing() {
    for answers in [&[(0, 20)][..], &[(4, 20), (4, 20)], &[(2, 20), (4, 21)], &[(2, 20), (4, 20), (2, 20)]] {
        let (machine, log) = run_with(answers, true);
        assert_eq!(machine.calls(), [""; 0], "{answers:?}\n{log}");
        assert_eq!(fake::list(&machine.layout).unwrap().len(), 2);
    }
    let (_, log) = run_with(&[(2, 20), (4, 20)], true);
    assert!(log.contains("WARNING Cannot do maintenance actions: Inconsistent replies, not doing anything"));
}

#[test]
fn silence_touches_nothing() {
    let made = std::cell::OnceCell::new();
    let log = logged(async {
        tokio::time::pause();
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let machine = made.get_or_init(|| machine(&["127.0.0.1"], silent.local_addr().unwrap().port()));
        run(Some(&Armed::for_test()), &machine.layout, &SystemClock).await;
    });
    assert!(log.contains("Confd query timed out: 0 of 1 master candidates answered"), "{log}");
    assert_eq!(made.into_inner().unwrap().calls(), [""; 0]);
}

#[test]
fn what_is_not_wanted_or_misconfigured_is_not_done() {
    let log_with = |key: &str, content: &str| {
        let machine = machine(&["127.0.0.1"], 1);
        machine.ssconf(key, content);
        let log = logged(async { run(Some(&Armed::for_test()), &machine.layout, &SystemClock).await });
        assert_eq!(machine.calls(), [""; 0]);
        log
    };
    assert_eq!(log_with("maintain_node_health", "False\n"), "");
    for nonsense in ["", "\n", "\0\0\0\0\0", "true", "True\r\n"] {
        let log = log_with("maintain_node_health", nonsense);
        let words =
            "ERROR Configuration error, not activating node maintenance: ssconf's maintain_node_health is '";
        assert!(log.starts_with(words) && log.contains("neither True nor False"), "{log}");
    }
    assert!(log_with("master_candidates_ips", "\n").contains("is empty"));
    assert!(log_with("master_candidates_ips", "node1\n").contains("invalid address 'node1'"));
}

/// As printed by Xen 4.14 and later, with whatever else runs there.
const XL_LIST: &str = "\
Name                                        ID   Mem VCPUs\tState\tTime(s)
Domain-0                                     0  1024     2     r-----     266.2
Xenstore                                     1    31     1     -b----       0.0
xen1                                         2   512     1     -b----       1.0
xen1-dm                                      3    64     1     -b----       1.0
net-driver                                   4   256     1     -b----       9.0
xen2                                         5   512     1     -b----       1.0
(null)                                       6     0     1     -----d       7.0
";

/// Runs maintenance on an offline node, after `change`.
fn offline_with(change: impl Fn(&Machine)) -> (Machine, String) {
    let machine = machine(&["127.0.0.1"], 1);
    change(&machine);
    let log = logged(async { stop_everything(Some(&Armed::for_test()), &machine.layout).await });
    (machine, log)
}

#[test]
fn only_guests_that_ganeti_knows_are_destroyed() {
    let (machine, log) = offline_with(|machine| {
        machine.ssconf("hypervisor_list", "xen-hvm\nlxc\nkvm\nchroot\nfake\n");
        machine.ssconf("instance_list", "c1\nfake1\nl1\nl2\nxen1\nxen1-dm\nxen2\n../fake2\n");
        machine.program("xl", &format!("[ $1 = destroy ] || cat <<END\n{XL_LIST}END"));
        // Somebody else's domain with the name of an instance that runs elsewhere has no Ganeti file.
        machine.write(machine.layout.xen_config("net-driver"), "");
        machine.program("lxc-ls", "echo l1 l2 l3");
        machine.program("lxc-stop", "exit 0");
        for name in ["l1", "l3"] {
            machine.write(machine.layout.run_dir(&format!("lxc/instance/{name}/config")), "");
        }
    });
    let calls: Vec<String> = machine.calls().into_iter().filter(|call| call.contains("-n ")).collect();
    assert_eq!(calls, ["lxc-stop -n l1 --kill"], "{log}");
    let destroyed: Vec<String> =
        machine.calls().into_iter().filter(|call| call.starts_with("xl destroy")).collect();
    assert_eq!(destroyed, ["xl destroy xen1"], "{log}");
    assert_eq!(fake::list(&machine.layout).unwrap(), ["fake2"]);
    let warnings: Vec<&str> = log.lines().filter(|line| line.starts_with("WARNING")).collect();
    let [warning] = warnings[..] else { panic!("{log}") };
    for words in [
        "'Xenstore' (xen: not in ssconf_instance_list)",
        "'xen1-dm' (xen: there is no '",
        "'net-driver' (xen: not in ssconf_instance_list)",
        "'xen2' (xen: there is no '",
        "'(null)' (xen: not in",
        "'l2' (lxc: there is no '",
        "'l3' (lxc: not in",
        "'fake2' (fake: not in",
    ] {
        assert!(warning.contains(words), "{words}\n{warning}");
    }
}

#[test]
fn many_guests_of_somebody_else_are_one_short_line() {
    let names: Vec<String> = (0..3000).map(|number| format!("{number:04}{}", "x".repeat(200))).collect();
    let (machine, log) = offline_with(|machine| {
        machine.ssconf("hypervisor_list", "lxc\n");
        machine.program("lxc-ls", &format!("cat <<END\n{}\nEND", names.join("\n")));
    });
    let warnings: Vec<&str> = log.lines().filter(|line| line.starts_with("WARNING")).collect();
    let [warning] = warnings[..] else { panic!("{log}") };
    assert!(warning.contains(" and 2990 more. ") && warning.len() < 1500, "{warning}");
    assert_eq!(machine.calls(), ["lxc-ls --running", "drbdsetup down resource3"]);
}

#[test]
fn an_unknown_list_destroys_nothing() {
    for key in ["instance_list", "hypervisor_list"] {
        for broken in ["missing", "not text"] {
            let (machine, log) = offline_with(|machine| {
                fs::remove_file(machine.layout.ssconf(key)).unwrap();
                if broken == "not text" {
                    machine.ssconf(key, b"xen1\xff\n");
                }
            });
            assert_eq!(machine.calls(), [""; 0], "{key} {broken}: {log}");
            assert_eq!(fake::list(&machine.layout).unwrap(), ["fake1", "fake2"], "{key} {broken}");
            assert!(
                log.starts_with("ERROR Cannot tell what belongs to Ganeti here, stopping nothing: "),
                "{log}"
            );
        }
    }
    // Half a list, no list, and an unknown toolstack.
    for xl in ["yes | head -c 2000000", "exit 0", "echo nonsense"] {
        let (machine, log) = offline_with(|machine| {
            machine.ssconf("hypervisor_list", "xen-pvm\n");
            machine.program("xl", xl);
        });
        assert!(!machine.calls().iter().any(|call| call.contains("destroy")), "{xl}: {log}");
        assert!(log.contains("ERROR Error while listing instances for hypervisor xen-pvm: "), "{xl}: {log}");
    }
    let (machine, log) = offline_with(|machine| {
        machine.ssconf("hypervisor_list", "xen-pvm\n");
        machine.ssconf("hvparams_xen-pvm", b"\xff");
    });
    assert_eq!(machine.calls(), ["drbdsetup down resource3"], "{log}");
}

#[test]
fn an_empty_list_of_instances_knows_none() {
    let (machine, log) = offline_with(|machine| machine.ssconf("instance_list", "\n"));
    assert_eq!(fake::list(&machine.layout).unwrap(), ["fake1", "fake2"], "{log}");
    assert!(!machine.calls().iter().any(|call| call.contains("destroy")), "{log}");
}
