//! Headers that every response has.

use crate::support::{
    system::TestSystem,
    web::{ALICE, Browser, Page},
};

fn check(page: &Page, what: &str, authority: &str) {
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        &format!("form-action 'self' {authority}"),
    ] {
        assert!(
            policy.split("; ").any(|known| known == part),
            "{what}: {part} in {policy:?}"
        );
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(page.header(name), value, "{what}: {name}");
    }
    // The URL of a callback contains code and state: no server gets it, not even this site's own log.
    let referrer = if page.url.path() == "/callback" {
        "strict-origin"
    } else {
        "same-origin"
    };
    assert_eq!(page.header("referrer-policy"), referrer, "{what}");
    assert!(!page.header("permissions-policy").is_empty(), "{what}");
    assert!(!page.header("x-request-id").is_empty(), "{what}");
    assert!(
        !page.body.contains("<script") && !page.body.contains("style=\""),
        "{what}"
    );
}

#[test]
fn every_kind_of_response_has_the_security_headers() {
    let system = TestSystem::start();
    let authority = format!("http://localhost:{}", system.idp.port);
    let (browser, visitor) = (Browser::new(), Browser::new());
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let css = stylesheet(&browser.get(&system.web.url("/")));
    let get = |who: &Browser, path: &str| who.get_once(&system.web.url(path));
    let post = |path: &str| {
        visitor.request(
            "POST",
            &system.web.url(path).parse().expect("a URL"),
            Some(String::new()),
            &[],
        )
    };
    let callback = system.web.url("/callback?code=c&state=s").parse().expect("a URL");
    let answers = [
        ("page", 200, get(&visitor, "/")),
        ("signed-in page", 200, get(&browser, "/posts")),
        ("redirect to sign-in", 303, get(&visitor, "/posts")),
        ("redirect to Entra", 303, get(&visitor, "/login")),
        ("stale callback", 400, get(&visitor, "/callback?code=c&state=s")),
        (
            "prefetched callback",
            503,
            visitor.request("GET", &callback, None, &[("Purpose", "prefetch")]),
        ),
        (
            "declined at Entra",
            400,
            get(&visitor, "/callback?error=access_denied&state=s"),
        ),
        ("bad query", 400, get(&browser, "/posts?after=a&after=b")),
        ("no such page", 404, get(&visitor, "/nope")),
        ("no such post", 404, get(&browser, "/posts/999999")),
        ("no post id", 404, get(&browser, "/posts/abc")),
        ("wrong method", 405, post("/")),
        ("forged form", 403, post("/logout")),
        ("rejected form", 303, browser.submit_once(&form)),
        ("rejected form, after the redirect", 200, get(&browser, "/posts/new")),
        ("health", 200, get(&visitor, "/health/live")),
        ("style sheet", 200, get(&visitor, &css)),
        ("no such file", 404, get(&visitor, "/static/site.css")),
    ];
    for (what, status, page) in answers {
        assert_eq!(page.status, status, "{what}");
        check(&page, what, &authority);
        let expected = if what == "style sheet" {
            "public, max-age=31536000, immutable"
        } else {
            "no-store"
        };
        assert_eq!(page.header("cache-control"), expected, "{what}");
        if status >= 400 && page.header("content-type").starts_with("text/html") {
            assert!(
                page.body.contains(page.header("x-request-id")),
                "{what}: the request id is on the page"
            );
            let marker = if page.url.path() == "/callback" {
                "sign-in".to_owned()
            } else {
                status.to_string()
            };
            assert_eq!(page.error(), marker, "{what}");
        }
    }
}

#[test]
fn an_unknown_method_gets_the_allowed_ones() {
    let system = TestSystem::start();
    let browser = Browser::new();
    for (method, path, allowed) in [
        ("POST", "/posts", "GET, HEAD"),
        ("DELETE", "/posts/1", "GET, HEAD"),
        ("PUT", "/posts/new", "GET, HEAD, POST"),
    ] {
        let page = browser.request(method, &system.web.url(path).parse().expect("a URL"), None, &[]);
        assert_eq!(
            (page.status, page.error(), page.header("allow")),
            (405, "405", allowed),
            "{method} {path}"
        );
    }
}

#[test]
fn head_is_answered_like_get_without_a_body() {
    let system = TestSystem::start();
    let page = Browser::new().request("HEAD", &system.web.url("/").parse().expect("a URL"), None, &[]);
    assert_eq!((page.status, page.body.as_str()), (200, ""));
}

#[test]
fn a_static_file_is_cacheable() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let url: url::Url = system
        .web
        .url(&stylesheet(&browser.get(&system.web.url("/"))))
        .parse()
        .expect("a URL");
    let first = browser.request("GET", &url, None, &[]);
    assert_eq!(first.header("content-type"), "text/css; charset=utf-8");
    let again = browser.request("GET", &url, None, &[("If-None-Match", first.header("etag"))]);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
}

fn stylesheet(page: &Page) -> String {
    let text = page.text();
    let link = text
        .split("<link rel=\"stylesheet\" href=\"")
        .nth(1)
        .expect("a style sheet");
    link.split('"').next().expect("its address").to_owned()
}
