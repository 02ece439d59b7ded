//! Each error has a page for the person who can resolve it: the visitor, an administrator, or the operator of the site.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::json;

use crate::support::{
    logs,
    system::TestSystem,
    web::{ALICE, Browser, FakeApi, Page, control, post_json},
};

fn system_with(api: &FakeApi) -> TestSystem {
    let url = api.url();
    TestSystem::with(move |settings| settings.client.api_base_url = url)
}

fn problem(status: u16, code: &str) -> HttpResponse {
    HttpResponse::build(StatusCode::from_u16(status).expect("a status"))
        .content_type("application/problem+json")
        .body(json!({ "type": "about:blank", "status": status, "code": code, "detail": "secret detail" }).to_string())
}

/// The text of the page between its headings and its buttons.
fn advice(page: &Page) -> String {
    let text = page.text();
    let (_, text) = text.split_once("What happened").expect("an error page");
    text.split("class=\"actions\"").next().expect("a beginning").to_owned()
}

#[test]
fn a_rule_of_the_api_that_rejects_the_site_is_explained_to_its_operator() {
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let system = system_with(&api);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    for (code, setting) in [
        ("insufficient_scope", "api.required_scope"),
        ("client_app_not_allowed", "api.allowed_client_apps"),
        ("client_auth_not_allowed", "api.required_client_auth"),
        ("insufficient_claims", "api.required_acrs"),
        ("some_future_rule", "some_future_rule"),
    ] {
        api.respond(move |_| problem(403, code));
        for path in ["/posts", "/posts/1", "/posts/1/edit", "/posts/1/delete", "/profile"] {
            let page = browser.get(&system.web.url(path));
            assert_eq!((page.status, page.error()), (502, "502"), "{code} {path}");
            let text = page.text();
            assert!(text.contains(setting) && text.contains(code), "{code} {path}: {text}");
            assert!(
                !text.contains("Only the author") && !text.contains("secret detail"),
                "{text}"
            );
        }
        let page = browser.submit(&form.clone().with("title", "A title").with("content", "An hour's work"));
        assert!(
            page.text().contains(setting) && page.text().contains("An hour's work"),
            "{code}: {}",
            page.text()
        );
    }
}

#[test]
fn every_attempt_with_a_token_that_the_api_rejects_gets_the_same_advice() {
    let api = FakeApi::start(|_| problem(401, "wrong_audience"));
    let system = system_with(&api);
    let browser = Browser::new();
    let first = browser.sign_in(&system, ALICE, "/posts");
    assert_eq!((first.status, first.error()), (502, "502"));
    let text = advice(&first);
    assert!(
        text.contains("client.api_scope") && text.contains("wrong_audience"),
        "{text}"
    );
    for attempt in 2..8 {
        let page = browser.get(&system.web.url("/posts"));
        assert_eq!((page.status, advice(&page)), (502, text.clone()), "attempt {attempt}");
    }
    for (code, setting) in [
        ("wrong_issuer", "entra.tenant_id"),
        ("expired", "clock"),
        ("token_for_graph", "client.api_scope"),
    ] {
        api.respond(move |_| problem(401, code));
        let page = browser.get(&system.web.url("/posts"));
        assert!(advice(&page).contains(setting), "{code}: {}", advice(&page));
    }
}

#[test]
fn another_program_is_distinguished_from_the_api_by_its_responses() {
    let api = FakeApi::start(|_| {
        HttpResponse::NotFound()
            .content_type("text/html")
            .body("<h1>404 Not Found</h1>")
    });
    let system = system_with(&api);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let check = |what: &str| {
        for path in ["/posts", "/posts/1", "/profile", "/posts/1/edit"] {
            let page = browser.get(&system.web.url(path));
            assert_eq!((page.status, page.error()), (502, "502"), "{what} {path}");
            assert!(
                page.text().contains("client.api_base_url"),
                "{what} {path}: {}",
                page.text()
            );
            assert!(!page.text().contains("was deleted"), "{what} {path}");
        }
    };
    check("404 of a web server");
    api.respond(|_| HttpResponse::NotFound().json(json!({ "detail": "Not Found" })));
    check("404 of another API");
    api.respond(|_| {
        HttpResponse::Found()
            .insert_header(("Location", "https://login.example/"))
            .finish()
    });
    check("redirect");
    api.respond(|_| {
        HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .body("<!doctype html><title>Welcome</title>")
    });
    check("catch-all page");
    let health = browser.get(&system.web.url("/health"));
    assert!(health.body.contains("\"api\":\"unavailable\""), "{}", health.body);
    api.respond(|_| {
        HttpResponse::Forbidden()
            .content_type("text/html")
            .body("Blocked by your proxy")
    });
    check("403 of a proxy");
    api.respond(|_| {
        HttpResponse::Unauthorized()
            .insert_header(("WWW-Authenticate", "Basic realm=\"proxy\""))
            .finish()
    });
    check("401 of a proxy");

    // A page that answers everything with success deletes nothing.
    api.respond(|_| HttpResponse::Ok().json(post_json(1, "A title", "text", ALICE)));
    let ask = browser.get(&system.web.url("/posts/1/delete")).form("Delete post");
    let page = browser.submit(&ask);
    assert_eq!(page.status, 502, "{}", page.text());
    assert!(page.text().contains("client.api_base_url") && !page.text().contains("is deleted"));
}

#[test]
fn a_rejection_of_the_user_addresses_the_user_and_logs_no_error() {
    logs::capture();
    let system = TestSystem::start();
    let mut headings = BTreeSet::new();
    for (code, word) in [
        (50_105, "assigned"),
        (53_003, "Conditional Access"),
        (530_032, "Conditional Access"),
        (50_076, "multifactor"),
        (50_055, "password"),
        (50_057, "unlock"),
        (50_020, "another organisation"),
    ] {
        control(
            &system,
            "PUT",
            "/fault",
            Some(&json!({ "fail_next": { "count": 1, "code": code } })),
        );
        let page = Browser::new().sign_in(&system, ALICE, "/posts");
        assert_eq!((page.status, page.error()), (403, "sign-in"), "{code}");
        let text = page.text();
        assert!(
            text.contains(word) && text.contains(&format!("AADSTS{code}")),
            "{code}: {text}"
        );
        assert!(!advice(&page).contains("operator"), "{code}: {text}");
        assert!(
            text.contains("switch=1") && text.contains("Try to sign in again"),
            "{code}: {text}"
        );
        let (_, heading) = text.split_once("<h1>").expect("a heading");
        headings.insert(heading.split("</h1>").next().expect("its end").to_owned());
        let lines = logs::containing(&format!("AADSTS{code} "));
        assert!(
            !lines.is_empty() && lines.iter().all(|line| line.starts_with("INFO")),
            "{lines:?}"
        );
    }
    assert!(headings.len() >= 3, "{headings:?}");
    for heading in headings {
        assert_eq!(logs::containing(&heading), Vec::<String>::new());
    }
    // An error that the operator must fix is logged as one.
    control(
        &system,
        "PUT",
        "/fault",
        Some(&json!({ "fail_next": { "count": 1, "code": 700_016 } })),
    );
    let page = Browser::new().sign_in(&system, ALICE, "/posts");
    assert_eq!((page.status, page.error()), (502, "sign-in"));
    assert!(advice(&page).contains("operator"));
}
