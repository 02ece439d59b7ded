//! Forms that did not come from a page of this site change nothing, and lose no text.

use crate::support::{
    attacks,
    system::TestSystem,
    web::{ALICE, BOB, Browser, Form},
};

struct Attempt {
    name: &'static str,
    form: Form,
    headers: Vec<(&'static str, String)>,
}

/// `stale` is the token of the same user's previous session.
fn attempts(form: &Form, foreign_token: &str, stale: &str) -> Vec<Attempt> {
    let own = form.action.origin().ascii_serialization();
    let attempt = |name, form: Form, headers| Attempt { name, form, headers };
    let own_headers = || vec![("Origin", own.clone()), ("Sec-Fetch-Site", "same-origin".to_owned())];
    vec![
        attempt("no token", form.clone().without("csrf_token"), own_headers()),
        attempt("empty token", form.clone().with("csrf_token", ""), own_headers()),
        attempt(
            "made-up token",
            form.clone().with("csrf_token", "made-up"),
            own_headers(),
        ),
        attempt(
            "another session's token",
            form.clone().with("csrf_token", foreign_token),
            own_headers(),
        ),
        attempt(
            "an earlier session's token",
            form.clone().with("csrf_token", stale),
            own_headers(),
        ),
        attempt("no token, no headers", form.clone().without("csrf_token"), vec![]),
        attempt(
            "foreign origin",
            form.clone(),
            vec![("Origin", "https://evil.example".to_owned())],
        ),
        attempt("opaque origin", form.clone(), vec![("Origin", "null".to_owned())]),
        attempt(
            "cross-site",
            form.clone(),
            vec![("Sec-Fetch-Site", "cross-site".to_owned())],
        ),
        attempt(
            "another port of this host",
            form.clone(),
            vec![("Sec-Fetch-Site", "same-site".to_owned())],
        ),
    ]
}

fn send(browser: &Browser, attempt: &Attempt) -> crate::support::web::Page {
    let headers: Vec<(&str, &str)> = attempt
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    browser.post(&attempt.form, &headers)
}

#[test]
fn a_forged_form_changes_nothing() {
    let system = TestSystem::start();
    let (browser, other) = (Browser::new(), Browser::new());
    // The number of routes that change something; a new one must be added to the list below.
    assert_eq!(
        include_str!("../../../src/web/routes.rs")
            .matches("web::post()")
            .count(),
        4
    );
    let stale = browser
        .sign_in(&system, ALICE, "/posts/new")
        .form("Publish")
        .value("csrf_token")
        .to_owned();
    let picker = browser.get(&system.web.url("/login?prompt=login&next=/posts/new"));
    let new = browser.pick(&picker, ALICE);
    let foreign_token = other
        .sign_in(&system, BOB, "/posts/new")
        .form("Publish")
        .value("csrf_token")
        .to_owned();
    let post = browser.publish(&system, "Safe", "unchanged");

    let forms = [
        new.form("Publish")
            .with("title", "Forged")
            .with("content", "forged text"),
        browser
            .get(&format!("{}/edit", post.url))
            .form("Save changes")
            .with("content", "forged text"),
        browser.get(&format!("{}/delete", post.url)).form("Delete post"),
        new.form("Sign out"),
        browser
            .get(&system.web.url("/logout"))
            .form("everywhere")
            .with("everywhere", "1"),
    ];
    for form in &forms {
        for attempt in attempts(form, &foreign_token, &stale) {
            let page = send(&browser, &attempt);
            let path = form.action.path().replace(post.url.path(), "/posts/ID");
            attacks::record("CSRF", &format!("{} to {path}", attempt.name), page.status == 403);
            assert_eq!(
                (page.status, page.error()),
                (403, "403"),
                "{} to {}",
                attempt.name,
                form.action
            );
            if !form.value("content").is_empty() {
                assert!(
                    page.text().contains("forged text"),
                    "{}: the text is shown",
                    attempt.name
                );
            }
        }
    }
    let list = browser.get(&system.web.url("/posts"));
    assert_eq!(list.status, 200, "still signed in");
    assert!(list.text().contains("1 post,") && list.text().contains("unchanged"));
}

#[test]
fn a_form_without_fetch_metadata_is_accepted_by_its_token() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let page = browser.post(&form.with("title", "Old browser").with("content", "text"), &[]);
    assert_eq!(page.status, 303);
}

#[test]
fn no_other_site_can_plant_a_draft() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let form = Form {
        action: system.web.url("/posts/new").parse().expect("a URL"),
        fields: vec![
            ("title".to_owned(), "Planted".to_owned()),
            ("content".to_owned(), "planted".to_owned()),
        ],
    };
    for headers in [
        &[][..],
        &[("Origin", "https://evil.example")],
        &[("Sec-Fetch-Site", "cross-site")],
    ] {
        let page = browser.post(&form, headers);
        assert_eq!(page.status, 403);
        assert!(page.set_cookies.is_empty(), "no session is made for it");
    }
    let page = browser.sign_in(&system, ALICE, "/posts/new");
    assert_eq!(page.form("Publish").value("content"), "");
}

#[test]
fn a_get_changes_nothing() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let new = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let post = browser.publish(&system, "Safe", "unchanged");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("csrf_token", new.value("csrf_token"))
        .append_pair("title", "By GET")
        .append_pair("content", "by get")
        .finish();
    for path in [
        "/posts/new".to_owned(),
        format!("{}/edit", post.url.path()),
        format!("{}/delete", post.url.path()),
    ] {
        assert_eq!(browser.get(&system.web.url(&format!("{path}?{query}"))).status, 200);
    }
    browser.get(&system.web.url(&format!("/logout?{query}")));
    let list = browser.get(&system.web.url("/posts")).text();
    assert!(list.contains("1 post,") && list.contains("unchanged"));
}

#[test]
fn a_form_that_is_too_large_is_rejected() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let page = browser.submit(&form.clone().with("title", "Long").with("content", &"x".repeat(60_000)));
    assert!(
        page.text().contains("The post was not saved"),
        "the API rejects it: {}",
        page.text()
    );
    assert_eq!(
        page.form("Publish").value("content").len(),
        60_000,
        "the text comes back"
    );
}
