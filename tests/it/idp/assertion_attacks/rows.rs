//! The client assertions: those that break one rule each, those that only strict mode rejects, and the valid ones.

use base64::{
    Engine,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::super::{
    client_assertion::{Assertion, expired, not_yet_valid, of_other_client, registered, unregistered},
    provider::OTHER_SITE,
};

pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// Name, the change that breaks one rule, the expected AADSTS code, and a part of the message.
type Attack = (&'static str, fn(&mut Assertion), u64, &'static str);

/// Rejected in both modes.
pub(super) const ATTACKS: &[Attack] = &[
    (
        "algorithm none",
        |a| a.alg = "none",
        5_002_738,
        "'none' is not a supported",
    ),
    (
        "HS256 with the public key as secret",
        |a| a.alg = "HS256",
        5_002_738,
        "'HS256'",
    ),
    ("ES256", |a| a.alg = "ES256", 5_002_738, "'ES256'"),
    ("RS384", |a| a.alg = "RS384", 5_002_738, "'RS384'"),
    (
        "says PS256, is RS256",
        |a| {
            a.alg = "RS256";
            a.header["alg"] = json!("PS256");
        },
        700_027,
        "invalid signature",
    ),
    (
        "algorithm in another case",
        |a| a.header["alg"] = json!("ps256"),
        5_002_738,
        "'ps256'",
    ),
    ("no algorithm", |a| a.header["alg"] = Value::Null, 50027, "malformed"),
    (
        "certificate not registered",
        |a| a.use_certificate(unregistered()),
        700_027,
        "The key was not found",
    ),
    (
        "certificate of another client",
        |a| a.use_certificate(of_other_client()),
        700_027,
        "The key was not found",
    ),
    (
        "signed by another key",
        |a| a.signer = unregistered(),
        700_027,
        "invalid signature",
    ),
    (
        "expired certificate",
        |a| a.use_certificate(expired()),
        700_027,
        "expired",
    ),
    (
        "certificate not yet valid",
        |a| a.use_certificate(not_yet_valid()),
        700_027,
        "not valid yet",
    ),
    (
        "SHA-256 digest in x5t",
        |a| {
            a.remove_header("x5t#S256");
            a.header["x5t"] = json!(URL_SAFE_NO_PAD.encode(registered().sha256()));
        },
        700_027,
        "The key was not found",
    ),
    (
        "two thumbprints, one foreign",
        |a| {
            a.header["x5t"] = json!(URL_SAFE_NO_PAD.encode(unregistered().sha1()));
        },
        700_027,
        "The key was not found",
    ),
    (
        "thumbprint in hex",
        |a| a.header["x5t#S256"] = json!(hex::encode(registered().sha256())),
        700_027,
        "not found",
    ),
    (
        "empty thumbprint",
        |a| a.header["x5t#S256"] = json!(""),
        700_027,
        "The key was not found",
    ),
    (
        "no thumbprint",
        |a| a.remove_header("x5t#S256"),
        5_002_723,
        "thumbprint",
    ),
    (
        "x5c instead of a thumbprint",
        |a| {
            a.remove_header("x5t#S256");
            a.header["x5c"] = json!([registered().der_base64()]);
        },
        5_002_723,
        "thumbprint",
    ),
    (
        "own key in jwk",
        |a| {
            a.signer = unregistered();
            a.header["jwk"] = jwk_of_unregistered();
        },
        700_027,
        "signature",
    ),
    (
        "own key by jku",
        |a| {
            a.signer = unregistered();
            a.header["jku"] = json!("http://localhost:1/keys");
            a.header["x5u"] = json!("http://localhost:1/certificate");
        },
        700_027,
        "signature",
    ),
    (
        "own certificate in x5c",
        |a| {
            a.signer = unregistered();
            a.header["x5c"] = json!([unregistered().der_base64()]);
        },
        700_027,
        "signature",
    ),
    (
        "critical extension",
        |a| {
            a.header["crit"] = json!(["x"]);
            a.header["x"] = json!(1);
        },
        50027,
        "malformed",
    ),
    (
        "audience of another tenant",
        |a| {
            a.claims["aud"] = json!("http://localhost/99999999-2222-4333-8444-555555555555/oauth2/v2.0/token");
        },
        700_023,
        "audience",
    ),
    (
        "audience is the issuer",
        |a| {
            let token_endpoint = a.claims["aud"].as_str().expect("text").to_owned();
            a.claims["aud"] = json!(token_endpoint.replace("/oauth2/v2.0/token", "/v2.0"));
        },
        700_023,
        "audience",
    ),
    (
        "audience with a slash at its end",
        |a| {
            a.claims["aud"] = json!(format!("{}/", a.claims["aud"].as_str().expect("text")));
        },
        700_023,
        "audience",
    ),
    (
        "audience by another name of this machine",
        |a| {
            a.claims["aud"] = json!(
                a.claims["aud"]
                    .as_str()
                    .expect("text")
                    .replace("localhost", "127.0.0.1")
            );
        },
        700_023,
        "audience",
    ),
    (
        "audiences in a list",
        |a| a.claims["aud"] = json!([a.claims["aud"]]),
        90014,
        "'aud'",
    ),
    ("no audience", |a| a.remove_claim("aud"), 90014, "'aud'"),
    (
        "issuer is another client",
        |a| a.claims["iss"] = json!(OTHER_SITE),
        700_021,
        "'iss'",
    ),
    (
        "subject is another client",
        |a| a.claims["sub"] = json!(OTHER_SITE),
        700_021,
        "'sub'",
    ),
    (
        "issuer and subject are another client",
        |a| {
            a.claims["iss"] = json!(OTHER_SITE);
            a.claims["sub"] = json!(OTHER_SITE);
        },
        700_021,
        "client_id",
    ),
    ("no issuer", |a| a.remove_claim("iss"), 90014, "'iss'"),
    ("no subject", |a| a.remove_claim("sub"), 90014, "'sub'"),
    (
        "expired",
        |a| {
            a.claims["nbf"] = json!(now() - 700);
            a.claims["exp"] = json!(now() - 310);
        },
        700_024,
        "time range",
    ),
    (
        "from the future",
        |a| {
            a.claims["nbf"] = json!(now() + 400);
            a.claims["exp"] = json!(now() + 900);
        },
        700_024,
        "time range",
    ),
    (
        "issued in the future",
        |a| {
            a.claims["iat"] = json!(now() + 400);
            a.claims["exp"] = json!(now() + 595);
        },
        700_024,
        "time range",
    ),
    ("no expiry", |a| a.remove_claim("exp"), 90014, "'exp'"),
    (
        "lives two days",
        |a| a.claims["exp"] = json!(now() + 2 * 86400),
        700_024,
        "time range",
    ),
];

/// Rejected in strict mode only: real clients send these, and Entra ID accepts them.
pub(super) const NOT_THE_BEST_FORM: &[Attack] = &[
    (
        "padded thumbprint",
        |a| a.header["x5t#S256"] = json!(URL_SAFE.encode(registered().sha256())),
        70002,
        "padding",
    ),
    (
        "fractional iat",
        |a| a.claims["iat"] = json!(as_float(now()) + 0.5),
        70002,
        "'iat'",
    ),
    (
        "fractional exp",
        |a| a.claims["exp"] = json!(as_float(now() + 300) + 0.5),
        70002,
        "'exp'",
    ),
    ("no nbf", |a| a.remove_claim("nbf"), 90014, "'nbf'"),
    ("no jti", |a| a.remove_claim("jti"), 90014, "'jti'"),
    (
        "lives eleven minutes",
        |a| a.claims["exp"] = json!(now() + 660),
        70002,
        "ten minutes",
    ),
    ("all that MSAL does", Assertion::in_msal_form, 70002, "padding"),
];

/// Name, and a change that keeps the assertion valid.
type Good = (&'static str, fn(&mut Assertion));

/// Accepted in strict mode too.
pub(super) const GOOD: &[Good] = &[
    ("best form", |_| {}),
    ("old form", Assertion::in_old_form),
    ("RS256 with x5t#S256", |a| a.alg = "RS256"),
    ("both thumbprints", |a| {
        a.header["x5t"] = json!(URL_SAFE_NO_PAD.encode(registered().sha1()));
    }),
    ("own chain in x5c", |a| {
        a.header["x5c"] = json!([registered().der_base64()]);
    }),
    ("another certificate in x5c, which is ignored", |a| {
        a.header["x5c"] = json!([unregistered().der_base64()]);
    }),
    ("ten minutes", |a| {
        a.claims["nbf"] = json!(now());
        a.claims["exp"] = json!(now() + 600);
    }),
    ("a clock four minutes ahead", |a| shift(a, 240)),
    ("a clock four minutes behind", |a| shift(a, -540)),
    ("no typ", |a| a.remove_header("typ")),
    ("no iat", |a| a.remove_claim("iat")),
];

fn shift(assertion: &mut Assertion, seconds: i64) {
    for claim in ["iat", "nbf", "exp"] {
        let time = assertion.claims[claim].as_i64().expect("an integer");
        assertion.claims[claim] = json!(time + seconds);
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
fn as_float(seconds: i64) -> f64 {
    seconds as f64
}

fn jwk_of_unregistered() -> Value {
    let rsa = unregistered().key.rsa().expect("RSA");
    let [n, e] = [rsa.n(), rsa.e()].map(|number| URL_SAFE_NO_PAD.encode(number.to_vec()));
    json!({ "kty": "RSA", "n": n, "e": e })
}
