//! What servers say, good and bad, on real sockets.

use std::io::{Error as IoError, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

const LIMIT: usize = 1 << 10;

/// Reads the question from the next connection, unless it `speaks_first`, and says this in pieces; then, if
/// it is to go on, the last piece again and again.
async fn serve(listener: &TcpListener, pieces: &[&[u8]], speaks_first: bool, goes_on: bool) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut question = Vec::new();
    while !speaks_first && !question.ends_with(b"\r\n\r\n") {
        question.push(stream.read_u8().await.unwrap());
    }
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    while goes_on && stream.write_all(pieces.last().unwrap()).await.is_ok() {}
    // A socket that is closed with unread bytes takes back what was sent.
    drop(stream.shutdown().await);
    while speaks_first && stream.read(&mut [0; 512]).await.is_ok_and(|length| length > 0) {}
    String::from_utf8(question).unwrap()
}

async fn asked_of(listener: &TcpListener) -> Result<Response> {
    let address = listener.local_addr().unwrap();
    get(TcpStream::connect(address).await.unwrap(), &address.to_string(), "/version", LIMIT).await
}

async fn told_in(pieces: &[&[u8]]) -> Result<Response> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    tokio::join!(asked_of(&listener), serve(&listener, pieces, false, false)).0
}

async fn told(answer: &str) -> Result<Response> {
    told_in(&[answer.as_bytes()]).await
}

/// The error for a server that goes on for ever.
async fn endless(pieces: &[&[u8]]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (answer, _) = tokio::join!(asked_of(&listener), serve(&listener, pieces, false, true));
    format!("{:#}", answer.unwrap_err())
}

fn answer(status: u16, body: &str) -> Response {
    Response { status, body: body.to_owned() }
}

#[test]
fn r23_an_ipv6_address_is_in_brackets() {
    assert_eq!(authority("fd00::1", 5080), "[fd00::1]:5080");
    assert_eq!(authority("fe80::1%br0", 5080), "[fe80::1]:5080");
    assert_eq!(authority("192.0.2.1", 1815), "192.0.2.1:1815");
    assert_eq!(authority("node1.example.com", 1815), "node1.example.com:1815");
}

#[tokio::test]
async fn the_question_is_complete_and_a_kept_connection_does_not_hold_us() {
    let (ours, theirs) = tokio::io::duplex(1000);
    let server = async {
        let (mut reader, mut writer) = tokio::io::split(theirs);
        let mut question = vec![0; 1000];
        let length = reader.read(&mut question).await.unwrap();
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2").await.unwrap();
        (String::from_utf8(question[..length].to_vec()).unwrap(), reader, writer)
    };
    let (response, (question, ..)) = tokio::join!(get(ours, "[::1]:5080", "/version", LIMIT), server);
    assert_eq!(response.unwrap(), answer(200, "2"));
    assert!(question.starts_with("GET /version HTTP/1.1\r\nhost: [::1]:5080\r\n"), "{question}");
    assert!(question.contains("\r\nconnection: close\r\n") && question.ends_with("\r\n\r\n"), "{question}");
}

#[tokio::test]
async fn an_answer_is_its_status_and_body() {
    for good in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\n2\n",
        // More than was said would come.
        "HTTP/1.1 200 OK\r\nContent-length: 2\r\n\r\n2\nrest",
        // It ends with the connection, as old Python servers do it.
        "HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.3 Python/2.7.18\r\n\r\n2\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n2\n",
        "HTTP/1.1 200\r\n\r\n2\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n2\n",
        // As mond does it.
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n1\r\n\n\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n2\n",
    ] {
        assert_eq!(told(good).await.unwrap(), answer(200, "2\n"), "{good}");
    }
    let latin = b"HTTP/1.1 200 \xdcbung\r\nServer: \xdc\r\n\r\n\xff";
    assert_eq!(told_in(&[latin]).await.unwrap(), answer(200, "\u{fffd}"), "what is not text stays readable");
    assert_eq!(told("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap(), answer(204, ""));
}

#[tokio::test]
async fn a_strange_header_makes_nothing_look_dead() {
    for header in
        ["no colon", "Spaces : 1", "Folded: 1\r\n  2", ": nameless", "Bad\u{1}: 1", "Content-Type: \u{1}"]
    {
        let said = format!("HTTP/1.1 200 OK\r\n{header}\r\nContent-Length: 2\r\n\r\n2\n");
        assert_eq!(told(&said).await.unwrap(), answer(200, "2\n"), "{header:?}");
    }
}

#[tokio::test]
async fn a_status_other_than_200_is_an_answer_whatever_becomes_of_its_body() {
    for body in ["", "Connection: close\r\n\r\n{\"code\": 401}", "Content-Length: 70\r\n\r\ncut off"] {
        let body = if body.is_empty() { "\r\n" } else { body };
        let said = format!("HTTP/1.1 401 Unauthorized\r\n{body}");
        assert_eq!(told(&said).await.unwrap(), answer(401, ""), "{body}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pieces = [&b"HTTP/1.1 500 Oops\r\n\r\n"[..], &[b'x'; 4096]];
    let (response, _) = tokio::join!(asked_of(&listener), serve(&listener, &pieces, false, true));
    assert_eq!(response.unwrap(), answer(500, ""));
}

#[tokio::test]
async fn an_answer_may_come_byte_by_byte() {
    let said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n2\n";
    let bytes: Vec<&[u8]> = said.chunks(1).collect();
    assert_eq!(told_in(&bytes).await.unwrap(), answer(200, "2\n"));
}

#[tokio::test]
async fn a_server_that_does_not_wait_for_the_question_is_understood() {
    for (said, status) in [("HTTP/1.0 503 Busy\r\n\r\n", 503), ("HTTP/1.0 200 OK\r\n\r\n", 200)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pieces = [said.as_bytes()];
        let (response, _) = tokio::join!(asked_of(&listener), serve(&listener, &pieces, true, false));
        assert_eq!(response.unwrap(), answer(status, ""));
    }
}

#[tokio::test]
async fn what_is_cut_off_is_no_answer() {
    // The client before hyper took the last three for answers: `2` for version `2\n` and for a list of which
    // half is missing.
    for cut in [
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n2\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n2\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n2\n",
    ] {
        let error = format!("{:#}", told(cut).await.unwrap_err());
        let is_told = ["closed before the answer", "end of file", "unexpected EOF"];
        assert!(is_told.iter().any(|words| error.contains(words)), "{cut:?}: {error}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    for odd in [
        "SSH-2.0\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "x 200\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n2",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n2",
        "\u{3}\u{0}\u{0}",
    ] {
        let error = format!("{:#}", told(odd).await.unwrap_err());
        assert!(error.starts_with("the answer cannot be read as HTTP: "), "{odd:?}: {error}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let too_long = "the answer has more than 1 KiB";
    let http = b"HTTP/1.1 200 OK\r\n";
    assert_eq!(endless(&[http, b"\r\n", &[b'x'; 4096]]).await, too_long);
    assert_eq!(endless(&[http, b"Content-Length: 9999999999\r\n\r\n", &[b'x'; 4096]]).await, too_long);
    assert_eq!(endless(&[http, b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"]).await, too_long);
    let extended = endless(&[http, b"Transfer-Encoding: chunked\r\n\r\n1;", &[b'x'; 4096]]).await;
    assert!(extended.starts_with("cannot get an answer: "), "{extended}");
    for head in [&[b'x'; 4096][..], b"Name: value\r\n", b" folded\r\n"] {
        let error = endless(&[http, head]).await;
        assert!(error.starts_with("the answer cannot be read as HTTP: message head is too large"), "{error}");
    }
}

#[tokio::test]
async fn the_longest_answer_is_read_and_one_byte_more_is_not() {
    let body = "x".repeat(LIMIT);
    assert_eq!(told(&format!("HTTP/1.0 200 OK\r\n\r\n{body}")).await.unwrap().body.len(), LIMIT);
    assert!(told(&format!("HTTP/1.0 200 OK\r\n\r\n{body}x")).await.is_err());
}

#[tokio::test]
async fn an_answer_of_hundreds_of_kilobytes_is_read() {
    let body = vec![b'x'; 300_000];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let pieces = [&b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"[..], &body];
    let (answer, _) = tokio::join!(get(stream, "a:1", "/", 1 << 20), serve(&listener, &pieces, false, false));
    assert_eq!(answer.unwrap().body.len(), 300_000);
}

#[tokio::test]
async fn promises_of_an_answer_without_end_leave_time_for_a_limit() {
    let endless = endless(&[b"HTTP/1.1 100 Continue\r\n\r\n"]);
    assert!(timeout(Duration::from_millis(50), endless).await.is_err());
}

/// Ends with this error.
#[derive(Debug)]
struct Broken(fn() -> IoError);

impl AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
        _into: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err((self.0)()))
    }
}

#[tokio::test]
async fn the_cause_is_told_and_can_be_judged_by() {
    let broken = Broken(|| IoError::from_raw_os_error(24));
    let error = get(tokio::io::join(broken, tokio::io::sink()), "a:1", "/", LIMIT).await.unwrap_err();
    assert!(error.chain().any(|cause| {
        cause.downcast_ref::<IoError>().is_some_and(|error| error.raw_os_error() == Some(24))
    }));
    assert!(format!("{error:#}").ends_with("Too many open files (os error 24)"), "{error:#}");
    // The end of a TLS connection without a word is an end.
    let silent = (&b"HTTP/1.0 200 OK\r\n\r\n2\n"[..]).chain(Broken(|| ErrorKind::UnexpectedEof.into()));
    let response = get(tokio::io::join(silent, tokio::io::sink()), "a:1", "/", LIMIT).await;
    assert_eq!(response.unwrap(), answer(200, "2\n"));
}

#[test]
fn any_bytes_are_an_answer_or_an_error() {
    let seeds = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n2\n",
        "HTTP/1.0 401 Unauthorized\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\n2\r\n0\r\nEnd: 1\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n2\n",
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    crate::testing::fuzz::fuzz(&seeds, |said| {
        let stream = tokio::io::join(said, tokio::io::sink());
        if let Ok(response) = runtime.block_on(get(stream, "a:1", "/", LIMIT)) {
            // A byte that is not text takes three.
            assert!(response.body.len() <= 3 * LIMIT);
        }
    });
}
