//! `blogctl health`: exit code and the one line that says why.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixListener,
    path::Path,
    process::Command,
    thread,
};

use super::{configure, serve_api};
use crate::support::{
    api::TestApi,
    binary::{CommandOutput, Running, blogctl},
    pki::TestCa,
};

/// `blogctl health` for the API on this port.
fn health(folder: &Path, port: u16, arguments: &[&str]) -> Command {
    let mut command = blogctl(folder);
    command
        .args(["health", "--role", "api"])
        .args(arguments)
        .env("BLOG_API__PORT", port.to_string());
    command
}

fn port_of(url: &str) -> u16 {
    url.rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .expect("a port")
}

#[track_caller]
fn assert_healthy(command: &mut Command, expected: &str) {
    let output = CommandOutput::from_command(command);
    assert_eq!((output.code, &*output.stderr), (Some(0), ""), "{output:?}");
    assert_eq!(output.stdout.lines().count(), 1, "{output:?}");
    assert!(output.stdout.contains(expected), "{output:?}");
}

#[track_caller]
fn assert_unhealthy(command: &mut Command, expected: &str) {
    let output = CommandOutput::from_command(command);
    assert_eq!((output.code, &*output.stderr), (Some(1), ""), "{output:?}");
    assert_eq!(output.stdout.lines().count(), 1, "{output:?}");
    assert!(output.stdout.contains(expected), "{output:?}");
}

/// A server that answers every connection with `respond`.
fn fake(respond: fn(&mut TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut stream = stream;
                respond(&mut stream);
            });
        }
    });
    port
}

fn read_request(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
}

#[test]
fn a_server_that_serves_is_alive_and_ready() {
    let api = TestApi::start();
    assert_eq!(api.alice().get("/v1/posts").status, 200, "it has fetched the keys");
    let folder = tempfile::tempdir().expect("a folder");
    let port = port_of(api.url("").trim_end_matches('/'));
    assert_healthy(&mut health(folder.path(), port, &[]), "api: alive, http://127.0.0.1:");
    assert_healthy(
        &mut health(folder.path(), port, &["--ready"]),
        "api: ready, http://127.0.0.1:",
    );
    for host in ["localhost", "127.0.0.1", "0.0.0.0"] {
        assert_healthy(
            health(folder.path(), port, &[]).env("BLOG_API__HOST", host),
            "api: alive",
        );
    }
}

#[test]
fn a_server_on_all_addresses_is_found_on_loopback() {
    for host in ["0.0.0.0", "::", "[::]"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut running = Running::start(serve_api(folder.path()).args(["--host", host, "--port", "0"]));
        let port = port_of(&running.url_after("listening on"));
        assert_healthy(
            health(folder.path(), port, &[]).env("BLOG_API__HOST", host),
            "api: alive",
        );
    }
}

#[test]
fn a_server_that_is_alive_and_not_ready_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(serve_api(folder.path()).args(["--port", "0"]));
    let port = port_of(&running.url_after("listening on"));
    assert_healthy(&mut health(folder.path(), port, &[]), "api: alive");
    assert_unhealthy(
        &mut health(folder.path(), port, &["--ready"]),
        "api: not ready: signing_keys unavailable",
    );
}

#[test]
fn a_unix_socket_is_asked_like_a_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("api.sock");
    let mut running = Running::start(serve_api(folder.path()).env("BLOG_API__SOCKET_PATH", &socket));
    running.wait_for("listening on unix:");
    let health = || {
        let mut command = health(folder.path(), 1, &[]);
        command.env("BLOG_API__SOCKET_PATH", &socket);
        command
    };
    assert_healthy(&mut health(), "api: alive, unix:");
    running.signal("KILL");
    running.wait_for_exit();
    assert_unhealthy(&mut health(), "api: cannot connect to unix:");
    std::fs::remove_file(&socket).expect("a stale socket");
    assert_unhealthy(&mut health(), "api: cannot connect to unix:");
    let _listener = UnixListener::bind(&socket).expect("a socket that answers nothing");
    assert_unhealthy(health().args(["--timeout", "1"]), "did not answer within 1 s");
}

#[test]
fn a_port_without_a_server_is_unhealthy() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let folder = tempfile::tempdir().expect("a folder");
    assert_unhealthy(
        &mut health(folder.path(), port, &[]),
        "api: cannot connect to http://127.0.0.1:",
    );
}

#[test]
fn a_server_that_hangs_or_talks_without_end_is_unhealthy_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let silent = fake(|stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let drip = fake(|stream| {
        read_request(stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"A").is_ok() {
            thread::yield_now();
            if stream.write_all(b": b\r\n").is_err() {
                return;
            }
        }
    });
    let endless = fake(|stream| {
        read_request(stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nA: ");
        while stream.write_all(&[b'a'; 1024]).is_ok() {}
    });
    let half = fake(|stream| {
        read_request(stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for (port, expected) in [
        (silent, "did not answer within 1 s"),
        (drip, "did not answer in HTTP: too many headers"),
        (endless, "did not answer in HTTP: the head of its response has no end"),
        (half, "did not answer within 1 s"),
    ] {
        assert_unhealthy(&mut health(folder.path(), port, &["--timeout", "1"]), expected);
    }
}

#[test]
fn what_is_not_a_healthy_answer_is_unhealthy() {
    let folder = tempfile::tempdir().expect("a folder");
    let garbage = fake(|stream| {
        read_request(stream);
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n");
    });
    let closing = fake(|_| {});
    let elsewhere = fake(|stream| {
        read_request(stream);
        let _ = stream
            .write_all(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/health/live\r\nContent-Length: 0\r\n\r\n");
    });
    let other = fake(|stream| {
        read_request(stream);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n\x1b[31");
    });
    let empty = fake(|stream| {
        read_request(stream);
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    });
    for (port, expected) in [
        (garbage, "did not answer in HTTP: invalid HTTP version"),
        (closing, "api: "),
        (elsewhere, "not alive (http://127.0.0.1:"),
        (other, ": 404 for /health/live)"),
        (empty, ": 204 for /health/live)"),
    ] {
        let mut command = health(folder.path(), port, &[]);
        assert_unhealthy(&mut command, expected);
        let output = CommandOutput::from_command(&mut command);
        assert!(!output.stdout.contains('\x1b'), "{output:?}");
    }
}

#[test]
fn no_proxy_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = fake(|stream| {
        read_request(stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let mut command = health(folder.path(), port, &[]);
    let url = format!("http://127.0.0.1:{proxy}");
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env(name, &url);
    }
    assert_unhealthy(&mut command, "cannot connect");
}

#[test]
fn without_a_role_each_role_with_settings_must_be_healthy() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(serve_api(folder.path()).args(["--port", "0"]));
    let port = port_of(&running.url_after("listening on"));
    let health = || {
        let mut command = blogctl(folder.path());
        command.arg("health").env("BLOG_API__PORT", port.to_string());
        command
    };
    assert_unhealthy(&mut health(), "the settings configure neither the API nor the site");
    let api_only = || {
        let mut command = health();
        configure(&mut command);
        command
    };
    assert_healthy(&mut api_only(), "api: alive");
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let unused = free.local_addr().expect("bound").port();
    drop(free);
    let mut both = api_only();
    both.env("BLOG_CLIENT__CLIENT_ID", "2a1ce5b7-0000-4000-8000-00000000000c")
        .env("BLOG_CLIENT__CERT_PATH", "client.pem")
        .env(
            "BLOG_CLIENT__API_SCOPE",
            "api://2a1ce5b7-0000-4000-8000-00000000000b/access_as_user",
        )
        // Only the site may read this file. It is configured all the same.
        .env("BLOG_CLIENT__COOKIE_KEY_FILE", "/nonexistent/cookie-key")
        .env("BLOG_CLIENT__PORT", unused.to_string());
    let output = CommandOutput::from_command(&mut both);
    assert_eq!(output.code, Some(1), "{output:?}");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert!(
        matches!(*lines, [api, client] if api.starts_with("api: alive") && client.starts_with("client: cannot connect")),
        "{output:?}"
    );
}

#[test]
fn it_reads_the_variables_of_platforms_and_reports_settings_that_cannot_be_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(serve_api(folder.path()).env("PORT", "0"));
    let port = port_of(&running.url_after("listening on"));
    let health = || {
        let mut command = blogctl(folder.path());
        command.args(["health", "--role", "api"]);
        command
    };
    assert_healthy(health().env("PORT", port.to_string()), "api: alive");
    for (variable, value, expected) in [
        (
            "PORT",
            "abc",
            "api: cannot be checked: api.port is \"abc\" (environment variable PORT)",
        ),
        ("PORT", "0", "pass its port with --set api.port=PORT"),
        (
            "BLOG_CONFIG",
            "missing.toml",
            "api: cannot be checked: missing.toml cannot be read",
        ),
        (
            "BLOG_API__SOCKET_PATH",
            "unix:/a",
            "api: cannot be checked: api.socket_path",
        ),
    ] {
        assert_unhealthy(health().env(variable, value), expected);
    }
}

#[test]
fn https_is_asked_whatever_its_certificate_is() {
    let folder = tempfile::tempdir().expect("a folder");
    // A certificate of an unknown CA for the public name, and clients that need a certificate: a probe needs neither.
    let files = TestCa::new("test CA")
        .server(&["blog.example.com"])
        .write(folder.path(), "server");
    let clients = TestCa::new("clients").write(folder.path(), "clients.pem");
    let tls = |command: &mut Command| {
        command
            .env("BLOG_SERVER__TLS__CERT_PATH", &files.certificate)
            .env("BLOG_SERVER__TLS__KEY_PATH", &files.key)
            .env("BLOG_SERVER__TLS__CLIENT_CA", &clients);
    };
    let mut command = serve_api(folder.path());
    tls(command.args(["--host", "::", "--port", "0"]));
    let mut running = Running::start(&mut command);
    let port = port_of(&running.url_after("listening on"));
    let mut command = health(folder.path(), port, &[]);
    tls(command.env("BLOG_API__HOST", "::"));
    assert_healthy(&mut command, "api: alive, https://[::]:");
    // Without the settings of TLS, the probe speaks plain HTTP.
    assert_unhealthy(health(folder.path(), port, &[]).env("BLOG_API__HOST", "::"), "api: ");
}
