//! Requests and connections.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use crate::support::{dev::Dev, idp::agent, metrics::Scrape};

/// Paths of the test of hostile requests.
const PATHS: usize = 10_000;
const DURATION: &str = "http_server_request_duration_seconds_count";

#[test]
fn a_request_is_counted_by_the_pattern_of_its_route() {
    let dev = Dev::with_metrics();
    for id in [1, 2, 3] {
        let status = agent()
            .get(dev.api(&format!("/v1/posts/{id}")))
            .call()
            .expect("a response")
            .status();
        assert_eq!(status, 401);
    }
    agent().get(dev.site("/posts/1")).call().expect("a response");
    agent().get(dev.api("/health/live")).call().expect("a response");
    let scrape = Scrape::of(dev.metrics());
    let count = |role, route, status| {
        let labels = [
            ("role", role),
            ("http_request_method", "GET"),
            ("http_route", route),
            ("http_response_status_code", status),
        ];
        scrape.value(DURATION, &labels)
    };
    assert_eq!(count("api", "/v1/posts/{id}", "401"), 3.0, "{}", scrape.text);
    assert_eq!(count("client", "/posts/{id}", "303"), 1.0, "{}", scrape.text);
    assert_eq!(count("api", "/health/live", "200"), 1.0, "{}", scrape.text);
    let buckets = scrape.count(
        "http_server_request_duration_seconds_bucket",
        &[("http_route", "/health/live")],
    );
    assert_eq!(buckets, 15);
}

/// Sends these requests one after another on one connection, and returns how many responses there were.
fn send_all(url: &str, requests: &str) -> usize {
    let address = url
        .trim_start_matches("http://")
        .split('/')
        .next()
        .expect("an address")
        .to_owned();
    let mut stream = TcpStream::connect(address).expect("a connection");
    let mut reader = stream.try_clone().expect("the same connection");
    let received = thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("responses");
        bytes
    });
    stream.write_all(requests.as_bytes()).expect("sent");
    let received = received.join().expect("it ends");
    String::from_utf8_lossy(&received).matches("HTTP/1.1 ").count()
}

#[test]
fn nothing_that_a_client_invents_becomes_a_label() {
    let dev = Dev::with_metrics_and(&["--set", "api.rate_limits=false"]);
    let close = "Connection: close\r\n";
    // Routes that exist, so that their series do.
    let warm_up = |host: &str| {
        let mut requests = String::new();
        for (method, path) in [
            ("GET", "/v1/posts/0"),
            ("GET", "/x"),
            ("X", "/v1/posts/0"),
            ("X", "/x"),
            ("GET", "/posts/0"),
        ] {
            let _ = write!(
                requests,
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
            );
        }
        let _ = write!(requests, "GET /x HTTP/1.1\r\nHost: a b\r\n{close}\r\n");
        requests
    };
    for url in [dev.api("/"), dev.site("/")] {
        assert_eq!(send_all(&url, &warm_up("localhost")), 6);
    }
    let before = Scrape::of(dev.metrics());
    for url in [dev.api("/"), dev.site("/")] {
        let mut requests = String::new();
        for n in 0..PATHS / 2 {
            let (path, method, host) = match n % 5 {
                0 => (format!("/{n}/secret-{n}"), "GET".to_owned(), "localhost".to_owned()),
                1 => (
                    format!("/v1/posts/{n}?q=secret-{n}"),
                    "GET".to_owned(),
                    format!("secret-{n}.example"),
                ),
                2 => (format!("/posts/{n}"), "GET".to_owned(), "localhost".to_owned()),
                3 => (format!("/x/{n}"), format!("SECRET{n}"), "localhost".to_owned()),
                _ => (format!("/%2e%2e/{n}"), "GET".to_owned(), format!("secret {n}")),
            };
            let _ = write!(
                requests,
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-ID: secret-{n}\r\nContent-Length: 0\r\n\r\n"
            );
        }
        let _ = write!(requests, "GET /x HTTP/1.1\r\nHost: localhost\r\n{close}\r\n");
        assert_eq!(send_all(&url, &requests), PATHS / 2 + 1);
    }
    let after = Scrape::of(dev.metrics());
    let counted = |scrape: &Scrape| scrape.value(DURATION, &[]);
    assert!(counted(&after) - counted(&before) >= 10_000.0);
    let series =
        |scrape: &Scrape| -> Vec<_> { scrape.find(DURATION, &[]).map(|sample| sample.labels.clone()).collect() };
    let (before, mut new) = (series(&before), series(&after));
    // Meanwhile, the API may fetch signing keys.
    new.retain(|labels| !before.contains(labels) && labels.get("role").is_some_and(|role| role != "idp"));
    assert!(new.is_empty(), "{new:#?}");
    assert!(!after.text.to_lowercase().contains("secret"), "{}", after.text);
}
