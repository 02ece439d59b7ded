//! The caller as a user of the blog.

use std::time::{Duration, Instant};

use blogctl::serve;
use serde_json::json;

use crate::support::{
    api::{Client, TestApi, each_api},
    system::TestServer,
};

#[test]
fn the_profile_is_what_the_token_says() {
    let api = TestApi::start();
    insta::assert_snapshot!(api.alice().get("/v1/profile").snapshot(), @r#"
    {
      "oid": "0a11ce00-0000-4000-8000-000000000001",
      "name": "Alice Archer",
      "email": "alice@contoso.example",
      "preferred_username": "alice@contoso.example"
    }
    "#);
    let bare = api.bearer(|token| {
        token
            .without_claim("name")
            .without_claim("email")
            .without_claim("preferred_username")
    });
    let bare = bare.get("/v1/profile");
    assert_eq!(bare.status, 200, "{}", bare.text);
    let expected = json!({ "oid": api.user(0).oid, "name": null, "email": null, "preferred_username": null });
    assert_eq!(bare.json(), expected);
}

#[test]
fn requesting_the_profile_creates_the_user() {
    each_api(|api| {
        assert_eq!(api.alice().get("/v1/profile").status, 200);
        assert_eq!(
            api.alice().call("POST", "/v1/users/me").send().status,
            200,
            "already known"
        );
    });
}

#[test]
fn registering_creates_the_user_once() {
    each_api(|api| {
        let made = api.alice().call("POST", "/v1/users/me").send();
        assert_eq!(made.status, 201, "{}", made.text);
        insta::allow_duplicates! {
            insta::assert_snapshot!(made.snapshot(), @r#"
            {
              "id": 1,
              "tid": "11111111-2222-4333-8444-555555555555",
              "oid": "0a11ce00-0000-4000-8000-000000000001",
              "display_name": "Alice Archer",
              "created_at": "0000-00-00T00:00:00.000000Z",
              "updated_at": "0000-00-00T00:00:00.000000Z"
            }
            "#);
        }
        let known = api.alice().call("POST", "/v1/users/me").send();
        assert_eq!((known.status, known.json()), (200, made.json()));

        let renamed = api.named(0, "Alice Baker", 30);
        let renamed = renamed.call("POST", "/v1/users/me").send();
        assert_eq!((renamed.status, &renamed.json()["id"]), (200, &made.json()["id"]));
        assert_eq!(renamed.json()["display_name"], "Alice Baker");
    });
}

#[test]
fn a_token_without_a_name_keeps_the_name_and_never_shows_the_email() {
    each_api(|api| {
        let named = api.alice().call("POST", "/v1/users/me").send();
        let nameless = api
            .bearer(|token| token.without_claim("name"))
            .call("POST", "/v1/users/me")
            .send();
        assert_eq!(nameless.json(), named.json());

        let new = api.bearer(|token| token.user(&api.user(1).oid).without_claim("name"));
        let new = new.call("POST", "/v1/users/me").send().json()["display_name"].to_string();
        assert!(!new.contains('@') && new.len() > 2, "{new}");
    });
}

fn name_on(client: &Client, post: &str) -> String {
    let answer = client.get(post);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.value("author")["display_name"]
        .as_str()
        .expect("a name")
        .to_owned()
}

fn wait_for_name(client: &Client, post: &str, name: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while name_on(client, post) != name {
        assert!(
            Instant::now() < deadline,
            "the name never becomes {name}, it is {}",
            name_on(client, post)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn registered_name(client: &Client) -> String {
    let answer = client.post("/v1/users/me", &json!({}));
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.value("display_name").as_str().expect("a name").to_owned()
}

#[test]
fn the_name_comes_from_the_token_issued_last() {
    each_api(|api| {
        // Read once, so that equal offsets are the same second.
        let now = chrono::Utc::now().timestamp();
        assert_eq!(registered_name(&api.named_at(0, "Second", now - 20)), "Second");
        for (name, seconds, expected) in [
            ("First", -30, "Second"),
            ("At the same time", -20, "Second"),
            ("Third", -10, "Third"),
            ("First", -30, "Third"),
            ("Second", -20, "Third"),
        ] {
            let client = api.named_at(0, name, now + seconds);
            assert_eq!(registered_name(&client), expected, "{name}");
            assert_eq!(
                client.get("/v1/profile").value("name"),
                name,
                "the profile is what the token says"
            );
            let post = format!("/v1/posts/{}", client.write("a", "b"));
            assert_eq!(name_on(&client, &post), expected, "{name}");
        }
    });
}

#[test]
fn reading_updates_the_name_too() {
    each_api(|api| {
        let alice = api.named(0, "Before", -30);
        let post = format!("/v1/posts/{}", alice.write("a", "b"));
        assert_eq!(name_on(&alice, &post), "Before");
        let reader = api.named(0, "After", -10);
        assert_eq!(reader.get("/v1/posts").status, 200);
        wait_for_name(&alice, &post, "After");

        // Reading alone creates no user.
        assert_eq!(api.bob().get(&post).status, 200);
        assert_eq!(api.bob().post("/v1/users/me", &json!({})).status, 201);
    });
}

#[test]
fn replicas_with_different_tokens_agree_on_the_later_name() {
    each_api(|api| {
        let mut settings = api.settings.clone();
        settings.database.migrate_at_start = Some(false);
        let other = TestServer::api(serve::listen("127.0.0.1", 0).expect("a free port"), settings);
        let at_both = |name: &str, seconds: i64| {
            let here = api.named(0, name, seconds);
            let there = here.at_server(&other.url(""));
            (here, there)
        };
        let (older, older_there) = at_both("Older", -40);
        let (later, later_there) = at_both("Later", -20);
        let (between, between_there) = at_both("Between", -30);
        let post = format!("/v1/posts/{}", older.write("a", "b"));
        assert_eq!(later_there.get(&post).status, 200);
        wait_for_name(&older, &post, "Later");
        // Each replica sees some of these tokens for the first time, and some repeatedly.
        for client in [
            &between,
            &older_there,
            &later,
            &between_there,
            &older,
            &older_there,
            &later_there,
        ] {
            assert_eq!(registered_name(client), "Later");
            assert_eq!(name_on(client, &post), "Later");
        }
        other.stop();
    });
}
