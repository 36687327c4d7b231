//! Probes against stand-ins on the loopback network, and the rule of two failures with a daemon-util that
//! repairs.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring as provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::*;
use crate::armed::Armed;
use crate::clock::SystemClock;
use crate::logging::testing::logged;
use crate::testing::Machine;

const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);
const VERSION: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n2\n";
const LOGIN: &str = "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n{\"code\": 401}";

impl Machine {
    /// RAPI runs with these options.
    fn rapi_options(&self, options: &str) {
        let words = format!("/usr/bin/python3 /usr/sbin/ganeti-rapi {options}");
        self.process("4711", &words.split(' ').collect::<Vec<_>>());
        self.process("4712", &["/usr/sbin/ganeti-wconfd"]);
        self.pid_file(RAPI, "4711\n");
        self.pid_file(WCONFD, "4712\n");
    }
}

/// A certificate as Ganeti makes them: self-signed, version 1, for a name that belongs to no host.
fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, &content].concat()
    }
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random).unwrap();
    let ecdsa_with_sha256 = der(0x30, &[&[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let algorithm = der(
        0x30,
        &[&[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]],
    );
    let public = der(0x30, &[&algorithm, &der(0x03, &[&[0], pair.public_key().as_ref()])]);
    let common_name = der(0x30, &[&[0x06, 3, 0x55, 4, 3], &der(0x0c, &[b"ganeti.example.com"])]);
    let name = der(0x30, &[&der(0x31, &[&common_name])]);
    let validity = der(0x30, &[&der(0x17, &[b"200101000000Z"]), &der(0x17, &[b"210101000000Z"])]);
    let body = der(0x30, &[&[0x02, 1, 1], &ecdsa_with_sha256, &name, &validity, &name, &public]);
    let signature = pair.sign(&random, &body).unwrap();
    let certificate = der(0x30, &[&body, &ecdsa_with_sha256, &der(0x03, &[&[0], signature.as_ref()])]);
    (certificate.into(), PrivateKeyDer::Pkcs8(key.as_ref().to_vec().into()))
}

/// Answers every connection over TLS with `answer`.
async fn rapi_over_tls(answer: &'static str) -> u16 {
    let (certificate, key) = certificate();
    let key = provider::sign::any_supported_type(&key).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _request = stream.read(&mut [0; 1000]).await;
            let _sent = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

/// Answers every connection with `answer`; with nothing, it keeps it open.
async fn tcp_server(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _request = stream.read(&mut [0; 1000]).await;
            let _sent = stream.write_all(answer).await;
            if answer.is_empty() {
                silent.push(stream);
            }
        }
    });
    port
}

async fn probe_rapi(options: &str, limit: Duration) -> Health {
    let machine = Machine::new();
    machine.rapi_options(options);
    rapi::probe(&machine.layout, "127.0.0.1", limit).await
}

#[tokio::test]
async fn rapi_lives_when_it_tells_its_version_or_wants_a_password() {
    for answer in [VERSION, LOGIN] {
        let port = rapi_over_tls(answer).await;
        assert_eq!(probe_rapi(&format!("-b 127.0.0.1 -p {port}"), LIMIT).await, Health::Alive);
    }
}

#[tokio::test]
async fn rapi_lives_whatever_habits_its_http_has() {
    for answer in [
        // It ends with the connection; the stand-in ends TLS without a word.
        "HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.3 Python/2.7.18\r\n\r\n2\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n2\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 2\r\n\r\n2\n and more than was said",
        // Who wants a password is alive before the rest of it has come.
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 70\r\n\r\n{",
    ] {
        let port = rapi_over_tls(answer).await;
        assert_eq!(probe_rapi(&format!("-b 127.0.0.1 -p {port}"), LIMIT).await, Health::Alive, "{answer}");
    }
}

#[tokio::test]
async fn rapi_without_tls_lives_whether_its_command_line_says_so_or_not() {
    let port = tcp_server(VERSION.as_bytes()).await;
    assert_eq!(probe_rapi(&format!("--no-ssl -p {port}"), LIMIT).await, Health::Alive);
    assert_eq!(probe_rapi(&format!("-p {port}"), LIMIT).await, Health::Alive);
}

#[tokio::test]
async fn rapi_is_dead_when_it_is_silent_wrong_or_not_there() {
    let dead = |health: Health, words: &str| match health {
        Health::Dead(why) => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}, expected {words}"),
    };
    let port = rapi_over_tls("HTTP/1.1 200 OK\r\n\r\n3\n").await;
    dead(probe_rapi(&format!("-p {port}"), LIMIT).await, "answered with '3' instead of version 2");
    let port = rapi_over_tls("HTTP/1.1 500 Internal Server Error\r\n\r\n").await;
    dead(probe_rapi(&format!("-p {port}"), LIMIT).await, "status 500");
    let port = rapi_over_tls("").await;
    dead(probe_rapi(&format!("-p {port}"), LIMIT).await, "closed before the answer was complete");
    let port = rapi_over_tls("SSH-2.0-OpenSSH_9.2p1\r\n").await;
    dead(probe_rapi(&format!("-p {port}"), LIMIT).await, "cannot be read as HTTP");
    // As for the original, an answer of which the end is missing is none.
    let port = rapi_over_tls("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n2\n").await;
    dead(probe_rapi(&format!("-p {port}"), LIMIT).await, "end of file");
    let port = tcp_server(b"").await;
    dead(probe_rapi(&format!("-p {port}"), SHORT).await, "did not answer within");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    dead(probe_rapi(&format!("-p {closed}"), LIMIT).await, "cannot connect");
}

#[tokio::test]
async fn a_rapi_that_wants_another_cipher_is_left_alone() {
    // A TLS alert: fatal, handshake failure.
    let port = tcp_server(&[21, 3, 3, 0, 2, 2, 40]).await;
    assert!(matches!(probe_rapi(&format!("-p {port}"), LIMIT).await, Health::Unclear(_)));
}

fn unclear(health: Health, words: &str) {
    match health {
        Health::Unclear(why) => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}, expected {words}"),
    }
}

#[tokio::test]
async fn r22_rapi_on_an_interface_is_asked_there_and_nobody_knows_when_that_has_no_address() {
    let port = rapi_over_tls(LOGIN).await;
    assert_eq!(probe_rapi(&format!("-i lo -p {port}"), LIMIT).await, Health::Alive);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let dead = probe_rapi(&format!("-i lo -p {closed}"), LIMIT).await;
    assert!(matches!(dead, Health::Dead(_)), "{dead:?}");
    // It would answer at the usual address, where this one does not listen.
    unclear(probe_rapi(&format!("-i nosuch0 -p {port}"), LIMIT).await, "its interface 'nosuch0'");
}

#[tokio::test]
async fn r23_rapi_that_listens_by_ipv6_alone_is_found_at_its_loopback_address() {
    // A machine without IPv6 has no such RAPI.
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _request = stream.read(&mut [0; 1000]).await;
            let _sent = stream.write_all(VERSION.as_bytes()).await;
        }
    });
    for options in [format!("-b :: --no-ssl -p {port}"), format!("--no-ssl -p {port}")] {
        assert_eq!(probe_rapi(&options, LIMIT).await, Health::Alive, "{options}");
    }
}

#[tokio::test]
async fn rapi_with_a_name_that_does_not_resolve_is_unclear() {
    // Too long for a name, so no name server is asked.
    let name = "x".repeat(300);
    unclear(probe_rapi(&format!("-b {name}"), LIMIT).await, &format!("{name}:5080"));
}

#[tokio::test]
async fn r22_a_command_line_that_cannot_be_read_makes_no_answer_unclear() {
    let machine = Machine::new();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let services_say = |port: u16| machine.services(&format!("ganeti-rapi {port}/tcp\n"));
    let probe = || rapi::probe(&machine.layout, "127.0.0.1", LIMIT);
    services_say(closed);
    unclear(probe().await, "ganeti-rapi.pid");
    machine.pid_file(RAPI, "\0\0");
    unclear(probe().await, "instead of a process number");
    machine.rapi_options("");
    let cmdline = machine.layout.proc().join("4711/cmdline");
    machine.write(&cmdline, "/usr/sbin/sshd\0-D\0");
    unclear(probe().await, "names process 4711, which is not ganeti-rapi");
    fs::remove_file(&cmdline).unwrap();
    // Its process has ended: that is known.
    assert!(matches!(probe().await, Health::Dead(_)));
    // Without /proc every process would look as if it had ended.
    let own = machine.layout.proc().join("self");
    fs::remove_dir(&own).unwrap();
    unclear(probe().await, "proc/self'");
    fs::create_dir(&own).unwrap();
    fs::create_dir(&cmdline).unwrap();
    unclear(probe().await, "4711/cmdline'");
    // An answer is an answer.
    services_say(rapi_over_tls(VERSION).await);
    assert_eq!(probe().await, Health::Alive);
}

#[test]
fn r22_what_is_unclear_restarts_nothing() {
    let machine = Machine::new();
    machine.rapi_options("-i nosuch0");
    machine.daemon_util("exit 0");
    let log = logged(async {
        wconfd(&machine.layout.wconfd_socket(), |words| {
            Some(format!("{{\"success\":true,\"result\":\"{words}\"}}"))
        });
        let armed = Armed::for_test();
        let mut daemons = NodeDaemons::new(&machine.layout, Some(&armed)).await;
        ensure(&mut daemons, &machine.layout, &SystemClock, "127.0.0.1", QUICK).await;
    });
    assert_eq!(machine.calls(), ENSURED);
    assert!(log.contains("WARNING RAPI error: where it listens is unknown: its interface"), "{log}");
    assert!(log.contains("; leaving it alone"), "{log}");
}

/// Answers with what `answer` makes of the request; `None` is silence.
fn wconfd(socket: &Path, answer: impl Fn(&str) -> Option<String> + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 1000];
            let length = stream.read(&mut request).await.unwrap();
            let request: serde_json::Value = serde_json::from_slice(&request[..length - 1]).unwrap();
            assert_eq!(request["method"], "echo");
            match answer(request["args"][0].as_str().unwrap()) {
                Some(answer) => {
                    let _sent = stream.write_all(format!("{answer}\u{3}").as_bytes()).await;
                }
                None => silent.push(stream),
            }
        }
    });
}

#[tokio::test]
async fn wconfd_lives_when_it_echoes() {
    for (answer, lives) in [
        (r#"{"success":true,"result":"WORDS"}"#, true),
        (r#"{"success":true,"result":"other"}"#, false),
        (r#"{"success":false,"result":["GenericError",["no"]]}"#, false),
        ("nonsense", false),
        ("", false),
    ] {
        let machine = Machine::new();
        wconfd(&machine.layout.wconfd_socket(), move |words| {
            Some(answer.replace("WORDS", words)).filter(|answer| !answer.is_empty())
        });
        let limit = if answer.is_empty() { SHORT } else { LIMIT };
        let health = super::wconfd::probe(&machine.layout.wconfd_socket(), &SystemClock, limit).await;
        assert_eq!(health == Health::Alive, lives, "{health:?}");
        assert!(!matches!(health, Health::Unclear(_)));
    }
}

const QUICK: ProbeTiming = ProbeTiming {
    probe: LIMIT,
    second_look: Duration::from_millis(10),
    restart: Duration::from_millis(100),
    restart_step: Duration::from_millis(10),
};

/// Runs the whole duty with a healthy RAPI, and a WConfD that answers the probes as `wconfd` says, by their
/// number.
fn ensured(armed: bool, wconfd_answers: fn(usize, &Machine) -> bool) -> (Vec<String>, String) {
    let made = std::cell::OnceCell::new();
    let log = logged(async {
        let machine: &Arc<Machine> = made.get_or_init(|| Arc::new(Machine::new()));
        machine.rapi_options(&format!("-p {}", rapi_over_tls(LOGIN).await));
        machine.daemon_util("[ \"$1\" != daemon-executable ] || echo \"$0\"");
        let count = std::sync::atomic::AtomicUsize::new(0);
        let own = Arc::clone(machine);
        wconfd(&machine.layout.wconfd_socket(), move |words| {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            let echo = if wconfd_answers(number, &own) { words } else { "?" };
            Some(format!("{{\"success\":true,\"result\":\"{echo}\"}}"))
        });
        let armed = armed.then(Armed::for_test);
        let mut daemons = NodeDaemons::new(&machine.layout, armed.as_ref()).await;
        ensure(&mut daemons, &machine.layout, &SystemClock, "127.0.0.1", QUICK).await;
    });
    let calls = made.get().unwrap().calls();
    (calls, log)
}

const ENSURED: [&str; 2] =
    ["daemon-util check-and-start ganeti-rapi", "daemon-util check-and-start ganeti-wconfd"];
const RESTARTED: [&str; 3] = [
    "daemon-util daemon-executable ganeti-wconfd",
    "daemon-util stop ganeti-wconfd",
    "daemon-util check-and-start ganeti-wconfd",
];

#[test]
fn healthy_daemons_are_left_alone_and_one_failure_is_forgiven() {
    let (calls, log) = ensured(true, |_, _| true);
    assert_eq!(calls, ENSURED);
    assert!(log.contains("DEBUG Successfully talked to RAPI") && log.contains("talked to WConfD"), "{log}");
    let (calls, log) = ensured(true, |number, _| number != 1);
    assert_eq!(calls, ENSURED);
    assert!(log.contains("INFO WConfD answered only at the second attempt"), "{log}");
}

#[test]
fn two_failures_in_a_row_mean_a_restart_and_its_result_is_told() {
    let (calls, log) =
        ensured(true, |_, machine| machine.calls().contains(&"daemon-util stop ganeti-wconfd".to_owned()));
    assert_eq!(calls, [&ENSURED[..], &RESTARTED].concat());
    assert!(log.contains("WARNING WConfD not responsive, restarting daemon"), "{log}");
    assert!(log.contains("INFO WConfD answers again after its restart"), "{log}");
    let (calls, log) = ensured(true, |_, _| false);
    assert_eq!(calls, [&ENSURED[..], &RESTARTED].concat(), "only one restart");
    assert!(
        log.contains("CRITICAL WConfD is not responding, even after a restart: it was asked to echo"),
        "{log}"
    );
}

#[test]
fn a_dry_run_probes_and_restarts_nothing() {
    let (calls, log) = ensured(false, |_, _| false);
    assert_eq!(calls, ["daemon-util check ganeti-rapi", "daemon-util check ganeti-wconfd"]);
    assert!(log.contains("INFO Would restart daemon 'ganeti-wconfd': WConfD does not answer"), "{log}");
}
