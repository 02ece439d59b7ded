//! Routes that need no token: they are rate-limited like all others, and static files use hardly any memory.

use std::{io::Write as _, net::TcpStream, time::Duration};

use serde_json::json;

use crate::support::{
    api::{ApiResponse, TestApi},
    attacks,
    dev::Dev,
};

const STATIC: [&str; 7] = [
    "/v1/openapi.json",
    "/v1/docs",
    "/v1/docs/docs.js",
    "/v1/docs/docs.css",
    "/v1/docs/swagger-ui.css",
    "/v1/docs/swagger-ui-bundle.js",
    "/.well-known/oauth-protected-resource",
];

#[test]
fn every_encoding_of_a_static_file_has_an_etag_and_is_cacheable() {
    let api = TestApi::start();
    for path in STATIC {
        let ask = |coding: &str, known: &str| {
            let call = api.anonymous().call("GET", path).header("Accept-Encoding", coding);
            if known.is_empty() {
                call.send()
            } else {
                call.header("If-None-Match", known).send()
            }
        };
        let plain = ask("identity", "");
        assert_eq!((plain.status, plain.header("Content-Encoding")), (200, ""), "{path}");
        for coding in ["identity", "gzip", "br", "zstd"] {
            let whole = ask(coding, "");
            let is_compressed = coding != "identity" && plain.text.len() >= 1024;
            assert_eq!(
                whole.header("Content-Encoding"),
                if is_compressed { coding } else { "" },
                "{path} {coding}"
            );
            assert_eq!(
                whole.header("ETag") != plain.header("ETag"),
                is_compressed,
                "{path} {coding}"
            );
            assert!(whole.header("Vary").contains("Accept-Encoding"), "{path} {coding}");
            assert!(!whole.header("Content-Length").is_empty(), "{path} {coding}");
            let known = ask(coding, whole.header("ETag"));
            assert_eq!((known.status, known.text.as_str()), (304, ""), "{path} {coding}");
            assert_eq!(known.header("ETag"), whole.header("ETag"), "{path} {coding}");
            assert_eq!(ask(coding, "\"other\"").status, 200, "{path} {coding}");
            assert_eq!(ask(coding, "*").status, 304, "{path} {coding}");
        }
        ask("identity;q=0, compress", "").problem(406, "not_acceptable");
        let head = api.anonymous().call("HEAD", path).send();
        assert_eq!(
            (head.status, head.header("ETag"), head.text.as_str()),
            (200, plain.header("ETag"), ""),
            "{path}"
        );
    }
}

#[test]
fn the_docs_page_can_be_turned_off_without_the_description() {
    let api = TestApi::with(|settings| settings.api.docs = false);
    for path in STATIC.iter().filter(|path| path.starts_with("/v1/docs")) {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            let answer = api.anonymous().call(method, path).send();
            assert_eq!(answer.status, 404, "{method} {path}");
        }
        api.anonymous().get(path).problem(404, "not_found");
    }
    assert_eq!(api.anonymous().get("/v1/openapi.json").status, 200);
}

#[test]
fn every_route_counts_against_the_limit_of_the_address_except_health() {
    let burst = 5;
    let calls = [
        ("GET", "/v1/openapi.json"),
        ("GET", "/v1/docs"),
        ("GET", "/v1/docs/swagger-ui-bundle.js"),
        ("GET", "/.well-known/oauth-protected-resource"),
        ("GET", "/nothing"),
        ("OPTIONS", "/v1/openapi.json"),
        ("DELETE", "/v1/openapi.json"),
        ("OPTIONS", "/nothing"),
        ("POST", "/health/live/nothing"),
        ("GET", "/v1/posts"),
        ("OPTIONS", "/v1/posts"),
    ];
    for origins in [vec![], vec!["https://app.example".to_owned()]] {
        let is_cors = !origins.is_empty();
        let api = TestApi::with(|settings| {
            (settings.api.limit_address_burst, settings.api.limit_address_per_second) = (burst, 1);
            settings.api.cors_origins = origins;
            settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        });
        for (n, (method, path)) in calls.into_iter().enumerate() {
            let from_one_address = |method: &str, path: &str| {
                api.anonymous()
                    .call(method, path)
                    .header("X-Forwarded-For", &format!("198.51.100.{n}"))
            };
            let ask = |preflight: bool| {
                let call = from_one_address(method, path).header("Origin", "https://app.example");
                // The CORS middleware answers preflight requests itself.
                if preflight {
                    call.header("Access-Control-Request-Method", "GET").send()
                } else {
                    call.send()
                }
            };
            let answers: Vec<ApiResponse> = (0..40).map(|n| ask(n % 2 == 0)).collect();
            let admitted = answers.iter().filter(|answer| answer.status != 429).count();
            let is_bounded = (5..20).contains(&admitted);
            attacks::record(
                "API: rate limits",
                &format!("a flood of {method} {path}, CORS: {is_cors}"),
                is_bounded,
            );
            assert!(is_bounded, "{method} {path}, CORS {is_cors}: {admitted} of 40");
            let rejected = answers
                .iter()
                .rfind(|answer| answer.status == 429)
                .expect("a rejected request");
            if method != "OPTIONS" {
                let allowed = if is_cors { "https://app.example" } else { "" };
                assert_eq!(
                    rejected.header("Access-Control-Allow-Origin"),
                    allowed,
                    "{method} {path}"
                );
            }
            assert!(!rejected.header("Retry-After").is_empty());
            for probe in ["/health", "/health/live", "/health/ready"] {
                assert_eq!(
                    from_one_address("GET", probe).send().status,
                    200,
                    "{probe} after a flood of {path}"
                );
            }
        }
    }
}

#[test]
fn no_request_is_counted_twice() {
    for origins in [vec![], vec!["https://app.example".to_owned()]] {
        let api = TestApi::with(|settings| {
            (settings.api.limit_address_burst, settings.api.limit_address_per_second) = (20, 1);
            settings.api.cors_origins = origins;
        });
        let alice = api.alice();
        let statuses: Vec<u16> = (0..10)
            .flat_map(|_| {
                [
                    alice.get("/v1/posts").status,
                    alice.call("OPTIONS", "/v1/posts").send().status,
                ]
            })
            .collect();
        assert_eq!(statuses, [200, 204].repeat(10));
    }
}

#[test]
fn clients_that_request_large_files_and_never_read_use_little_memory() {
    let dev = Dev::start();
    let address = dev
        .api("")
        .trim_start_matches("http://")
        .replace("localhost", "127.0.0.1");
    let alice = crate::support::idp::IdpControl::at(&dev.idp("")).token().mint();
    let client = crate::support::api::Client::at(&dev.api(""), &alice);
    let content = "x".repeat(49_000);
    for n in 0..20 {
        let answer = client.post("/v1/posts", &json!({"title": format!("post {n}"), "content": content}));
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    for path in ["/v1/posts?limit=20", "/v1/docs/swagger-ui-bundle.js"] {
        assert_eq!(client.get(path).status, 200);
    }
    let before = dev.running.peak_kib();
    let request_and_leave = |n: usize, path: &str, coding: &str| {
        let mut stream = TcpStream::connect(&address).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .expect("a time limit");
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {alice}\r\n");
        stream
            .write_all(format!("{head}Accept-Encoding: {coding}\r\n\r\n").as_bytes())
            .expect("sent");
        // The response has started, and the client reads nothing of it.
        assert_eq!(stream.peek(&mut [0; 1]).expect("an answer"), 1, "{n}");
        stream
    };
    let mut streams = Vec::new();
    for n in 0..200 {
        streams.push(request_and_leave(
            n,
            "/v1/docs/swagger-ui-bundle.js",
            if n % 2 == 0 { "identity" } else { "gzip" },
        ));
    }
    let files = dev.running.peak_kib() - before;
    for n in 0..100 {
        streams.push(request_and_leave(n, "/v1/posts?limit=20", "identity"));
    }
    let all = dev.running.peak_kib() - before;
    attacks::record("API: open routes", "large files that are not read", files <= 20 * 1024);
    assert!(files <= 20 * 1024, "200 clients that do not read take {files} KiB");
    assert!(
        all <= 40 * 1024,
        "with 100 more that do not read a page of 1 MB: {all} KiB"
    );
    drop(streams);
}
