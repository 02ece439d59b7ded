//! Discovery over HTTP: which documents are accepted, cached and fetched again.

use std::{net::TcpListener, sync::Arc, thread, time::Duration};

use blogctl::{
    config::{EntraSettings, Environment},
    entra::{Provider, ProviderError, clock::Clock, signing_keys::KeyPolicy},
};
use serde_json::json;
use url::Url;

use crate::support::entra::ScriptedProvider;

#[test]
fn endpoints_are_discovered_once_a_day() {
    let scripted = ScriptedProvider::start();
    let clock = Clock::default();
    let provider =
        Provider::with_policy(&scripted.settings(), &[], KeyPolicy::default(), clock.clone()).expect("a provider");
    for _ in 0..10 {
        let metadata = provider.metadata().expect("discovered");
        assert_eq!(metadata.token_endpoint.as_str(), scripted.token_endpoint());
    }
    assert_eq!(scripted.script().discoveries, 1);
    clock.advance(Duration::from_hours(24));
    provider.metadata().expect("discovered");
    assert_eq!(scripted.script().discoveries, 2);
}

#[test]
fn concurrent_first_requests_share_one_discovery() {
    let scripted = ScriptedProvider::start();
    let provider = Arc::new(Provider::new(&scripted.settings()).expect("a provider"));
    thread::scope(|scope| {
        for _ in 0..16 {
            let provider = &provider;
            scope.spawn(move || provider.metadata().expect("discovered"));
        }
    });
    assert_eq!(scripted.script().discoveries, 1);
}

#[test]
fn known_endpoints_stay_when_discovery_returns_wrong_ones() {
    let scripted = ScriptedProvider::start();
    let clock = Clock::default();
    let provider =
        Provider::with_policy(&scripted.settings(), &[], KeyPolicy::default(), clock.clone()).expect("a provider");
    provider.metadata().expect("discovered");
    scripted
        .script()
        .discovery
        .insert("issuer", json!("https://evil.example/v2.0"));
    scripted
        .script()
        .discovery
        .insert("token_endpoint", json!("https://evil.example/token"));
    clock.advance(Duration::from_hours(25));
    for _ in 0..5 {
        let metadata = provider.metadata().expect("what was known");
        assert_eq!(metadata.token_endpoint.as_str(), scripted.token_endpoint());
    }
    assert_eq!(scripted.script().discoveries, 2, "and it is not asked each time");
}

#[test]
fn another_issuer_is_rejected() {
    let scripted = ScriptedProvider::start();
    scripted
        .script()
        .discovery
        .insert("issuer", json!("https://evil.example/v2.0"));
    let provider = Provider::new(&scripted.settings()).expect("a provider");
    let error = provider.metadata().expect_err("rejected");
    assert!(
        matches!(&error, ProviderError::Issuer { found, .. } if found == "https://evil.example/v2.0"),
        "{error}"
    );
}

#[test]
fn an_endpoint_over_plain_http_beyond_loopback_is_rejected() {
    let scripted = ScriptedProvider::start();
    scripted
        .script()
        .discovery
        .insert("token_endpoint", json!("http://login.example/token"));
    let provider = Provider::new(&scripted.settings()).expect("a provider");
    assert!(matches!(
        provider.metadata(),
        Err(ProviderError::Insecure {
            name: "token_endpoint",
            ..
        })
    ));
}

#[test]
fn a_provider_that_never_answers_times_out() {
    // Accepts connections into its backlog and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://127.0.0.1:{}", silent.local_addr().expect("bound").port());
    let settings = EntraSettings {
        tenant_id: "11111111-2222-4333-8444-555555555555".to_owned(),
        authority_host: Some(Url::parse(&url).expect("a URL")),
        timeout: Duration::from_millis(100),
        ..EntraSettings::default()
    };
    let provider = Provider::new(&settings).expect("a provider");
    assert!(matches!(provider.metadata(), Err(ProviderError::Unreachable { .. })));
}

#[test]
fn in_development_a_discovered_endpoint_may_use_plain_http() {
    let scripted = ScriptedProvider::start();
    scripted
        .script()
        .discovery
        .insert("jwks_uri", json!("http://idp:9000/keys"));
    let settings = EntraSettings {
        environment: Environment::Development,
        ..scripted.settings()
    };
    let provider = Provider::new(&settings).expect("a provider");
    assert_eq!(
        provider.metadata().expect("metadata").jwks_uri.as_str(),
        "http://idp:9000/keys"
    );
}

#[test]
fn a_jwks_uri_over_plain_http_on_another_host_is_for_development() {
    let settings = EntraSettings {
        jwks_uri: Some(Url::parse("http://keys.example/").expect("a URL")),
        environment: Environment::Development,
        ..ScriptedProvider::start().settings()
    };
    assert!(Provider::new(&settings).is_ok());
}

#[test]
fn a_jwks_uri_over_plain_http_beyond_loopback_is_rejected() {
    let mut settings = ScriptedProvider::start().settings();
    settings.jwks_uri = Some(Url::parse("http://keys.example/").expect("a URL"));
    assert!(matches!(
        Provider::new(&settings),
        Err(ProviderError::Insecure {
            name: "entra.jwks_uri",
            ..
        })
    ));
}
