//! A rejected form redirects to the page that shows its text and the errors, so that the browser's history contains only
//! pages.

use actix_web::HttpResponse;
use serde_json::json;

use crate::support::{
    system::TestSystem,
    web::{ALICE, BOB, Browser, FakeApi},
};

#[test]
fn a_rejected_form_redirects_and_its_text_survives_reload_and_back() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let sent = browser.submit_once(&form.clone().with("content", "An hour's work"));
    assert_eq!(
        (sent.status, sent.location().as_str()),
        (303, system.web.url("/posts/new").as_str())
    );
    for visit in ["the redirect", "Reload", "Back, after another page"] {
        let page = browser.get(&system.web.url("/posts/new"));
        assert_eq!(page.status, 200, "{visit}");
        assert!(
            page.text().contains("Enter a title") && page.body.contains("role=\"alert\""),
            "{visit}: {}",
            page.text()
        );
        assert_eq!(page.form("Publish").value("content"), "An hour's work", "{visit}");
        browser.get(&system.web.url("/posts"));
    }
    let empty = browser.get(&system.web.url("/posts/new?empty=1"));
    assert_eq!(empty.form("Publish").value("content"), "");
    assert!(!empty.body.contains("role=\"alert\""));
    let other = Browser::new().sign_in(&system, BOB, "/posts/new");
    assert_eq!(other.form("Publish").value("content"), "", "not for another user");

    let form = browser
        .get(&system.web.url("/posts/new"))
        .form("Publish")
        .with("title", "A title");
    assert!(browser.submit(&form).text().contains("Your post is published."));
    let page = browser.get(&system.web.url("/posts/new"));
    assert_eq!(
        page.form("Publish").value("content"),
        "",
        "a published post leaves no draft"
    );
    assert!(!page.body.contains("role=\"alert\""));
}

#[test]
fn a_rejected_change_keeps_its_text_and_links_to_the_saved_version() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let post = browser.publish(&system, "A title", "as saved");
    let edit = format!("{}/edit", post.url);
    let form = browser
        .get(&edit)
        .form("Save changes")
        .with("title", "")
        .with("content", "as typed");
    let page = browser.submit(&form);
    assert_eq!((page.status, page.url.as_str()), (200, edit.as_str()));
    assert!(page.text().contains("Enter a title"));
    assert_eq!(page.form("Save changes").value("content"), "as typed");
    let saved = browser.get(&format!("{edit}?saved=1"));
    assert_eq!(saved.form("Save changes").value("content"), "as saved");
    assert!(
        page.text().contains(&format!("{}/edit?saved=1", post.url.path())),
        "{}",
        page.text()
    );
}

#[test]
fn field_errors_say_what_to_do() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    for (title, content, error) in [
        ("", "text", "Enter a title"),
        ("\u{200b}", "text", "Enter a title"),
        ("title", " ", "Enter some text"),
        (
            &*"t".repeat(201),
            "text",
            "Title must be 200 characters or fewer; yours has 201",
        ),
        (
            "title",
            &*"é".repeat(50_001),
            "Text must be 50,000 characters or fewer; yours has 50,001",
        ),
    ] {
        let page = browser.submit(&form.clone().with("title", title).with("content", content));
        // At the field, and as a link above the form.
        assert_eq!(
            page.text().matches(error).count(),
            2,
            "{error}: {}",
            page.text().get(..3000).unwrap_or_default()
        );
        assert_eq!(page.form("Publish").value("content"), content);
    }
}

#[test]
fn a_tampered_hidden_field_is_a_client_error_and_keeps_the_text() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    for (n, key) in ["\"", "\"a", "\"a\\", "\"a\";v=1", "\"\""].into_iter().enumerate() {
        let form = form
            .clone()
            .with("key", key)
            .with("title", "A title")
            .with("content", &format!("text {n}"));
        let page = browser.submit(&form);
        assert_eq!((page.status, page.url.query()), (200, None), "{key}");
        assert!(
            page.text().contains("the form was changed on its way to the site"),
            "{key}: {}",
            page.text()
        );
        let again = page.form("Publish");
        assert_eq!(again.value("content"), format!("text {n}"), "{key}");
        assert!(
            browser.submit(&again).text().contains("Your post is published."),
            "{key}"
        );
    }
    for (path, status) in [
        ("/posts/18446744073709551616", 404),
        ("/posts/99999999999999999999/edit", 404),
        ("/posts/-1", 404),
        ("/posts/0", 404),
        ("/posts?after=%22", 400),
        ("/posts?after=%ff", 400),
        ("/posts?by=me&by=me", 400),
        (&*format!("/posts?after={}", "a".repeat(9000)), 400),
        ("/login?next=%ff", 303),
        ("/posts/new?empty=1&empty=1", 400),
        ("/posts/new?form=%ff", 200),
    ] {
        assert_eq!(browser.get_once(&system.web.url(path)).status, status, "{path}");
    }
}

#[test]
fn after_an_api_error_the_form_says_that_the_outcome_is_unknown() {
    let api = FakeApi::start(|_| HttpResponse::InternalServerError().json(json!({ "status": 500 })));
    let url = api.url();
    let system = TestSystem::with(move |settings| settings.client.api_base_url = url);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let page = browser.submit(&form.with("title", "A title").with("content", "An hour's work"));
    assert!(
        page.text().contains("may or may not have been saved"),
        "{}",
        page.text()
    );
    assert_eq!(page.form("Publish").value("content"), "An hour's work");
}

#[test]
fn right_to_left_text_keeps_its_direction_without_affecting_its_neighbours() {
    let system = TestSystem::with(|settings| {
        let alice = settings
            .idp
            .users
            .iter_mut()
            .find(|user| user.oid == ALICE)
            .expect("Alice");
        alice.name = "عائشة".to_owned();
    });
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts/new");
    for field in [
        "id=\"title\" name=\"title\" type=\"text\" dir=\"auto\"",
        "rows=\"16\" dir=\"auto\"",
        "id=\"account\" dir=\"auto\"",
    ] {
        assert!(page.body.contains(field), "{field}");
    }
    let post = browser.publish(&system, "عنوان", "نص\n\nand a paragraph");
    let text = post.text();
    for part in [
        "<h1 dir=\"auto\">عنوان</h1>",
        "<p dir=\"auto\">نص</p>",
        "<bdi class=\"author\">عائشة</bdi>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        post.body.contains("<title>\u{2068}عنوان\u{2069} ·") || post.body.contains("<title>&#x2068;عنوان&#x2069; ·")
    );
    let list = browser.get(&system.web.url("/posts")).text();
    for part in [
        "<h2 dir=\"auto\">",
        "<bdi>عائشة</bdi>",
        "class=\"excerpt\" dir=\"auto\"",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }
}
