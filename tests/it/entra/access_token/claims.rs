//! Tokens with one wrong claim, and differences that are allowed.

use blogctl::config::DEV_TENANT_ID;
use serde_json::{Value, json};

use super::{Fixture, OTHER_TENANT};
use crate::support::entra::{ALICE, API, SITE, keys};

#[test]
fn differences_in_form_are_accepted() {
    let fixture = Fixture::new();
    let now = chrono::Utc::now().timestamp();
    for (name, claim, value) in [
        (
            "slash after the App ID URI",
            "aud",
            json!("https://api.contoso.example/blog/"),
        ),
        ("more scopes", "scp", json!("Files.Read access_as_user User.Read")),
        ("expired within the leeway", "exp", json!(now - 30)),
        ("not before within the leeway", "nbf", json!(now + 30)),
        ("without iat", "iat", Value::Null),
        ("without nbf", "nbf", Value::Null),
        ("issued within the leeway", "iat", json!(now + 30)),
        ("audience an array of one", "aud", json!([API])),
        ("user token by idtyp", "idtyp", json!("user")),
    ] {
        assert_eq!(
            fixture.outcome(&fixture.token(|claims| claims[claim] = value)),
            "ok",
            "{name}"
        );
    }
}

#[test]
fn each_wrong_claim_is_rejected_for_its_own_reason() {
    let fixture = Fixture::new();
    let now = chrono::Utc::now().timestamp();
    let at = |host: &str, path: &str| json!(format!("{host}{path}"));
    let base = fixture.provider.url.as_str().trim_end_matches('/').to_owned();
    for (name, claim, value, expected) in [
        ("issuer missing", "iss", Value::Null, "missing_claim"),
        (
            "issuer of another tenant",
            "iss",
            at(&base, &format!("/{OTHER_TENANT}/v2.0")),
            "wrong_issuer",
        ),
        (
            "issuer of another cloud",
            "iss",
            at("https://login.microsoftonline.us", &format!("/{DEV_TENANT_ID}/v2.0")),
            "wrong_issuer",
        ),
        (
            "foreign v1 issuer",
            "iss",
            at("https://sts.windows.net", &format!("/{OTHER_TENANT}/")),
            "wrong_issuer",
        ),
        (
            "v1 issuer of another host",
            "iss",
            at("https://sts.windows.net", &format!("/{DEV_TENANT_ID}/")),
            "wrong_issuer",
        ),
        (
            "slash after the v2 issuer",
            "iss",
            at(&base, &format!("/{DEV_TENANT_ID}/v2.0/")),
            "wrong_issuer",
        ),
        (
            "no slash after the v1 issuer",
            "iss",
            at(&base, &format!("/{DEV_TENANT_ID}")),
            "wrong_issuer",
        ),
        (
            "issuer with something behind",
            "iss",
            at(&base, &format!("/{DEV_TENANT_ID}/v2.0.evil")),
            "wrong_issuer",
        ),
        ("issuer empty", "iss", json!(""), "wrong_issuer"),
        ("issuer a list", "iss", json!(["x"]), "malformed_claims"),
        ("audience missing", "aud", Value::Null, "missing_claim"),
        ("audience empty", "aud", json!(""), "wrong_audience"),
        ("audience another app", "aud", json!(SITE), "wrong_audience"),
        (
            "audience a prefix",
            "aud",
            json!("https://api.contoso.example"),
            "wrong_audience",
        ),
        (
            "audience with something behind",
            "aud",
            json!("https://api.contoso.example/blog2"),
            "wrong_audience",
        ),
        (
            "audience with two slashes",
            "aud",
            json!("https://api.contoso.example/blog//"),
            "wrong_audience",
        ),
        ("audience of two", "aud", json!([API, SITE]), "wrong_audience"),
        ("audience twice the same", "aud", json!([API, API]), "wrong_audience"),
        ("audience empty list", "aud", json!([]), "wrong_audience"),
        ("audience a list in a list", "aud", json!([[API]]), "malformed_claims"),
        ("audience an object", "aud", json!({"aud": API}), "malformed_claims"),
        (
            "audience Microsoft Graph",
            "aud",
            json!("00000003-0000-0000-c000-000000000000"),
            "token_for_graph",
        ),
        (
            "audience Microsoft Graph by address",
            "aud",
            json!("https://graph.microsoft.com/"),
            "token_for_graph",
        ),
        ("tenant missing", "tid", Value::Null, "missing_claim"),
        ("another tenant", "tid", json!(OTHER_TENANT), "wrong_tenant"),
        ("tenant not a GUID", "tid", json!("common"), "wrong_tenant"),
        ("tenant a number", "tid", json!(1), "malformed_claims"),
        ("object missing", "oid", Value::Null, "missing_claim"),
        ("object not a GUID", "oid", json!("alice"), "bad_object_id"),
        ("object empty", "oid", json!(""), "bad_object_id"),
        (
            "object in braces",
            "oid",
            json!(format!("{{{ALICE}}}")),
            "bad_object_id",
        ),
        ("object overlong", "oid", json!("0".repeat(4000)), "bad_object_id"),
        ("object a number", "oid", json!(7), "malformed_claims"),
        ("expiry missing", "exp", Value::Null, "missing_claim"),
        ("expired", "exp", json!(now - 61), "expired"),
        ("expired in 1970", "exp", json!(0), "expired"),
        ("expiry negative", "exp", json!(i64::MIN), "expired"),
        (
            "expiry a text",
            "exp",
            json!((now + 600).to_string()),
            "malformed_claims",
        ),
        ("expiry a fraction", "exp", json!(4e9), "malformed_claims"),
        ("expiry beyond 64 bits", "exp", json!(u64::MAX), "malformed_claims"),
        ("issued in the future", "iat", json!(now + 90), "issued_in_future"),
        ("issued a text", "iat", json!("1"), "malformed_claims"),
        ("not before a fraction", "nbf", json!(1.5), "malformed_claims"),
        ("object a list", "oid", json!([ALICE]), "malformed_claims"),
        ("with the nonce of a sign-in", "nonce", json!("n"), "id_token"),
        ("not yet valid", "nbf", json!(now + 90), "not_yet_valid"),
        ("not valid ever", "nbf", json!(i64::MAX), "not_yet_valid"),
        ("scope missing: roles do not count", "scp", Value::Null, "app_only"),
        ("scope missing, role of its name", "scp", Value::Null, "app_only"),
        ("scope empty", "scp", json!(""), "insufficient_scope"),
        ("another scope", "scp", json!("User.Read"), "insufficient_scope"),
        (
            "scope with something behind",
            "scp",
            json!("access_as_user_admin"),
            "insufficient_scope",
        ),
        (
            "scope with something before",
            "scp",
            json!("no_access_as_user"),
            "insufficient_scope",
        ),
        (
            "scope in capitals",
            "scp",
            json!("Access_As_User"),
            "insufficient_scope",
        ),
        (
            "scope behind a tab",
            "scp",
            json!("x\taccess_as_user"),
            "insufficient_scope",
        ),
        ("scope a list", "scp", json!(["access_as_user"]), "malformed_claims"),
        ("application with a scope", "idtyp", json!("app"), "app_only"),
        ("roles a text", "roles", json!("Blog.Writer"), "malformed_claims"),
    ] {
        let token = fixture.token(|claims| {
            if name.contains("role of its name") {
                claims["roles"] = json!(["access_as_user"]);
            }
            claims[claim] = value;
        });
        fixture.attack(name, &token, expected);
    }
}

#[test]
fn a_claim_that_occurs_twice_is_rejected() {
    let fixture = Fixture::new();
    let claims = fixture.provider.access_claims().to_string();
    let twice = claims.replacen('{', &format!("{{\"oid\":\"{SITE}\","), 1);
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": "one"});
    assert_eq!(
        fixture.outcome(&keys()[0].sign_with_header(&header, &twice)),
        "malformed_claims"
    );
    assert_eq!(
        fixture.outcome(&keys()[0].sign_with_header(&header, &claims)),
        "ok",
        "the same, once"
    );
}

#[test]
fn an_id_token_is_not_accepted_as_an_access_token() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.outcome(&keys()[0].sign(&fixture.provider.id_claims("n"))),
        "id_token"
    );
    let mut claims = fixture.provider.id_claims("n");
    claims["aud"] = json!(API);
    assert_eq!(
        fixture.outcome(&keys()[0].sign(&claims)),
        "id_token",
        "of an app that is site and API at once"
    );
    claims["nonce"] = Value::Null;
    assert_eq!(
        fixture.outcome(&keys()[0].sign(&claims)),
        "app_only",
        "and without a nonce"
    );
}

#[test]
fn the_clock_skew_is_what_the_settings_say() {
    let now = chrono::Utc::now().timestamp();
    for (skew, expired_for, expected) in [(0, 1, "expired"), (300, 290, "ok"), (300, 301, "expired")] {
        let fixture = Fixture::with(|settings| settings.clock_skew_seconds = skew);
        let token = fixture.token(|claims| claims["exp"] = json!(now - expired_for));
        assert_eq!(
            fixture.outcome(&token),
            expected,
            "{skew} s of skew, expired for {expired_for} s"
        );
    }
}
