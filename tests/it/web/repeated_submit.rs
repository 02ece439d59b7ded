//! A form for a new post that is sent more than once creates one post.

use std::thread;

use actix_web::HttpResponse;
use serde_json::json;

use crate::support::{
    system::TestSystem,
    web::{ALICE, Browser, FakeApi, Form, post_json},
};

fn filled_form(browser: &Browser, system: &TestSystem) -> Form {
    let form = browser.sign_in(system, ALICE, "/posts/new").form("Publish");
    form.with("title", "Twice").with("content", "sent")
}

fn number_of_posts(browser: &Browser, system: &TestSystem) -> usize {
    browser.get(&system.web.url("/posts")).body.matches("<article").count()
}

#[test]
fn a_double_click_creates_one_post() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let form = filled_form(&browser, &system);
    let pages: Vec<_> = thread::scope(|scope| {
        let clicks: Vec<_> = (0..4).map(|_| scope.spawn(|| browser.submit_once(&form))).collect();
        clicks
            .into_iter()
            .map(|click| click.join().expect("no panic"))
            .collect()
    });
    for page in &pages {
        assert_eq!(
            (page.status, page.location()),
            (303, pages[0].location()),
            "all lead to the one post"
        );
    }
    // Some minutes later, from the browser's history.
    assert_eq!(browser.submit_once(&form).location(), pages[0].location());
    assert_eq!(number_of_posts(&browser, &system), 1);
}

#[test]
fn each_form_has_its_own_key() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let first = filled_form(&browser, &system);
    let second = browser
        .get(&system.web.url("/posts/new"))
        .form("Publish")
        .with("title", "Twice")
        .with("content", "sent");
    assert!(first.value("key").len() >= 32 && first.value("key") != second.value("key"));
    let locations = [first, second].map(|form| browser.submit_once(&form).location());
    assert_ne!(locations[0], locations[1]);
    assert_eq!(number_of_posts(&browser, &system), 2);
}

#[test]
fn changed_text_in_a_sent_form_needs_confirmation() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let form = filled_form(&browser, &system);
    browser.submit(&form);
    let rejected = browser.submit(&form.with("content", "second thoughts"));
    assert_eq!((rejected.status, rejected.url.query()), (200, None), "after a redirect");
    assert!(
        rejected.text().contains("This form has already published a post"),
        "{}",
        rejected.text()
    );
    assert_eq!(number_of_posts(&browser, &system), 1);
    let again = rejected.form("Publish");
    assert_eq!(again.value("content"), "second thoughts");
    assert!(browser.submit(&again).text().contains("second thoughts"));
    assert_eq!(number_of_posts(&browser, &system), 2);
}

#[test]
fn a_form_that_comes_back_keeps_its_key() {
    let api = FakeApi::start(|_| HttpResponse::InternalServerError().json(json!({ "status": 500 })));
    let url = api.url();
    let system = TestSystem::with(move |settings| settings.client.api_base_url = url);
    let browser = Browser::new();
    let mut form = filled_form(&browser, &system);
    for status in [500, 422, 429] {
        api.respond(move |_| {
            let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
            HttpResponse::build(status).json(json!({ "errors": [{ "field": "title", "message": "must be shorter" }] }))
        });
        form = browser.submit(&form).form("Publish");
    }
    api.respond(|_| HttpResponse::Created().json(post_json(7, "Twice", "sent", ALICE)));
    assert_eq!(browser.submit_once(&form).status, 303);
    let keys: Vec<String> = api
        .requests()
        .into_iter()
        .filter(|seen| seen.method == "POST")
        .map(|seen| seen.idempotency_key)
        .collect();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| !key.is_empty() && *key == keys[0]), "{keys:?}");
}

#[test]
fn an_invalid_key_is_ignored() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let form = filled_form(&browser, &system);
    for key in ["", "a b", "é", "x\r\nEvil: 1", &"k".repeat(300)] {
        assert_eq!(
            browser.submit_once(&form.clone().with("key", key)).status,
            303,
            "{key:?}"
        );
    }
    assert_eq!(number_of_posts(&browser, &system), 5);
}
