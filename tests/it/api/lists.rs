//! Lists of posts: order, pages and filters.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::support::api::{ApiResponse, Client, TestApi, each_api};

pub(super) fn titles(answer: &ApiResponse) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let json = answer.json();
    let posts = json.as_array().expect("a bare array");
    posts
        .iter()
        .map(|post| post["title"].as_str().expect("text").to_owned())
        .collect()
}

pub(super) fn write_numbered(client: &Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        client.write(&format!("post {number}"), "x");
    }
}

#[test]
fn the_newest_is_first_and_pages_follow() {
    each_api(|api| {
        let alice = api.alice();
        assert_eq!(alice.get("/v1/posts").json(), json!([]));
        write_numbered(&alice, 0..5);

        let all = alice.get("/v1/posts");
        assert_eq!(titles(&all), ["post 4", "post 3", "post 2", "post 1", "post 0"]);
        assert_eq!((all.header("X-Total-Count"), all.next_page()), ("5", None));
        assert_eq!(all.json()[0]["author"]["display_name"], "Alice Archer");

        let page = alice.get("/v1/posts?skip=1&limit=2");
        assert_eq!(titles(&page), ["post 3", "post 2"]);
        assert_eq!(page.header("X-Total-Count"), "5");
        let page = alice.get(&page.next_page().expect("more"));
        assert_eq!(
            (titles(&page), page.next_page()),
            (vec!["post 1".to_owned(), "post 0".to_owned()], None)
        );

        assert_eq!(titles(&alice.get("/v1/posts?skip=4")), ["post 0"]);
        assert_eq!(titles(&alice.get("/v1/posts?skip=5")), [""; 0]);
        assert_eq!(titles(&alice.get("/v1/posts?skip=9223372036854775807")), [""; 0]);
    });
}

#[test]
fn following_next_shows_each_post_once_during_writes_and_deletions() {
    each_api(|api| {
        let alice = api.alice();
        write_numbered(&alice, 0..7);
        let mut seen = Vec::new();
        let mut page = alice.get("/v1/posts?limit=2");
        let mut written = 100;
        loop {
            seen.extend(titles(&page));
            // New posts at the front and deletions of posts already shown must not shift the rest.
            written += 1;
            alice.write(&format!("post {written}"), "x");
            let shown = page.json()[0]["id"].as_i64().expect("an id");
            assert_eq!(alice.delete(&format!("/v1/posts/{shown}")).status, 204);
            let Some(path) = page.next_page() else { break };
            page = alice.get(&path);
        }
        let expected: Vec<String> = (0..7).rev().map(|number| format!("post {number}")).collect();
        assert_eq!(seen, expected);
    });
}

#[test]
fn a_walk_through_all_pages_misses_and_repeats_no_post_under_load() {
    each_api(|api| {
        let (alice, bob) = (api.alice(), api.bob());
        write_numbered(&alice, 0..60);
        let is_walked = AtomicBool::new(false);
        let (walks, written) = thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (bob, is_walked) = (&bob, &is_walked);
                    scope.spawn(move || {
                        let mut written = 0;
                        // Within the burst of the rate limit.
                        while written < 20 && !is_walked.load(Ordering::SeqCst) {
                            bob.write(&format!("writer {writer}, {written}"), "x");
                            written += 1;
                        }
                        written
                    })
                })
                .collect();
            let walks: Vec<Vec<String>> = ["limit=7", "limit=1", "limit=7&author=me"]
                .map(|query| walk(&alice, query))
                .into();
            is_walked.store(true, Ordering::SeqCst);
            (
                walks,
                writers
                    .into_iter()
                    .map(|writer| writer.join().expect("no panic"))
                    .sum::<u32>(),
            )
        });
        assert!(written > 0, "no post was written meanwhile");
        let of_before: Vec<String> = (0..60).rev().map(|number| format!("post {number}")).collect();
        for seen in walks {
            let distinct: HashSet<&String> = seen.iter().collect();
            assert_eq!(distinct.len(), seen.len(), "repeated: {seen:?}");
            let kept: Vec<&String> = seen.iter().filter(|title| title.starts_with("post ")).collect();
            assert_eq!(kept, of_before.iter().collect::<Vec<_>>());
        }
    });
}

/// The titles of all pages, in order.
fn walk(client: &Client, query: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut page = client.get(&format!("/v1/posts?{query}"));
    loop {
        seen.extend(titles(&page));
        let Some(path) = page.next_page() else { return seen };
        // All parameters stay, and only the cursor changes.
        assert!(path.starts_with(&format!("/v1/posts?{query}&after=")), "{path}");
        page = client.get(&path);
    }
}

#[test]
fn a_list_is_filtered_by_author() {
    each_api(|api| {
        let (alice, bob) = (api.alice(), api.bob());
        write_numbered(&alice, 0..3);
        bob.write("bob's", "x");

        let mine = alice.get("/v1/posts?author=me&limit=2");
        assert_eq!(
            (titles(&mine), mine.header("X-Total-Count")),
            (vec!["post 2".to_owned(), "post 1".to_owned()], "3")
        );
        assert_eq!(titles(&alice.get(&mine.next_page().expect("more"))), ["post 0"]);
        let bobs_id = &bob.get("/v1/posts?author=me").json()[0]["author_id"];
        assert_eq!(titles(&alice.get(&format!("/v1/posts?author={bobs_id}"))), ["bob's"]);
        assert_eq!(titles(&alice.get("/v1/posts?author=999999")), [""; 0]);
    });
}

#[test]
fn a_search_finds_words_and_ranks_the_best_match_first() {
    each_api(|api| {
        let alice = api.alice();
        for (title, content) in [
            ("Rust", "a language"),
            ("Sale", "100% off"),
            ("Names", "snake_case, and rust"),
            ("Quote", "it's \"so\"; DROP TABLE users --"),
        ] {
            alice.write(title, content);
        }
        for (query, expected) in [
            ("rust", &["Rust", "Names"][..]),
            ("LANG", &["Rust"]),
            ("snake_case", &["Names"]),
            ("e_c", &[]),
            ("%25", &[]),
            ("it%27s", &["Quote"]),
            ("%22so", &["Quote"]),
            ("%22", &[]),
            ("NEAR%28", &[]),
            ("rust+AND+names", &["Names"]),
            ("rust+*", &["Rust", "Names"]),
            ("-rust", &["Rust", "Names"]),
            ("%F0%9F%A6%80", &[]),
            ("nowhere", &[]),
        ] {
            let found = alice.get(&format!("/v1/posts?q={query}"));
            assert_eq!(titles(&found), expected, "{query}");
            assert_eq!(found.header("X-Total-Count"), expected.len().to_string(), "{query}");
        }
        assert_eq!(titles(&alice.get("/v1/posts?q=")).len(), 4);
    });
}

#[test]
fn search_pages_use_skip_and_reject_a_cursor() {
    each_api(|api| {
        let alice = api.alice();
        write_numbered(&alice, 0..5);
        let first = alice.get("/v1/posts?q=post&limit=2");
        assert_eq!(
            (titles(&first), first.header("X-Total-Count")),
            (vec!["post 4".into(), "post 3".into()], "5")
        );
        assert_eq!(first.next_page().as_deref(), Some("/v1/posts?q=post&limit=2&skip=2"));
        let second = alice.get(&first.next_page().expect("more"));
        assert_eq!(titles(&second), ["post 2", "post 1"]);
        let last = alice.get(&second.next_page().expect("more"));
        assert_eq!((titles(&last), last.next_page()), (vec!["post 0".to_owned()], None));

        let plain = alice.get("/v1/posts?limit=2");
        let (_, cursor) = plain
            .next_page()
            .expect("more")
            .split_once("after=")
            .map(|(a, b)| (a.len(), b.to_owned()))
            .expect("a cursor");
        let rejected = alice.get(&format!("/v1/posts?q=post&after={cursor}"));
        let wrong = rejected.wrong_fields();
        assert_eq!(wrong[0].0, "after");
        assert!(wrong[0].1.contains("skip"), "{wrong:?}");
    });
}

#[test]
fn all_invalid_parameters_are_reported_and_unknown_ones_ignored() {
    let api = TestApi::start();
    let alice = api.alice();
    let answer = alice.get("/v1/posts?skip=-1&limit=1001&after=garbage&author=you&q=%00");
    let named: Vec<_> = answer.wrong_fields().into_iter().map(|(field, _)| field).collect();
    assert_eq!(named, ["skip", "after", "limit", "author", "q"]);
    for query in [
        "limit=0",
        "limit=x",
        "skip=1.0",
        "after=",
        "limit=1&limit=2",
        "after=AQAAAAAAAAABAAAAAAAAAAE%3D",
    ] {
        assert_eq!(
            alice.get(&format!("/v1/posts?{query}")).wrong_fields().len(),
            1,
            "{query}"
        );
    }
    assert_eq!(
        alice.get("/v1/posts?sort=asc&limit=1000&page=3").json(),
        Value::Array(Vec::new())
    );
}

#[test]
fn a_cursor_to_any_position_is_accepted() {
    each_api(|api| {
        api.alice().write("a", "b");
        // Far before, at, and far after all posts.
        for (micros, expected) in [(1_i64, 0), (4_000_000_000_000_000, 1), (-8_000_000_000_000_000_000, 0)] {
            use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
            let cursor = URL_SAFE_NO_PAD.encode([&[1][..], &micros.to_be_bytes(), &1_i64.to_be_bytes()].concat());
            let answer = api.alice().get(&format!("/v1/posts?after={cursor}"));
            assert_eq!(titles(&answer).len(), expected, "{micros}");
        }
    });
}

#[test]
fn a_list_is_compressed_for_clients_that_accept_it() {
    let api = TestApi::start();
    let alice = api.alice();
    alice.write("a", &"many times the same. ".repeat(200));
    let ask = |path: &str| alice.call("GET", path).header("Accept-Encoding", "gzip").send();

    let list = ask("/v1/posts");
    assert_eq!((list.status, list.header("Content-Encoding")), (200, "gzip"));
    let plain = alice.get("/v1/posts");
    assert_eq!(plain.header("Content-Encoding"), "");
    for answer in [&list, &plain] {
        let vary: Vec<_> = answer
            .headers
            .get_all("Vary")
            .iter()
            .map(|value| value.to_str().expect("text"))
            .collect();
        assert!(vary.join(",").contains("Accept-Encoding"), "{vary:?}");
    }
    let short = ask("/v1/posts?author=0");
    assert_eq!(
        (short.text.as_str(), short.header("Content-Encoding")),
        ("[]", ""),
        "too short"
    );
}

#[test]
fn with_excerpt_every_page_cuts_contents_and_marks_them() {
    each_api(|api| {
        let alice = api.alice();
        alice.write("short", "word");
        alice.write("long", &"word ".repeat(100));
        alice.write("longest", &"word ".repeat(1000));
        for query in [
            "excerpt=7",
            "excerpt=7&author=me",
            "excerpt=7&skip=1",
            "excerpt=7&q=word",
            "excerpt=7&limit=1",
        ] {
            let mut page = alice.get(&format!("/v1/posts?{query}"));
            loop {
                for post in page.json().as_array().expect("posts") {
                    let (content, is_short) = (&post["content"], post["title"] == "short");
                    assert_eq!(*content, if is_short { "word" } else { "word wo" }, "{query}");
                    assert_eq!(post["truncated"], json!(!is_short), "{query}");
                }
                let Some(path) = page.next_page() else { break };
                assert!(path.contains("excerpt=7"), "{path}");
                page = alice.get(&path);
            }
        }
        // Without `excerpt`, contents are complete, and a cached response of one kind is not used for the other.
        for _ in 0..2 {
            let whole = alice.get("/v1/posts");
            assert_eq!(whole.json()[1]["content"].as_str().map(str::len), Some(500));
            assert_eq!(whole.json()[1].get("truncated"), None);
            assert_eq!(alice.get("/v1/posts?excerpt=4").json()[1]["content"], "word");
        }
        let wrong = alice.get("/v1/posts?excerpt=0").wrong_fields();
        assert_eq!(
            wrong,
            [("excerpt".to_owned(), "must be an integer from 1 to 1000".to_owned())]
        );
    });
}

#[test]
fn a_page_of_large_posts_ends_early_and_next_continues_there() {
    each_api(|api| {
        let alice = api.alice();
        let content = "🦀".repeat(50_000);
        let ids: Vec<i64> = (0..23)
            .map(|number| alice.write(&format!("large {number}"), &content))
            .collect();
        for query in [
            "limit=1000",
            "limit=100",
            "limit=1000&skip=0",
            "limit=1000&author=me",
            "limit=1000&q=large",
        ] {
            let mut seen = Vec::new();
            let mut pages = 0;
            let mut page = alice.get(&format!("/v1/posts?{query}"));
            loop {
                pages += 1;
                assert_eq!((page.status, page.header("X-Total-Count")), (200, "23"), "{query}");
                assert!(page.text.len() < 3 * 1024 * 1024, "{} bytes", page.text.len());
                let posts = page.json();
                seen.extend(
                    posts
                        .as_array()
                        .expect("posts")
                        .iter()
                        .map(|post| post["id"].as_i64().expect("an id")),
                );
                let Some(path) = page.next_page() else { break };
                page = alice.get(&path);
            }
            assert_eq!(pages, 3, "{query}");
            seen.sort_unstable();
            assert_eq!(seen, ids, "{query}");
        }
    });
}
