//! The caller as a user.

use serde_json::json;

use crate::support::api::{TestApi, each_api};

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
    let bare =
        api.bearer(|token| token.without_claim("name").without_claim("email").without_claim("preferred_username"));
    let bare = bare.get("/v1/profile");
    assert_eq!(bare.status, 200, "{}", bare.text);
    let expected = json!({ "oid": api.user(0).oid, "name": null, "email": null, "preferred_username": null });
    assert_eq!(bare.json(), expected);
}

#[test]
fn asking_for_the_profile_makes_the_user() {
    each_api(|api| {
        assert_eq!(api.alice().get("/v1/profile").status, 200);
        assert_eq!(api.alice().call("POST", "/v1/users/me").send().status, 200, "already known");
    });
}

#[test]
fn registering_makes_the_user_once() {
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

        let renamed = api.bearer(|token| token.claim("name", json!("Alice Baker")));
        let renamed = renamed.call("POST", "/v1/users/me").send();
        assert_eq!((renamed.status, &renamed.json()["id"]), (200, &made.json()["id"]));
        assert_eq!(renamed.json()["display_name"], "Alice Baker");
    });
}

#[test]
fn a_token_without_a_name_leaves_the_name_and_never_shows_the_address() {
    each_api(|api| {
        let named = api.alice().call("POST", "/v1/users/me").send();
        let nameless = api.bearer(|token| token.without_claim("name")).call("POST", "/v1/users/me").send();
        assert_eq!(nameless.json(), named.json());

        let new = api.bearer(|token| token.user(&api.user(1).oid).without_claim("name"));
        let new = new.call("POST", "/v1/users/me").send().json()["display_name"].to_string();
        assert!(!new.contains('@') && new.len() > 2, "{new}");
    });
}
