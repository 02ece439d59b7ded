//! Clients that request much and read nothing.

use super::{Api, MAX_PEAK_KIB, eventually, status_in};
use crate::support::attacks;

const LARGE: &str = "/v1/docs/swagger-ui-bundle.js";

#[test]
fn clients_that_read_nothing_are_limited_in_bytes_and_others_are_served() {
    let api = Api::start(&[]);
    let mut silent: Vec<_> = (0..400)
        .map(|_| {
            let mut connection = api.connect();
            connection.send(
                format!("GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    .repeat(3)
                    .as_bytes(),
            );
            connection
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(api.get("/health/live"), 200);
        assert_eq!(api.get("/v1/posts"), 401);
    }
    let peak = api.running.peak_kib();
    attacks::record("API: connections", "clients that read nothing", peak < MAX_PEAK_KIB);
    assert!(peak < MAX_PEAK_KIB, "the peak is {peak} KiB");
    let statuses: Vec<_> = silent
        .iter_mut()
        .map(|connection| status_in(&connection.head()))
        .collect();
    let count = |sought| statuses.iter().filter(|status| **status == sought).count();
    assert_eq!(count(200) + count(503), 400, "{statuses:?}");
    assert!(count(200) > 0 && count(503) > 0, "{} and {}", count(200), count(503));
}

#[test]
fn a_client_that_reads_nothing_for_too_long_is_disconnected() {
    let api = Api::start(&[("SERVER__SEND_SECONDS", "1")]);
    let sockets = || api.running.sockets();
    let before = sockets();
    let silent: Vec<_> = (0..10)
        .map(|_| {
            let mut connection = api.connect();
            connection.send(
                format!("GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    .repeat(8)
                    .as_bytes(),
            );
            connection
        })
        .collect();
    eventually("they are connected", || sockets() >= before + 10);
    // Leaves room for the server's own request for signing keys.
    eventually("they are disconnected", || sockets() <= before + 2);
    attacks::record("API: connections", "a client that takes nothing for ever", true);
    drop(silent);
}
