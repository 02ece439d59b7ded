//! What a test reports when a server that it started does not answer: which of the server's sockets and of this process's
//! threads wait for what. A connection that stays in state 02 (SYN sent) next to a socket that listens (0A) with an empty queue means that
//! its packets go elsewhere, as with a rule of a firewall that redirects the port.

use std::fs;

use ureq::Error;
use url::Url;

/// The response to a request that was sent to `url`.
pub fn answered<R>(url: &str, response: Result<R, Error>) -> R {
    match response {
        Ok(response) => response,
        Err(Error::Timeout(_)) => panic!("{url} does not answer in time:\n{}", report(url)),
        Err(error) => panic!("{url} does not answer: {error}"),
    }
}

/// The TCP sockets of the URL's port, and what each thread of this process waits for.
fn report(url: &str) -> String {
    let port = Url::parse(url).ok().and_then(|url| url.port()).unwrap_or_default();
    let end = format!(":{port:04X}");
    let mut lines = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        // Local address, remote address, state, and the bytes in both queues.
        let has_port = |line: &&str| {
            line.split_whitespace()
                .skip(1)
                .take(2)
                .any(|address| address.ends_with(&end))
        };
        lines.extend(text.lines().filter(has_port).map(|line| line.trim().to_owned()));
    }
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        lines.push(format!(
            "{} {}: {}",
            thread.file_name().display(),
            read("comm").trim(),
            read("wchan").trim()
        ));
    }
    lines.join("\n")
}
