//! `Idempotency-Key`: a creation that can be repeated safely.

use std::thread;

use serde_json::json;

use crate::support::api::{ApiResponse, Client, TestApi, each_api};

fn create(client: &Client, key: &str, title: &str) -> ApiResponse {
    client
        .call("POST", "/v1/posts")
        .header("Idempotency-Key", key)
        .json(&json!({ "title": title, "content": "x" }))
        .send()
}

fn total(client: &Client) -> String {
    client.get("/v1/posts?limit=1").header("X-Total-Count").to_owned()
}

#[test]
fn a_repeated_request_gets_the_first_response_and_creates_no_second_post() {
    each_api(|api| {
        let alice = api.alice();
        let first = create(&alice, "retry-1", "Once");
        assert_eq!(
            (first.status, first.header("Idempotent-Replayed")),
            (201, ""),
            "{first:?}"
        );
        // Even if the post has changed or is deleted.
        let path = first.header("Location").to_owned();
        let unchanged = alice.get(&path);
        assert_eq!(
            (&unchanged.text, unchanged.header("ETag")),
            (&first.text, first.header("ETag"))
        );
        let changes: [&dyn Fn(); 3] = [
            &|| (),
            &|| assert_eq!(alice.put(&path, &json!({ "title": "Changed" })).status, 200),
            &|| {
                assert_eq!(alice.delete(&path).status, 204);
            },
        ];
        for change in changes {
            change();
            let again = create(&alice, "retry-1", "Once");
            assert_eq!(
                (again.status, again.header("Idempotent-Replayed")),
                (201, "true"),
                "{again:?}"
            );
            assert_eq!(again.text, first.text);
            for name in ["Location", "ETag", "Content-Type", "Cache-Control"] {
                assert_eq!(again.header(name), first.header(name), "{name}");
            }
        }
        assert_eq!(total(&alice), "0");
    });
}

#[test]
fn the_same_post_in_other_json_is_the_same_request() {
    let api = TestApi::start();
    let alice = api.alice();
    let send = |body: &str| {
        let call = alice.call("POST", "/v1/posts").header("Idempotency-Key", "\"k\"");
        call.body("application/json", body).send()
    };
    let first = send(r#"{"title":"A","content":"b"}"#);
    let again = send(r#" { "content": "\u0062", "title": " A ", "id": 7 } "#);
    assert_eq!((again.status, &again.text), (201, &first.text));
    // A key is the same with or without quotes.
    let again = alice.call("POST", "/v1/posts").header("Idempotency-Key", "k");
    let again = again.json(&json!({ "title": "A", "content": "b" })).send();
    assert_eq!(again.text, first.text);
    assert_eq!(total(&alice), "1");
}

#[test]
fn a_different_post_with_the_same_key_is_rejected() {
    each_api(|api| {
        let alice = api.alice();
        let first = create(&alice, "k", "One");
        let detail = create(&alice, "k", "Two").problem(422, "idempotency_key_reused");
        assert!(detail.contains("new key"), "{detail}");
        assert_eq!(create(&alice, "k", "One").text, first.text, "the first stands");
        assert_eq!(create(&alice, "K", "Two").status, 201, "another key");
        assert_eq!(total(&alice), "2");
    });
}

#[test]
fn keys_of_different_users_are_independent() {
    each_api(|api| {
        let (alice, bob) = (api.alice(), api.bob());
        create(&alice, "k", "Hers");
        let his = create(&bob, "k", "His");
        assert_eq!((his.status, his.header("Idempotent-Replayed")), (201, ""), "{his:?}");
        let same = create(&bob, "k2", "Hers");
        assert_eq!(same.header("Idempotent-Replayed"), "");
        assert_eq!(total(&alice), "3");
    });
}

#[test]
fn without_a_key_each_request_creates_a_post() {
    let api = TestApi::start();
    let alice = api.alice();
    assert_ne!(alice.write("Same", "x"), alice.write("Same", "x"));
}

#[test]
fn a_rejected_request_leaves_the_key_unused() {
    each_api(|api| {
        let alice = api.alice();
        assert_eq!(create(&alice, "k", " ").wrong_fields().len(), 1);
        let made = create(&alice, "k", "Better");
        assert_eq!((made.status, made.header("Idempotent-Replayed")), (201, ""));
    });
}

#[test]
fn concurrent_requests_with_one_key_create_one_post() {
    each_api(|api| {
        let alice = api.alice();
        for round in 0..5 {
            let key = format!("round-{round}");
            let answers: Vec<ApiResponse> = thread::scope(|scope| {
                let sent: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| create(&alice, &key, &format!("Post {round}"))))
                    .collect();
                sent.into_iter().map(|one| one.join().expect("no panic")).collect()
            });
            let first = answers
                .iter()
                .filter(|answer| answer.header("Idempotent-Replayed").is_empty())
                .count();
            assert_eq!(first, 1, "{answers:?}");
            assert!(
                answers
                    .iter()
                    .all(|answer| answer.status == 201 && answer.text == answers[0].text),
                "{answers:?}"
            );
        }
        assert_eq!(total(&alice), "5");
    });
}

#[test]
fn keys_survive_a_restart() {
    let mut api = TestApi::start();
    let first = create(&api.alice(), "k", "Once");
    api.restart();
    let again = create(&api.alice(), "k", "Once");
    assert_eq!(
        (again.header("Idempotent-Replayed"), &again.text),
        ("true", &first.text)
    );
}

#[test]
fn an_invalid_key_is_rejected_before_anything_is_written() {
    let api = TestApi::start();
    let alice = api.alice();
    for key in ["", "\"\"", "a b", "\"a", "é", &"k".repeat(256)] {
        create(&alice, key, "One").problem(400, "malformed_idempotency_key");
    }
    let twice = alice
        .call("POST", "/v1/posts")
        .header("Idempotency-Key", "a")
        .header("Idempotency-Key", "a");
    twice
        .json(&json!({ "title": "One", "content": "x" }))
        .send()
        .problem(400, "malformed_idempotency_key");
    assert_eq!(total(&alice), "0");
    assert_eq!(create(&alice, &"k".repeat(255), "One").status, 201);
}

#[test]
fn a_key_does_not_replace_a_token() {
    let api = TestApi::start();
    create(&api.alice(), "k", "One");
    create(&api.anonymous(), "k", "One").problem(401, "missing_token");
}

#[test]
fn a_key_gives_a_reader_no_right_to_write() {
    let api = TestApi::with(|settings| settings.api.require_app_roles = true);
    let with_role = |role: &str| api.bearer(|token| token.claim("roles", json!([role])));
    let made = create(&with_role("Blog.Writer"), "k", "One");
    assert_eq!(made.status, 201, "{made:?}");
    let reader = with_role("Blog.Reader");
    for (key, title) in [("other", "One"), ("k", "One"), ("k", "Two")] {
        create(&reader, key, title).problem(403, "insufficient_role");
    }
    assert_eq!(total(&reader), "1");
}
