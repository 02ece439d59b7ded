//! HTTP/1.1 by hand: sends any bytes on a connection, and parses the responses.
//!
//! ```ignore
//! let responses = exchange(port, &RawRequest { bytes, methods: vec!["GET".to_owned()], end: SendEnd::Whole })?;
//! ```

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::fuzz::{RawRequest, SendEnd};

/// Longer than any response takes on a busy machine, shorter than any body timeout of the server.
const DEADLINE: Duration = Duration::from_secs(25);

/// A response as it arrived.
#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl RawResponse {
    /// The header's value; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }
}

/// Sends the bytes, and returns every response until the connection ends.
///
/// # Errors
/// If the connection stays open, or a response is not HTTP.
pub fn exchange(port: u16, sent: &RawRequest) -> Result<Vec<RawResponse>, String> {
    let mut stream = connect(port)?;
    stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    stream.set_write_timeout(Some(DEADLINE)).expect("a time limit");
    // The server may respond and close before it has read everything.
    let written = stream.write_all(&sent.bytes);
    if written.as_ref().is_err_and(is_timeout) {
        return Err("it takes no more bytes".to_owned());
    }
    if sent.end == SendEnd::Dropped {
        return Ok(Vec::new());
    }
    let _ = stream.shutdown(Shutdown::Write);
    let (received, is_reset) = read_to_end(&mut stream)?;
    let answers = parse(&received, &sent.methods);
    // A reset discards data that was on its way.
    if is_reset || sent.end != SendEnd::Whole {
        answers.or(Ok(Vec::new()))
    } else {
        answers
    }
}

fn connect(port: u16) -> Result<TcpStream, String> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > deadline => return Err(format!("no connection: {error}")),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn read_to_end(stream: &mut TcpStream) -> Result<(Vec<u8>, bool), String> {
    let deadline = Instant::now() + DEADLINE;
    let mut received = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok((received, false)),
            Ok(count) => received.extend(&buffer[..count]),
            Err(error) if is_timeout(&error) => return Err(format!("it hangs after {} bytes", received.len())),
            Err(_) => return Ok((received, true)),
        }
        if Instant::now() > deadline {
            return Err(format!("it goes on and on: {} bytes", received.len()));
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Parses the responses to requests with these methods, in order.
fn parse(mut bytes: &[u8], methods: &[String]) -> Result<Vec<RawResponse>, String> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = find(bytes, b"\r\n\r\n").ok_or_else(|| format!("no end of the head: {}", shown(bytes)))?;
        let head =
            std::str::from_utf8(&bytes[..end]).map_err(|_| format!("a head that is not text: {}", shown(bytes)))?;
        bytes = &bytes[end + 4..];
        let (status_line, lines) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = status_line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5)?.parse().ok());
        let status: u16 = status.ok_or_else(|| format!("no status line: {status_line:?}"))?;
        let headers = lines.split("\r\n").filter_map(|line| line.split_once(':'));
        let headers = headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = RawResponse {
            status,
            headers,
            body: Vec::new(),
        };
        if (100..200).contains(&status) {
            continue;
        }
        let is_head = methods.get(answers.len()).is_some_and(|method| method == "HEAD");
        if !is_head && !matches!(status, 204 | 304) {
            let taken;
            (answer.body, taken) = body(bytes, &answer)?;
            bytes = &bytes[taken..];
        }
        answers.push(answer);
    }
    Ok(answers)
}

/// The body, and its length on the wire.
fn body(bytes: &[u8], answer: &RawResponse) -> Result<(Vec<u8>, usize), String> {
    let cut = || format!("a body that is cut off: {answer:?}");
    if answer.header("transfer-encoding") == "chunked" {
        let (mut body, mut at) = (Vec::new(), 0);
        loop {
            let line = find(&bytes[at..], b"\r\n").ok_or_else(cut)?;
            let size = std::str::from_utf8(&bytes[at..at + line])
                .ok()
                .and_then(|text| usize::from_str_radix(text, 16).ok());
            let (size, start) = (size.ok_or_else(cut)?, at + line + 2);
            body.extend(bytes.get(start..start + size).ok_or_else(cut)?);
            at = start + size + 2;
            if size == 0 {
                return Ok((body, at.min(bytes.len())));
            }
        }
    }
    let length = answer.header("content-length").parse().unwrap_or(bytes.len());
    Ok((bytes.get(..length).ok_or_else(cut)?.to_vec(), length))
}

fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes.windows(sought.len()).position(|window| window == sought)
}

/// The bytes as text for a message, with long lines cut.
pub fn shown(bytes: &[u8]) -> String {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n').take(30).map(|line| {
        let start = line[..line.len().min(200)].escape_ascii();
        if line.len() > 200 {
            format!("{start}… ({} bytes)", line.len())
        } else {
            start.to_string()
        }
    });
    lines.collect::<Vec<_>>().join("\n    ")
}
