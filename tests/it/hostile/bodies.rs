//! Bodies that never end.

use super::{Connection, MAX_PEAK_KIB, status_in};
use crate::support::{api::TestApi, attacks, dev::Dev};

#[test]
fn unfinished_bodies_are_limited_in_bytes_and_other_clients_are_served() {
    let dev = Dev::start();
    let part = vec![b'a'; 3_900_000];
    let mut open = Vec::new();
    for n in 0..150 {
        let (base, path) = if n % 2 == 0 {
            (dev.site(""), "/logout")
        } else {
            (dev.idp(""), "/common/oauth2/v2.0/token")
        };
        let mut connection = Connection::to(&base);
        connection.send(
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                 Content-Length: 4000000\r\n\r\n"
            )
            .as_bytes(),
        );
        connection.0.set_nonblocking(true).expect("an option");
        // As much as the server accepts without blocking.
        let mut sent = 0;
        for _ in 0..100 {
            match std::io::Write::write(&mut connection.0, &part[sent..]) {
                Ok(0) => break,
                Ok(count) => sent += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => break,
            }
        }
        open.push(connection);
    }
    for base in [dev.site(""), dev.api(""), dev.idp("")] {
        let mut other = Connection::to(&base);
        other.get(if base == dev.idp("") { "/" } else { "/health/live" });
        assert_eq!(other.status(), 200, "{base}");
    }
    let peak = dev.running.peak_kib();
    attacks::record("All servers", "unfinished bodies", peak < MAX_PEAK_KIB);
    assert!(peak < MAX_PEAK_KIB, "the peak is {peak} KiB");
}

#[test]
fn a_client_over_its_byte_limit_gets_503_except_for_small_requests() {
    let api = TestApi::with(|settings| {
        settings.server.request_mib_per_address = 1;
        settings.api.max_body_bytes = 4 * 1024 * 1024;
    });
    let token = api.control().token().user(&api.user(0).oid).mint();
    let post = |length: usize| {
        format!(
            "POST /v1/posts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut first = Connection::to(&api.url("/"));
    first.send(post(1_000_000).as_bytes());
    first.send(&vec![b' '; 900_000]);
    let mut second = Connection::to(&api.url("/"));
    second.send(post(1_000_000).as_bytes());
    second.send(&vec![b' '; 900_000]);
    // Either of the two may be the one too many, depending on the order of reading.
    second
        .0
        .set_read_timeout(Some(std::time::Duration::from_secs(5)))
        .expect("a time limit");
    let mut byte = [0; 1];
    let rejected = if second.0.peek(&mut byte).is_ok() {
        &mut second
    } else {
        &mut first
    };
    let head = rejected.head();
    assert_eq!(status_in(&head), 503, "{head}");
    assert!(head.to_ascii_lowercase().contains("\r\nretry-after: 5\r\n"), "{head}");
    assert!(api.alice().write("small", "it passes") > 0);
}

#[test]
fn no_client_is_invited_to_send_a_body_that_will_not_be_read() {
    let api = TestApi::start();
    let token = api.control().token().user(&api.user(0).oid).mint();
    let json = r#"{"title":"a","content":"b"}"#;
    let request = |authorization: &str, more: &str, length: usize| {
        format!(
            "POST /v1/posts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {authorization}\r\n{more}\
             Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let kind = "Content-Type: application/json\r\n";
    for (name, request, expected) in [
        ("a bad token", request("nonsense", kind, json.len()), 401),
        ("a body that is too large", request(&token, kind, 100_000_000), 413),
        (
            "a body of another type",
            request(&token, "Content-Type: text/plain\r\n", json.len()),
            415,
        ),
        (
            "a compressed body",
            request(&token, "Content-Encoding: gzip\r\n", json.len()),
            415,
        ),
    ] {
        let mut connection = Connection::to(&api.url("/"));
        connection.send(request.as_bytes());
        let status = connection.status();
        attacks::record(
            "API: connections",
            &format!("100 Continue for {name}"),
            status == expected,
        );
        assert_eq!(status, expected, "{name}");
    }
    let mut connection = Connection::to(&api.url("/"));
    for _ in 0..2 {
        connection.send(request(&token, kind, json.len()).as_bytes());
        assert_eq!(connection.status(), 100);
        connection.send(json.as_bytes());
        let head = connection.head();
        assert_eq!(status_in(&head), 201, "{head}");
        connection.skip_body(&head);
    }
}
