//! The cost of a request body before the sender is known.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::support::{
    attacks::record,
    dev::Dev,
    fuzz::{RawRequest, SendEnd},
    raw_http::{RawResponse, exchange},
    system::TestSystem,
    web::{ALICE, Browser},
};

/// The head of a browser's form from a page of this site, with these headers.
fn form(origin: &str, path: &str, headers: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n{headers}\r\n",
        origin.trim_start_matches("http://")
    )
}

/// Sends and keeps the connection; the site may close it at any time.
fn send(port: u16, head: &str, chunk: &[u8], times: usize) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a time limit");
    stream
        .set_read_timeout(Some(Duration::from_secs(25)))
        .expect("a time limit");
    stream.write_all(head.as_bytes()).expect("a head");
    let _ = (0..times).try_for_each(|_| stream.write_all(chunk));
    stream
}

#[test]
fn unfinished_forms_without_a_session_use_no_memory() {
    const FORMS: usize = 150;
    const BYTES: usize = 3_900_000;
    // 150 open connections with 128 KiB of read-ahead each are 19 MiB; the forms are 560 MiB.
    const ALLOWED_KIB: u64 = 32 * 1024;
    let dev = Dev::start();
    let origin = dev.site("");
    let port = url::Url::parse(&origin).expect("a URL").port().expect("a port");
    assert_eq!(Browser::new().get_once(&dev.site("/")).status, 200);
    let warm = dev.running.peak_kib();
    let text = vec![b'x'; 65_536];
    let chunk = [format!("{:x}\r\n", text.len()).as_bytes(), &text, b"\r\n"].concat();
    let length = format!("Content-Length: {}\r\n", BYTES + 1);
    let chunked = "Transfer-Encoding: chunked\r\n".to_owned();
    let mut open = Vec::new();
    for n in 0..FORMS {
        let path = [
            "/posts/new",
            "/posts/1/edit",
            "/logout",
            "/posts/1/delete",
            "/posts/new?form=AAAA",
        ][n % 5];
        let (headers, piece) = if n % 2 == 0 {
            (&length, &text)
        } else {
            (&chunked, &chunk)
        };
        open.push(send(port, &form(&origin, path, headers), piece, BYTES / piece.len()));
    }
    let grown = dev.running.peak_kib().saturating_sub(warm);
    record("memory", "unfinished forms without a session", grown <= ALLOWED_KIB);
    assert!(grown <= ALLOWED_KIB, "{grown} KiB for {FORMS} forms");
    drop(open);
}

/// The response of the site to the head alone, before the announced body.
fn answer_to_head(system: &TestSystem, path: &str, headers: &str) -> String {
    let origin = system.web.url("");
    let head = form(&origin, path, headers);
    let mut stream = send(system.web.port, &head, b"content=", 1);
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer before the body");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_long_form_without_a_session_is_answered_before_its_body() {
    let system = TestSystem::start();
    let long = "Content-Length: 3900000\r\n";
    for path in ["/posts/new", "/posts/1/edit", "/posts/new?form=AAAA"] {
        assert_eq!(answer_to_head(&system, path, long), "HTTP/1.1 403", "{path}");
    }
    for path in ["/logout", "/posts/1/delete"] {
        assert_eq!(answer_to_head(&system, path, long), "HTTP/1.1 413", "{path}");
    }
    // Even with a session, the site reads no long form of another site.
    let browser = Browser::new();
    let own = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let cookie = format!("Cookie: {}\r\n", browser.cookie_header());
    let foreign = form("http://evil.example", "/posts/new", &format!("{long}{cookie}"))
        .replace("Host: evil.example", &format!("Host: localhost:{}", system.web.port));
    let mut stream = send(system.web.port, &foreign, b"content=", 1);
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer before the body");
    assert_eq!(&answer, b"HTTP/1.1 403");
    // The same form with a session is accepted.
    let page = browser.submit(&own.with("title", "Long").with("content", &"x".repeat(40_000)));
    assert_eq!(page.status, 200, "{}", page.body);
}

#[test]
fn forms_without_text_have_a_small_limit() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts/new");
    let sign_out = page.form("Sign out");
    let rejected = browser.submit_once(&sign_out.clone().with("padding", &"x".repeat(10_000)));
    assert_eq!(rejected.status, 413);
    assert_eq!(
        browser.get_once(&system.web.url("/profile")).status,
        200,
        "still signed in"
    );
    assert_eq!(browser.submit_once(&sign_out).status, 303);
}

#[test]
fn a_form_that_grows_beyond_its_limit_when_it_is_decoded_is_too_large() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let csrf_token = browser
        .sign_in(&system, ALICE, "/posts/new")
        .form("Publish")
        .value("csrf_token")
        .to_owned();
    // Each of these bytes is invalid UTF-8 and becomes a character of three bytes.
    for (bytes, status) in [(1_500_000, "HTTP/1.1 413"), (1_000_000, "HTTP/1.1 303")] {
        let body = [
            format!("csrf_token={csrf_token}&title=t&content=").as_bytes(),
            vec![0xFF; bytes].as_slice(),
        ]
        .concat();
        let headers = format!(
            "Content-Length: {}\r\nCookie: {}\r\n",
            body.len(),
            browser.cookie_header()
        );
        let mut stream = send(
            system.web.port,
            &form(&system.web.url(""), "/posts/new", &headers),
            b"",
            0,
        );
        stream
            .set_write_timeout(Some(Duration::from_secs(25)))
            .expect("a time limit");
        stream.write_all(&body).expect("the site reads it");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), status, "{bytes}");
    }
}

#[test]
fn a_form_of_another_type_is_rejected_before_its_body() {
    let system = TestSystem::start();
    let origin = system.web.url("");
    for kind in ["multipart/form-data; boundary=x", "application/json", "text/plain", ""] {
        let head =
            form(&origin, "/posts/new", "Content-Length: 100\r\n").replace("application/x-www-form-urlencoded", kind);
        let mut stream = send(system.web.port, &head, b"content=", 1);
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer before the body");
        assert_eq!(&answer, b"HTTP/1.1 400", "{kind}");
    }
}

fn answers(system: &TestSystem, cookie_lines: &[Vec<u8>], path: &str) -> Vec<RawResponse> {
    let mut bytes = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n",
        system.web.port
    )
    .into_bytes();
    for line in cookie_lines {
        bytes.extend_from_slice(&[b"Cookie: ", line.as_slice(), b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"\r\n");
    exchange(
        system.web.port,
        &RawRequest {
            bytes,
            methods: vec!["GET".to_owned()],
            end: SendEnd::Whole,
        },
    )
    .expect("HTTP")
}

#[test]
fn cookies_of_other_applications_sign_nobody_out() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let own = browser.cookie_header().into_bytes();
    let long = [b"junk=".as_slice(), &vec![b'j'; 8192]].concat();
    let foreign: [&[u8]; 8] = [
        b"lang=fran\xe7ais",
        "lang=français".as_bytes(),
        b"x",
        b"=",
        b"a=\"b; c\"",
        b"\xff\xfe=1",
        b";;;",
        &long,
    ];
    for other in foreign {
        for lines in [
            vec![[other, b"; ", &own].concat()],
            vec![[&own, b"; ".as_slice(), other].concat()],
            vec![other.to_vec(), own.clone()],
            vec![own.clone(), other.to_vec()],
        ] {
            let answers = answers(&system, &lines, "/profile");
            assert_eq!(
                answers.first().map(|answer| answer.status),
                Some(200),
                "{:?}",
                other.escape_ascii().to_string()
            );
        }
    }
    // A sign-in works, here and at the identity provider, whose cookies share the host.
    let browser = Browser::new();
    browser.set_cookie("lang", "français");
    assert_eq!(browser.sign_in(&system, ALICE, "/profile").status, 200);
}
