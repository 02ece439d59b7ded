//! Access tokens are refreshed before they expire, and only once for requests that wait together.

use std::{sync::Barrier, thread};

use actix_web::HttpResponse;
use serde_json::json;

use crate::support::{
    entra::wait_until,
    system::TestSystem,
    web::{ALICE, Browser, FakeApi, control, grants},
};

#[test]
fn an_access_token_is_refreshed_before_it_ends() {
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let url = api.url();
    let system = TestSystem::with(move |settings| {
        settings.idp.access_token_seconds = 100;
        settings.client.api_base_url = url;
    });
    let browser = Browser::new();
    assert_eq!(browser.sign_in(&system, ALICE, "/posts").status, 200);
    let first = api.requests().first().map(|seen| seen.token.clone());
    wait_until("under two minutes are left, so that a new token is there soon", || {
        assert_eq!(browser.get(&system.web.url("/posts")).status, 200);
        api.requests().last().map(|seen| seen.token.clone()) != first
    });
    assert!(grants(&system, "refresh_token") >= 1);
}

#[test]
fn a_token_with_time_left_is_not_refreshed() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    browser.get(&system.web.url("/posts"));
    assert_eq!(grants(&system, "refresh_token"), 0);
}

#[test]
fn while_entra_is_down_a_token_serves_until_it_expires() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let fault = json!({ "down": true, "only_path": "oauth2/v2.0/token" });
    control(&system, "PUT", "/fault", Some(&fault));
    assert_eq!(browser.get(&system.web.url("/posts")).status, 200);
}

#[test]
fn parallel_requests_refresh_once() {
    const TABS: usize = 50;
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let url = api.url();
    let system = TestSystem::with(move |settings| settings.client.api_base_url = url);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    let rejected = api.requests().last().expect("a request").token.clone();
    api.respond(move |seen| {
        if seen.token == rejected {
            HttpResponse::Unauthorized().finish()
        } else {
            HttpResponse::Ok().json(json!([]))
        }
    });
    let barrier = Barrier::new(TABS);
    thread::scope(|scope| {
        for _ in 0..TABS {
            scope.spawn(|| {
                let tab = browser.clone_cookies();
                barrier.wait();
                assert_eq!(tab.get(&system.web.url("/posts")).status, 200);
            });
        }
    });
    assert_eq!(grants(&system, "refresh_token"), 1);
}

#[test]
fn a_rejected_refresh_leads_through_the_sign_in_and_back() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    control(
        &system,
        "PUT",
        "/fault",
        Some(&json!({ "fail_next": { "count": 1, "code": 700_082 } })),
    );
    wait_until("a sign-in", || {
        let page = browser.get(&system.web.url("/posts?by=me"));
        assert_eq!(
            (page.status, page.url.as_str()),
            (200, system.web.url("/posts?by=me").as_str())
        );
        page.visited.iter().any(|url| url.path() == "/login")
    });
}

#[test]
fn a_failed_or_rejected_refresh_is_requested_once_for_all_waiting_requests() {
    const TABS: usize = 50;
    const TRANSIENT: u32 = 90_033;
    for (code, status) in [(TRANSIENT, 200), (700_082, 303)] {
        let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
        let browser = Browser::new();
        browser.sign_in(&system, ALICE, "/");
        control(
            &system,
            "PUT",
            "/fault",
            Some(&json!({ "fail_next": { "count": TABS, "code": code } })),
        );
        let barrier = Barrier::new(TABS);
        thread::scope(|scope| {
            for _ in 0..TABS {
                let (tab, barrier, url) = (browser.clone_cookies(), &barrier, system.web.url("/posts"));
                scope.spawn(move || {
                    barrier.wait();
                    let page = tab.get_once(&url);
                    // While one request refreshes, the others use the token that is still valid.
                    assert!(page.status == status || page.status == 200, "{code}: {}", page.status);
                });
            }
        });
        wait_until("the answer has come", || {
            browser.get_once(&system.web.url("/posts")).status == status
        });
        wait_until("one has asked", || grants(&system, "refresh_token") >= 1);
        assert_eq!(grants(&system, "refresh_token"), 1, "{code}");
        assert_eq!(browser.get_once(&system.web.url("/posts")).status, status, "{code}");
    }
}
