//! Authentication: which requests the API accepts.

use serde_json::json;

use crate::support::{api::TestApi, attacks};

const PLAIN_CHALLENGE: &str = "Bearer realm=\"blogctl\"";

/// The start of the challenge of a 401: where to sign in.
fn challenge_401(api: &TestApi) -> String {
    let (host, tenant) = (api.idp.url(""), &api.settings.entra.tenant_id);
    format!("{PLAIN_CHALLENGE}, authorization_uri=\"{host}/{tenant}/oauth2/v2.0/authorize\"")
}

#[test]
fn without_a_token_everything_under_v1_is_rejected_before_anything_else() {
    let api = TestApi::start();
    for (method, path) in [
        ("GET", "/v1/profile"),
        ("POST", "/v1/users/me"),
        ("GET", "/v1/posts"),
        ("HEAD", "/v1/posts"),
        ("POST", "/v1/posts"),
        ("GET", "/v1/posts/1"),
        ("PUT", "/v1/posts/1"),
        ("DELETE", "/v1/posts/1"),
        ("GET", "/v1/posts/x"),
        ("PATCH", "/v1/posts/1"),
        ("GET", "/v1/nothing"),
        ("GET", "/v1/posts?access_token=x"),
    ] {
        let answer = api.anonymous().call(method, path).send();
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(
            answer.header("WWW-Authenticate"),
            challenge_401(&api),
            "{method} {path}"
        );
        if method != "HEAD" {
            answer.problem(401, "missing_token");
        }
    }
    let garbage = api.anonymous().call("POST", "/v1/posts").body("text/plain", "{").send();
    garbage.problem(401, "missing_token");
}

#[test]
fn a_401_is_a_problem_document() {
    let api = TestApi::start();
    insta::assert_snapshot!(api.anonymous().get("/v1/posts?q=x").snapshot(), @r#"
    {
      "type": "about:blank",
      "title": "Unauthorized",
      "status": 401,
      "detail": "send an access token as \"Authorization: Bearer …\"",
      "instance": "/v1/posts",
      "code": "missing_token",
      "request_id": "[request id]"
    }
    "#);
}

#[test]
fn a_token_that_is_not_valid_here_is_rejected_with_its_reason() {
    let api = TestApi::start();
    let other = "99999999-9999-4999-8999-999999999999";
    let (tenant, host) = (&api.settings.entra.tenant_id, api.idp.url(""));
    let (others, real) = (
        format!("{host}/{other}/v2.0"),
        format!("https://login.microsoftonline.com/{tenant}/v2.0"),
    );
    let control = api.control();
    let token = || control.token();
    for (what, code, token) in [
        (
            "of another API by id",
            "wrong_audience",
            token().claim("aud", json!(other)),
        ),
        (
            "of another API by name",
            "wrong_audience",
            token().claim("aud", json!("api://another")),
        ),
        (
            "of another tenant by id",
            "wrong_tenant",
            token().claim("tid", json!(other)),
        ),
        (
            "of another tenant by issuer",
            "wrong_issuer",
            token().claim("iss", json!(others)),
        ),
        (
            "of this tenant elsewhere",
            "wrong_issuer",
            token().claim("iss", json!(real)),
        ),
        ("expired", "expired", token().expired()),
        ("not yet valid", "not_yet_valid", token().not_yet_valid()),
        ("without an object id", "missing_claim", token().without_claim("oid")),
        ("for the application itself", "app_only", token().app_only()),
        ("an ID token", "wrong_audience", token().id_token()),
        (
            "an ID token with a nonce",
            "id_token",
            token().id_token().claim("nonce", json!("n")),
        ),
        (
            "issued in the future",
            "issued_in_future",
            token().claim("iat", json!(4_000_000_000_i64)),
        ),
        (
            "of another type",
            "wrong_type",
            token().header("typ", json!("logout+jwt")),
        ),
        (
            "a token in a token",
            "nested_token",
            token().header("cty", json!("JWT")),
        ),
        ("with b64", "critical_header", token().header("b64", json!(false))),
        ("signed by a stranger", "bad_signature", token().sign_with("foreign")),
        ("not signed", "malformed_token", token().sign_with("none")),
        (
            "said not to be signed",
            "wrong_algorithm",
            token().header("alg", json!("none")),
        ),
        (
            "signed with the public key",
            "wrong_algorithm",
            token().sign_with("hmac_with_public_key"),
        ),
        ("signed with PS256", "wrong_algorithm", token().sign_with("ps256")),
        (
            "of an unknown key",
            "unknown_key",
            token().header("kid", json!("unknown")),
        ),
    ] {
        let answer = api.with_token(&token.mint()).get("/v1/posts");
        assert_eq!(
            answer.header("Content-Type"),
            "application/problem+json",
            "{what}: {}",
            answer.text
        );
        let detail = answer.problem(401, code);
        let challenge = answer.header("WWW-Authenticate");
        let expected = format!("{}, error=\"invalid_token\", error_description=\"", challenge_401(&api));
        attacks::record("API: access tokens", what, answer.status == 401);
        assert!(challenge.starts_with(&expected), "{what}: {challenge}");
        assert!(!detail.is_empty(), "{what}");
    }
    assert_eq!(api.alice().get("/v1/posts").status, 200, "a valid token is accepted");
}

#[test]
fn a_tampered_token_is_rejected_and_not_repeated() {
    let api = TestApi::start();
    let good = api.control().token().mint();
    let (signed, signature) = good.rsplit_once('.').expect("a JWT");
    let (header, payload) = signed.split_once('.').expect("a JWT");
    let reversed: String = signature.chars().rev().collect();
    // The valid token is cached now; similar tokens must not benefit.
    assert_eq!(api.with_token(&good).get("/v1/posts").status, 200);
    for (token, code) in [
        ("x".to_owned(), "malformed_token"),
        ("a.b.c".to_owned(), "malformed_token"),
        (format!("{signed}."), "malformed_token"),
        (format!("{signed}.{reversed}"), "bad_signature"),
        (
            format!("{header}.{}.{signature}", payload.replacen('e', "f", 1)),
            "bad_signature",
        ),
        (format!("{good}="), "malformed_token"),
        (format!("{good}.x"), "malformed_token"),
        (good.to_uppercase(), "malformed_token"),
    ] {
        let answer = api.with_token(&token).get("/v1/posts");
        answer.problem(401, code);
        assert!(!answer.text.contains(payload), "the answer repeats the token");
    }
}

#[test]
fn a_valid_token_without_the_scope_is_a_403_that_names_the_scope() {
    let api = TestApi::start();
    for scp in ["Posts.Read", "access_as_user2", "Access_As_User", "xaccess_as_user"] {
        let answer = api.bearer(|token| token.scope(scp)).get("/v1/posts");
        answer.problem(403, "insufficient_scope");
        let expected = format!(
            "{PLAIN_CHALLENGE}, error=\"insufficient_scope\", \
             error_description=\"the access token lacks the scope access_as_user\", scope=\"access_as_user\""
        );
        assert_eq!(answer.header("WWW-Authenticate"), expected, "{scp}");
    }
    let several = api.bearer(|token| token.scope("Posts.Read access_as_user"));
    assert_eq!(several.get("/v1/posts").status, 200);
}

#[test]
fn tokens_of_version_1_and_2_are_accepted() {
    let api = TestApi::start();
    let uri = &api.settings.api.app_id_uri;
    let control = api.control();
    for token in [
        control.token(),
        control.token().v1(),
        control.token().v1().claim("aud", json!(uri)),
        control.token().v1().claim("aud", json!(format!("{uri}/"))),
    ] {
        let answer = api.with_token(&token.mint()).get("/v1/profile");
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["preferred_username"], "alice@contoso.example");
    }
}

#[test]
fn a_token_counts_only_in_the_one_authorization_header() {
    let api = TestApi::start();
    let token = api.control().token().mint();
    let nobody = api.anonymous();

    nobody
        .get(&format!("/v1/posts?access_token={token}"))
        .problem(401, "missing_token");
    let form = format!("access_token={token}");
    let in_body = nobody
        .call("POST", "/v1/posts")
        .body("application/x-www-form-urlencoded", &form)
        .send();
    in_body.problem(401, "missing_token");
    let cookie = nobody
        .call("GET", "/v1/posts")
        .header("Cookie", &format!("access_token={token}"))
        .send();
    cookie.problem(401, "missing_token");
    let basic = nobody
        .call("GET", "/v1/posts")
        .header("Authorization", &format!("Basic {token}"))
        .send();
    basic.problem(401, "missing_token");

    let twice = api
        .with_token(&token)
        .call("GET", "/v1/posts")
        .header("Authorization", &format!("Bearer {token}"))
        .send();
    twice.problem(401, "malformed_authorization");
    assert!(
        twice.header("WWW-Authenticate").contains("error=\"invalid_request\""),
        "{twice:?}"
    );

    let lower = nobody
        .call("GET", "/v1/posts")
        .header("authorization", &format!("bearer {token}"))
        .send();
    assert_eq!(lower.status, 200);
}

#[test]
fn without_signing_keys_the_api_answers_503_until_the_identity_provider_is_back() {
    let mut api = TestApi::start();
    let token = api.control().token().mint();
    api.control().down();
    api.restart();

    let answer = api.with_token(&token).get("/v1/posts");
    answer.problem(503, "keys_unavailable");
    assert_eq!(answer.header("Retry-After"), "5");
    assert_eq!(answer.header("WWW-Authenticate"), "", "it is not the token's fault");
    let ready = api.anonymous().get("/health/ready");
    assert_eq!(
        (ready.status, &ready.json()["checks"]["signing_keys"]["status"]),
        (503, &json!("unavailable"))
    );

    api.control().clear_faults();
    api.anonymous().get_until("/health/ready", 200);
    api.with_token(&token).get_until("/v1/posts", 200);
}

#[test]
fn tokens_of_a_removed_signing_key_are_rejected() {
    let api = TestApi::start();
    let (control, old) = (api.control(), api.alice());
    let kid = control.kids().pop().expect("a key");
    assert_eq!(old.get("/v1/posts").status, 200);
    control.rotate_keys();
    control.remove_key(&kid);
    // A token of the new key makes the API fetch the keys and drop the old one.
    assert_eq!(api.alice().get("/v1/posts").status, 200);
    old.get("/v1/posts").problem(401, "unknown_key");
}

#[test]
fn personal_responses_are_not_cached_by_shared_caches() {
    let api = TestApi::start();
    let id = api.alice().write("a", "b");
    for (path, cache) in [
        ("/v1/profile", "no-store"),
        ("/v1/posts", "no-store"),
        (&format!("/v1/posts/{id}"), "private, no-cache"),
        ("/v1/posts/0", "no-store"),
    ] {
        let answer = api.alice().get(path);
        assert_eq!(answer.header("Cache-Control"), cache, "{path}");
        let vary: Vec<_> = answer
            .headers
            .get_all("Vary")
            .iter()
            .map(|value| value.to_str().expect("text"))
            .collect();
        assert!(vary.join(",").contains("Authorization"), "{path}: {vary:?}");
        assert_eq!(answer.header("X-Content-Type-Options"), "nosniff", "{path}");
        assert_eq!(answer.header("Server"), "", "{path}");
    }
}
