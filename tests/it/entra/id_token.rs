//! Attacks on ID tokens, through a sign-in.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use blogctl::{
    config::DEV_TENANT_ID,
    entra::{confidential_client::SignInError, id_token::IdTokenError},
};
use serde_json::{Value, json};

use super::sign_in::{Fixture, NONCE};
use crate::support::{
    attacks::record,
    entra::{ALICE, API, SITE, TestKey, keys, rsa_key},
};

const OTHER_TENANT: &str = "99999999-2222-4333-8444-555555555555";

/// Why a sign-in with this ID token is rejected; empty if it succeeds.
fn outcome(fixture: &Fixture, id_token: &str) -> String {
    fixture.answer_with(id_token);
    match fixture.redeem() {
        Ok(_) => String::new(),
        Err(SignInError::IdToken(error)) => error.to_string(),
        Err(other) => unreachable!("another error: {other}"),
    }
}

#[test]
fn each_wrong_claim_is_rejected_for_its_own_reason() {
    let fixture = Fixture::new();
    let now = chrono::Utc::now().timestamp();
    let host = fixture.provider.url.as_str();
    let (malformed, issuer) = (
        "its claims are incomplete or of the wrong types",
        "its iss is not this tenant",
    );
    let (audience, nonce) = (
        "its aud is not this application's client id",
        "its nonce is not the one of this sign-in",
    );
    let early = "it is not valid yet: compare the clocks";
    for (name, claim, value, expected) in [
        ("good", "name", json!("Alice"), ""),
        ("without nbf", "nbf", Value::Null, ""),
        ("expired within the leeway", "exp", json!(now - 30), ""),
        ("issued within the leeway", "iat", json!(now + 30), ""),
        ("issuer missing", "iss", Value::Null, malformed),
        (
            "issuer of another tenant",
            "iss",
            json!(format!("{host}{OTHER_TENANT}/v2.0")),
            issuer,
        ),
        ("v1 issuer", "iss", json!(fixture.provider.issuer_v1()), issuer),
        (
            "issuer with a slash",
            "iss",
            json!(format!("{}/", fixture.provider.issuer_v2())),
            issuer,
        ),
        ("audience missing", "aud", Value::Null, malformed),
        ("audience another application", "aud", json!(API), audience),
        ("audience a list", "aud", json!([SITE]), malformed),
        ("audience in capitals", "aud", json!(SITE.to_uppercase()), audience),
        (
            "audience with something behind",
            "aud",
            json!(format!("{SITE}0")),
            audience,
        ),
        ("tenant missing", "tid", Value::Null, malformed),
        (
            "another tenant",
            "tid",
            json!(OTHER_TENANT),
            "its tid is not this tenant",
        ),
        (
            "tenant not a GUID",
            "tid",
            json!(format!("{{{DEV_TENANT_ID}}}")),
            "its tid is not this tenant",
        ),
        ("object missing", "oid", Value::Null, malformed),
        (
            "object not a GUID",
            "oid",
            json!("alice@contoso.example"),
            "its oid is not a GUID",
        ),
        ("subject missing", "sub", Value::Null, malformed),
        ("expiry missing", "exp", Value::Null, malformed),
        ("expired", "exp", json!(now - 61), "it has expired"),
        ("expiry a fraction", "exp", json!(4e9), malformed),
        ("time of issue missing", "iat", Value::Null, malformed),
        ("issued in the future", "iat", json!(now + 90), early),
        ("not yet valid", "nbf", json!(now + 90), early),
        ("nonce missing", "nonce", Value::Null, malformed),
        ("nonce empty", "nonce", json!(""), nonce),
        ("nonce of another sign-in", "nonce", json!("another"), nonce),
        ("nonce a prefix", "nonce", json!(&NONCE[..NONCE.len() - 1]), nonce),
        (
            "nonce with something behind",
            "nonce",
            json!(format!("{NONCE} ")),
            nonce,
        ),
    ] {
        let mut claims = fixture.provider.id_claims(NONCE);
        claims[claim] = value;
        let outcome = outcome(&fixture, &keys()[0].sign(&claims));
        if !expected.is_empty() {
            record("ID token", name, !outcome.is_empty());
        }
        assert_eq!(outcome, expected, "{name}");
    }
}

#[test]
fn each_wrong_signature_is_rejected() {
    let fixture = Fixture::new();
    let claims = fixture.provider.id_claims(NONCE);
    let stranger = TestKey {
        kid: "one",
        key: rsa_key(2048),
    };
    let good = keys()[0].sign(&claims);
    let (input, _) = good.rsplit_once('.').expect("three parts");
    let unsigned = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "kid": "one"}).to_string());
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    let (signature, algorithm) = ("its signature is not valid", "its alg is not RS256");
    let shape = "it is not a signed JWT of three base64url parts";
    for (name, token, expected) in [
        ("good", good.clone(), ""),
        ("another key under the same kid", stranger.sign(&claims), signature),
        ("truncated", good[..good.len() - 4].to_owned(), signature),
        ("none", format!("{unsigned}.{payload}.e30"), algorithm),
        ("none, no signature", format!("{unsigned}.{payload}."), shape),
        (
            "HS256 with the public key",
            keys()[0].sign_hs256_with_public_key(&claims),
            algorithm,
        ),
        ("PS256", keys()[0].sign_ps256(&claims), algorithm),
        ("RS512", keys()[0].sign_rs512(&claims), algorithm),
        ("unsigned", format!("{input}."), shape),
        ("empty", String::new(), shape),
        (
            "no kid",
            keys()[0].sign_with_header(&json!({"typ": "JWT", "alg": "RS256"}), &claims.to_string()),
            "its header has no kid",
        ),
    ] {
        let outcome = outcome(&fixture, &token);
        if !expected.is_empty() {
            record("ID token", name, !outcome.is_empty());
        }
        assert_eq!(outcome, expected, "{name}");
    }
}

#[test]
fn a_new_key_is_fetched_and_an_unknown_one_rejected() {
    let fixture = Fixture::new();
    let claims = fixture.provider.id_claims(NONCE);
    assert_eq!(outcome(&fixture, &keys()[0].sign(&claims)), "");
    fixture.provider.publish(&[keys()[0].jwk(), keys()[1].jwk()]);
    assert_eq!(outcome(&fixture, &keys()[1].sign(&claims)), "");
    let unknown = keys()[0].sign_with_header(
        &json!({"typ": "JWT", "alg": "RS256", "kid": "three"}),
        &claims.to_string(),
    );
    assert_eq!(
        outcome(&fixture, &unknown),
        "its kid names no signing key of this tenant"
    );
    assert_eq!(fixture.provider.script().key_fetches, 2);
}

#[test]
fn a_response_without_an_id_token_signs_nobody_in() {
    let fixture = Fixture::new();
    fixture.answer(&json!({"token_type": "Bearer", "expires_in": 60, "access_token": "a"}));
    let error = fixture.redeem().expect_err("rejected");
    assert!(matches!(error, SignInError::IdToken(IdTokenError::Absent)), "{error}");
}

#[test]
fn a_pending_sign_in_without_nonce_matches_no_token() {
    let fixture = Fixture::new();
    fixture.answer_with(&keys()[0].sign(&fixture.provider.id_claims("")));
    let pending = blogctl::entra::PendingSignIn {
        nonce: String::new(),
        code_verifier: "v".repeat(43).into(),
    };
    let error = fixture
        .client
        .redeem_code(&"the code".into(), &pending)
        .expect_err("rejected");
    assert!(
        matches!(error, SignInError::IdToken(IdTokenError::WrongNonce)),
        "{error}"
    );
}

#[test]
fn a_user_is_identified_by_tenant_and_object_id() {
    let fixture = Fixture::new();
    let mut claims = fixture.provider.id_claims(NONCE);
    claims["email"] = json!("victim@contoso.example");
    fixture.answer_with(&keys()[0].sign(&claims));
    let user = fixture.redeem().expect("signed in").user;
    assert_eq!(
        (user.tenant_id.to_string().as_str(), user.object_id.to_string().as_str()),
        (DEV_TENANT_ID, ALICE)
    );
    assert_eq!(user.email.as_deref(), Some("victim@contoso.example"), "for display");
}

#[test]
fn a_key_whose_issuer_is_another_tenant_verifies_no_id_token_of_ours() {
    let fixture = Fixture::new();
    let base = fixture.provider.url.as_str().trim_end_matches('/').to_owned();
    let unknown = "its kid names no signing key of this tenant";
    for (name, issuer, expected) in [
        ("a key of this tenant", fixture.provider.issuer_v2(), ""),
        ("a key of every tenant", format!("{base}/{{tenantid}}/v2.0"), ""),
        (
            "a key of another tenant",
            format!("{base}/{OTHER_TENANT}/v2.0"),
            unknown,
        ),
        (
            "a key of another host",
            format!("https://login.microsoftonline.com/{DEV_TENANT_ID}/v2.0"),
            unknown,
        ),
    ] {
        let mut jwk = keys()[1].jwk();
        jwk["issuer"] = json!(issuer);
        fixture.provider.publish(&[keys()[0].jwk(), jwk]);
        fixture.refresh_keys();
        let outcome = outcome(&fixture, &keys()[1].sign(&fixture.provider.id_claims(NONCE)));
        if !expected.is_empty() {
            record("ID token", name, !outcome.is_empty());
        }
        assert_eq!(outcome, expected, "{name}");
    }
}
