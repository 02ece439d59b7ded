//! Creating, reading, changing and deleting posts.

use serde_json::json;

use crate::support::api::{TestApi, each_api};

#[test]
fn a_post_is_written_read_changed_and_deleted() {
    each_api(|api| {
        let alice = api.alice();
        let made = alice.post(
            "/v1/posts",
            &json!({ "title": " First ", "content": "Hello,\r\nworld 🎉", "id": 99 }),
        );
        assert_eq!(made.status, 201, "{}", made.text);
        insta::allow_duplicates! {
            insta::assert_snapshot!(made.snapshot(), @r#"
            {
              "id": 1,
              "title": "First",
              "content": "Hello,\nworld 🎉",
              "author_id": 1,
              "created_at": "0000-00-00T00:00:00.000000Z",
              "updated_at": "0000-00-00T00:00:00.000000Z",
              "author": {
                "id": 1,
                "tid": "11111111-2222-4333-8444-555555555555",
                "oid": "0a11ce00-0000-4000-8000-000000000001",
                "display_name": "Alice Archer",
                "created_at": "0000-00-00T00:00:00.000000Z",
                "updated_at": "0000-00-00T00:00:00.000000Z"
              }
            }
            "#);
        }
        assert_eq!(made.header("Location"), "/v1/posts/1");
        assert_eq!(made.header("Content-Type"), "application/json");

        let read = api.bob().get("/v1/posts/1");
        assert_eq!((read.status, read.json()), (200, made.json()));
        assert_eq!(read.header("ETag"), made.header("ETag"));

        let changed = alice.put("/v1/posts/1", &json!({ "title": "Second" }));
        assert_eq!(changed.status, 200);
        assert_eq!(
            (&changed.json()["title"], &changed.json()["content"]),
            (&json!("Second"), &made.json()["content"])
        );
        assert_eq!(changed.json()["created_at"], made.json()["created_at"]);
        assert!(changed.json()["updated_at"].as_str() > made.json()["updated_at"].as_str());
        let changed = alice.put(
            "/v1/posts/1",
            &json!({ "title": null, "content": "Other", "author_id": 7 }),
        );
        assert_eq!(
            (&changed.json()["title"], &changed.json()["content"]),
            (&json!("Second"), &json!("Other"))
        );
        assert_eq!(changed.json()["author_id"], 1);

        let deleted = alice.delete("/v1/posts/1");
        assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
        assert_eq!(
            alice.get("/v1/posts/1").problem(404, "post_not_found"),
            "Post not found"
        );
    });
}

#[test]
fn only_the_author_changes_or_deletes_a_post() {
    each_api(|api| {
        let id = api.alice().write("Mine", "Keep off");
        let path = format!("/v1/posts/{id}");
        let before = api.alice().get(&path).json();
        let bob = api.bob();

        let put = bob.put(&path, &json!({ "title": "Yours" }));
        assert_eq!(put.problem(403, "not_author"), "Not authorized to update this post");
        assert_eq!(put.header("WWW-Authenticate"), "Bearer realm=\"blogctl\"");
        let delete = bob.delete(&path);
        assert_eq!(delete.problem(403, "not_author"), "Not authorized to delete this post");
        // A matching or an impossible condition gives no right either.
        let etag = bob.get(&path).header("ETag").to_owned();
        for condition in [etag.as_str(), "*", "\"x\""] {
            let call = bob.call("DELETE", &path).header("If-Match", condition).send();
            call.problem(403, "not_author");
            let call = bob
                .call("PUT", &path)
                .header("If-Match", condition)
                .json(&json!({ "title": "x" }))
                .send();
            call.problem(403, "not_author");
        }

        assert_eq!(api.alice().get(&path).json(), before);
    });
}

#[test]
fn the_author_is_identified_by_object_id_and_not_by_name() {
    let api = TestApi::start();
    let id = api.alice().write("Mine", "Keep off");
    let (alice, bob) = (api.user(0), api.user(1));
    let impostor = api.bearer(|token| {
        let names = [
            ("name", &alice.name),
            ("email", &alice.email),
            ("preferred_username", &alice.email),
        ];
        names.into_iter().fold(token.user(&bob.oid), |token, (claim, value)| {
            token.claim(claim, json!(value))
        })
    });
    impostor.delete(&format!("/v1/posts/{id}")).problem(403, "not_author");
}

#[test]
fn a_missing_post_is_404_for_every_user() {
    each_api(|api| {
        for client in [api.alice(), api.bob()] {
            for id in ["1", "0", "-1", "9223372036854775807"] {
                let path = format!("/v1/posts/{id}");
                assert_eq!(client.get(&path).problem(404, "post_not_found"), "Post not found");
                client
                    .put(&path, &json!({ "title": "x" }))
                    .problem(404, "post_not_found");
                client.delete(&path).problem(404, "post_not_found");
                client
                    .call("DELETE", &path)
                    .header("If-Match", "\"x\"")
                    .send()
                    .problem(404, "post_not_found");
            }
        }
    });
}

#[test]
fn an_id_that_is_not_an_integer_is_422() {
    let api = TestApi::start();
    for id in ["x", "1.5", "1x", "9223372036854775808", "%31%00", "0x1", "1%2F2"] {
        let path = format!("/v1/posts/{id}");
        for method in ["GET", "DELETE"] {
            let answer = api.alice().call(method, &path).send();
            assert_eq!(
                answer.wrong_fields(),
                [("id".to_owned(), "must be an integer".to_owned())],
                "{method} {id}"
            );
        }
    }
}

#[test]
fn all_invalid_fields_are_reported_at_once() {
    let api = TestApi::with(|settings| settings.api.max_content_chars = 10);
    let alice = api.alice();
    let (long_title, long_content) = ("ä".repeat(201), "ä".repeat(11));
    for (body, expected) in [
        (json!({}), [("title", "is required"), ("content", "is required")]),
        (
            json!({ "title": null, "content": 1 }),
            [("title", "must be a string"), ("content", "must be a string")],
        ),
        (
            json!({ "title": " ", "content": "" }),
            [("title", "must"), ("content", "must")],
        ),
        (
            json!({ "title": long_title, "content": long_content }),
            [("title", "must be 1 to 200"), ("content", "must")],
        ),
        (
            json!({ "title": "a\u{0}b", "content": "a\u{1b}b" }),
            [("title", "must"), ("content", "must")],
        ),
    ] {
        let answer = alice.post("/v1/posts", &body);
        let wrong = answer.wrong_fields();
        assert_eq!(wrong.len(), 2, "{body}: {wrong:?}");
        for ((field, message), (expected_field, start)) in wrong.iter().zip(expected) {
            assert_eq!(field, expected_field, "{body}");
            assert!(message.starts_with(start), "{body}: {message}");
            assert!(
                answer.json()["detail"]
                    .as_str()
                    .expect("text")
                    .contains(&format!("{field} {message}"))
            );
        }
    }
    assert_eq!(alice.get("/v1/posts").json(), json!([]), "nothing was written");

    let fits = alice.post(
        "/v1/posts",
        &json!({ "title": "ä".repeat(200), "content": "ä".repeat(10) }),
    );
    assert_eq!(fits.status, 201);
    let nothing = alice.put("/v1/posts/1", &json!({ "unknown": 1 })).wrong_fields();
    assert_eq!(
        nothing,
        [("body".to_owned(), "must contain title, content or both".to_owned())]
    );
    let wrong = alice
        .put("/v1/posts/1", &json!({ "title": "", "content": [] }))
        .wrong_fields();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
}

#[test]
fn a_post_by_an_unknown_user_creates_the_user() {
    each_api(|api| {
        let id = api.bob().write("a", "b");
        let author = &api.alice().get(&format!("/v1/posts/{id}")).json()["author"];
        assert_eq!(
            (&author["display_name"], &author["oid"]),
            (&json!("Bob Brandt"), &json!(api.user(1).oid))
        );
    });
}
