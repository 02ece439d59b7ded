//! Edge cases of HTTP/1.1, by hand: slow, oversized, pipelined and malformed requests.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    api::TestApi,
    attacks,
    fuzz::{RawRequest, SendEnd},
    raw_http::{RawResponse, exchange},
};

fn port(api: &TestApi) -> u16 {
    url::Url::parse(&api.url("/")).expect("a URL").port().expect("a port")
}

fn send(api: &TestApi, bytes: &str, methods: &[&str], end: SendEnd) -> Vec<RawResponse> {
    let methods = methods.iter().map(|&method| method.to_owned()).collect();
    exchange(
        port(api),
        &RawRequest {
            bytes: bytes.as_bytes().to_vec(),
            methods,
            end,
        },
    )
    .expect("HTTP")
}

fn problem(answer: &RawResponse) -> (u16, String) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    let document: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(document["status"], answer.status);
    (answer.status, document["code"].as_str().expect("a code").to_owned())
}

/// Sends the bytes, and returns everything until the server closes the connection.
fn until_it_hangs_up(api: &TestApi, bytes: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port(api))).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(25)))
        .expect("a time limit");
    stream.write_all(bytes.as_bytes()).expect("sent");
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it waits for ever: {bytes:?}"),
        _ => String::from_utf8_lossy(&received).into_owned(),
    }
}

#[test]
fn a_client_that_sends_a_head_or_body_too_slowly_times_out() {
    let api = TestApi::with(|settings| {
        settings.server.head_timeout = Duration::from_secs(1);
        settings.server.body_timeout = Duration::from_secs(1);
    });
    let answer = until_it_hangs_up(&api, "GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    let is_rejected = answer.is_empty() || answer.starts_with("HTTP/1.1 408 ");
    attacks::record("API: connections", "a head that trickles in", is_rejected);
    assert!(is_rejected, "{answer}");

    let token = api.control().token().user(&api.user(0).oid).mint();
    let head = format!(
        "POST /v1/posts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n{{\"title\":"
    );
    let answer = until_it_hangs_up(&api, &head);
    attacks::record(
        "API: connections",
        "a body that trickles in",
        answer.starts_with("HTTP/1.1 408 "),
    );
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"code\":\"body_timeout\""),
        "{answer}"
    );
    assert_eq!(api.alice().get("/v1/posts").status, 200, "others are served");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let api = TestApi::start();
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let bytes = format!("{}{}{}", one("/health/live"), one("/nothing"), one("/v1/profile"));
    let answers = send(&api, &bytes, &["GET", "GET", "GET"], SendEnd::Whole);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 404, 401]);
    assert_eq!(answers.last().map(problem), Some((401, "missing_token".to_owned())));
}

#[test]
fn a_body_may_be_chunked_and_must_have_one_length() {
    let api = TestApi::start();
    let token = api.control().token().user(&api.user(0).oid).mint();
    let post = |headers: &str, body: &str| {
        let head = format!("POST /v1/posts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n");
        let bytes = format!("{head}Content-Type: application/json\r\nConnection: close\r\n{headers}\r\n{body}");
        send(&api, &bytes, &["POST"], SendEnd::Whole)
    };
    let json = r#"{"title":"a","content":"b"}"#;
    let chunks = format!(
        "b\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &json[..11],
        json.len() - 11,
        &json[11..]
    );
    assert_eq!(post("Transfer-Encoding: chunked\r\n", &chunks)[0].status, 201);
    assert_eq!(
        post(&format!("Content-Length: {}\r\n", json.len()), json)[0].status,
        201
    );
    assert_eq!(problem(&post("", "")[0]), (411, "length_required".to_owned()));

    // The framing of tiny chunks is many times larger than their content, and does not count once it was read.
    let tiny: String = json
        .chars()
        .flat_map(|byte| ['1', '\r', '\n', byte, '\r', '\n'])
        .collect();
    let tiny = format!("{}{tiny}0\r\nX-Trailer: 1\r\n\r\n", "1\r\n \r\n".repeat(60_000));
    assert_eq!(post("Transfer-Encoding: chunked\r\n", &tiny)[0].status, 201);

    let length = format!("Content-Length: {}\r\n", json.len());
    for (name, headers, body) in [
        ("two lengths", format!("{length}Content-Length: 5\r\n"), json),
        (
            "a length and chunks",
            format!("{length}Transfer-Encoding: chunked\r\n"),
            &chunks,
        ),
        (
            "chunks that are not last",
            "Transfer-Encoding: chunked, gzip\r\n".to_owned(),
            &chunks,
        ),
        ("an invalid length", "Content-Length: +5\r\n".to_owned(), json),
    ] {
        let answers = post(&headers, body);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        let is_rejected = statuses == [400];
        attacks::record("API: connections", &format!("request smuggling: {name}"), is_rejected);
        assert!(is_rejected, "{name}: {statuses:?}");
    }
    assert_eq!(
        api.alice().get("/v1/posts").json().as_array().map(Vec::len),
        Some(3),
        "the good three"
    );
}

#[test]
fn a_head_that_is_too_large_is_rejected_with_414_or_431() {
    let api = TestApi::start();
    let get = |path: &str, headers: &str| {
        send(
            &api,
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"),
            &["GET"],
            SendEnd::Whole,
        )
    };
    let long = format!("/v1/posts?q={}", "x".repeat(9000));
    assert_eq!(problem(&get(&long, "")[0]), (414, "uri_too_long".to_owned()));
    let large = format!("X-Large: {}\r\n", "x".repeat(40_000));
    assert_eq!(
        problem(&get("/health/live", &large)[0]),
        (431, "headers_too_large".to_owned())
    );
    let many = (0..60)
        .map(|n| format!("X-{n}: {}\r\n", "y".repeat(700)))
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(
        problem(&get("/health/live", &many)[0]),
        (431, "headers_too_large".to_owned())
    );
    // Beyond the limit of the web server itself, the response has no problem document.
    let huge = format!("X-Huge: {}\r\n", "x".repeat(200_000));
    let status = get("/health/live", &huge).first().map(|answer| answer.status);
    attacks::record("API: connections", "a head that is too large", status == Some(431));
    assert_eq!(status, Some(431));
    for fits in [format!("X-Fits: {}\r\n", "x".repeat(30_000)), String::new()] {
        assert_eq!(
            get(&format!("/health/live?q={}", "x".repeat(8000)), &fits)[0].status,
            200
        );
    }
}

#[test]
fn a_client_that_accepts_no_json_gets_406() {
    let api = TestApi::start();
    let alice = api.alice();
    let ask = |accept: &str| alice.call("GET", "/v1/posts").header("Accept", accept).send();
    for accept in ["text/html", "application/xml;q=0.9", "application/json;q=0, text/plain"] {
        ask(accept).problem(406, "not_acceptable");
    }
    for accept in ["*/*", "application/json", "text/html, */*;q=0.1", "nonsense"] {
        assert_eq!(ask(accept).status, 200, "{accept}");
    }
}
