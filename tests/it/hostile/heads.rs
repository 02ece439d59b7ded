//! Request heads that are slow, too long or malformed.

use super::{Api, Connection, MAX_PEAK_KIB, eventually, status_in};
use crate::support::{attacks, dev::Dev};

#[test]
fn endless_heads_are_limited_in_bytes_and_time() {
    let api = Api::start(&[("SERVER__HEAD_SECONDS", "2"), ("SERVER__REQUEST_MIB_PER_ADDRESS", "16")]);
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}", "x".repeat(100_000));
    let mut open: Vec<_> = (0..1000)
        .map(|_| {
            let mut connection = api.connect();
            connection.send(head.as_bytes());
            connection
        })
        .collect();
    assert_eq!(api.get("/health/live"), 200);
    let peak = api.running.peak_kib();
    attacks::record("API: connections", "long heads that never end", peak < MAX_PEAK_KIB);
    assert!(peak < MAX_PEAK_KIB, "the peak is {peak} KiB");
    for connection in &mut open {
        assert!(matches!(connection.status(), 408 | 0), "it is not waited for");
    }
}

#[test]
fn a_slow_head_times_out_on_a_reused_connection() {
    let api = Api::start(&[("SERVER__HEAD_SECONDS", "1")]);
    let mut connection = api.connect();
    connection.get("/health/live");
    let head = connection.head();
    assert_eq!(status_in(&head), 200);
    connection.skip_body(&head);
    connection.send(b"GET /health/live HTTP/1.1\r\nHost: local");
    eventually("the connection was closed", || connection.is_closed());
}

#[test]
fn ambiguous_heads_are_rejected_by_every_server() {
    let mut dev = Dev::start_in_new_folder(&["--credential", "key-vault", "--vault-port", "0"]);
    let vault = dev.vault();
    let good = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // The emulators have no health routes.
    for (base, good_status) in [
        (dev.site(""), 200),
        (dev.api(""), 200),
        (dev.idp(""), 404),
        (vault, 404),
    ] {
        for bad in [
            "GET / HTTP/1.1\nHost: localhost\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: 1\nX-B: 2\r\n\r\n",
            "GET / HTTP/1.1\nHost: localhost\n\n",
            "\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost:port\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
            "GET http://user@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ] {
            for before in ["", good] {
                let mut connection = Connection::to(&base);
                connection.send(format!("{before}{bad}").as_bytes());
                if !before.is_empty() {
                    let head = connection.head();
                    assert_eq!(status_in(&head), good_status, "{base} {head}");
                    connection.skip_body(&head);
                }
                let status = connection.status();
                attacks::record("All servers", &format!("{bad:?}"), status == 400);
                assert_eq!(status, 400, "{base} {bad:?} after {before:?}");
            }
        }
        // A body may contain what a head must not.
        let mut connection = Connection::to(&base);
        connection.send(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n\n\n\n");
        assert_eq!(connection.status(), 404, "{base}");

        let mut connection = Connection::to(&base);
        connection.send(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = connection.head();
        assert_eq!(status_in(&head), 204, "{base} {head}");
        assert!(
            head.to_ascii_lowercase()
                .contains("\r\nallow: get, head, post, put, delete, options\r\n"),
            "{head}"
        );
    }
}

#[test]
fn a_malformed_request_is_logged_with_the_client_and_not_as_an_error() {
    let mut api = Api::start(&[("LOG__LEVEL", "info")]);
    let mut connection = api.connect();
    connection.send(b"not HTTP at all\r\n\r\n");
    assert_eq!(connection.status(), 400);
    let line = api.running.wait_for("malformed request rejected");
    assert!(line.contains(" INFO ") && line.contains("client=127.0.0.1"), "{line}");
    assert_eq!(api.get("/health/live"), 200);
    api.running.signal("INT");
    let (_, output) = api.running.wait_for_exit();
    assert!(
        !output.contains("ERROR") && !output.contains("stream error"),
        "{output}"
    );
}
