//! The listener for plain HTTP.

use blogctl::config::Settings;

use super::{HttpsServer, Role};
use crate::support::{
    fuzz::{RawRequest, SendEnd},
    raw_http::{RawResponse, exchange},
};

fn with_plain_http(settings: &mut Settings) {
    settings.server.tls.redirect_port = Some(0);
}

fn send(port: u16, head: &str) -> RawResponse {
    let request = RawRequest {
        bytes: format!("{head}\r\nConnection: close\r\n\r\n").into_bytes(),
        methods: vec![head.split(' ').next().expect("a method").to_owned()],
        end: SendEnd::Whole,
    };
    let mut responses = exchange(port, &request).expect("a response");
    assert_eq!(responses.len(), 1, "{responses:?}");
    responses.remove(0)
}

#[test]
fn the_site_redirects_to_its_public_url_whatever_host_the_request_names() {
    let server = HttpsServer::start(Role::Site, with_plain_http);
    for (request, target) in [
        ("GET / HTTP/1.1\r\nHost: blog.example.com", "https://blog.example.com/"),
        (
            "GET /posts?q=a%20b HTTP/1.1\r\nHost: evil.example",
            "https://blog.example.com/posts?q=a%20b",
        ),
        (
            "POST /posts/new HTTP/1.1\r\nHost: evil.example:81\r\nX-Forwarded-Host: evil.example\r\nContent-Length: 0",
            "https://blog.example.com/posts/new",
        ),
        (
            "HEAD /health HTTP/1.1\r\nHost: 127.0.0.1",
            "https://blog.example.com/health",
        ),
        (
            "GET http://evil.example/x HTTP/1.1\r\nHost: evil.example",
            "https://blog.example.com/x",
        ),
        (
            "GET //evil.example/x HTTP/1.1\r\nHost: x",
            "https://blog.example.com//evil.example/x",
        ),
        (
            "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: x",
            "https://blog.example.com/.well-known/acme-challenge/x",
        ),
    ] {
        let response = send(server.plain_http_port, request);
        assert_eq!(
            (response.status, response.header("location")),
            (308, target),
            "{request}"
        );
    }
    let malformed = send(server.plain_http_port, "GET / HTTP/1.1\r\nHost: evil.example/\r\nx: y");
    assert_eq!((malformed.status, malformed.header("location")), (400, ""));
}

#[test]
fn the_api_rejects_plain_http_and_redirects_no_token() {
    let server = HttpsServer::start(Role::Api, with_plain_http);
    let response = send(
        server.plain_http_port,
        "GET /v1/posts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret",
    );
    let body = String::from_utf8(response.body.clone()).expect("text");
    assert_eq!((response.status, response.header("location")), (403, ""), "{body}");
    assert!(body.contains("\"code\":\"https_required\""), "{body}");
    assert!(!body.contains("secret"), "{body}");
    assert_eq!(response.header("content-type"), "application/problem+json");
}

#[test]
fn the_site_asks_browsers_to_stay_on_https_for_as_long_as_the_settings_say() {
    for (seconds, expected) in [(600, "max-age=600"), (0, "")] {
        let server = HttpsServer::start(Role::Site, |settings| settings.server.tls.hsts_seconds = seconds);
        let response = server
            .ca
            .agent(None)
            .get(server.url("/health/live"))
            .header("Host", "blog.example.com")
            .call()
            .expect("a response");
        let sent = response.headers().get("strict-transport-security");
        assert_eq!(sent.map_or("", |value| value.to_str().expect("text")), expected);
    }
}
