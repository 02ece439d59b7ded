//! Text that is sent after the session has ended is kept for its author.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use actix_web::HttpResponse;
use serde_json::json;

use crate::support::{
    entra::wait_until,
    system::TestSystem,
    web::{ALICE, BOB, Browser, FakeApi, control, grants},
};

/// Makes Entra ID reject the next refresh, and triggers it with a page. Needs short-lived access tokens.
fn refuse_a_refresh(browser: &Browser, system: &TestSystem) {
    let before = grants(system, "refresh_token");
    control(
        system,
        "PUT",
        "/fault",
        Some(&json!({ "fail_next": { "count": 1, "code": 700_082 } })),
    );
    assert_eq!(
        browser.get_once(&system.web.url("/posts")).status,
        200,
        "the token at hand is still good"
    );
    wait_until("the refresh is rejected", || grants(system, "refresh_token") > before);
    let is_over = || {
        let page = browser.clone_cookies().get_once(&system.web.url("/profile"));
        page.status == 303
    };
    wait_until("the sign-in is over", is_over);
}

#[test]
fn a_rejected_refresh_during_a_submission_loses_no_text() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    refuse_a_refresh(&browser, &system);
    let page = browser.submit(&form.with("title", "Kept title").with("content", "Kept text\n\nin two"));
    assert_eq!(page.status, 401);
    assert!(!page.header("www-authenticate").is_empty());
    assert_eq!(page.form("Publish").value("content"), "Kept text\n\nin two");
    assert!(
        page.text().contains("href=\"/login?next=%2Fposts%2Fnew\""),
        "{}",
        page.body
    );

    let back = browser.get(&system.web.url("/login?next=%2Fposts%2Fnew"));
    assert_eq!(back.url.path(), "/posts/new");
    let form = back.form("Publish");
    assert_eq!(
        (form.value("title"), form.value("content")),
        ("Kept title", "Kept text\n\nin two")
    );
    let post = browser.submit(&form);
    assert!(
        post.text().contains("<h1 dir=\"auto\">Kept title</h1>"),
        "{}",
        post.body
    );
    let empty = browser.get(&system.web.url("/posts/new")).form("Publish");
    assert_eq!(empty.value("content"), "", "a published post leaves no draft");
}

#[test]
fn text_sent_after_the_session_ended_is_kept_for_the_next_sign_in() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts/new");
    let form = page.form("Publish").with("title", "Late").with("content", "Too late");
    browser.submit(&page.form("Sign out"));
    let rejected = browser.submit(&form);
    assert_eq!(rejected.status, 401);
    assert_eq!(rejected.form("Publish").value("content"), "Too late");
    // Another user signs in first.
    let picker = browser.get(&system.web.url("/login?next=%2Fposts%2Fnew"));
    let bob = browser.pick(&picker, BOB);
    assert_eq!(bob.form("Publish").value("content"), "", "no other user sees it");
    browser.submit(&bob.form("Sign out"));
    let picker = browser.get(&system.web.url("/login?next=%2Fposts%2Fnew"));
    let back = browser.pick(&picker, ALICE);
    assert_eq!(back.form("Publish").value("content"), "Too late");
}

#[test]
fn a_long_text_is_kept_and_a_forged_form_is_not() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts/new");
    let long = "word ".repeat(60_000);
    let form = page.form("Publish").with("title", "Long").with("content", &long);
    browser.submit(&page.form("Sign out"));
    let seal = form.action.query().expect("a seal").to_owned();
    for (query, content) in [
        (None, long.as_str()),
        (Some("form=bWFkZS11cA"), &long),
        (None, "word word"),
        (Some(&seal[..9]), "word"),
    ] {
        let mut forged = form.clone().with("content", content);
        forged.action.set_query(query);
        let rejected = browser.submit(&forged);
        assert_eq!((rejected.status, rejected.error()), (403, "403"));
        let is_short = content.len() < 100;
        assert_eq!(
            rejected.text().contains("word"),
            is_short,
            "a short text is shown all the same, a long one not read"
        );
    }
    let mut elsewhere = form.clone();
    elsewhere.action.set_path("/posts/7/edit");
    assert_eq!(browser.submit(&elsewhere).status, 403, "the seal of another form");
    let kept = |browser: &Browser| {
        let picker = browser.get(&system.web.url("/login?next=%2Fposts%2Fnew"));
        let back = browser.pick(&picker, ALICE);
        let content = back.form("Publish").value("content").to_owned();
        browser.submit(&back.form("Sign out"));
        content
    };
    assert_eq!(kept(&browser), "");
    let rejected = browser.submit(&form);
    assert_eq!(rejected.status, 401);
    assert!(rejected.text().contains("Your text is kept until you sign in again."));
    assert!(kept(&browser) == long);
}

#[test]
fn old_forms_evict_no_other_users_drafts_and_end_with_signing_out_everywhere() {
    let system = TestSystem::start();
    let [alice, bob] = [(); 2].map(|()| Browser::new());
    let of_bob = bob.sign_in(&system, BOB, "/posts/new");
    bob.submit(&of_bob.form("Sign out"));
    assert_eq!(
        bob.submit(&of_bob.form("Publish").with("title", "t").with("content", "of Bob"))
            .status,
        401
    );

    let page = alice.sign_in(&system, ALICE, "/posts/new");
    let post = alice.publish(&system, "Post", "text");
    let edit = alice.get(&format!("{}/edit", post.url)).form("Save changes");
    alice.submit(&page.form("Sign out"));
    let long = "x".repeat(3_900_000);
    let stranger = Browser::new();
    for _ in 0..20 {
        for form in [page.form("Publish"), edit.clone()] {
            assert_eq!(
                stranger.submit(&form.with("title", "t").with("content", &long)).status,
                401
            );
        }
    }
    let back = bob.sign_in(&system, BOB, "/posts/new");
    assert_eq!(back.form("Publish").value("content"), "of Bob");

    let again = alice.sign_in(&system, ALICE, "/posts/new");
    let everywhere = alice
        .get(&system.web.url("/logout"))
        .form("everywhere")
        .with("everywhere", "1");
    assert_eq!(alice.submit_once(&everywhere).status, 303);
    for form in [page.form("Publish"), again.form("Publish"), edit] {
        let rejected = stranger.submit(&form.with("title", "t").with("content", "planted"));
        assert_eq!((rejected.status, rejected.error()), (403, "403"), "its seal has ended");
    }
    let alice = Browser::new();
    let new = alice.sign_in(&system, ALICE, "/posts/new");
    assert_ne!(new.form("Publish").value("content"), "planted");
    // The promise holds for forms opened later.
    alice.submit(&new.form("Sign out"));
    assert_eq!(
        alice
            .submit(&new.form("Publish").with("title", "t").with("content", "kept"))
            .status,
        401
    );
    let back = Browser::new().sign_in(&system, ALICE, "/posts/new");
    assert_eq!(back.form("Publish").value("content"), "kept");
}

#[test]
fn a_late_response_neither_ends_the_next_sign_in_nor_loses_text() {
    let (opened, gate) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(2)));
    let (seen_post, wait) = (Arc::clone(&opened), Arc::clone(&gate));
    let api = FakeApi::start(move |seen| {
        if seen.method == "POST" {
            seen_post.store(true, Ordering::SeqCst);
            wait.wait();
            return HttpResponse::Unauthorized().finish();
        }
        HttpResponse::Ok().json(json!([]))
    });
    let url = api.url();
    let system = TestSystem::with(move |settings| settings.client.api_base_url = url);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let form = form.with("title", "On its way").with("content", "for long");
    let tab = browser.clone_cookies();
    let late = thread::spawn(move || tab.submit_once(&form));
    wait_until("the post is on its way", || opened.load(Ordering::SeqCst));
    let picker = browser.get(&system.web.url("/login?prompt=login&next=/"));
    let again = browser.pick(&picker, ALICE);
    assert_eq!(again.status, 200);
    gate.wait();

    let late = late.join().expect("an answer");
    assert_eq!(late.status, 401, "{}", late.body);
    assert!(late.text().contains("Your text is kept"));
    assert!(
        late.set_cookies.is_empty(),
        "the new session's cookie stays: {:?}",
        late.set_cookies
    );
    let page = browser.get(&system.web.url("/posts/new"));
    assert_eq!(page.form("Publish").value("content"), "for long");
    let copied = browser.clone_cookies();
    browser.submit_once(&page.form("Sign out"));
    assert_eq!(
        copied.get_once(&system.web.url("/profile")).status,
        303,
        "and it ends by its own sign-out"
    );
}

#[test]
fn forms_of_an_ended_session_redirect() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let post = browser.publish(&system, "Kept", "text");
    let delete = browser.get(&format!("{}/delete", post.url)).form("Delete post");
    let sign_out = post.form("Sign out");
    browser.submit_once(&sign_out);
    let again = browser.submit_once(&sign_out);
    assert_eq!(
        (again.status, again.location().as_str()),
        (303, system.web.url("/").as_str())
    );
    let deleted = browser.submit_once(&delete);
    let next = format!("/login?next={}", delete.action.path().replace('/', "%2F"));
    assert_eq!(
        (deleted.status, deleted.location().as_str()),
        (303, system.web.url(&next).as_str())
    );
    assert_eq!(browser.post(&sign_out, &[]).status, 403, "not from an unknown origin");
}

#[test]
fn a_draft_is_not_shown_to_the_next_user_of_the_browser() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    refuse_a_refresh(&browser, &system);
    browser.submit(&form.with("title", "Private").with("content", "For Alice"));
    let picker = browser.get(&system.web.url("/login?switch=1&next=/posts/new"));
    let page = browser.pick(&picker, BOB);
    assert!(page.text().contains("Bob Brandt"));
    assert_eq!(page.form("Publish").value("content"), "");
}
