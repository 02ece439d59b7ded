//! The attacks on access tokens: each breaks one rule of a token that is otherwise good.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use blogctl::{
    config::{ApiSettings, DEV_TENANT_ID},
    entra::{
        AccessTokenValidator, AppRole, Principal, PrincipalKind, Provider, TokenError, clock::Clock,
        signing_keys::KeyPolicy,
    },
};
use serde_json::{Value, json};

use crate::support::{
    attacks,
    entra::{ALICE, API, SITE, ScriptedProvider, TestKey, keys, rsa_key},
};

type Change = fn(&mut ApiSettings);
type RoleOrCode = Result<Option<AppRole>, &'static str>;

const OTHER_TENANT: &str = "99999999-2222-4333-8444-555555555555";

pub(super) struct Bench {
    pub(super) provider: ScriptedProvider,
    pub(super) validator: AccessTokenValidator,
    entra: Arc<Provider>,
    clock: Clock,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With settings changed by `change`.
    fn with(change: impl FnOnce(&mut ApiSettings)) -> Self {
        let provider = ScriptedProvider::start();
        let clock = Clock::default();
        let mut settings = ApiSettings {
            app_id_uri: "https://api.contoso.example/blog".to_owned(),
            client_id: Some(API.to_owned()),
            ..ApiSettings::default()
        };
        change(&mut settings);
        let (entra, tenants) = (provider.settings(), &settings.tenants);
        let entra = Provider::with_policy(&entra, tenants, KeyPolicy::default(), clock.clone());
        let entra = Arc::new(entra.expect("a provider"));
        let validator = AccessTokenValidator::new(Arc::clone(&entra), &settings);
        validator.prepare().expect("keys");
        Self {
            provider,
            validator,
            entra,
            clock,
        }
    }

    pub(super) fn token(&self, change: impl FnOnce(&mut Value)) -> String {
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

    /// Tries an attack, which must be refused for this reason and no other.
    #[track_caller]
    fn attack(&self, name: &str, token: &str, expected: &str) {
        let verdict = self.verdict(token);
        attacks::record("access tokens", name, verdict != "ok");
        assert_eq!(verdict, expected, "{name}");
    }
}

fn code(outcome: &Result<Arc<Principal>, TokenError>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(TokenError::Refused(refusal)) => refusal.code().to_owned(),
        Err(TokenError::Forbidden(forbidden)) => forbidden.code().to_owned(),
        Err(TokenError::ClaimsRequired { .. }) => "insufficient_claims".to_owned(),
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
    assert_eq!(principal.roles(), ["Blog.Writer"]);
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
            bench.verdict(&bench.token(|claims| claims[claim] = value)),
            "ok",
            "{name}"
        );
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
        ("audience of nobody", "aud", json!([]), "wrong_audience"),
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
        let token = bench.token(|claims| {
            if name.contains("role of its name") {
                claims["roles"] = json!(["access_as_user"]);
            }
            claims[claim] = value;
        });
        bench.attack(name, &token, expected);
    }
}

#[test]
fn a_claim_that_occurs_twice_is_refused() {
    let bench = Bench::new();
    let claims = bench.provider.access_claims().to_string();
    let twice = claims.replacen('{', &format!("{{\"oid\":\"{SITE}\","), 1);
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": "one"});
    assert_eq!(
        bench.verdict(&keys()[0].sign_with_header(&header, &twice)),
        "malformed_claims"
    );
    assert_eq!(
        bench.verdict(&keys()[0].sign_with_header(&header, &claims)),
        "ok",
        "the same, once"
    );
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
        (
            "RS256 named ES256",
            key.sign_with_header(&json!({"alg": "ES256", "kid": "one"}), &claims.to_string()),
        ),
    ] {
        bench.attack(name, &token, "wrong_algorithm");
    }
}

#[test]
fn a_signature_that_is_not_of_the_named_key_is_refused() {
    let bench = Bench::new();
    bench.provider.publish(&[keys()[0].jwk(), keys()[1].jwk()]);
    let claims = bench.provider.access_claims();
    let stranger = TestKey {
        kid: "one",
        key: rsa_key(2048),
    };
    let good = keys()[0].sign(&claims);
    let (input, signature) = good.rsplit_once('.').expect("three parts");
    let other = bench.token(|claims| claims["name"] = json!("Mallory"));
    let (other_input, _) = other.rsplit_once('.').expect("three parts");
    for (name, token) in [
        ("another key under the same kid", stranger.sign(&claims)),
        (
            "another published key's",
            keys()[1].sign_with_header(
                &json!({"typ": "JWT", "alg": "RS256", "kid": "one"}),
                &claims.to_string(),
            ),
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
        bench.attack(name, &token, "bad_signature");
    }
}

#[test]
fn keys_that_the_token_itself_brings_are_not_used() {
    let bench = Bench::new();
    let stranger = TestKey {
        kid: "one",
        key: rsa_key(2048),
    };
    let header = json!({
        "typ": "JWT", "alg": "RS256", "kid": "one", "jwk": stranger.jwk(), "jku": "http://localhost:1/keys", "x5u": "http://localhost:1/x",
    });
    let claims = bench.provider.access_claims().to_string();
    assert_eq!(
        bench.verdict(&stranger.sign_with_header(&header, &claims)),
        "bad_signature"
    );
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
        ("five parts, as JWE", format!("{good}.e30.e30"), "encrypted_token"),
        (
            "five parts with an empty one",
            format!("{input}..{signature}.e30"),
            "encrypted_token",
        ),
        (
            "enc",
            with_header(json!({"typ": "JWT", "alg": "RS256", "kid": "one", "enc": "A256GCM"})),
            "encrypted_token",
        ),
        (
            "nested",
            with_header(json!({"typ": "JWT", "alg": "RS256", "kid": "one", "cty": "JWT"})),
            "nested_token",
        ),
        (
            "b64",
            with_header(json!({"typ": "JWT", "alg": "RS256", "kid": "one", "b64": false})),
            "critical_header",
        ),
        (
            "no typ",
            with_header(json!({"alg": "RS256", "kid": "one"})),
            "wrong_type",
        ),
        (
            "another typ",
            with_header(json!({"typ": "dpop+jwt", "alg": "RS256", "kid": "one"})),
            "wrong_type",
        ),
        (
            "kid a path",
            with_header(json!({"typ": "JWT", "alg": "RS256", "kid": "../../etc/passwd"})),
            "unknown_key",
        ),
        (
            "kid SQL",
            with_header(json!({"typ": "JWT", "alg": "RS256", "kid": "' OR 1=1 --"})),
            "unknown_key",
        ),
        ("padded signature", format!("{input}.{signature}=="), "malformed_token"),
        ("standard base64", good.replace(['-', '_'], "+"), "malformed_token"),
        ("white space inside", format!("{input}. {signature}"), "malformed_token"),
        (
            "longer than 16 KB",
            bench.token(|claims| claims["x"] = json!("x".repeat(17 * 1024))),
            "token_too_long",
        ),
        (
            "crit",
            with_header(json!({"typ": "JWT", "alg": "RS256", "kid": "one", "crit": ["exp"]})),
            "critical_header",
        ),
        (
            "no kid",
            with_header(json!({"typ": "JWT", "alg": "RS256"})),
            "missing_kid",
        ),
        (
            "kid a number",
            with_header(json!({"typ": "JWT", "alg": "RS256", "kid": 1})),
            "malformed_token",
        ),
        (
            "payload a list",
            keys()[0].sign_with_header(&json!({"typ": "JWT", "alg": "RS256", "kid": "one"}), "[]"),
            "malformed_claims",
        ),
        (
            "payload not JSON",
            keys()[0].sign_with_header(&json!({"typ": "JWT", "alg": "RS256", "kid": "one"}), "hello"),
            "malformed_claims",
        ),
    ] {
        bench.attack(name, &token, expected);
    }
}

#[test]
fn a_graph_token_is_told_from_a_forged_one_though_neither_verifies() {
    let bench = Bench::new();
    // Graph replaces the nonce by its hash before it checks the signature: to everybody else it does not verify.
    let token = bench.token(|claims| claims["aud"] = json!("https://graph.microsoft.com"));
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    assert_eq!(
        bench.verdict(&format!("{input}.{}", signature.chars().rev().collect::<String>())),
        "token_for_graph"
    );
}

#[test]
fn an_id_token_is_no_access_token() {
    let bench = Bench::new();
    assert_eq!(
        bench.verdict(&keys()[0].sign(&bench.provider.id_claims("n"))),
        "id_token"
    );
    let mut claims = bench.provider.id_claims("n");
    claims["aud"] = json!(API);
    assert_eq!(
        bench.verdict(&keys()[0].sign(&claims)),
        "id_token",
        "of an app that is site and API at once"
    );
    claims["nonce"] = Value::Null;
    assert_eq!(
        bench.verdict(&keys()[0].sign(&claims)),
        "app_only",
        "and without a nonce"
    );
}

#[test]
fn a_remembered_token_is_refused_once_it_has_expired() {
    let bench = Bench::new();
    let token = bench.token(|_| {});
    assert_eq!(bench.verdict(&token), "ok");
    assert!(
        bench
            .validator
            .validate_now(&token)
            .is_some_and(|outcome| outcome.is_ok()),
        "from memory"
    );
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

#[test]
fn the_clock_skew_is_what_the_settings_say() {
    let now = chrono::Utc::now().timestamp();
    for (skew, expired_for, expected) in [(0, 1, "expired"), (300, 290, "ok"), (300, 301, "expired")] {
        let bench = Bench::with(|settings| settings.clock_skew_seconds = skew);
        let token = bench.token(|claims| claims["exp"] = json!(now - expired_for));
        assert_eq!(
            bench.verdict(&token),
            expected,
            "{skew} s of skew, expired for {expired_for} s"
        );
    }
}

#[test]
fn a_remembered_token_ends_with_the_configured_skew() {
    let bench = Bench::with(|settings| settings.clock_skew_seconds = 0);
    let token = bench.token(|claims| claims["exp"] = json!(chrono::Utc::now().timestamp() + 600));
    assert_eq!(bench.verdict(&token), "ok");
    bench.clock.advance(std::time::Duration::from_secs(601));
    assert_eq!(bench.verdict(&token), "expired");
}

#[test]
fn a_listed_tenant_is_taken_if_issuer_and_tid_agree() {
    let bench = Bench::with(|settings| settings.tenants = vec![OTHER_TENANT.to_owned()]);
    let base = bench.provider.url.as_str().trim_end_matches('/').to_owned();
    let third = "88888888-2222-4333-8444-555555555555";
    let issuer = |tenant: &str| json!(format!("{base}/{tenant}/v2.0"));
    let of = |issuer_tenant: &str, tid: &str| {
        bench.token(|claims| {
            claims["iss"] = issuer(issuer_tenant);
            claims["tid"] = json!(tid);
        })
    };
    let principal = bench
        .validator
        .validate(&of(OTHER_TENANT, OTHER_TENANT))
        .expect("a listed tenant");
    assert_eq!(principal.tenant_id().to_string(), OTHER_TENANT);
    assert_eq!(bench.verdict(&of(DEV_TENANT_ID, DEV_TENANT_ID)), "ok");
    bench.attack(
        "listed issuer, own tid",
        &of(OTHER_TENANT, DEV_TENANT_ID),
        "wrong_tenant",
    );
    bench.attack(
        "own issuer, listed tid",
        &of(DEV_TENANT_ID, OTHER_TENANT),
        "wrong_tenant",
    );
    bench.attack("unlisted tenant", &of(third, third), "wrong_issuer");
}

/// A published key with this `issuer`.
fn jwk_of(key: &TestKey, issuer: &str) -> Value {
    let mut jwk = key.jwk();
    jwk["issuer"] = json!(issuer);
    jwk
}

#[test]
fn a_key_whose_issuer_is_another_tenant_verifies_no_token_of_ours() {
    let bench = Bench::new();
    let base = bench.provider.url.as_str().trim_end_matches('/').to_owned();
    let (plain, foreign) = (&keys()[0], &keys()[1]);
    for (name, issuer, expected) in [
        ("a key of this tenant", bench.provider.issuer_v2(), "ok"),
        ("a key of this tenant, v1", bench.provider.issuer_v1(), "ok"),
        ("a key of every tenant", format!("{base}/{{tenantid}}/v2.0"), "ok"),
        (
            "a key of another tenant",
            format!("{base}/{OTHER_TENANT}/v2.0"),
            "unknown_key",
        ),
        (
            "a key of another tenant, v1",
            format!("{base}/{OTHER_TENANT}/"),
            "unknown_key",
        ),
        (
            "a key of another cloud",
            format!("https://login.microsoftonline.us/{DEV_TENANT_ID}/v2.0"),
            "unknown_key",
        ),
        (
            "a key with a template for the host",
            format!("{{tenantid}}/{DEV_TENANT_ID}/v2.0"),
            "unknown_key",
        ),
        ("a key with an empty issuer", String::new(), "unknown_key"),
    ] {
        bench.provider.publish(&[plain.jwk(), jwk_of(foreign, &issuer)]);
        bench.entra.refresh_keys().expect("keys");
        for version in [bench.provider.issuer_v2(), bench.provider.issuer_v1()] {
            let mut claims = bench.provider.access_claims();
            claims["iss"] = json!(version);
            let token = foreign.sign(&claims);
            if expected == "ok" {
                assert_eq!(bench.verdict(&token), "ok", "{name}");
            } else {
                bench.attack(name, &token, expected);
            }
        }
        assert_eq!(
            bench.verdict(&bench.token(|_| {})),
            "ok",
            "{name}: the other key goes on"
        );
    }
}

#[test]
fn of_several_tenants_each_has_its_own_keys() {
    let bench = Bench::with(|settings| settings.tenants = vec![OTHER_TENANT.to_owned()]);
    let base = bench.provider.url.as_str().trim_end_matches('/').to_owned();
    let [ours, theirs] = keys();
    let issuer = |tenant: &str| format!("{base}/{tenant}/v2.0");
    bench.provider.publish(&[
        jwk_of(ours, &issuer(DEV_TENANT_ID)),
        jwk_of(theirs, &issuer(OTHER_TENANT)),
    ]);
    bench.entra.refresh_keys().expect("keys");
    let token = |key: &TestKey, iss: &str, tid: &str| {
        let mut claims = bench.provider.access_claims();
        claims["iss"] = json!(issuer(iss));
        claims["tid"] = json!(tid);
        key.sign(&claims)
    };
    assert_eq!(bench.verdict(&token(ours, DEV_TENANT_ID, DEV_TENANT_ID)), "ok");
    assert_eq!(bench.verdict(&token(theirs, OTHER_TENANT, OTHER_TENANT)), "ok");
    bench.attack(
        "our token by their key",
        &token(theirs, DEV_TENANT_ID, DEV_TENANT_ID),
        "unknown_key",
    );
    bench.attack(
        "their token by our key",
        &token(ours, OTHER_TENANT, OTHER_TENANT),
        "unknown_key",
    );
    bench.attack(
        "their key, their issuer, our tid",
        &token(theirs, OTHER_TENANT, DEV_TENANT_ID),
        "wrong_tenant",
    );
    bench.attack(
        "their key, our issuer, their tid",
        &token(theirs, DEV_TENANT_ID, OTHER_TENANT),
        "unknown_key",
    );
}

#[test]
fn a_key_that_becomes_another_tenants_takes_its_verified_tokens_with_it() {
    let bench = Bench::new();
    let token = keys()[1].sign(&bench.provider.access_claims());
    bench.provider.publish(&[keys()[0].jwk(), keys()[1].jwk()]);
    bench.entra.refresh_keys().expect("keys");
    assert_eq!(bench.verdict(&token), "ok");
    let elsewhere = format!("{}{OTHER_TENANT}/v2.0", bench.provider.url);
    bench
        .provider
        .publish(&[keys()[0].jwk(), jwk_of(&keys()[1], &elsewhere)]);
    bench.entra.refresh_keys().expect("keys");
    bench.attack(
        "a token verified before its key became another tenant's",
        &token,
        "unknown_key",
    );
}

#[test]
fn a_policy_keeps_out_who_does_not_meet_it() {
    let sites = |settings: &mut ApiSettings| settings.allowed_client_apps = vec![SITE.to_owned()];
    let others = |settings: &mut ApiSettings| settings.allowed_client_apps = vec![OTHER_TENANT.to_owned()];
    let certificates =
        |settings: &mut ApiSettings| settings.required_client_auth = blogctl::config::RequiredClientAuth::Certificate;
    let c1 = |settings: &mut ApiSettings| settings.required_acrs = vec!["c1".to_owned()];
    let rows: [(&str, Change, Value, &str); 13] = [
        ("the listed application", sites, json!({}), "ok"),
        ("another application", others, json!({}), "client_app_not_allowed"),
        ("no application", sites, json!({"azp": null}), "client_app_not_allowed"),
        (
            "an application by certificate",
            certificates,
            json!({"azpacr": "2"}),
            "ok",
        ),
        (
            "by certificate, v1",
            certificates,
            json!({"azpacr": null, "appidacr": "2"}),
            "ok",
        ),
        (
            "an application by secret",
            certificates,
            json!({"azpacr": "1"}),
            "client_auth_not_allowed",
        ),
        (
            "a public client",
            certificates,
            json!({"azpacr": "0"}),
            "client_auth_not_allowed",
        ),
        (
            "an application by who knows what",
            certificates,
            json!({"azpacr": null}),
            "client_auth_not_allowed",
        ),
        (
            "secret in v2, certificate in v1",
            certificates,
            json!({"azpacr": "1", "appidacr": "2"}),
            "client_auth_not_allowed",
        ),
        ("the context", c1, json!({"acrs": ["p1", "c1"]}), "ok"),
        (
            "another context",
            c1,
            json!({"acrs": ["c11"], "xms_cc": ["cp1"]}),
            "insufficient_claims",
        ),
        (
            "no context, a capable client",
            c1,
            json!({"xms_cc": ["CP1", "cp1"]}),
            "insufficient_claims",
        ),
        ("no context, a plain client", c1, json!({}), "insufficient_claims"),
    ];
    for (name, change, claims, expected) in rows {
        let bench = Bench::with(change);
        let token = bench.token(|own| {
            for (name, value) in claims.as_object().expect("an object") {
                own[name.as_str()] = value.clone();
            }
        });
        if expected == "ok" {
            assert_eq!(bench.verdict(&token), "ok", "{name}");
        } else {
            bench.attack(name, &token, expected);
        }
        if let Err(error) = bench.validator.validate(&token) {
            let is_challenge = matches!(error, TokenError::ClaimsRequired { .. });
            assert_eq!(
                is_challenge,
                claims["xms_cc"].is_array(),
                "{name}: only who can handle it is challenged"
            );
        }
    }
}

#[test]
fn app_roles_decide_where_they_are_required_and_for_applications_always() {
    let users = |settings: &mut ApiSettings| settings.require_app_roles = true;
    let apps = |settings: &mut ApiSettings| settings.allow_app_only = true;
    let both = |settings: &mut ApiSettings| (settings.require_app_roles, settings.allow_app_only) = (true, true);
    let rows: [(&str, Change, Value, RoleOrCode); 11] = [
        ("a user without need of a role", apps, json!({}), Ok(None)),
        (
            "a reader",
            users,
            json!({"roles": ["Blog.Reader"]}),
            Ok(Some(AppRole::Reader)),
        ),
        (
            "the highest of several",
            users,
            json!({"roles": ["Blog.Admin", "Blog.Reader"]}),
            Ok(Some(AppRole::Admin)),
        ),
        (
            "a user without a role",
            users,
            json!({"roles": null}),
            Err("insufficient_role"),
        ),
        (
            "a user with another role",
            users,
            json!({"roles": ["blog.reader"]}),
            Err("insufficient_role"),
        ),
        (
            "a role, but not the scope",
            users,
            json!({"roles": ["Blog.Admin"], "scp": "x"}),
            Err("insufficient_scope"),
        ),
        (
            "an application",
            users,
            json!({"roles": ["Blog.Admin"], "scp": null}),
            Err("app_only"),
        ),
        (
            "an application with a role",
            apps,
            json!({"roles": ["Blog.Writer"], "scp": null}),
            Ok(Some(AppRole::Writer)),
        ),
        (
            "an application without",
            apps,
            json!({"roles": null, "scp": null}),
            Err("insufficient_role"),
        ),
        (
            "an application, role named as the scope",
            apps,
            json!({"roles": ["access_as_user"], "scp": null}),
            Err("insufficient_role"),
        ),
        (
            "an application with a scope",
            both,
            json!({"roles": null, "idtyp": "app"}),
            Err("insufficient_role"),
        ),
    ];
    for (name, change, claims, expected) in rows {
        let bench = Bench::with(change);
        let token = bench.token(|own| {
            for (name, value) in claims.as_object().expect("an object") {
                own[name.as_str()] = value.clone();
            }
        });
        match expected {
            Ok(role) => assert_eq!(bench.validator.validate(&token).expect(name).app_role(), role, "{name}"),
            Err(code) => bench.attack(name, &token, code),
        }
    }
}
