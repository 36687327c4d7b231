//! From the question to confd to the last minor, with a confd on the loopback network.

use tokio::net::UdpSocket;

use super::super::confd::packet::testing::{reply, reply_salt};
use super::testing::Fixture;
use super::*;
use crate::clock::SystemClock;
use crate::logging::testing::logged;

const KEY: &str = "deadbeef\n";
const DRBD: &str = "version: 8.4.11 (api:1/proto:86-101)\n 3: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----\n";

/// A node with running instances, and a line in `services` for the port of the stand-ins.
fn fixture(candidates: &[&str], port: u16) -> Fixture {
    let fixture = Fixture::new();
    fixture.ssconf("maintain_node_health", "True\n");
    fixture.ssconf("master_candidates_ips", &(candidates.join("\n") + "\n"));
    fixture.ssconf("hypervisor_list", "lxc\nkvm\nfake\nxen-pvm\nxen-hvm\nwarp\n");
    fixture.ssconf("hvparams_kvm", "kernel_args=ro console=ttyS0\n");
    fixture.file(&fixture.layout.confd_hmac_key(), KEY);
    let services = fixture.layout.proc().parent().unwrap().join("services");
    fixture.file(&services, &format!("ganeti-confd {port}/udp\n"));
    fixture.run_file("fake-hypervisor/fake1", "");
    fixture.run_file("fake-hypervisor/fake2", "");
    fixture.program("lxc-ls", "echo broken; exit 1");
    fixture.program("xl", "[ $1 = destroy ] && exit 1\nprintf 'Name\\nxen1 1 512 1 r----- 1.0\\n'");
    fixture.program("drbdsetup", "exit 0");
    fixture.file(&fixture.layout.proc_drbd(), DRBD);
    fixture
}

/// One confd for each candidate, with the role and serial number that it answers; 127.0.0.1 and up, on one port.
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

fn run_with(answers: &'static [(i64, i64)], armed: bool) -> (Fixture, String) {
    let made = std::cell::OnceCell::new();
    let log = logged(async {
        let port = confds(answers).await;
        let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
        let fixture = made.get_or_init(|| fixture(&addresses[..answers.len()], port));
        let armed = Armed::unless(!armed);
        run(armed.as_ref(), &fixture.layout, &SystemClock).await;
    });
    (made.into_inner().unwrap(), log)
}

#[test]
fn an_offline_node_stops_everything_and_one_failure_stops_nothing() {
    let (fixture, log) = run_with(&[(2, 20), (1, 19)], true);
    let calls = ["lxc-ls --running", "xl list", "xl destroy xen1", "xl list", "drbdsetup down resource3"];
    assert_eq!(fixture.calls(), calls, "{log}");
    assert_eq!(fake::list(&fixture.layout).unwrap(), [""; 0]);
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
    let (fixture, log) = run_with(&[(2, 20)], false);
    assert_eq!(fixture.calls(), ["lxc-ls --running", "xl list"]);
    assert_eq!(fake::list(&fixture.layout).unwrap(), ["fake1", "fake2"]);
    assert!(log.contains("INFO Would shut down instances that should not be running: fake1, fake2, xen1"));
    assert!(log.contains("INFO Would shut down DRBD minors that should not be active: 3"), "{log}");
}

#[test]
fn other_roles_and_contradictions_touch_nothing() {
    for answers in [&[(0, 20)][..], &[(4, 20), (4, 20)], &[(2, 20), (4, 21)], &[(2, 20), (4, 20), (2, 20)]] {
        let (fixture, log) = run_with(answers, true);
        assert_eq!(fixture.calls(), [""; 0], "{answers:?}\n{log}");
        assert_eq!(fake::list(&fixture.layout).unwrap().len(), 2);
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
        let fixture = made.get_or_init(|| fixture(&["127.0.0.1"], silent.local_addr().unwrap().port()));
        run(Some(&Armed::for_test()), &fixture.layout, &SystemClock).await;
    });
    assert!(log.contains("Confd query timed out: 0 of 1 master candidates answered"), "{log}");
    assert_eq!(made.into_inner().unwrap().calls(), [""; 0]);
}

#[test]
fn what_is_not_wanted_or_misconfigured_is_not_done() {
    let log_with = |key: &str, content: &str| {
        let fixture = fixture(&["127.0.0.1"], 1);
        fixture.ssconf(key, content);
        let log = logged(async { run(Some(&Armed::for_test()), &fixture.layout, &SystemClock).await });
        assert_eq!(fixture.calls(), [""; 0]);
        log
    };
    assert_eq!(log_with("maintain_node_health", "False\n"), "");
    assert!(log_with("master_candidates_ips", "\n").contains("is empty"));
    assert!(log_with("master_candidates_ips", "node1\n").contains("invalid address 'node1'"));
}
