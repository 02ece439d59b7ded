//! The attacks on access tokens: each breaks one rule of a token that is otherwise good.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use blogctl::{
    config::{ApiSettings, DEV_TENANT_ID},
    entra::{
        AccessTokenValidator, Principal, PrincipalKind, Provider, TokenError, clock::Clock, signing_keys::KeyPolicy,
    },
};
use serde_json::{Value, json};

use crate::support::entra::{ALICE, API, SITE, ScriptedProvider, TestKey, keys, rsa_key};

const OTHER_TENANT: &str = "99999999-2222-4333-8444-555555555555";

struct Bench {
    provider: ScriptedProvider,
    validator: AccessTokenValidator,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        let provider = ScriptedProvider::start();
        let clock = Clock::default();
        let entra = Provider::with_policy(&provider.settings(), KeyPolicy::default(), clock.clone());
        let settings = ApiSettings {
            app_id_uri: "https://api.contoso.example/blog".to_owned(),
            client_id: Some(API.to_owned()),
            ..ApiSettings::default()
        };
        let validator = AccessTokenValidator::new(Arc::new(entra.expect("a provider")), &settings);
        validator.prepare().expect("keys");
        Self { provider, validator, clock }
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.provider.access_claims();
        change(&mut claims);
        keys()[0].sign(&claims)
    }

    /// What both ways of validation say, as a code.
    fn verdict(&self, token: &str) -> String {
        let now = self.validator.validate_now(token).map(|outcome| code(&outcome));
        let blocking = code(&self.validator.validate(token));
        assert!(now.is_none_or(|now| now == blocking), "both ways agree");
        blocking
    }
}

fn code(outcome: &Result<Arc<Principal>, TokenError>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(TokenError::Refused(refusal)) => refusal.code().to_owned(),
        Err(TokenError::InsufficientScope { .. }) => "insufficient_scope".to_owned(),
        Err(TokenError::KeysUnavailable) => "keys_unavailable".to_owned(),
    }
}

#[test]
fn a_v2_token_makes_a_principal_of_what_it_says() {
    let bench = Bench::new();
    let principal = bench.validator.validate(&bench.token(|_| {})).expect("a valid token");
    assert_eq!(principal.tenant_id().to_string(), DEV_TENANT_ID);
    assert_eq!(principal.object_id().to_string(), ALICE);
    assert_eq!(principal.app_id().map(|id| id.to_string()).as_deref(), Some(SITE));
    assert_eq!(principal.kind(), PrincipalKind::Delegated);
    assert_eq!(principal.scopes(), ["access_as_user"]);
    assert_eq!(principal.roles(), ["Blog.Author"]);
    assert_eq!(principal.name(), Some("Alice Archer"));
    assert_eq!(principal.preferred_username(), Some("alice@contoso.example"));
    assert_eq!(principal.email(), None);
}

#[test]
fn a_v1_token_makes_a_principal_too() {
    let bench = Bench::new();
    let issuer = bench.provider.issuer_v1();
    let token = bench.token(|claims| {
        claims["iss"] = json!(issuer);
        claims["aud"] = json!("https://api.contoso.example/blog");
        claims["appid"] = claims["azp"].take();
        claims["upn"] = claims["preferred_username"].take();
    });
    let principal = bench.validator.validate(&token).expect("a valid token");
    assert_eq!(principal.app_id().map(|id| id.to_string()).as_deref(), Some(SITE));
    assert_eq!(principal.preferred_username(), Some("alice@contoso.example"));
}

#[test]
fn what_differs_only_in_form_passes() {
    let bench = Bench::new();
    let now = chrono::Utc::now().timestamp();
    for (name, claim, value) in [
        ("slash after the App ID URI", "aud", json!("https://api.contoso.example/blog/")),
        ("more scopes", "scp", json!("Files.Read access_as_user User.Read")),
        ("expired within the leeway", "exp", json!(now - 30)),
        ("not before within the leeway", "nbf", json!(now + 30)),
        ("iat is not looked at", "iat", Value::Null),
        ("user token by idtyp", "idtyp", json!("user")),
    ] {
        assert_eq!(bench.verdict(&bench.token(|claims| claims[claim] = value)), "ok", "{name}");
    }
}

#[test]
fn each_wrong_claim_is_refused_for_its_own_reason() {
    let bench = Bench::new();
    let now = chrono::Utc::now().timestamp();
    let at = |host: &str, path: &str| json!(format!("{host}{path}"));
    let base = bench.provider.url.as_str().trim_end_matches('/').to_owned();
    for (name, claim, value, expected) in [
        ("issuer missing", "iss", Value::Null, "missing_claim"),
        ("issuer of another tenant", "iss", at(&base, &format!("/{OTHER_TENANT}/v2.0")), "wrong_issuer"),
        (
            "issuer of another cloud",
            "iss",
            at("https://login.microsoftonline.us", &format!("/{DEV_TENANT_ID}/v2.0")),
            "wrong_issuer",
        ),
        ("foreign v1 issuer", "iss", at("https://sts.windows.net", &format!("/{OTHER_TENANT}/")), "wrong_issuer"),
        (
            "v1 issuer of another host",
            "iss",
            at("https://sts.windows.net", &format!("/{DEV_TENANT_ID}/")),
            "wrong_issuer",
        ),
        ("slash after the v2 issuer", "iss", at(&base, &format!("/{DEV_TENANT_ID}/v2.0/")), "wrong_issuer"),
        ("no slash after the v1 issuer", "iss", at(&base, &format!("/{DEV_TENANT_ID}")), "wrong_issuer"),
        ("issuer with something behind", "iss", at(&base, &format!("/{DEV_TENANT_ID}/v2.0.evil")), "wrong_issuer"),
        ("issuer empty", "iss", json!(""), "wrong_issuer"),
        ("issuer a list", "iss", json!(["x"]), "malformed_claims"),
        ("audience missing", "aud", Value::Null, "missing_claim"),
        ("audience empty", "aud", json!(""), "wrong_audience"),
        ("audience another app", "aud", json!(SITE), "wrong_audience"),
        ("audience a prefix", "aud", json!("https://api.contoso.example"), "wrong_audience"),
        ("audience with something behind", "aud", json!("https://api.contoso.example/blog2"), "wrong_audience"),
        ("audience with two slashes", "aud", json!("https://api.contoso.example/blog//"), "wrong_audience"),
        ("audience a list", "aud", json!([API]), "malformed_claims"),
        ("audience Microsoft Graph", "aud", json!("00000003-0000-0000-c000-000000000000"), "token_for_graph"),
        ("audience Microsoft Graph by address", "aud", json!("https://graph.microsoft.com/"), "token_for_graph"),
        ("tenant missing", "tid", Value::Null, "missing_claim"),
        ("another tenant", "tid", json!(OTHER_TENANT), "wrong_tenant"),
        ("tenant not a GUID", "tid", json!("common"), "wrong_tenant"),
        ("tenant a number", "tid", json!(1), "malformed_claims"),
        ("object missing", "oid", Value::Null, "missing_claim"),
        ("object not a GUID", "oid", json!("alice"), "bad_object_id"),
        ("object empty", "oid", json!(""), "bad_object_id"),
        ("object in braces", "oid", json!(format!("{{{ALICE}}}")), "bad_object_id"),
        ("object overlong", "oid", json!("0".repeat(4000)), "bad_object_id"),
        ("object a number", "oid", json!(7), "malformed_claims"),
        ("expiry missing", "exp", Value::Null, "missing_claim"),
        ("expired", "exp", json!(now - 61), "expired"),
        ("expired in 1970", "exp", json!(0), "expired"),
        ("expiry negative", "exp", json!(i64::MIN), "expired"),
        ("expiry a text", "exp", json!((now + 600).to_string()), "malformed_claims"),
        ("expiry a fraction", "exp", json!(4e9), "malformed_claims"),
        ("expiry beyond 64 bits", "exp", json!(u64::MAX), "malformed_claims"),
        ("not before missing", "nbf", Value::Null, "missing_claim"),
        ("not yet valid", "nbf", json!(now + 90), "not_yet_valid"),
        ("not valid ever", "nbf", json!(i64::MAX), "not_yet_valid"),
        ("scope missing: roles do not count", "scp", Value::Null, "app_only"),
        ("scope missing, role of its name", "scp", Value::Null, "app_only"),
        ("scope empty", "scp", json!(""), "insufficient_scope"),
        ("another scope", "scp", json!("User.Read"), "insufficient_scope"),
        ("scope with something behind", "scp", json!("access_as_user_admin"), "insufficient_scope"),
        ("scope with something before", "scp", json!("no_access_as_user"), "insufficient_scope"),
        ("scope in capitals", "scp", json!("Access_As_User"), "insufficient_scope"),
        ("scope behind a tab", "scp", json!("x\taccess_as_user"), "insufficient_scope"),
        ("scope a list", "scp", json!(["access_as_user"]), "malformed_claims"),
        ("application with a scope", "idtyp", json!("app"), "app_only"),
        ("roles a text", "roles", json!("Blog.Author"), "malformed_claims"),
    ] {
        let token = bench.token(|claims| {
            if name.contains("role of its name") {
                claims["roles"] = json!(["access_as_user"]);
            }
            claims[claim] = value;
        });
        assert_eq!(bench.verdict(&token), expected, "{name}");
    }
}

#[test]
fn a_claim_that_occurs_twice_is_refused() {
    let bench = Bench::new();
    let claims = bench.provider.access_claims().to_string();
    let twice = claims.replacen('{', &format!("{{\"oid\":\"{SITE}\","), 1);
    let header = json!({"alg": "RS256", "kid": "one"});
    assert_eq!(bench.verdict(&keys()[0].sign_with_header(&header, &twice)), "malformed_claims");
    assert_eq!(bench.verdict(&keys()[0].sign_with_header(&header, &claims)), "ok", "the same, once");
}

#[test]
fn every_other_algorithm_is_refused_however_well_signed() {
    let bench = Bench::new();
    let claims = bench.provider.access_claims();
    let key = &keys()[0];
    let unsigned = |alg: &str| {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "kid": "one"}).to_string());
        format!("{header}.{}.e30", URL_SAFE_NO_PAD.encode(claims.to_string()))
    };
    for (name, token) in [
        ("none", unsigned("none")),
        ("None", unsigned("None")),
        ("nOnE", unsigned("nOnE")),
        ("empty", unsigned("")),
        ("HS256 with the public key", key.sign_hs256_with_public_key(&claims)),
        ("RS512", key.sign_rs512(&claims)),
        ("PS256", key.sign_ps256(&claims)),
        ("RS256 named ES256", key.sign_with_header(&json!({"alg": "ES256", "kid": "one"}), &claims.to_string())),
    ] {
        assert_eq!(bench.verdict(&token), "wrong_algorithm", "{name}");
    }
}

#[test]
fn a_signature_that_is_not_of_the_named_key_is_refused() {
    let bench = Bench::new();
    bench.provider.publish(&[keys()[0].jwk(), keys()[1].jwk()]);
    let claims = bench.provider.access_claims();
    let stranger = TestKey { kid: "one", key: rsa_key(2048) };
    let good = keys()[0].sign(&claims);
    let (input, signature) = good.rsplit_once('.').expect("three parts");
    let other = bench.token(|claims| claims["name"] = json!("Mallory"));
    let (other_input, _) = other.rsplit_once('.').expect("three parts");
    for (name, token) in [
        ("another key under the same kid", stranger.sign(&claims)),
        (
            "another published key's",
            keys()[1].sign_with_header(&json!({"alg": "RS256", "kid": "one"}), &claims.to_string()),
        ),
        ("truncated", good.get(..good.len() - 4).expect("ASCII").to_owned()),
        ("lengthened", format!("{good}AAAA")),
        ("of another token", format!("{other_input}.{signature}")),
        ("all zero", format!("{input}.{}", "A".repeat(signature.len()))),
        ("PS256's, called RS256", {
            let token = keys()[0].sign_ps256(&claims);
            format!("{input}.{}", token.rsplit_once('.').expect("three parts").1)
        }),
    ] {
        assert_eq!(bench.verdict(&token), "bad_signature", "{name}");
    }
}

#[test]
fn keys_that_the_token_itself_brings_are_not_used() {
    let bench = Bench::new();
    let stranger = TestKey { kid: "one", key: rsa_key(2048) };
    let header = json!({
        "alg": "RS256", "kid": "one", "jwk": stranger.jwk(), "jku": "http://localhost:1/keys", "x5u": "http://localhost:1/x",
    });
    let claims = bench.provider.access_claims().to_string();
    assert_eq!(bench.verdict(&stranger.sign_with_header(&header, &claims)), "bad_signature");
}

#[test]
fn a_token_of_another_shape_is_refused() {
    let bench = Bench::new();
    let good = bench.token(|_| {});
    let (input, signature) = good.rsplit_once('.').expect("three parts");
    let claims = bench.provider.access_claims().to_string();
    let with_header = |header: Value| keys()[0].sign_with_header(&header, &claims);
    for (name, token, expected) in [
        ("empty", String::new(), "malformed_token"),
        ("two parts", input.to_owned(), "malformed_token"),
        ("no signature", format!("{input}."), "malformed_token"),
        ("four parts", format!("{good}.e30"), "malformed_token"),
        ("five parts, as JWE", format!("{good}.e30.e30"), "malformed_token"),
        ("padded signature", format!("{input}.{signature}=="), "malformed_token"),
        ("standard base64", good.replace(['-', '_'], "+"), "malformed_token"),
        ("white space inside", format!("{input}. {signature}"), "malformed_token"),
        ("longer than 16 KB", bench.token(|claims| claims["x"] = json!("x".repeat(17 * 1024))), "token_too_long"),
        ("crit", with_header(json!({"alg": "RS256", "kid": "one", "crit": ["exp"]})), "critical_header"),
        ("no kid", with_header(json!({"alg": "RS256"})), "missing_kid"),
        ("kid a number", with_header(json!({"alg": "RS256", "kid": 1})), "malformed_token"),
        (
            "payload a list",
            keys()[0].sign_with_header(&json!({"alg": "RS256", "kid": "one"}), "[]"),
            "malformed_claims",
        ),
        (
            "payload not JSON",
            keys()[0].sign_with_header(&json!({"alg": "RS256", "kid": "one"}), "hello"),
            "malformed_claims",
        ),
    ] {
        assert_eq!(bench.verdict(&token), expected, "{name}");
    }
}

#[test]
fn a_graph_token_is_told_from_a_forged_one_though_neither_verifies() {
    let bench = Bench::new();
    // Graph replaces the nonce by its hash before it checks the signature: to everybody else it does not verify.
    let token = bench.token(|claims| claims["aud"] = json!("https://graph.microsoft.com"));
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    assert_eq!(bench.verdict(&format!("{input}.{}", signature.chars().rev().collect::<String>())), "token_for_graph");
}

#[test]
fn an_id_token_is_no_access_token() {
    let bench = Bench::new();
    assert_eq!(bench.verdict(&keys()[0].sign(&bench.provider.id_claims("n"))), "wrong_audience");
    let mut claims = bench.provider.id_claims("n");
    claims["aud"] = json!(API);
    assert_eq!(bench.verdict(&keys()[0].sign(&claims)), "app_only", "of an app that is site and API at once");
}

#[test]
fn a_remembered_token_is_refused_once_it_has_expired() {
    let bench = Bench::new();
    let token = bench.token(|_| {});
    assert_eq!(bench.verdict(&token), "ok");
    assert!(bench.validator.validate_now(&token).is_some_and(|outcome| outcome.is_ok()), "from memory");
    bench.clock.advance(std::time::Duration::from_mins(62));
    assert_eq!(bench.verdict(&token), "expired");
}

#[test]
fn a_remembered_token_does_not_vouch_for_one_that_resembles_it() {
    let bench = Bench::new();
    let token = bench.token(|_| {});
    assert_eq!(bench.verdict(&token), "ok");
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    let swapped = signature.replace(|c: char| c.is_ascii_lowercase(), "a");
    assert_eq!(bench.verdict(&format!("{input}.{swapped}")), "bad_signature");
}

#[test]
fn no_refusal_repeats_anything_of_the_token() {
    let bench = Bench::new();
    for token in [
        bench.token(|claims| claims["oid"] = json!("SECRET")),
        bench.token(|claims| claims["scp"] = json!("SECRET")),
        bench.token(|claims| claims["exp"] = json!("SECRET")),
        "SECRET.SECRET.SECRET".to_owned(),
    ] {
        let error = bench.validator.validate(&token).expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("SECRET"));
    }
}
