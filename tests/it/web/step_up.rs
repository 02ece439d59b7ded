//! Claims challenges: the API demands a stronger sign-in, the site requests it from Entra ID, and returns to the page.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix_web::HttpResponse;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::support::{
    system::TestSystem,
    web::{ALICE, Browser, FakeApi, Page, grants, post_json},
};

fn challenge() -> HttpResponse {
    let claims = STANDARD.encode(r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#);
    let value = format!("Bearer realm=\"blog\", error=\"insufficient_claims\", claims=\"{claims}\"");
    HttpResponse::Unauthorized()
        .insert_header(("WWW-Authenticate", value))
        .finish()
}

/// A system whose API demands the authentication context `c1` while `demands` returns true.
fn demanding(demands: impl Fn(usize) -> bool + Send + 'static) -> (TestSystem, FakeApi) {
    let asked = Arc::new(AtomicUsize::new(0));
    let api = FakeApi::start(move |seen| {
        if demands(asked.fetch_add(1, Ordering::SeqCst)) {
            return challenge();
        }
        match seen.method.as_str() {
            "POST" => HttpResponse::Created().json(post_json(1, "Kept", "Much thought.", ALICE)),
            _ if seen.path.starts_with("/v1/posts/") => {
                HttpResponse::Ok().json(post_json(1, "Kept", "Much thought.", ALICE))
            }
            _ => HttpResponse::Ok().json(json!([])),
        }
    });
    let url = api.url();
    (
        TestSystem::with(move |settings| settings.client.api_base_url = url),
        api,
    )
}

/// The `claims` of every authorization request on the way.
fn claims_asked_for(page: &Page) -> Vec<String> {
    let of = |url: &url::Url| {
        url.query_pairs()
            .find(|(name, _)| name == "claims")
            .map(|(_, value)| value.into_owned())
    };
    page.visited
        .iter()
        .filter(|url| url.path().ends_with("/authorize"))
        .filter_map(of)
        .collect()
}

#[test]
fn claims_that_the_api_demands_are_requested_and_the_page_is_shown_again() {
    let system = TestSystem::with(|settings| settings.api.required_acrs = vec!["c1".to_owned()]);
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts?by=me");
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, system.web.url("/posts?by=me").as_str()),
        "{}",
        page.body
    );
    let claims = claims_asked_for(&page);
    assert_eq!(claims.len(), 1, "after the sign-in itself one more: {claims:?}");
    assert!(
        claims[0].contains("\"acrs\"") && claims[0].contains("c1") && claims[0].contains("cp1"),
        "{claims:?}"
    );
    assert_eq!(grants(&system, "authorization_code"), 2);
    assert_eq!(
        browser.get(&system.web.url("/posts")).visited.len(),
        1,
        "and it is not asked for again"
    );
    let published = browser.publish(&system, "With two factors", "Written.");
    assert_eq!(published.status, 200);
    assert!(published.text().contains("With two factors"));
}

#[test]
fn every_sign_in_says_that_challenges_are_handled() {
    let system = TestSystem::start();
    let url = Browser::new().get_once(&system.web.url("/login")).location();
    let claims = url
        .query_pairs()
        .find(|(name, _)| name == "claims")
        .map(|(_, value)| value.into_owned());
    assert_eq!(
        claims.as_deref(),
        Some(r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#)
    );
}

#[test]
fn an_unmet_demand_ends_with_a_page_and_no_loop() {
    let (system, api) = demanding(|_| true);
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts");
    assert_eq!((page.status, page.error()), (403, "sign-in"), "{}", page.body);
    assert!(page.text().contains("asks for a stronger sign-in"), "{}", page.text());
    assert_eq!(
        grants(&system, "authorization_code"),
        2,
        "once to sign in, once to meet the demand"
    );
    assert_eq!(grants(&system, "refresh_token"), 0, "a refresh would bring nothing");
    assert_eq!(api.requests().len(), 2);
    assert!(
        browser.get(&system.web.url("/")).text().contains("Alice Archer"),
        "still signed in"
    );
}

#[test]
fn a_demand_that_changes_each_time_ends_too() {
    // As in continuous access evaluation: a token issued after this moment.
    let asked = Arc::new(AtomicUsize::new(0));
    let api = FakeApi::start(move |_| {
        let nbf = 1_800_000_000 + asked.fetch_add(1, Ordering::SeqCst);
        let claims = json!({ "access_token": { "nbf": { "essential": true, "value": nbf.to_string() } } });
        let claims = STANDARD.encode(claims.to_string());
        let value = format!("Bearer realm=\"\", error=\"insufficient_claims\", claims=\"{claims}\"");
        HttpResponse::Unauthorized()
            .insert_header(("WWW-Authenticate", value))
            .finish()
    });
    let url = api.url();
    let system = TestSystem::with(move |settings| settings.client.api_base_url = url);
    let page = Browser::new().sign_in(&system, ALICE, "/posts");
    assert_eq!((page.status, page.error()), (403, "sign-in"), "{}", page.body);
    assert_eq!(api.requests().len(), 2, "one try");
}

#[test]
fn text_sent_when_the_demand_arrives_is_kept() {
    // The first call is the post itself.
    let (system, api) = demanding(|asked| asked == 0);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let rejected = browser.submit(&form.with("title", "Kept").with("content", "Much thought."));
    assert_eq!(rejected.status, 401);
    assert!(rejected.text().contains("requires a stronger sign-in") && rejected.text().contains("Much thought."));
    let back = browser.get(&system.web.url("/login?next=/posts/new"));
    assert_eq!((back.status, back.url.path()), (200, "/posts/new"));
    assert!(claims_asked_for(&back)[0].contains("c1"));
    let form = back.form("Publish");
    assert_eq!((form.value("title"), form.value("content")), ("Kept", "Much thought."));
    let published = browser.submit(&form);
    assert_eq!(published.url.path(), "/posts/1");
    assert_eq!(api.requests().iter().filter(|seen| seen.method == "POST").count(), 2);
}

#[test]
fn valid_hints_for_the_sign_in_are_passed_on() {
    let system = TestSystem::start();
    let asked = |query: &str| {
        let url = Browser::new()
            .get_once(&system.web.url(&format!("/login?{query}")))
            .location();
        let get = |name: &str| {
            url.query_pairs()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.into_owned())
        };
        [get("prompt"), get("login_hint"), get("domain_hint")].map(Option::unwrap_or_default)
    };
    let long = format!("login_hint={}", "x".repeat(400));
    for (query, expected) in [
        (
            "prompt=login&login_hint=bob%40contoso.example&domain_hint=contoso.example",
            ["login", "bob@contoso.example", "contoso.example"],
        ),
        ("prompt=consent", ["consent", "", ""]),
        ("prompt=none&domain_hint=a%26prompt%3Dnone", ["", "", ""]),
        ("prompt=LOGIN&login_hint=a%0d%0ab&domain_hint=a%20b", ["", "", ""]),
        ("switch=1&prompt=login", ["select_account", "", ""]),
        (&long, ["", "", ""]),
    ] {
        assert_eq!(asked(query), expected, "{query}");
    }
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let again = browser.get_once(&system.web.url("/login?prompt=login"));
    assert!(
        again.location().path().ends_with("/authorize"),
        "even for a signed-in user"
    );
}
