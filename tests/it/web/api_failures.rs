//! The API is down, slow or rejects a request: each case has its page, and no text is lost.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode};
use blogctl::serve;
use serde_json::json;

use crate::support::{
    system::TestSystem,
    web::{ALICE, BOB, Browser, FakeApi, grants, post_json},
};

fn system_with(api: &FakeApi) -> TestSystem {
    let url = api.url();
    TestSystem::with(move |settings| settings.client.api_base_url = url)
}

fn status(code: u16) -> HttpResponse {
    HttpResponse::build(StatusCode::from_u16(code).expect("a status"))
        .json(json!({ "title": "secret detail of the API", "status": code }))
}

#[test]
fn an_api_that_is_down_is_explained_and_the_text_is_kept() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let TestSystem {
        idp,
        api,
        web,
        settings,
        folder,
    } = system;
    api.stop();

    for path in ["/posts", "/posts/1", "/profile", "/posts/1/edit", "/posts/1/delete"] {
        let page = browser.get(&web.url(path));
        assert_eq!((page.status, page.error()), (502, "502"), "{path}");
        assert!(page.body.contains("id=\"request-id\""));
    }
    let page = browser.submit(&form.with("title", "Patience").with("content", "Still\n\nhere"));
    assert_eq!(
        (page.status, page.url.path(), page.url.query()),
        (200, "/posts/new", None)
    );
    assert!(page.body.contains("role=\"alert\"") && page.text().contains("could not be reached"));
    let form = page.form("Publish");
    assert_eq!(
        (form.value("title"), form.value("content")),
        ("Patience", "Still\n\nhere")
    );

    // When the API is back, the same form works.
    let listener = serve::listen("127.0.0.1", settings.api.port).expect("the port is free again");
    let api = crate::support::system::TestServer::api(listener, settings.clone());
    assert!(browser.submit(&form).text().contains("<h1 dir=\"auto\">Patience</h1>"));
    drop((idp, api, folder));
}

#[test]
fn an_api_that_does_not_answer_times_out() {
    // The system accepts connections, and no program answers.
    let silent = serve::listen("127.0.0.1", 0).expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    let system = TestSystem::with(|settings| {
        settings.client.api_base_url = format!("http://localhost:{port}").parse().expect("a URL");
        settings.client.api_timeout = Duration::from_millis(200);
    });
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let page = browser.get(&system.web.url("/posts"));
    assert_eq!((page.status, page.error()), (502, "502"));
    assert!(page.text().contains("too long to answer"));
    let page = browser.submit(&form.with("title", "Slow").with("content", "kept"));
    assert_eq!((page.status, page.form("Publish").value("content")), (200, "kept"));
    assert!(page.text().contains("may or may not have been saved"));
    drop(silent);
}

#[test]
fn each_error_of_the_api_has_its_page() {
    let api = FakeApi::start(|_| status(500));
    let system = system_with(&api);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    for (answer, expected, marker) in [
        (403, 403, "403"),
        (404, 404, "404"),
        (410, 404, "404"),
        (429, 429, "429"),
        (400, 502, "502"),
        (422, 400, "400"),
        (500, 502, "502"),
        (502, 502, "502"),
        (503, 502, "502"),
        (302, 502, "502"),
    ] {
        api.respond(move |_| status(answer));
        let page = browser.get(&system.web.url("/posts"));
        assert_eq!((page.status, page.error()), (expected, marker), "{answer}");
        assert!(!page.text().contains("secret detail"), "{answer}");
        assert!(page.text().contains("What to do"));
    }
    for nonsense in ["", "<html>", "{}", "[1]", "[{}]"] {
        api.respond(move |_| HttpResponse::Ok().body(nonsense));
        let page = browser.get(&system.web.url("/posts"));
        assert_eq!((page.status, page.error()), (502, "502"), "{nonsense:?}");
    }
}

#[test]
fn a_form_that_the_api_rejects_comes_back_with_its_text() {
    let api = FakeApi::start(|_| status(500));
    let system = system_with(&api);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let form = form.with("title", "Kept title").with("content", "Kept text");
    for answer in [500, 503, 400, 413, 422, 429] {
        api.respond(move |_| status(answer));
        let page = browser.submit(&form);
        assert_eq!(
            (page.status, page.url.path(), page.url.query()),
            (200, "/posts/new", None),
            "{answer}"
        );
        let form = page.form("Publish");
        assert_eq!(
            (form.value("title"), form.value("content")),
            ("Kept title", "Kept text"),
            "{answer}"
        );
        assert!(page.body.contains("role=\"alert\""), "{answer}");
    }
    for (answer, marker) in [(403, "403"), (404, "404")] {
        api.respond(move |_| status(answer));
        let page = browser.submit(&form);
        assert_eq!((page.status, page.error()), (answer, marker));
        assert!(
            page.text().contains("Kept title") && page.text().contains("Kept text"),
            "{answer}"
        );
    }
}

#[test]
fn retry_after_is_passed_on() {
    let api = FakeApi::start(|_| {
        HttpResponse::TooManyRequests()
            .insert_header(("Retry-After", "17"))
            .finish()
    });
    let system = system_with(&api);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let page = browser.get(&system.web.url("/posts"));
    assert_eq!((page.status, page.header("retry-after")), (429, "17"));
    assert!(page.text().contains("Wait 17 seconds"));
    let page = browser.submit(&form.with("title", "a").with("content", "b"));
    assert!(page.text().contains("Wait 17 seconds"), "{}", page.text());
}

#[test]
fn a_rejected_token_is_refreshed_once_and_the_request_retried() {
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let system = system_with(&api);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    let rejected = api.requests().last().expect("a request").token.clone();
    api.respond(move |seen| {
        if seen.token == rejected {
            HttpResponse::Unauthorized().finish()
        } else {
            HttpResponse::Ok().json(json!([post_json(7, "Fresh", "text", BOB)]))
        }
    });
    let page = browser.get(&system.web.url("/posts"));
    assert_eq!((page.status, page.url.path()), (200, "/posts"));
    assert!(page.text().contains("Fresh") && !page.visited.iter().any(|url| url.path() == "/login"));
    assert_eq!(grants(&system, "refresh_token"), 1);
}

#[test]
fn a_token_rejected_twice_leads_to_one_sign_in_and_an_explanation() {
    let api = FakeApi::start(|_| HttpResponse::Unauthorized().finish());
    let system = system_with(&api);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let page = browser.get(&system.web.url("/posts"));
    assert_eq!(
        page.visited.iter().filter(|url| url.path() == "/login").count(),
        1,
        "{:?}",
        page.visited
    );
    assert_eq!((page.status, page.error()), (502, "502"));
    assert!(page.text().contains("does not accept your sign-in"));
}

#[test]
fn the_api_gets_the_request_id_and_nothing_but_the_token() {
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let system = system_with(&api);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let url = system.web.url("/posts?after=a%26b&by=me").parse().expect("a URL");
    let page = browser.request("GET", &url, None, &[("X-Request-ID", "seen-by-both")]);
    assert_eq!((page.status, page.header("x-request-id")), (200, "seen-by-both"));
    let seen = api.requests();
    let seen = seen.last().expect("a request");
    assert_eq!(seen.request_id, "seen-by-both");
    assert_eq!(seen.path, "/v1/posts?limit=20&excerpt=400&after=a%26b&author=me");
    assert_eq!(seen.token.split('.').count(), 3);
}

#[test]
fn a_change_names_the_version_that_it_changes() {
    let api = FakeApi::start(|_| {
        HttpResponse::Ok()
            .insert_header(("ETag", "\"v1\""))
            .json(post_json(7, "Title", "Text", ALICE))
    });
    let system = system_with(&api);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/7/edit").form("Save changes");
    browser.submit_once(&form);
    let seen = api.requests();
    let put = seen.iter().find(|seen| seen.method == "PUT").expect("a change");
    assert_eq!((put.path.as_str(), put.if_match.as_str()), ("/v1/posts/7", "\"v1\""));
}

#[test]
fn a_trace_continues_to_the_api_and_a_missing_one_is_started() {
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let system = system_with(&api);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let url = system.web.url("/posts").parse().expect("a URL");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let given = format!("00-{trace}-00f067aa0ba902b7-01");
    browser.request(
        "GET",
        &url,
        None,
        &[("traceparent", &given), ("tracestate", "vendor=a")],
    );
    browser.request(
        "GET",
        &url,
        None,
        &[("traceparent", "garbage"), ("tracestate", "vendor=a")],
    );
    let seen = api.requests();
    let [.., with, without] = seen.as_slice() else {
        panic!("two requests")
    };
    assert!(
        with.traceparent.starts_with(&format!("00-{trace}-")) && with.traceparent != given,
        "{}",
        with.traceparent
    );
    assert_eq!(with.tracestate, "vendor=a");
    let begun: Vec<_> = without.traceparent.split('-').map(str::len).collect();
    assert_eq!(
        (begun, without.tracestate.as_str()),
        (vec![2, 32, 16, 2], ""),
        "{}",
        without.traceparent
    );
    assert!(!without.traceparent.contains(trace));
}
