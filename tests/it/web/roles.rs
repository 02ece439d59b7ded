//! With app roles: a Reader cannot write, a Writer edits their own posts, an Admin edits all posts.

use crate::support::{
    system::TestSystem,
    web::{ALICE, BOB, Browser, CHIARA, system_with_roles},
};

#[test]
fn an_admin_moderates_posts_on_pages_that_name_the_author() {
    let system = system_with_roles(true);
    let (alice, chiara) = (Browser::new(), Browser::new());
    alice.sign_in(&system, ALICE, "/");
    chiara.sign_in(&system, CHIARA, "/");
    let post = alice.publish(&system, "Hers", "Alice wrote this");

    let seen = chiara.get(post.url.as_str());
    assert!(seen.body.contains("/edit\"") && seen.body.contains("/delete\"") && !seen.body.contains("badge-own"));
    let edit = chiara.get(&format!("{}/edit", post.url));
    assert!(
        edit.text()
            .contains("a post by <strong><bdi>Alice Archer</bdi></strong>"),
        "{}",
        edit.text()
    );
    let saved = chiara.submit(&edit.form("Save changes").with("content", "moderated"));
    assert_eq!((saved.status, &saved.url), (200, &post.url));
    assert!(
        saved.text().contains("moderated") && saved.text().contains("Alice Archer"),
        "the author stays the author"
    );
    assert!(
        !alice
            .get(&format!("{}/edit", post.url))
            .text()
            .contains("a post by <strong>"),
        "it is her own"
    );

    let ask = chiara.get(&format!("{}/delete", post.url));
    assert!(
        ask.text().contains("Alice Archer") && ask.text().contains("This post is not yours"),
        "{}",
        ask.text()
    );
    let list = chiara.submit(&ask.form("Delete post"));
    assert!(list.text().contains("The post is deleted."));
    assert_eq!(alice.get(post.url.as_str()).status, 404);
}

#[test]
fn a_reader_is_not_offered_to_write_and_learns_who_assigns_roles() {
    let system = system_with_roles(true);
    let (alice, bob) = (Browser::new(), Browser::new());
    let home = alice.sign_in(&system, ALICE, "/");
    assert!(
        home.body.contains("href=\"/posts/new\""),
        "a Writer is offered it on the first page: {}",
        home.body
    );
    let home = bob.sign_in(&system, BOB, "/");
    assert_eq!((home.status, home.url.path()), (200, "/"));
    for path in ["/", "/posts", "/posts?by=me", "/profile", "/logout", "/nothing"] {
        let page = bob.get(&system.web.url(path));
        assert!(
            page.body.contains("id=\"account\"") && !page.body.contains("/posts/new"),
            "{path}: {}",
            page.body
        );
    }
    let post = alice.publish(&system, "Hers", "text");
    let seen = bob.get(post.url.as_str());
    assert!(seen.status == 200 && !seen.body.contains("/edit") && !seen.body.contains("/delete"));
    for path in [
        "/posts/new".to_owned(),
        format!("{}/edit", post.url.path()),
        format!("{}/delete", post.url.path()),
    ] {
        let page = bob.get(&system.web.url(&path));
        assert_eq!((page.status, page.error()), (403, "403"), "{path}");
        let text = page.text();
        assert!(
            text.contains("Blog.Writer") && text.contains("Users and groups"),
            "{path}: {text}"
        );
        assert!(!text.contains("Only the author"), "{path}: {text}");
    }
    // A form from the time when he was a Writer.
    let mut form = bob.get(&system.web.url("/posts")).form("Sign out");
    form.action = system.web.url("/posts/new").parse().expect("a URL");
    let page = bob.submit(&form.with("title", "A title").with("content", "An hour's work"));
    assert_eq!((page.status, page.error()), (403, "403"));
    assert!(
        page.text().contains("Blog.Writer") && page.text().contains("An hour's work"),
        "{}",
        page.text()
    );
}

#[test]
fn without_app_roles_all_users_write_and_change_only_their_own_posts() {
    let system = system_with_roles(false);
    let (alice, chiara) = (Browser::new(), Browser::new());
    alice.sign_in(&system, ALICE, "/");
    let post = alice.publish(&system, "Hers", "text");
    assert!(
        chiara
            .sign_in(&system, CHIARA, "/")
            .body
            .contains("href=\"/posts/new\"")
    );
    let seen = chiara.get(post.url.as_str());
    assert!(seen.status == 200 && !seen.body.contains("/edit"));
    let page = chiara.get(&format!("{}/edit", post.url));
    assert_eq!(page.status, 403);
    assert!(page.text().contains("Only the author"), "{}", page.text());
}

#[test]
fn without_a_role_the_page_names_the_roles_and_who_assigns_them() {
    let system = TestSystem::with(|settings| {
        settings.api.require_app_roles = true;
        settings.idp.users.iter_mut().for_each(|user| user.roles.clear());
    });
    let browser = Browser::new();
    let page = browser.sign_in(&system, BOB, "/posts");
    assert_eq!((page.status, page.error()), (403, "403"));
    let text = page.text();
    for part in ["Blog.Reader", "Blog.Writer", "Blog.Admin", "Users and groups"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("Only the author") && !page.body.contains("href=\"/posts/new\""),
        "{text}"
    );
    let home = browser.get(&system.web.url("/"));
    assert!(home.status == 200 && !home.body.contains("/posts/new"), "{}", home.body);
}
