//! Reading, creating, changing and deleting posts; ownership; text that looks like HTML.

use actix_web::HttpResponse;

use crate::support::{
    system::TestSystem,
    web::{ALICE, BOB, Browser, FakeApi, Page, post_json},
};

fn signed_in(system: &TestSystem, oid: &str) -> Browser {
    let browser = Browser::new();
    browser.sign_in(system, oid, "/");
    browser
}

fn edit_form(browser: &Browser, post: &Page) -> crate::support::web::Form {
    browser.get(&format!("{}/edit", post.url)).form("Save changes")
}

#[test]
fn a_post_is_written_read_changed_and_deleted() {
    let system = TestSystem::start();
    let browser = signed_in(&system, ALICE);

    let post = browser.publish(&system, "First words", "One line\nand another\n\nA paragraph");
    assert!(post.url.path().starts_with("/posts/"));
    assert!(post.text().contains("<h1 dir=\"auto\">First words</h1>"));
    assert!(post.text().contains("<p dir=\"auto\">One line\nand another</p>"));
    assert!(post.body.contains("class=\"flash\" role=\"status\""));
    assert!(
        !browser.get(post.url.as_str()).body.contains("class=\"flash\""),
        "said once"
    );

    let list = browser.get(&system.web.url("/posts"));
    assert!(list.text().contains("First words") && list.body.contains("badge-own") && list.text().contains("1 post"));

    let form = edit_form(&browser, &post);
    assert_eq!(form.value("content"), "One line\nand another\n\nA paragraph");
    let changed = browser.submit(&form.with("title", "Second thoughts"));
    assert_eq!(changed.url, post.url);
    assert!(
        changed.text().contains("<h1 dir=\"auto\">Second thoughts</h1>")
            && changed.text().contains("Your changes are saved.")
    );

    let ask = browser.get(&format!("{}/delete", post.url));
    assert!(ask.text().contains("Second thoughts"));
    assert_eq!(browser.get(post.url.as_str()).status, 200, "asking deletes nothing");
    let list = browser.submit(&ask.form("Delete post"));
    assert_eq!(list.url.path(), "/posts");
    assert!(list.text().contains("The post is deleted."));
    let gone = browser.get(post.url.as_str());
    assert_eq!((gone.status, gone.error()), (404, "404"));
}

#[test]
fn another_users_post_can_only_be_read() {
    let system = TestSystem::start();
    let (alice, bob) = (signed_in(&system, ALICE), signed_in(&system, BOB));
    let post = alice.publish(&system, "Hers", "Alice wrote this");

    let seen = bob.get(post.url.as_str());
    assert_eq!(seen.status, 200);
    for sign in ["/edit", "/delete", "badge-own"] {
        assert!(!seen.body.contains(sign), "{sign}");
    }
    for action in ["edit", "delete"] {
        let page = bob.get(&format!("{}/{action}", post.url));
        assert_eq!((page.status, page.error()), (403, "403"), "{action}");
    }
    // With his own form, pointed at her post, the API rejects him.
    let his = bob.publish(&system, "His", "Bob wrote this");
    let etag = edit_form(&alice, &post).value("etag").to_owned();
    let mut edit = edit_form(&bob, &his)
        .with("etag", &etag)
        .with("content", "Bob was here");
    edit.action = format!("{}/edit", post.url).parse().expect("a URL");
    let mut delete = bob.get(&format!("{}/delete", his.url)).form("Delete post");
    delete.action = format!("{}/delete", post.url).parse().expect("a URL");
    let rejected = bob.submit(&edit);
    assert_eq!((rejected.status, rejected.error()), (403, "403"));
    assert!(rejected.text().contains("Bob was here"), "what he typed is not lost");
    let rejected = bob.submit(&delete);
    assert_eq!((rejected.status, rejected.error()), (403, "403"));
    assert!(alice.get(post.url.as_str()).text().contains("Alice wrote this"));
}

#[test]
fn invalid_fields_are_marked_and_keep_their_text() {
    let system = TestSystem::start();
    let browser = signed_in(&system, ALICE);
    let long = "t".repeat(201);
    for (title, content, errors) in [
        ("", "text", &["title-error"][..]),
        ("title", "", &["content-error"]),
        (" ", " ", &["title-error", "content-error"]),
        (long.as_str(), "text <b> & \"quotes\"", &["title-error"]),
    ] {
        let page = browser.publish(&system, title, content);
        assert_eq!((page.status, page.url.path()), (200, "/posts/new"), "{title:?}");
        assert_eq!(page.url.query(), None, "after a redirect");
        assert!(page.body.contains("role=\"alert\""));
        for id in ["title-error", "content-error"] {
            assert_eq!(
                page.body.contains(&format!("id=\"{id}\"")),
                errors.contains(&id),
                "{title:?} {id}"
            );
        }
        assert_eq!(page.body.matches("aria-invalid=\"true\"").count(), errors.len());
        let form = page.form("Publish");
        assert_eq!((form.value("title"), form.value("content")), (title, content));
    }
    assert!(browser.get(&system.web.url("/posts")).text().contains("0 posts"));
}

#[test]
fn a_change_in_another_tab_is_not_overwritten_silently() {
    let system = TestSystem::start();
    let browser = signed_in(&system, ALICE);
    let post = browser.publish(&system, "Tabs", "original");
    let (first, second) = (edit_form(&browser, &post), edit_form(&browser, &post));
    browser.submit(&first.with("content", "from the first tab"));

    let page = browser.submit(&second.with("content", "from the second tab"));
    assert_eq!((page.status, page.url.path().ends_with("/edit")), (200, true));
    assert!(page.text().contains("it has changed since you opened it"));
    assert!(
        page.text().contains("from the first tab"),
        "the version that is saved now is shown"
    );
    let form = page.form("Save changes");
    assert_eq!(form.value("content"), "from the second tab");
    assert!(browser.get(post.url.as_str()).text().contains("from the first tab"));

    let saved = browser.submit(&form);
    assert_eq!(saved.url, post.url);
    assert!(saved.text().contains("from the second tab"));
}

#[test]
fn a_change_without_a_version_is_rejected() {
    let system = TestSystem::start();
    let browser = signed_in(&system, ALICE);
    let post = browser.publish(&system, "Versions", "original");
    for etag in [
        None,
        Some(""),
        Some("*\r\nX-Evil: 1"),
        Some("a b"),
        Some("*"),
        Some("1-2"),
        Some("\"a\",\"b\""),
        Some("\""),
    ] {
        let form = edit_form(&browser, &post).with("content", "blind").without("etag");
        let form = etag.map_or(form.clone(), |etag| form.with("etag", etag));
        let page = browser.submit(&form);
        assert_eq!((page.status, page.error()), (400, "400"), "{etag:?}");
        assert!(page.text().contains("blind"));
    }
    assert!(browser.get(post.url.as_str()).text().contains("original"));
}

#[test]
fn text_that_looks_like_html_stays_text() {
    let system = TestSystem::with(|settings| {
        let alice = settings
            .idp
            .users
            .iter_mut()
            .find(|user| user.oid == ALICE)
            .expect("Alice");
        alice.name = "<img src=x onerror=alert(1)>".to_owned();
    });
    let browser = signed_in(&system, ALICE);
    let attack = "</textarea></title><script>alert(1)</script>\"'><img src=x onerror=alert(1)> {{ layout }} {% raw %}";
    let post = browser.publish(&system, attack, attack);
    assert!(post.text().contains(attack), "{}", post.body);
    let pages = [
        post.clone(),
        browser.get(&system.web.url("/posts")),
        browser.get(&format!("{}/edit", post.url)),
        browser.get(&format!("{}/delete", post.url)),
        browser.get(&system.web.url("/profile")),
        browser.publish(&system, &"<script>".repeat(100), attack),
    ];
    for page in pages {
        assert_eq!(page.status, 200, "{}", page.url);
        for html in ["<script", "<img src=x", "</textarea></title>"] {
            assert!(!page.body.contains(html), "{html} on {}", page.url);
        }
    }
    assert_eq!(edit_form(&browser, &post).value("title"), attack);
}

#[test]
fn the_list_has_pages() {
    let system = TestSystem::start();
    let browser = signed_in(&system, ALICE);
    for n in 1..=21 {
        browser.publish(&system, &format!("Post number {n}."), "text");
    }
    let first = browser.get(&system.web.url("/posts?by=me"));
    assert!(first.text().contains("21 posts"));
    assert_eq!(first.body.matches("<article class=\"post-card\"").count(), 20);
    assert!(first.text().contains("Post number 21.") && !first.text().contains("Post number 1."));
    let text = first.text();
    let older = text
        .split("rel=\"next\" href=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a link");
    let second = browser.get(&system.web.url(older));
    assert_eq!(second.body.matches("<article class=\"post-card\"").count(), 1);
    assert!(second.text().contains("Post number 1.") && !second.body.contains("rel=\"next\""));
}

#[test]
fn the_list_fetches_excerpts_and_cuts_whole_contents_of_an_older_api() {
    let system = TestSystem::start();
    let browser = signed_in(&system, ALICE);
    browser.publish(&system, "Long", &"word ".repeat(5_000));
    browser.publish(&system, "Blank lines", &format!("first{}last", "\n".repeat(1_000)));
    let list = browser.get(&system.web.url("/posts")).text();
    assert!(
        list.contains("word word…") && list.contains("first…") && list.len() < 10_000,
        "{list}"
    );

    let whole = "word ".repeat(5_000);
    let older = FakeApi::start(move |_| HttpResponse::Ok().json([post_json(1, "Long", &whole, ALICE)]));
    let url = older.url();
    let system = TestSystem::with(move |settings| settings.client.api_base_url = url);
    let list = signed_in(&system, ALICE).get(&system.web.url("/posts")).text();
    assert!(list.contains("word word…") && list.len() < 10_000, "{list}");
    assert!(
        older.requests().iter().any(|seen| seen.path.contains("excerpt=")),
        "{:?}",
        older.requests()
    );
}

#[test]
fn the_list_can_show_only_the_users_own_posts() {
    let system = TestSystem::start();
    signed_in(&system, ALICE).publish(&system, "Alice's", "text");
    let bob = signed_in(&system, BOB);
    bob.publish(&system, "Bob's", "text");
    let all = bob.get(&system.web.url("/posts")).text();
    assert!(all.contains("Alice's") && all.contains("Bob's"));
    let own = bob.get(&system.web.url("/posts?by=me")).text();
    assert!(!own.contains("Alice's") && own.contains("Bob's"));
}

#[test]
fn the_profile_shows_the_user_and_the_sites_certificate() {
    let system = TestSystem::start();
    let page = signed_in(&system, ALICE).get(&system.web.url("/profile"));
    let text = page.text();
    for expected in [
        "Alice Archer",
        "alice@contoso.example",
        ALICE,
        "SHA-256 thumbprint",
        "<time datetime=",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
    let sha1 =
        blogctl::certificate::ClientCertificate::load(&system.settings.client.certificate).expect("a certificate");
    assert!(text.contains(&sha1.thumbprints().sha1_hex()));
    assert!(!text.contains("eyJ"), "no token on a page");
}

#[test]
fn an_invented_url_is_a_client_error() {
    let system = TestSystem::start();
    let browser = signed_in(&system, ALICE);
    for (path, status) in [
        ("/posts?after=garbage", 400),
        ("/posts/9223372036854775808", 400),
        ("/posts/9223372036854775808/edit", 400),
        ("/posts/9223372036854775808/delete", 400),
        ("/posts/9223372036854775807", 404),
        ("/posts/-1", 404),
    ] {
        let page = browser.get(&system.web.url(path));
        assert_eq!(
            (page.status, page.error()),
            (status, status.to_string().as_str()),
            "{path}"
        );
    }
}
