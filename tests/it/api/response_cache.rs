//! Cached responses are used only while they are current: the next read sees every change.

use std::process::Command;

use blogctl::{
    blog::{Blog, UserKey},
    db::Database,
};
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    api::{Client, TestApi, each_api},
    binary::CommandOutput,
    database::{block_on, execute_at as execute},
};

fn title(client: &Client, id: i64) -> String {
    let answer = client.get(&format!("/v1/posts/{id}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.value("title").as_str().expect("text").to_owned()
}

/// The titles of the first page, and the total.
fn top(client: &Client) -> (Vec<String>, String) {
    let answer = client.get("/v1/posts?limit=20");
    let titles = answer
        .json()
        .as_array()
        .expect("posts")
        .iter()
        .map(|p| p["title"].as_str().expect("text").to_owned())
        .collect();
    (titles, answer.header("X-Total-Count").to_owned())
}

#[test]
fn every_worker_sees_what_was_written_before() {
    each_api(|api| {
        let alice = api.alice();
        let id = alice.write("state 0", "x");
        // Each call opens a new connection, so both workers are used, and both cache what they read.
        for state in 1..40 {
            let answer = alice.put(
                &format!("/v1/posts/{id}"),
                &json!({ "title": format!("state {state}") }),
            );
            assert_eq!(answer.status, 200, "{answer:?}");
            for _ in 0..4 {
                assert_eq!(title(&alice, id), format!("state {state}"));
                assert_eq!(top(&alice), (vec![format!("state {state}")], "1".to_owned()));
            }
        }
        assert_eq!(alice.delete(&format!("/v1/posts/{id}")).status, 204);
        alice.get(&format!("/v1/posts/{id}")).problem(404, "post_not_found");
        assert_eq!(top(&alice), (Vec::new(), "0".to_owned()));
        alice.write("another", "x");
        assert_eq!(top(&alice), (vec!["another".to_owned()], "1".to_owned()));
    });
}

#[test]
fn a_change_by_another_connection_is_seen_by_the_next_read() {
    each_api(|api| {
        let alice = api.alice();
        let (first, second) = (alice.write("first", "x"), alice.write("second", "x"));
        let database = &api.settings.database;
        for round in 0..10 {
            execute(
                database,
                &format!("UPDATE blog_posts SET title = 'changed {round}' WHERE id = {first}"),
            );
            assert_eq!(title(&alice, first), format!("changed {round}"));
            assert_eq!(top(&alice).0, ["second".to_owned(), format!("changed {round}")]);
        }
        execute(database, "UPDATE users SET display_name = 'Renamed'");
        assert_eq!(
            alice.get(&format!("/v1/posts/{first}")).value("author")["display_name"],
            "Renamed"
        );
        assert_eq!(
            alice.get("/v1/posts?limit=20").json()[0]["author"]["display_name"],
            "Renamed"
        );
        execute(database, &format!("DELETE FROM blog_posts WHERE id = {second}"));
        alice.get(&format!("/v1/posts/{second}")).problem(404, "post_not_found");
        assert_eq!(top(&alice).1, "1");
    });
}

#[test]
fn a_change_by_another_process_is_seen_by_the_next_read() {
    let api = TestApi::start();
    let alice = api.alice();
    let id = alice.write("kept", "x");
    assert_eq!((title(&alice, id), top(&alice).1), ("kept".to_owned(), "1".to_owned()));

    let url = format!("database.url={}", api.settings.database.url);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let seeded = CommandOutput::run(folder.path(), &["seed", "--yes", "--count", "5", "--set", &url]);
    assert_eq!(seeded.code, Some(0), "{seeded:?}");
    assert_eq!(top(&alice).1, "6");
    assert_eq!(title(&alice, id), "kept");

    let cleared = CommandOutput::run(
        folder.path(),
        &["seed", "--clear", "--yes", "--count", "0", "--set", &url],
    );
    assert_eq!(cleared.code, Some(0), "{cleared:?}");
    alice.get(&format!("/v1/posts/{id}")).problem(404, "post_not_found");
    assert_eq!(top(&alice), (Vec::new(), "0".to_owned()));
}

#[test]
fn a_change_with_a_database_tool_is_seen_by_the_next_read() {
    let Ok(version) = Command::new("sqlite3").arg("--version").output() else {
        return assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "sqlite3 is not installed");
    };
    assert!(version.status.success());
    let api = TestApi::start();
    let alice = api.alice();
    let id = alice.write("kept", "x");
    for round in 0..5 {
        assert_eq!(top(&alice).0.len(), 1);
        let statement = format!("UPDATE blog_posts SET title = 'by hand {round}' WHERE id = {id}");
        let tool = Command::new("sqlite3")
            .args(["-cmd", ".timeout 10000", &api.settings.database.url, &statement])
            .output()
            .expect("it runs");
        assert!(tool.status.success(), "{tool:?}");
        assert_eq!(title(&alice, id), format!("by hand {round}"));
        assert_eq!(top(&alice).0, [format!("by hand {round}")]);
    }
}

#[test]
fn a_change_of_the_authors_name_shows_with_the_post() {
    each_api(|api| {
        let alice = api.alice();
        let id = alice.write("hers", "x");
        let name = |client: &Client| client.get(&format!("/v1/posts/{id}")).value("author")["display_name"].clone();
        assert_eq!(name(&alice), "Alice Archer");
        let renamed = api.named(0, "Alice Baker", 30);
        assert_eq!(renamed.call("POST", "/v1/users/me").send().status, 200);
        assert_eq!(name(&alice), "Alice Baker");
    });
}

#[test]
fn a_cached_response_is_identical_and_obeys_conditions() {
    each_api(|api| {
        let alice = api.alice();
        let id = alice.write("same", "x");
        let path = format!("/v1/posts/{id}");
        let first = alice.get(&path);
        for _ in 0..5 {
            let again = alice.get(&path);
            assert_eq!((&again.text, again.status), (&first.text, 200));
            for header in ["ETag", "Content-Type", "Cache-Control", "Vary"] {
                assert_eq!(again.header(header), first.header(header), "{header}");
            }
            let known = alice
                .call("GET", &path)
                .header("If-None-Match", first.header("ETag"))
                .send();
            assert_eq!(
                (known.status, known.header("ETag"), known.text.as_str()),
                (304, first.header("ETag"), "")
            );
            assert_eq!(alice.call("HEAD", &path).send().status, 200);
        }
    });
}

#[test]
fn with_a_cache_size_of_zero_nothing_is_cached() {
    let api = TestApi::with(|settings| settings.api.ready_answers_mib = 0);
    let alice = api.alice();
    let id = alice.write("plain", "x");
    for _ in 0..3 {
        assert_eq!((title(&alice, id), top(&alice).1), ("plain".to_owned(), "1".to_owned()));
    }
}

#[test]
fn the_data_version_changes_with_every_visible_change() {
    let file = crate::support::database::SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    let blog = Blog::new(database.clone());
    let stamp = || database.data_version().expect("asked").expect("SQLite has one");
    let key = UserKey {
        tenant_id: Uuid::from_u128(1),
        object_id: Uuid::from_u128(2),
    };
    let mut before = stamp();
    let author = block_on(blog.ensure_user(key, "Ann")).expect("a user").0;
    // A user without posts is visible nowhere.
    assert_eq!(stamp(), before);
    block_on(blog.create(
        blogctl::blog::Rights::Write,
        &author,
        crate::support::database::draft("A post"),
    ))
    .expect("written");
    assert!(
        stamp() != before && stamp().same_existing_posts(before),
        "a new post changes no other"
    );
    for change in [
        "rename",
        "UPDATE blog_posts SET content = 'y'",
        "UPDATE blog_posts SET author_id = author_id",
        "DELETE FROM blog_posts",
    ] {
        before = stamp();
        if change == "rename" {
            block_on(blog.ensure_user(key, "Anna")).expect("renamed");
        } else {
            execute(&file.settings, change);
        }
        assert!(stamp() != before && !stamp().same_existing_posts(before), "{change}");
    }
}

#[test]
fn a_cached_search_shows_later_writes_and_matches_its_query() {
    each_api(|api| {
        let alice = api.alice();
        let id = alice.write("first", "word");
        let found = |query: &str| {
            let answer = alice.get(&format!("/v1/posts?q=word{query}"));
            assert_eq!(answer.status, 200, "{answer:?}");
            (
                answer.header("X-Total-Count").to_owned(),
                answer.json().as_array().expect("posts").len(),
            )
        };
        for _ in 0..3 {
            assert_eq!(found(""), ("1".to_owned(), 1));
        }
        alice.write("second", "word");
        for _ in 0..3 {
            assert_eq!(
                (found(""), found("&limit=1")),
                (("2".to_owned(), 2), ("2".to_owned(), 1))
            );
            assert_eq!(
                (found("&skip=1"), found("&author=me")),
                (("2".to_owned(), 1), ("2".to_owned(), 2))
            );
        }
        assert_eq!(
            alice
                .put(&format!("/v1/posts/{id}"), &json!({ "content": "other" }))
                .status,
            200
        );
        assert_eq!(found("").0, "1");
        execute(&api.settings.database, "DELETE FROM blog_posts");
        assert_eq!(found("").0, "0");
    });
}
