//! Authorization rules beyond a valid token: app roles, listed applications, authentication contexts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use blogctl::config::RequiredClientAuth;
use serde_json::{Value, json};

use crate::support::{
    api::{Client, TestApi},
    attacks,
};

fn with_roles(api: &TestApi, user: usize, roles: &Value) -> Client {
    api.bearer(|token| token.user(&api.user(user).oid).claim("roles", roles.clone()))
}

#[test]
fn app_roles_decide_who_reads_writes_and_moderates() {
    let api = TestApi::with(|settings| settings.api.require_app_roles = true);
    let reader = with_roles(&api, 1, &json!(["Blog.Reader"]));
    let writer = with_roles(&api, 0, &json!(["Blog.Writer"]));
    let other_writer = with_roles(&api, 1, &json!(["Blog.Writer"]));
    let admin = with_roles(&api, 2, &json!(["Blog.Admin"]));
    let id = writer.write("hers", "text");
    let (path, change) = (format!("/v1/posts/{id}"), json!({"title": "changed"}));

    assert_eq!(reader.get(&path).status, 200);
    for (what, answer, code) in [
        (
            "reader writes",
            reader.post("/v1/posts", &json!({"title": "a", "content": "b"})),
            "insufficient_role",
        ),
        ("reader changes", reader.put(&path, &change), "insufficient_role"),
        ("reader deletes", reader.delete(&path), "insufficient_role"),
        (
            "writer changes another's",
            other_writer.put(&path, &change),
            "not_author",
        ),
        ("writer deletes another's", other_writer.delete(&path), "not_author"),
        (
            "without a role",
            with_roles(&api, 0, &json!([])).get(&path),
            "insufficient_role",
        ),
        (
            "with a role in other case",
            with_roles(&api, 0, &json!(["blog.admin"])).get(&path),
            "insufficient_role",
        ),
    ] {
        attacks::record("API: app roles", what, answer.status == 403);
        answer.problem(403, code);
    }
    assert_eq!(reader.delete("/v1/posts/999999").status, 404);
    assert_eq!(writer.put(&path, &change).status, 200, "her own");
    assert_eq!(admin.put(&path, &json!({"content": "moderated"})).status, 200);
    let post = writer.get(&path).json();
    assert_eq!(post["content"], "moderated");
    assert_eq!(
        post["author"]["oid"],
        json!(api.user(0).oid),
        "the author stays the author"
    );
    assert_eq!(admin.delete(&path).status, 204);
}

#[test]
fn every_response_states_the_rights_of_the_caller() {
    let api = TestApi::with(|settings| settings.api.require_app_roles = true);
    for (role, rights) in [
        ("Blog.Reader", "read"),
        ("Blog.Writer", "write"),
        ("Blog.Admin", "manage"),
    ] {
        let caller = with_roles(&api, 0, &json!([role]));
        for path in ["/v1/posts", "/v1/posts?author=me", "/v1/profile", "/v1/posts/999999"] {
            assert_eq!(caller.get(path).header("blog-rights"), rights, "{role} {path}");
        }
    }
    let without = TestApi::start();
    assert_eq!(
        with_roles(&without, 0, &json!(["Blog.Reader"]))
            .get("/v1/posts")
            .header("blog-rights"),
        "write"
    );
    assert_eq!(without.anonymous().get("/v1/posts").header("blog-rights"), "");
}

#[test]
fn without_app_roles_an_admin_role_gives_no_right_over_other_posts() {
    let api = TestApi::start();
    let id = api.alice().write("hers", "text");
    let answer = with_roles(&api, 1, &json!(["Blog.Admin"])).delete(&format!("/v1/posts/{id}"));
    attacks::record(
        "API: app roles",
        "admin role where roles do not count",
        answer.status == 403,
    );
    answer.problem(403, "not_author");
}

#[test]
fn an_app_only_token_is_accepted_only_if_allowed_and_by_role() {
    let role = json!(["Blog.Writer"]);
    let refusing = TestApi::start();
    let answer = refusing
        .bearer(|token| token.app_only().claim("roles", role.clone()))
        .get("/v1/posts");
    attacks::record(
        "API: app roles",
        "application where none is allowed",
        answer.status == 401,
    );
    answer.problem(401, "app_only");

    let api = TestApi::with(|settings| settings.api.allow_app_only = true);
    for (what, roles) in [
        ("application without a role", json!([])),
        ("role of the scope's name", json!(["access_as_user"])),
    ] {
        let answer = api
            .bearer(|token| token.app_only().claim("roles", roles))
            .get("/v1/posts");
        attacks::record("API: app roles", what, answer.status == 403);
        answer.problem(403, "insufficient_role");
    }
    let application = api.bearer(|token| token.app_only().claim("roles", role));
    let id = application.write("by a machine", "text");
    api.alice()
        .delete(&format!("/v1/posts/{id}"))
        .problem(403, "not_author");
    assert_eq!(application.delete(&format!("/v1/posts/{id}")).status, 204);
}

#[test]
fn a_missing_authentication_context_is_challenged_with_the_claims_to_request() {
    let api = TestApi::with(|settings| settings.api.required_acrs = vec!["c1".to_owned()]);
    let answer = api
        .bearer(|token| token.claim("xms_cc", json!(["cp1"])))
        .get("/v1/posts");
    answer.problem(401, "insufficient_claims");
    let challenge = answer.header("WWW-Authenticate");
    assert!(challenge.contains("error=\"insufficient_claims\"") && challenge.contains("authorization_uri=\""));
    let claims = challenge
        .split("claims=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("claims");
    let claims: Value = serde_json::from_slice(&STANDARD.decode(claims).expect("base64")).expect("JSON");
    assert_eq!(
        claims,
        json!({"access_token": {"acrs": {"essential": true, "value": "c1"}}})
    );

    let plain = api.bearer(|token| token).get("/v1/posts");
    plain.problem(403, "insufficient_claims");
    assert!(
        !plain.header("WWW-Authenticate").contains("claims=\""),
        "who cannot handle it would loop"
    );
    let met = api.bearer(|token| token.claim("acrs", json!(["c1"]))).get("/v1/posts");
    assert_eq!(met.status, 200, "{}", met.text);
}

#[test]
fn only_listed_applications_that_used_a_certificate_are_accepted() {
    let api = TestApi::with(|settings| {
        settings.api.allowed_client_apps = vec![settings.client.client_id.clone()];
        settings.api.required_client_auth = RequiredClientAuth::Certificate;
    });
    assert_eq!(api.alice().get("/v1/posts").status, 200, "the site, by certificate");
    let other = "99999999-9999-4999-8999-999999999999";
    for (what, code, claim, value) in [
        ("another application", "client_app_not_allowed", "azp", other),
        ("by secret", "client_auth_not_allowed", "azpacr", "1"),
        ("a public client", "client_auth_not_allowed", "azpacr", "0"),
    ] {
        let answer = api.bearer(|token| token.claim(claim, json!(value))).get("/v1/posts");
        attacks::record("API: calling applications", what, answer.status == 403);
        answer.problem(403, code);
    }
}
