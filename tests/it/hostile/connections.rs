//! Very many connections.

use super::{Api, MAX_PEAK_KIB, eventually, status_in};
use crate::support::{
    attacks,
    binary::{CommandOutput, blogctl},
};

#[test]
fn at_the_connection_limit_the_longest_idle_connection_is_closed() {
    let api = Api::start(&[("SERVER__MAX_CONNECTIONS", "50"), ("SERVER__WORKERS", "2")]);
    let mut idle: Vec<_> = (0..50)
        .map(|_| {
            let mut connection = api.connect();
            connection.get("/health/live");
            let head = connection.head();
            assert_eq!(status_in(&head), 200);
            connection.skip_body(&head);
            connection
        })
        .collect();
    for _ in 0..10 {
        assert_eq!(api.get("/health/live"), 200);
        assert_eq!(api.get("/v1/openapi.json"), 200);
    }
    eventually("the longest idle connection was closed", || idle[0].is_closed());
    attacks::record("API: connections", "more idle connections than there may be", true);
}

#[test]
fn at_the_connection_limit_unfinished_messages_are_closed() {
    let head = "POST /nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (what, then) in [
        ("a body that never comes", ""),
        ("a body with trailers that never ends", "1\r\nx\r\n0\r\nA: b\r\n"),
        ("a body with trailers and an empty line", "0\r\nA: b\r\n\r\n"),
    ] {
        let api = Api::start(&[("SERVER__MAX_CONNECTIONS", "4"), ("SERVER__WORKERS", "1")]);
        let mut silent: Vec<_> = (0..4)
            .map(|_| {
                let mut connection = api.connect();
                connection.send(head.as_bytes());
                assert_eq!(status_in(&connection.head()), 404, "{what}");
                connection.send(then.as_bytes());
                connection
            })
            .collect();
        eventually("others than probes are served", || api.get("/v1/openapi.json") == 200);
        eventually("the one that was silent longest was closed", || silent[0].is_closed());
        attacks::record("API: connections", what, true);
    }
}

#[test]
fn when_every_connection_is_busy_probes_pass_and_others_get_503() {
    let api = Api::start(&[
        ("SERVER__MAX_CONNECTIONS", "20"),
        ("SERVER__RESPONSE_MIB_PER_ADDRESS", "1000"),
        ("SERVER__RESPONSE_MIB", "1000"),
    ]);
    let mut busy: Vec<_> = (0..20)
        .map(|_| {
            let mut connection = api.connect();
            // More than the socket buffers hold.
            connection.send(
                "GET /v1/docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    .repeat(20)
                    .as_bytes(),
            );
            connection
        })
        .collect();
    for connection in &mut busy {
        assert_eq!(connection.status(), 200);
    }
    for _ in 0..50 {
        let mut probe = api.connect();
        probe.get("/health/live");
        let head = probe.head();
        assert_eq!(status_in(&head), 200);
        assert!(
            head.to_ascii_lowercase().contains("\r\nconnection: close\r\n"),
            "{head}"
        );
    }
    let mut other = api.connect();
    other.get("/v1/openapi.json");
    let head = other.head();
    assert_eq!(status_in(&head), 503);
    assert!(head.to_ascii_lowercase().contains("\r\nretry-after: 5\r\n"), "{head}");

    // Connections that send nothing do not block the reserve for probes.
    let silent: Vec<_> = (0..200).map(|_| api.connect()).collect();
    eventually("a probe gets through", || api.get("/health/live") == 200);
    drop((silent, busy));
    eventually("others are served again", || api.get("/v1/openapi.json") == 200);
    assert!(api.running.peak_kib() < MAX_PEAK_KIB);
}

#[test]
fn thousands_of_idle_connections_use_little_memory() {
    let api = Api::start(&[("SERVER__MAX_CONNECTIONS", "3000")]);
    let mut idle = Vec::new();
    for _ in 0..3000 {
        let mut connection = api.connect();
        connection.get("/health/live");
        idle.push(connection);
    }
    for connection in &mut idle {
        assert_eq!(connection.status(), 200);
    }
    let peak = api.running.peak_kib();
    attacks::record("API: connections", "thousands of idle connections", peak < MAX_PEAK_KIB);
    assert!(peak < MAX_PEAK_KIB, "the peak is {peak} KiB");
}

#[test]
fn fewer_descriptors_than_connections_limit_the_connections() {
    // The shell lowers the hard limit, which the server cannot raise.
    let api = Api::start_under("ulimit -n 200");
    let mut connections: Vec<_> = (0..400).map(|_| api.connect()).collect();
    let mut answered = 0;
    for connection in &mut connections {
        connection.get("/v1/openapi.json");
        let status = connection.status();
        assert!(matches!(status, 200 | 503 | 0), "{status}");
        answered += usize::from(status == 200);
    }
    assert!(answered > 0);
    drop(connections);
    eventually("it serves again", || api.get("/v1/openapi.json") == 200);
}

#[test]
fn with_too_few_descriptors_a_server_says_so_and_does_not_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = blogctl(folder.path()).get_program().to_owned();
    let mut command = std::process::Command::new("sh");
    command
        .current_dir(folder.path())
        .args(["-c", "ulimit -n 60; exec \"$0\" serve-api --port 0"])
        .arg(program)
        .env("BLOG_ENTRA__TENANT_ID", "2a1ce5b7-0000-4000-8000-00000000000a")
        .env("BLOG_ENTRA__AUTHORITY_HOST", "http://127.0.0.1:1")
        .env("BLOG_API__APP_ID_URI", "api://2a1ce5b7-0000-4000-8000-00000000000b");
    let ended = CommandOutput::from_command(&mut command);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("the limit of open files is 60") && !ended.stderr.contains("panicked"),
        "{ended:?}"
    );
}
