//! One GET over an existing stream: all the HTTP that a watcher needs.

use std::io::ErrorKind;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Far more than RAPI's answer to this question.
const LONGEST_ANSWER: u64 = 64 << 10;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Where an answer comes from, for messages and the `Host` header: `HOST:PORT`, with an IPv6 address in
/// brackets and without the scope, which only this end knows.
pub(super) fn authority(host: &str, port: u16) -> String {
    match host.split_once('%') {
        Some((address, _)) => format!("[{address}]:{port}"),
        None if host.contains(':') => format!("[{host}]:{port}"),
        None => format!("{host}:{port}"),
    }
}

/// Asks for a path and reads until the other end closes or the body is whole. HTTP/1.0, so that the body
/// arrives in one piece.
///
/// # Errors
/// When the stream breaks, or what arrives is not HTTP.
pub(super) async fn get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    authority: &str,
    path: &str,
) -> Result<Response> {
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: Ganeti RAPI Client\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.context("cannot send the request")?;
    stream.flush().await.context("cannot send the request")?;
    let mut answer = Vec::new();
    let mut stream = stream.take(LONGEST_ANSWER);
    loop {
        match stream.read_buf(&mut answer).await {
            Ok(0) => return parse(&answer),
            Ok(_) if is_whole(&answer) => return parse(&answer),
            Ok(_) => {}
            // Many servers end a TLS connection without saying so.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return parse(&answer),
            Err(error) => return Err(error).context("cannot read the answer"),
        }
    }
}

fn split(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]))
}

fn is_whole(answer: &[u8]) -> bool {
    split(answer).is_some_and(|(head, body)| content_length(head).is_some_and(|length| body.len() >= length))
}

fn content_length(head: &str) -> Option<usize> {
    head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

fn parse(answer: &[u8]) -> Result<Response> {
    let Some((head, body)) = split(answer) else {
        bail!("the answer ({} bytes) is not HTTP", answer.len());
    };
    let mut words = head.lines().next().unwrap_or_default().split_whitespace();
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/"));
    match words.next().and_then(|status| status.parse().ok()) {
        Some(status) if is_http => {
            let body = &body[..content_length(head).unwrap_or(body.len()).min(body.len())];
            Ok(Response { status, body: String::from_utf8_lossy(body).into_owned() })
        }
        _ => bail!("the answer does not start like HTTP"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r23_an_ipv6_address_is_in_brackets() {
        assert_eq!(authority("fd00::1", 5080), "[fd00::1]:5080");
        assert_eq!(authority("fe80::1%br0", 5080), "[fe80::1]:5080");
        assert_eq!(authority("192.0.2.1", 1815), "192.0.2.1:1815");
        assert_eq!(authority("node1.example.com", 1815), "node1.example.com:1815");
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error() {
        let seeds =
            ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n2\n", "HTTP/1.0 401 Unauthorized\r\n\r\n{}"];
        crate::testing::fuzz::fuzz(&seeds, |answer| {
            let _whole = is_whole(answer);
            // A byte that is not text takes three.
            assert!(
                parse(answer).is_ok_and(|response| response.body.len() <= 3 * answer.len())
                    || parse(answer).is_err()
            );
        });
    }

    #[test]
    fn an_answer_is_its_status_and_body() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-length: 2\r\nX: y\r\n\r\n2\nrest";
        assert!(is_whole(answer));
        assert_eq!(parse(answer).unwrap(), Response { status: 200, body: "2\n".into() });
        let open = b"HTTP/1.0 401 Unauthorized\r\n\r\nwords";
        assert!(!is_whole(open), "it ends with the connection");
        assert_eq!(parse(open).unwrap(), Response { status: 401, body: "words".into() });
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        for answer in
            [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n", b"x 200\r\n\r\n"]
        {
            assert!(parse(answer).is_err(), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn the_request_is_complete_and_a_kept_connection_does_not_hold_us() {
        let (ours, theirs) = tokio::io::duplex(1000);
        let server = async {
            let (mut reader, mut writer) = tokio::io::split(theirs);
            let mut request = vec![0; 1000];
            let length = reader.read(&mut request).await.unwrap();
            writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2").await.unwrap();
            (String::from_utf8(request[..length].to_vec()).unwrap(), reader, writer)
        };
        let (response, (request, ..)) = tokio::join!(get(ours, "[::1]:5080", "/version"), server);
        assert_eq!(response.unwrap().body, "2");
        assert!(request.starts_with("GET /version HTTP/1.0\r\nHost: [::1]:5080\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n"), "{request}");
    }
}
