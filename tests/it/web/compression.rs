//! Pages and static files are compressed where that is safe.

use std::io::Read as _;

use url::Url;

use crate::support::{
    system::TestSystem,
    web::{ALICE, Browser, Page},
};

fn get(browser: &Browser, url: &str, accepted: &str) -> Page {
    browser.request(
        "GET",
        &Url::parse(url).expect("a URL"),
        None,
        &[("Accept-Encoding", accepted)],
    )
}

fn address(page: &Page, before: &str) -> String {
    let text = page.text();
    text.split(before)
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("an address")
        .to_owned()
}

/// The bytes on the wire: the browser of these tests would decompress them.
fn bytes(url: &str, accepted: &str) -> (Vec<u8>, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let response = agent
        .get(url)
        .header("Accept-Encoding", accepted)
        .call()
        .expect("a response");
    let coding = response
        .headers()
        .get("content-encoding")
        .map(|value| value.to_str().expect("text").to_owned());
    let mut bytes = Vec::new();
    response
        .into_body()
        .into_reader()
        .read_to_end(&mut bytes)
        .expect("a body");
    (bytes, coding.unwrap_or_default())
}

#[test]
fn pages_and_static_files_are_compressed_on_request() {
    let system = TestSystem::start();
    let home = Browser::new().get(&system.web.url("/"));
    let css = system.web.url(&address(&home, "<link rel=\"stylesheet\" href=\""));
    for url in [system.web.url("/"), css.clone()] {
        let (plain, none) = bytes(&url, "identity");
        assert_eq!(none, "", "{url}");
        for coding in ["gzip", "br"] {
            let (compressed, named) = bytes(&url, coding);
            assert_eq!(named, coding, "{url}");
            assert!(
                compressed.len() * 2 < plain.len(),
                "{url}: {} of {} bytes",
                compressed.len(),
                plain.len()
            );
        }
        let page = get(&Browser::new(), &url, "identity");
        assert!(
            page.header("vary").contains("Accept-Encoding"),
            "{url}: {:?}",
            page.headers
        );
    }
    let first = get(&Browser::new(), &css, "br");
    assert_eq!(first.header("cache-control"), "public, max-age=31536000, immutable");
    let again = Browser::new().request(
        "GET",
        &Url::parse(&css).expect("a URL"),
        None,
        &[("Accept-Encoding", "br"), ("If-None-Match", first.header("etag"))],
    );
    assert_eq!((again.status, again.header("etag")), (304, first.header("etag")));
}

#[test]
fn no_response_repeats_a_secret_of_the_session() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let tokens: Vec<_> = (0..3)
        .map(|_| {
            browser
                .get(&system.web.url("/posts"))
                .form("Sign out")
                .value("csrf_token")
                .to_owned()
        })
        .collect();
    for (n, token) in tokens.iter().enumerate() {
        assert!(
            token.len() > 80 && !tokens.iter().skip(n + 1).any(|other| other == token),
            "{tokens:?}"
        );
    }
    // Each token is accepted.
    for token in tokens {
        let form = browser
            .get(&system.web.url("/posts/new"))
            .form("Publish")
            .with("csrf_token", &token);
        assert_eq!(
            browser
                .submit_once(&form.with("title", "A title").with("content", "text"))
                .status,
            303
        );
    }
}

#[test]
fn pages_that_reflect_their_request_are_not_compressed() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let page = get(&browser, &system.web.url("/nothing?guess=csrf_token"), "gzip");
    assert_eq!((page.status, page.header("content-encoding")), (404, ""));
}

#[test]
fn robots_txt_allows_only_the_home_page() {
    let system = TestSystem::start();
    let page = Browser::new().get(&system.web.url("/robots.txt"));
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/plain; charset=utf-8")
    );
    assert!(
        page.body.contains("User-agent: *") && page.body.contains("Disallow: /\n"),
        "{}",
        page.body
    );
    let home = Browser::new().get(&system.web.url("/"));
    assert_eq!(home.body.matches("<meta name=\"description\" content=\"").count(), 1);
}
