//! Where the servers listen, and what a service manager and a health check learn from them.

mod activation;
mod health;
mod ports;
mod service_manager;
mod unix_sockets;

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::Duration,
};

use crate::{hostile::eventually, support::binary::blogctl};

/// Longest wait for a response; only a failing test reaches it.
const HANG_GUARD: Duration = Duration::from_mins(1);

/// `serve-api` in `folder`, with the settings that it requires. Nothing listens at its identity provider.
fn serve_api(folder: &Path) -> Command {
    let mut command = blogctl(folder);
    command.arg("serve-api");
    configure(&mut command);
    command
}

/// The settings that the API requires.
fn configure(command: &mut Command) {
    command
        .env("BLOG_ENTRA__TENANT_ID", "2a1ce5b7-0000-4000-8000-00000000000a")
        .env("BLOG_ENTRA__AUTHORITY_HOST", "http://127.0.0.1:1")
        .env("BLOG_API__APP_ID_URI", "api://2a1ce5b7-0000-4000-8000-00000000000b")
        .env("BLOG_SERVER__DRAIN_SECONDS", "0");
}

/// Sends a request over a Unix socket, and returns the whole response.
fn over_unix(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(HANG_GUARD)).expect("a time limit");
    let request = format!("{}\r\nConnection: close\r\n\r\n", request.trim_end());
    stream.write_all(request.as_bytes()).expect("sent");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("a response");
    String::from_utf8_lossy(&response).into_owned()
}

/// The status in a response.
fn status(response: &str) -> u16 {
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {response:?}"))
}

/// The status of `GET path`.
fn get(socket: &Path, path: &str) -> u16 {
    status(&over_unix(socket, &format!("GET {path} HTTP/1.1\r\nHost: localhost")))
}
