//! Sends the request and reads the response, of which only so many bytes.

use std::io::{self, Read, Write};

use serde_json::Value as Json;

/// Most bytes of a response. `/health` sends a few hundred.
const MAX_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;
/// The word for a check that fails.
const UNAVAILABLE: &str = "unavailable";
/// Most checks and most characters of a name that are shown.
const MAX_NAMES: usize = 8;
const MAX_WORD: usize = 40;

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// As far as it fits into the limit.
    pub body: Vec<u8>,
}

impl Response {
    /// What the body of `/health…` names as unavailable, such as `database`; `None` if it names nothing.
    pub fn unavailable(&self) -> Option<String> {
        let body: Json = serde_json::from_slice(&self.body).ok()?;
        if let Some(reason) = body.get("reason").and_then(Json::as_str) {
            return Some(word(reason)).filter(|reason| !reason.is_empty());
        }
        let is_down = |check: &Json| check.get("status").unwrap_or(check) == UNAVAILABLE;
        let checks = body.get("checks")?.as_object()?;
        let names: Vec<String> = checks
            .iter()
            .filter(|(_, check)| is_down(check))
            .map(|(name, _)| word(name))
            .take(MAX_NAMES)
            .collect();
        (!names.is_empty()).then(|| format!("{} unavailable", names.join(", ")))
    }
}

/// The part of a text that is safe to show: the body may come from another program.
fn word(text: &str) -> String {
    let is_harmless = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    text.chars().filter(is_harmless).take(MAX_WORD).collect()
}

/// Why something is not an HTTP response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResponse {
    /// The server closed the connection first.
    #[error("it closed the connection before its response was complete")]
    Incomplete,
    /// The head is too long.
    #[error("the head of its response has no end within {MAX_BYTES} bytes")]
    TooLong,
    /// The head breaks the rules of HTTP/1.1.
    #[error("{0}")]
    Malformed(httparse::Error),
}

#[derive(Debug)]
pub(super) enum ExchangeError {
    Io(io::Error),
    Invalid(InvalidResponse),
}

impl From<InvalidResponse> for ExchangeError {
    fn from(error: InvalidResponse) -> Self {
        Self::Invalid(error)
    }
}

/// Sends `GET path` and reads the response.
pub(super) fn exchange(stream: &mut (impl Read + Write + ?Sized), path: &str) -> Result<Response, ExchangeError> {
    let version = env!("CARGO_PKG_VERSION");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: blogctl-health/{version}\r\nAccept: application/json\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(ExchangeError::Io)?;
    stream.flush().map_err(ExchangeError::Io)?;
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    let mut head = None;
    loop {
        if head.is_none() {
            head = parse_head(&received)?;
        }
        let is_full = received.len() >= MAX_BYTES;
        let is_complete = head.as_ref().is_some_and(|head| head.is_complete(received.len()));
        if is_full || is_complete {
            break;
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => received.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Some servers end TLS without a close_notify.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(ExchangeError::Io(error)),
        }
    }
    let Some(head) = head else {
        return Err(if received.len() >= MAX_BYTES {
            InvalidResponse::TooLong.into()
        } else {
            InvalidResponse::Incomplete.into()
        });
    };
    let end = received.len().min(MAX_BYTES);
    Ok(Response {
        status: head.status,
        body: received.get(head.bytes..end).unwrap_or_default().to_vec(),
    })
}

struct Head {
    status: u16,
    bytes: usize,
    content_length: Option<usize>,
}

impl Head {
    fn is_complete(&self, received: usize) -> bool {
        self.content_length
            .is_some_and(|length| received.saturating_sub(self.bytes) >= length)
    }
}

/// `None` while the head is incomplete.
fn parse_head(received: &[u8]) -> Result<Option<Head>, InvalidResponse> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(received) {
        Err(error) => Err(InvalidResponse::Malformed(error)),
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(bytes)) => {
            let length = response
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case("Content-Length"));
            Ok(Some(Head {
                status: response.code.unwrap_or_default(),
                bytes,
                content_length: length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok()),
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that ignores the request and sends these bytes, in pieces.
    struct Scripted(Vec<Vec<u8>>);

    impl Read for Scripted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn response(pieces: &[&[u8]]) -> Result<(u16, String), String> {
        let mut server = Scripted(pieces.iter().map(|piece| piece.to_vec()).collect());
        match exchange(&mut server, "/health/live") {
            Ok(response) => Ok((response.status, String::from_utf8_lossy(&response.body).into_owned())),
            Err(ExchangeError::Invalid(error)) => Err(error.to_string()),
            Err(ExchangeError::Io(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_response_ends_with_its_length_or_with_the_connection() {
        let two = Ok((200, "ok".to_owned()));
        assert_eq!(response(&[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]), two);
        assert_eq!(
            response(&[b"HTTP/1.1 200 OK\r\ncontent-le", b"ngth: 2\r\n\r\no", b"k", b"more"]),
            two
        );
        assert_eq!(response(&[b"HTTP/1.1 200 OK\r\n\r\n", b"ok"]), two);
        assert_eq!(
            response(&[b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"]),
            Ok((503, String::new()))
        );
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        for (pieces, expected) in [
            (&[][..], "it closed the connection"),
            (&[&b"HTTP/1.1 200 OK\r\nA: b\r\n"[..]], "it closed the connection"),
            (&[b"SSH-2.0-OpenSSH_9.2\r\n"], "invalid HTTP version"),
            (&[b"\x15\x03\x01\x00\x02\x02\x46"], "invalid HTTP version"),
            (&[b"HTTP/1.1 abc\r\n\r\n"], "invalid response status"),
        ] {
            let error = response(pieces).expect_err("not HTTP");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_body_says_what_is_unavailable() {
        let unavailable = |body: &str| {
            let body = body.as_bytes().to_vec();
            Response { status: 503, body }.unavailable()
        };
        for (body, expected) in [
            (
                r#"{"status":"unavailable","checks":{"database":{"status":"unavailable"},"signing_keys":{"status":"ok"}}}"#,
                Some("database unavailable"),
            ),
            (
                r#"{"status":"unavailable","checks":{"sessions":"unavailable","certificate":{"status":"ok"},"threads":{}}}"#,
                Some("sessions unavailable"),
            ),
            (r#"{"status":"unavailable","reason":"stopping"}"#, Some("stopping")),
            (r#"{"reason":"\u001b[31mred\n"}"#, Some("31mred")),
            (r#"{"status":"ok","checks":{}}"#, None),
            ("[]", None),
            ("<html>", None),
        ] {
            assert_eq!(unavailable(body).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn endless_heads_and_bodies_end_at_the_limit() {
        let line = b"A: b\r\n".repeat(600);
        let mut endless: Vec<&[u8]> = vec![b"HTTP/1.1 200 OK\r\n"];
        endless.extend(std::iter::repeat_n(&*line, 40));
        assert!(response(&endless).is_err(), "too many headers");
        let long = [b'x'; 4000];
        let mut endless: Vec<&[u8]> = vec![b"HTTP/1.1 200 OK\r\nA: "];
        endless.extend(std::iter::repeat_n(&long[..], 40));
        let error = response(&endless).expect_err("no end");
        assert!(error.contains("no end within"), "{error}");
        endless[0] = b"HTTP/1.1 200 OK\r\n\r\n";
        let (status, body) = response(&endless).expect("a response");
        assert_eq!(status, 200);
        assert!(body.len() < MAX_BYTES);
    }
}
