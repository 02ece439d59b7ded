//! Client assertions that break one rule each, and those that must pass.

use base64::{
    Engine,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::{
    client_assertion::{Assertion, expired, not_yet_valid, of_other_client, registered, unregistered},
    provider::{OTHER_SITE, Provider, SITE},
};

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// What breaks one rule, the AADSTS number expected, and a piece of the message.
type Attack = (&'static str, fn(&mut Assertion), u64, &'static str);

/// Refused whether strict or not.
const ATTACKS: &[Attack] = &[
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
        "x5c in place of a thumbprint",
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
        "issuer is somebody else",
        |a| a.claims["iss"] = json!(OTHER_SITE),
        700_021,
        "'iss'",
    ),
    (
        "subject is somebody else",
        |a| a.claims["sub"] = json!(OTHER_SITE),
        700_021,
        "'sub'",
    ),
    (
        "issuer and subject are somebody else",
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
        "expiry as text",
        |a| a.claims["exp"] = json!((now() + 300).to_string()),
        50027,
        "malformed",
    ),
    (
        "lives two days",
        |a| a.claims["exp"] = json!(now() + 2 * 86400),
        700_024,
        "time range",
    ),
];

/// Refused in strict mode only: real clients send these, and Entra takes them.
const NOT_THE_BEST_FORM: &[Attack] = &[
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

/// What is different, and still good.
type Good = (&'static str, fn(&mut Assertion));

/// Passes in strict mode too.
const GOOD: &[Good] = &[
    ("best form", |_| {}),
    ("old form", Assertion::in_old_form),
    ("RS256 with x5t#S256", |a| a.alg = "RS256"),
    ("both thumbprints", |a| {
        a.header["x5t"] = json!(URL_SAFE_NO_PAD.encode(registered().sha1()))
    }),
    ("own chain in x5c", |a| {
        a.header["x5c"] = json!([registered().der_base64()])
    }),
    ("somebody else's certificate in x5c, which counts for nothing", |a| {
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

#[test]
fn a_good_assertion_passes() {
    for provider in [Provider::start(), Provider::lenient()] {
        for (name, change) in GOOD {
            let mut assertion = provider.assertion();
            change(&mut assertion);
            let answer = provider.token_for_app(&assertion.sign());
            assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        }
    }
}

#[test]
fn an_assertion_that_breaks_one_rule_is_refused() {
    for provider in [Provider::start(), Provider::lenient()] {
        for (name, change, code, message) in ATTACKS {
            let mut assertion = provider.assertion();
            change(&mut assertion);
            let answer = provider.token_for_app(&assertion.sign());
            assert_eq!(
                (answer.status, answer.text_of("error").as_str()),
                (401, "invalid_client"),
                "{name}: {}",
                answer.text
            );
            assert_eq!(answer.code(), *code, "{name}: {}", answer.text);
            let description = answer.text_of("error_description");
            assert!(
                description.starts_with(&format!("AADSTS{}: ", answer.code())),
                "{name}: {description}"
            );
            assert!(description.contains(message), "{name}: {description}");
        }
    }
}

#[test]
fn strict_mode_demands_the_best_form_and_entras_own_measure_does_not() {
    let (strict, lenient) = (Provider::start(), Provider::lenient());
    for (name, change, code, message) in NOT_THE_BEST_FORM {
        let [refused, taken] = [&strict, &lenient].map(|provider| {
            let mut assertion = provider.assertion();
            change(&mut assertion);
            provider.token_for_app(&assertion.sign())
        });
        assert_eq!(
            (refused.status, refused.code()),
            (401, *code),
            "{name}: {}",
            refused.text
        );
        assert!(
            refused.text_of("error_description").contains(message),
            "{name}: {}",
            refused.text
        );
        assert_eq!(taken.status, 200, "{name}: {}", taken.text);
    }
}

#[test]
fn an_assertion_is_good_for_one_request_in_strict_mode_and_for_several_otherwise() {
    for (provider, second) in [(Provider::start(), 401), (Provider::lenient(), 200)] {
        let assertion = provider.assertion().sign();
        assert_eq!(provider.token_for_app(&assertion).status, 200);
        let answer = provider.token_for_app(&assertion);
        assert_eq!(answer.status, second, "{}", answer.text);
    }
}

#[test]
fn a_jti_counts_as_used_for_the_client_that_used_it_only() {
    let provider = Provider::start();
    let scope = "api://older/.default";
    let fields = [("grant_type", "client_credentials"), ("scope", scope)];
    let mut own = provider.assertion();
    own.claims["jti"] = json!("the same");
    assert_eq!(provider.token_with(&own.sign(), &fields).status, 200);
    let mut other = Assertion::good(OTHER_SITE, &provider.url("oauth2/v2.0/token"));
    other.use_certificate(of_other_client());
    other.claims["jti"] = json!("the same");
    let answer = provider.token_of(OTHER_SITE, &other.sign(), &fields);
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[test]
fn what_is_not_a_jwt_is_refused() {
    let provider = Provider::lenient();
    let good = provider.assertion().sign();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts")
    };
    for (name, bad, code) in [
        ("no dots", "abc".to_owned(), 50027),
        ("two parts", format!("{header}.{claims}"), 50027),
        ("four parts", format!("{good}.{signature}"), 50027),
        ("not base64url", format!("{header}.{claims}.%%%"), 50027),
        (
            "not JSON",
            format!("{}.{claims}.{signature}", URL_SAFE_NO_PAD.encode("{")),
            50027,
        ),
        (
            "not an object",
            format!("{}.{claims}.{signature}", URL_SAFE_NO_PAD.encode("[]")),
            50027,
        ),
        (
            "signature cut",
            format!("{header}.{claims}.{}", &signature[4..]),
            700_027,
        ),
        ("no signature", format!("{header}.{claims}."), 700_027),
        ("very long", "a".repeat(100_000), 50027),
    ] {
        let answer = provider.token_for_app(&bad);
        assert_eq!((answer.status, answer.code()), (401, code), "{name}: {}", answer.text);
    }
}

#[test]
fn a_refusal_names_the_thumbprint_that_was_looked_for() {
    let provider = Provider::start();
    let mut assertion = provider.assertion();
    assertion.use_certificate(unregistered());
    let description = provider.token_for_app(&assertion.sign()).text_of("error_description");
    assert!(
        description.contains(&format!("'{}'", hex::encode_upper(unregistered().sha256()))),
        "{description}"
    );
}

#[test]
fn a_refusal_has_entras_shape_and_holds_no_assertion() {
    let provider = Provider::start();
    let mut assertion = provider.assertion();
    assertion.use_certificate(unregistered());
    let assertion = assertion.sign();
    let answer = provider.token_for_app(&assertion);
    let body = answer.json();
    for field in [
        "error",
        "error_description",
        "timestamp",
        "trace_id",
        "correlation_id",
        "error_uri",
    ] {
        assert!(body[field].is_string(), "{field}: {body}");
    }
    let description = answer.text_of("error_description");
    for field in ["trace_id", "correlation_id", "timestamp"] {
        assert!(description.contains(&answer.text_of(field)), "{field}: {description}");
    }
    assert!(!answer.text.contains(&assertion[..40]), "{}", answer.text);
    assert_eq!(answer.header("Cache-Control"), "no-store");
}

#[test]
fn an_assertion_may_be_for_the_tenants_endpoint_or_the_one_that_was_asked() {
    let provider = Provider::start();
    let endpoint = |tenant: &str| provider.server.url(&format!("/{tenant}/oauth2/v2.0/token"));
    let tenant = provider.settings.idp.tenant_id.clone();
    for (asked, audience, passes) in [
        ("common", "common", true),
        ("common", tenant.as_str(), true),
        ("contoso.example", tenant.as_str(), true),
        ("organizations", "common", false),
        (tenant.as_str(), "common", false),
    ] {
        let assertion = Assertion::good(SITE, &endpoint(audience)).sign();
        let form = [
            ("client_id", SITE),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &assertion),
            ("grant_type", "client_credentials"),
            ("scope", "api://older/.default"),
        ];
        let answer = super::provider::Answer::of(crate::support::idp::agent().post(endpoint(asked)).send_form(form));
        let expected = if passes { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{asked} {audience}: {}", answer.text);
    }
}

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
