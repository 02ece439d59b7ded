//! What a test does when a server that it started does not answer: it reports what the server's sockets and this process's
//! threads wait for, and sends the request once more.

use std::fs;

use ureq::Error;
use url::Url;

/// Sends a request to `url`, and once more if no response arrives in time. A machine may stand still for a minute while
/// another one uses its processors; a server that has stopped answering does not answer the second request either.
pub fn patiently<R>(url: &str, send: impl Fn() -> Result<R, Error>) -> R {
    match send() {
        Err(Error::Timeout(timeout)) => {
            eprintln!("no response from {url} in time ({timeout}):\n{}", report(url));
            send().unwrap_or_else(|error| panic!("{url} does not answer, not even a second request: {error}"))
        }
        answer => answer.unwrap_or_else(|error| panic!("{url} does not answer: {error}")),
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
        let of_port = text.lines().filter(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next().is_some_and(|local| local.ends_with(&end))
                || fields.next().is_some_and(|remote| remote.ends_with(&end))
        });
        lines.extend(of_port.map(|line| line.trim().to_owned()));
    }
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let part = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        lines.push(format!(
            "{} {}: {}",
            thread.file_name().display(),
            part("comm").trim(),
            part("wchan").trim()
        ));
    }
    lines.join("\n")
}
