//! Hostile clients against the real binary. Memory is judged by the peak of the process (`VmHWM`), waiting by counts, never by
//! time. Whatever a client does, the process stays below [`MAX_PEAK_KIB`].

mod compressed_bodies;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use url::Url;

/// The most memory that a server may ever hold, in KiB.
pub const MAX_PEAK_KIB: u64 = 300 * 1024;

/// Longest wait for a response; only a test that fails reaches it.
const HANG_GUARD: Duration = Duration::from_mins(1);

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

    /// Sends bytes. The server may have closed the connection already.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Reads up to the end of the next response's head: what came so far, which is less when the server closes.
    pub fn head(&mut self) -> String {
        let mut received = Vec::new();
        let mut byte = [0];
        while !received.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => received.extend(byte),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("no response after {} bytes: {}", received.len(), String::from_utf8_lossy(&received))
                }
                _ => break,
            }
        }
        String::from_utf8_lossy(&received).into_owned()
    }

    /// The status of the next response; 0 when the server closes without one.
    pub fn status(&mut self) -> u16 {
        status_in(&self.head())
    }
}

/// The status in a response's head; 0 when there is none.
pub fn status_in(head: &str) -> u16 {
    head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}
