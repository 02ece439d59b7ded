//! Compressed request bodies: 831 bytes of Brotli once took 550 MiB.

use super::{Connection, MAX_PEAK_KIB, status_in};
use crate::support::{attacks, dev::Dev};

/// Headers that announce a compressed body in different ways.
const CODINGS: [&str; 12] = [
    "Content-Encoding: br",
    "Content-Encoding: gzip",
    "Content-Encoding: zstd",
    "Content-Encoding: deflate",
    "Content-Encoding: x-gzip",
    "Content-Encoding: compress",
    "Content-Encoding:   BR  ",
    "content-encoding: GZip",
    "Content-Encoding: identity, br",
    "Content-Encoding: gzip,identity",
    "Content-Encoding: identity\r\nContent-Encoding: zstd",
    "Content-Encoding: gzip\r\nContent-Encoding: identity",
];

/// Allowed growth of the peak, in KiB.
const MAX_GROWTH_KIB: u64 = 10 * 1024;

#[test]
fn a_compressed_body_is_rejected_before_it_is_read_on_every_route_of_every_server() {
    let mut dev = Dev::start_in_new_folder(&["--credential", "key-vault", "--vault-port", "0"]);
    let vault = dev.vault();
    let (site, api, idp) = (dev.site(""), dev.api(""), dev.idp(""));
    let tenant = "2a1ce5b7-0000-4000-8000-00000000000a";
    let routes: Vec<(&str, String)> = [
        ("POST", "/logout"),
        ("POST", "/posts/new"),
        ("POST", "/posts/1/edit"),
        ("POST", "/posts/1/delete"),
        ("POST", "/login"),
        ("GET", "/"),
        ("GET", "/health/ready"),
        ("POST", "/nothing/here"),
    ]
    .map(|(method, path)| (method, format!("{site} {path}")))
    .into_iter()
    .chain(
        [
            ("POST", "/v1/posts"),
            ("PUT", "/v1/posts/1"),
            ("DELETE", "/v1/posts/1"),
            ("POST", "/v1/users/me"),
            ("GET", "/v1/posts"),
            ("POST", "/health"),
            ("POST", "/nothing/here"),
        ]
        .map(|(method, path)| (method, format!("{api} {path}"))),
    )
    .chain(
        [
            ("POST", format!("/{tenant}/oauth2/v2.0/token")),
            ("POST", format!("/{tenant}/login")),
            ("POST", "/_control/tokens".to_owned()),
            ("POST", "/nothing/here".to_owned()),
        ]
        .map(|(method, path)| (method, format!("{idp} {path}"))),
    )
    .chain(
        [("POST", "/keys/blogctl/1/sign"), ("POST", "/nothing/here")]
            .map(|(method, path)| (method, format!("{vault} {path}"))),
    )
    .collect();

    // Warms up all one-time allocations.
    for base in [&site, &api, &idp, &vault] {
        let mut warm = Connection::to(base);
        warm.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(warm.status(), 415);
    }
    // The memory of the connections themselves is not measured here.
    let mut plain: Vec<_> = (0..400)
        .map(|n| Connection::to([&site, &api, &idp, &vault][n % 4]))
        .collect();
    for connection in &mut plain {
        connection.send(b"GET /nothing/here HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(connection.status(), 404);
    }
    drop(plain);
    let before = dev.running.peak_kib();
    let mut unfinished = Vec::new();
    for (method, place) in &routes {
        let (base, path) = place.split_once(' ').expect("two parts");
        for coding in CODINGS {
            // The first body is complete; the others stop in the middle, with a length and with chunks.
            for (length, body) in [
                ("Content-Length: 27", "x".repeat(27)),
                ("Content-Length: 4000000", "x".repeat(27)),
                ("Transfer-Encoding: chunked", format!("1b\r\n{}\r\n", "x".repeat(27))),
            ] {
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nHost: localhost\r\n\
                     Content-Type: application/x-www-form-urlencoded\r\n{coding}\r\n{length}\r\n\r\n{body}"
                );
                let mut connection = Connection::to(base);
                connection.send(request.as_bytes());
                let head = connection.head();
                assert_eq!(status_in(&head), 415, "{method} {place} {coding:?} {length}: {head}");
                let accept = head
                    .lines()
                    .filter(|line| line.eq_ignore_ascii_case("accept-encoding: identity"))
                    .count();
                assert_eq!(accept, 1, "{method} {place} {coding:?}: {head}");
                unfinished.push(connection);
                if unfinished.len() > 400 {
                    unfinished.clear();
                }
            }
        }
    }
    let (peak, growth) = (dev.running.peak_kib(), dev.running.peak_kib() - before);
    attacks::record("All servers", "compressed bodies", growth < MAX_GROWTH_KIB);
    assert!(growth < MAX_GROWTH_KIB, "the peak grew by {growth} KiB");
    assert!(peak < MAX_PEAK_KIB, "the peak is {peak} KiB");
    dev.running.signal("INT");
}

#[test]
fn a_compressed_body_is_rejected_before_100_continue() {
    let dev = Dev::start();
    for base in [
        dev.site("/posts/new"),
        dev.api("/v1/posts"),
        dev.idp("/common/oauth2/v2.0/token"),
    ] {
        let path = url::Url::parse(&base).expect("a URL").path().to_owned();
        let mut connection = Connection::to(&base);
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\
             Expect: 100-continue\r\n\r\n"
        );
        connection.send(request.as_bytes());
        assert_eq!(connection.status(), 415, "{base}");
    }
}
