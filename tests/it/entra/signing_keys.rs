//! When signing keys are fetched, counted at the provider, and what the removal of a key invalidates.

mod cache_file;

use std::{collections::BTreeSet, sync::Arc, thread, time::Duration};

use blogctl::{
    config::ApiSettings,
    entra::{AccessTokenValidator, Provider, Rejection, TokenError, clock::Clock, signing_keys::KeyPolicy},
};
use serde_json::json;

use crate::support::{
    entra::{API, ScriptedProvider, ScriptedResponse, keys, wait_until},
    logs,
};

/// A tenant that these tests do not use.
const OTHER_TENANT: &str = "99999999-2222-4333-8444-555555555555";

struct Fixture {
    provider: ScriptedProvider,
    entra: Arc<Provider>,
    validator: AccessTokenValidator,
    clock: Clock,
}

impl Fixture {
    fn new() -> Self {
        let provider = ScriptedProvider::start();
        let clock = Clock::default();
        let entra = Provider::with_policy(&provider.settings(), &[], KeyPolicy::default(), clock.clone());
        let entra = Arc::new(entra.expect("a provider"));
        let settings = ApiSettings {
            client_id: Some(API.to_owned()),
            ..ApiSettings::default()
        };
        let validator = AccessTokenValidator::new(Arc::clone(&entra), &settings);
        Self {
            provider,
            entra,
            validator,
            clock,
        }
    }

    /// A token of the key with this index, valid for three hours.
    fn token(&self, key: usize) -> String {
        let mut claims = self.provider.access_claims();
        let exp = json!(chrono::Utc::now().timestamp() + 3 * 3600);
        claims.as_object_mut().expect("an object").insert("exp".to_owned(), exp);
        keys().get(key).expect("one of two").sign(&claims)
    }

    fn forged(&self, kid: &str) -> String {
        let claims = self.provider.access_claims().to_string();
        keys()[1].sign_with_header(&json!({"typ": "JWT", "alg": "RS256", "kid": kid}), &claims)
    }
}

const UNKNOWN: TokenError = TokenError::Rejected(Rejection::UnknownKey);

#[test]
fn keys_are_fetched_once_for_ten_thousand_requests() {
    let fixture = Fixture::new();
    let token = fixture.token(0);
    assert!(
        fixture.validator.validate_now(&token).is_none(),
        "keys must be fetched first"
    );
    assert!(!fixture.validator.is_ready());
    fixture.validator.validate(&token).expect("valid");
    assert!(fixture.validator.is_ready());
    for _ in 0..10_000 {
        assert!(
            fixture
                .validator
                .validate_now(&token)
                .is_some_and(|outcome| outcome.is_ok())
        );
    }
    let script = fixture.provider.script();
    assert_eq!((script.discoveries, script.key_fetches), (1, 1));
}

#[test]
fn a_token_of_a_new_key_causes_a_fetch() {
    let fixture = Fixture::new();
    fixture.validator.prepare().expect("keys");
    fixture.provider.publish(&[keys()[0].jwk(), keys()[1].jwk()]);
    let token = fixture.token(1);
    assert!(fixture.validator.validate_now(&token).is_none(), "a fetch must tell");
    fixture.validator.validate(&token).expect("accepted after the fetch");
}

#[test]
fn invented_kids_cause_one_fetch_for_all_callers() {
    let fixture = Fixture::new();
    fixture.validator.prepare().expect("keys");
    thread::scope(|scope| {
        for n in 0..16 {
            let fixture = &fixture;
            scope.spawn(move || {
                for m in 0..20 {
                    let rejected = fixture
                        .validator
                        .validate(&fixture.forged(&format!("invented {n} {m}")));
                    assert_eq!(rejected.expect_err("rejected"), UNKNOWN);
                }
            });
        }
    });
    assert_eq!(fixture.provider.script().key_fetches, 2);
    let rejected = fixture.validator.validate_now(&fixture.forged("one more"));
    assert_eq!(rejected.expect("without a fetch").expect_err("rejected"), UNKNOWN);
}

#[test]
fn malformed_tokens_cause_no_fetch() {
    let fixture = Fixture::new();
    for (token, rejection) in [
        ("", Rejection::Malformed),
        ("a.b.c", Rejection::Malformed),
        ("e30.e30.e30", Rejection::WrongAlgorithm),
    ] {
        let expected = TokenError::Rejected(rejection);
        assert_eq!(
            fixture.validator.validate_now(token).expect("without a fetch").err(),
            Some(expected.clone()),
            "{token}"
        );
        assert_eq!(fixture.validator.validate(token).err(), Some(expected), "{token}");
    }
    assert_eq!(fixture.provider.script().key_fetches, 0);
}

#[test]
fn a_removed_key_and_its_cached_tokens_stop_working_at_the_next_refresh() {
    let fixture = Fixture::new();
    fixture.provider.publish(&[keys()[0].jwk(), keys()[1].jwk()]);
    let (removed, kept) = (fixture.token(0), fixture.token(1));
    for token in [&removed, &kept] {
        fixture.validator.validate(token).expect("valid");
    }
    fixture.provider.publish(&[keys()[1].jwk()]);
    fixture
        .validator
        .validate(&removed)
        .expect("not known to be removed yet");
    fixture.entra.refresh_keys().expect("refreshed");
    assert_eq!(fixture.validator.validate(&removed).expect_err("rejected"), UNKNOWN);
    fixture.validator.validate(&kept).expect("verified anew with its key");
}

#[test]
fn keys_an_hour_old_are_refreshed_in_the_background() {
    let fixture = Fixture::new();
    let token = fixture.token(0);
    fixture.validator.validate(&token).expect("valid");
    fixture.provider.publish(&[keys()[1].jwk()]);
    fixture.clock.advance(Duration::from_mins(67));
    assert!(
        fixture
            .validator
            .validate_now(&token)
            .is_some_and(|outcome| outcome.is_ok()),
        "no request waits for the refresh"
    );
    wait_until("the refresh", || fixture.validator.validate_now(&token).is_none());
    assert_eq!(fixture.provider.script().key_fetches, 2);
}

#[test]
fn known_keys_outlive_an_outage_shorter_than_a_day() {
    let fixture = Fixture::new();
    let token = fixture.token(0);
    fixture.validator.validate(&token).expect("valid");
    fixture.provider.script().jwks = ScriptedResponse::with_status(503, &json!({}));
    fixture.entra.refresh_keys().expect_err("down");
    fixture.validator.validate(&token).expect("still valid");
    let unknown = fixture
        .validator
        .validate(&fixture.token(1))
        .expect_err("not known to be unknown");
    assert_eq!(unknown, TokenError::KeysUnavailable);
    fixture.clock.advance(Duration::from_hours(24));
    assert_eq!(
        fixture.validator.validate(&token).expect_err("too old"),
        TokenError::KeysUnavailable
    );
    assert!(!fixture.validator.is_ready());
}

#[test]
fn a_response_that_is_not_the_providers_key_set_is_rejected() {
    let elsewhere = ScriptedProvider::start();
    let redirect = format!("Location: {}keys\r\n", elsewhere.url).leak();
    for (name, answer) in [
        (
            "redirect",
            ScriptedResponse {
                status: 302,
                headers: redirect,
                body: String::new(),
            },
        ),
        (
            "error",
            ScriptedResponse::with_status(500, &json!({"keys": [keys()[0].jwk()]})),
        ),
        (
            "page",
            ScriptedResponse {
                status: 200,
                headers: "Content-Type: text/html\r\n",
                body: "<html>".to_owned(),
            },
        ),
        (
            "too long",
            ScriptedResponse::json(&json!({"keys": [keys()[0].jwk()], "x": "x".repeat(1_100_000)})),
        ),
    ] {
        let fixture = Fixture::new();
        fixture.provider.script().jwks = answer;
        assert_eq!(fixture.validator.prepare(), Err(TokenError::KeysUnavailable), "{name}");
        assert_eq!(
            fixture.validator.validate(&fixture.token(0)).expect_err("no keys"),
            TokenError::KeysUnavailable
        );
    }
    assert_eq!(elsewhere.script().key_fetches, 0, "redirects are not followed");
}

/// Valid key sets without a key that can verify our tokens.
fn useless_key_sets(provider: &ScriptedProvider) -> Vec<(&'static str, ScriptedResponse)> {
    let with = |name: &str, value: serde_json::Value| {
        let mut jwk = keys()[0].jwk();
        jwk.as_object_mut().expect("an object").insert(name.to_owned(), value);
        ScriptedResponse::json(&json!({ "keys": [jwk] }))
    };
    vec![
        ("no keys", ScriptedResponse::json(&json!({ "keys": [] }))),
        ("a key of another type", with("kty", json!("EC"))),
        ("a key for encryption", with("use", json!("enc"))),
        ("a key for another algorithm", with("alg", json!("PS256"))),
        ("a key without kid", with("kid", json!(null))),
        ("a key that is broken", with("n", json!("AQAB"))),
        (
            "a key of another tenant",
            with("issuer", json!(format!("{}{OTHER_TENANT}/v2.0", provider.url))),
        ),
        (
            "not objects",
            ScriptedResponse::json(&json!({ "keys": [null, 1, "x", []] })),
        ),
    ]
}

#[test]
fn a_key_set_without_a_usable_key_keeps_the_keys_in_use_and_is_retried() {
    logs::capture();
    let fixture = Fixture::new();
    let (known, new) = (fixture.token(0), fixture.token(1));
    fixture.validator.validate(&known).expect("valid");
    for (name, answer) in useless_key_sets(&fixture.provider) {
        fixture.provider.script().jwks = answer;
        let fetches = fixture.provider.script().key_fetches;
        fixture.clock.advance(Duration::from_mins(5));
        for _ in 0..20 {
            fixture.validator.validate(&known).expect(name);
            assert_eq!(
                fixture.validator.validate(&new).expect_err("not known yet"),
                TokenError::KeysUnavailable,
                "{name}"
            );
        }
        assert_eq!(
            fixture.provider.script().key_fetches,
            fetches + 1,
            "{name}: not one for each request"
        );
        assert!(fixture.validator.is_ready(), "{name}");
    }
    let port = format!("localhost:{}/", fixture.provider.url.port().expect("a port"));
    let mut warnings = logs::containing(&port);
    warnings.retain(|line| line.starts_with("WARN the signing keys"));
    let distinct: BTreeSet<_> = warnings.iter().collect();
    assert!(
        !warnings.is_empty() && distinct.len() == warnings.len(),
        "each reason is logged once, not for each request: {warnings:#?}"
    );
    fixture.provider.publish(&[keys()[0].jwk(), keys()[1].jwk()]);
    fixture.clock.advance(Duration::from_mins(1));
    fixture.validator.validate(&new).expect("fetched again");
}

#[test]
fn a_first_key_set_without_a_usable_key_makes_the_api_unready() {
    for (name, answer) in useless_key_sets(&ScriptedProvider::start()) {
        // Each provider has its own port, so the issuer of another tenant there is foreign here as well.
        let fixture = Fixture::new();
        fixture.provider.script().jwks = answer;
        assert_eq!(fixture.validator.prepare(), Err(TokenError::KeysUnavailable), "{name}");
        assert!(!fixture.validator.is_ready(), "{name}");
        assert_eq!(
            fixture.validator.validate(&fixture.token(0)).expect_err(name),
            TokenError::KeysUnavailable,
            "{name}"
        );
        fixture.provider.publish(&[keys()[0].jwk()]);
        fixture.clock.advance(Duration::from_secs(1));
        fixture.validator.validate(&fixture.token(0)).expect(name);
        assert!(fixture.validator.is_ready(), "{name}");
    }
}

#[test]
fn a_configured_jwks_uri_overrides_the_discovered_one() {
    let provider = ScriptedProvider::start();
    let mut settings = provider.settings();
    settings.jwks_uri = Some(provider.url.join("/elsewhere/keys?appid=c11e&x=y").expect("a URL"));
    provider
        .script()
        .discovery
        .insert("jwks_uri", json!("http://localhost:1/keys"));
    let entra = Arc::new(Provider::new(&settings).expect("a provider"));
    let settings = ApiSettings {
        client_id: Some(API.to_owned()),
        ..ApiSettings::default()
    };
    let validator = AccessTokenValidator::new(entra, &settings);
    validator
        .validate(&keys()[0].sign(&provider.access_claims()))
        .expect("valid");
    assert_eq!(provider.script().discoveries, 0);
    assert_eq!(
        provider.script().key_query.as_deref(),
        Some("appid=c11e&x=y"),
        "as it was set"
    );
}
