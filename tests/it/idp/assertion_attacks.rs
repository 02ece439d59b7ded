//! Client assertions that break one rule each, and those that must be accepted.

mod rows;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rows::{ATTACKS, GOOD, NOT_THE_BEST_FORM, now};
use serde_json::json;

use super::{
    client_assertion::{Assertion, of_other_client, unregistered},
    provider::{OTHER_SITE, Provider, SITE},
};

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
fn an_assertion_that_breaks_one_rule_is_rejected() {
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
fn a_time_that_is_text_is_rejected_by_both_modes_with_different_codes() {
    for (provider, code) in [(Provider::start(), 70002), (Provider::lenient(), 50027)] {
        let mut assertion = provider.assertion();
        assertion.claims["exp"] = json!((now() + 300).to_string());
        let answer = provider.token_for_app(&assertion.sign());
        assert_eq!((answer.status, answer.code()), (401, code), "{}", answer.text);
    }
}

#[test]
fn strict_mode_requires_the_recommended_form_and_lenient_mode_does_not() {
    let (strict, lenient) = (Provider::start(), Provider::lenient());
    for (name, change, code, message) in NOT_THE_BEST_FORM {
        let [rejected, taken] = [&strict, &lenient].map(|provider| {
            let mut assertion = provider.assertion();
            change(&mut assertion);
            provider.token_for_app(&assertion.sign())
        });
        assert_eq!(
            (rejected.status, rejected.code()),
            (401, *code),
            "{name}: {}",
            rejected.text
        );
        assert!(
            rejected.text_of("error_description").contains(message),
            "{name}: {}",
            rejected.text
        );
        assert_eq!(taken.status, 200, "{name}: {}", taken.text);
    }
}

#[test]
fn an_assertion_works_once_in_strict_mode_and_repeatedly_otherwise() {
    for (provider, second) in [(Provider::start(), 401), (Provider::lenient(), 200)] {
        let assertion = provider.assertion().sign();
        assert_eq!(provider.token_for_app(&assertion).status, 200);
        let answer = provider.token_for_app(&assertion);
        assert_eq!(answer.status, second, "{}", answer.text);
    }
}

#[test]
fn a_jti_is_used_up_only_for_its_client() {
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
fn an_assertion_that_is_not_a_jwt_is_rejected() {
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
fn a_rejection_names_the_missing_thumbprint() {
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
fn a_rejection_has_the_format_of_entra_and_no_assertion() {
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
fn an_assertion_may_name_the_endpoint_of_the_tenant_or_of_the_request() {
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
        let answer = super::provider::Response::new(crate::support::idp::agent().post(endpoint(asked)).send_form(form));
        let expected = if passes { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{asked} {audience}: {}", answer.text);
    }
}
