//! Hostile clients against the real binary. Memory is measured as the peak of the process (`VmHWM`), waiting by counts and
//! never by time. The process always stays below [`MAX_PEAK_KIB`].

mod bodies;
mod compressed_bodies;
mod connections;
mod heads;
mod shutdown;
mod slow_readers;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use url::Url;

use crate::support::binary::{Running, blogctl};

/// Highest allowed memory of a server, in KiB.
pub const MAX_PEAK_KIB: u64 = 300 * 1024;

/// Longest wait for a response; only a failing test reaches it.
const HANG_GUARD: Duration = Duration::from_mins(1);

/// `serve-api` as a separate process, without an identity provider.
pub struct Api {
    pub running: Running,
    pub url: String,
    _folder: TempDir,
}

impl Api {
    /// With settings such as `("SERVER__MAX_CONNECTIONS", "5")`.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = blogctl(folder.path());
        command.args(["serve-api", "--port", "0"]);
        Self::run(folder, command, settings)
    }

    /// Below a shell that has run `limits` first.
    pub fn start_under(limits: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = blogctl(folder.path()).get_program().to_owned();
        let mut command = std::process::Command::new("sh");
        command
            .current_dir(folder.path())
            .args(["-c", &format!("{limits}; exec \"$0\" serve-api --port 0")])
            .arg(program);
        Self::run(folder, command, &[])
    }

    fn run(folder: TempDir, mut command: std::process::Command, settings: &[(&str, &str)]) -> Self {
        command
            .env("BLOG_ENTRA__TENANT_ID", "2a1ce5b7-0000-4000-8000-00000000000a")
            // Nothing listens there, and the server does not wait for it.
            .env("BLOG_ENTRA__AUTHORITY_HOST", "http://127.0.0.1:1")
            .env("BLOG_API__APP_ID_URI", "api://2a1ce5b7-0000-4000-8000-00000000000b")
            .env("BLOG_API__RATE_LIMITS", "false");
        for (name, value) in settings {
            command.env(format!("BLOG_{name}"), value);
        }
        let mut running = Running::start(&mut command);
        let url = running.url_after("listening on");
        Self {
            running,
            url,
            _folder: folder,
        }
    }

    /// A new connection.
    pub fn connect(&self) -> Connection {
        Connection::to(&self.url)
    }

    /// The status of `GET path` on a new connection.
    pub fn get(&self, path: &str) -> u16 {
        let mut connection = self.connect();
        connection.get(path);
        connection.status()
    }
}

/// Waits until `is_so`.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + HANG_GUARD;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A connection to one of the servers.
pub struct Connection(pub TcpStream);

impl Connection {
    /// To the server with this base URL.
    pub fn to(base: &str) -> Self {
        let url = Url::parse(base).expect("a URL");
        let stream = TcpStream::connect(("127.0.0.1", url.port().expect("a port"))).expect("a connection");
        stream.set_read_timeout(Some(HANG_GUARD)).expect("a time limit");
        stream.set_write_timeout(Some(HANG_GUARD)).expect("a time limit");
        Self(stream)
    }

    /// Sends bytes. Returns `false` if the server has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Sends `GET path`.
    pub fn get(&mut self, path: &str) -> bool {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    /// Reads the body of the response with this head.
    pub fn skip_body(&mut self, head: &str) {
        let lower = head.to_ascii_lowercase();
        let length = lower
            .split_once("\r\ncontent-length: ")
            .and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body).expect("the body");
    }

    /// Whether the server has closed the connection and nothing is left to read.
    pub fn is_closed(&mut self) -> bool {
        self.0.set_nonblocking(true).expect("an option");
        let read = self.0.read(&mut [0; 4096]);
        self.0.set_nonblocking(false).expect("an option");
        match read {
            Ok(count) => count == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    /// Reads the head of the next response; it is incomplete if the server closes the connection.
    pub fn head(&mut self) -> String {
        let mut received = Vec::new();
        let mut byte = [0];
        while !received.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => received.extend(byte),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!(
                        "no response after {} bytes: {}",
                        received.len(),
                        String::from_utf8_lossy(&received)
                    )
                }
                _ => break,
            }
        }
        String::from_utf8_lossy(&received).into_owned()
    }

    /// The status of the next response; 0 if the server closes the connection without one.
    pub fn status(&mut self) -> u16 {
        status_in(&self.head())
    }
}

/// The status in a response's head; 0 if there is none.
pub fn status_in(head: &str) -> u16 {
    head.strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or(0)
}
