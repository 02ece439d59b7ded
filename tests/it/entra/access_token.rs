//! Attacks on access tokens: each breaks one rule of an otherwise valid token.

mod claims;
mod forgeries;
mod policies;
mod tenants;

use std::sync::Arc;

use blogctl::{
    config::{ApiSettings, DEV_TENANT_ID},
    entra::{
        AccessTokenValidator, Principal, PrincipalKind, Provider, TokenError, clock::Clock, signing_keys::KeyPolicy,
    },
};
use serde_json::{Value, json};

use crate::support::{
    attacks,
    entra::{ALICE, API, SITE, ScriptedProvider, keys},
};

const OTHER_TENANT: &str = "99999999-2222-4333-8444-555555555555";

pub(super) struct Fixture {
    pub(super) provider: ScriptedProvider,
    pub(super) validator: AccessTokenValidator,
    entra: Arc<Provider>,
    clock: Clock,
}

impl Fixture {
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

    /// The result of both ways of validation, as a code.
    fn outcome(&self, token: &str) -> String {
        let now = self.validator.validate_now(token).map(|outcome| code(&outcome));
        let blocking = code(&self.validator.validate(token));
        assert!(now.is_none_or(|now| now == blocking), "both ways agree");
        blocking
    }

    /// Tries an attack, which must be rejected for exactly this reason.
    #[track_caller]
    fn attack(&self, name: &str, token: &str, expected: &str) {
        let outcome = self.outcome(token);
        attacks::record("access tokens", name, outcome != "ok");
        assert_eq!(outcome, expected, "{name}");
    }
}

fn code(outcome: &Result<Arc<Principal>, TokenError>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(TokenError::Rejected(rejection)) => rejection.code().to_owned(),
        Err(TokenError::Forbidden(forbidden)) => forbidden.code().to_owned(),
        Err(TokenError::ClaimsRequired { .. }) => "insufficient_claims".to_owned(),
        Err(TokenError::InsufficientScope { .. }) => "insufficient_scope".to_owned(),
        Err(TokenError::KeysUnavailable) => "keys_unavailable".to_owned(),
    }
}

#[test]
fn a_v2_token_makes_a_principal_of_what_it_says() {
    let fixture = Fixture::new();
    let principal = fixture
        .validator
        .validate(&fixture.token(|_| {}))
        .expect("a valid token");
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
    let fixture = Fixture::new();
    let issuer = fixture.provider.issuer_v1();
    let token = fixture.token(|claims| {
        claims["iss"] = json!(issuer);
        claims["aud"] = json!("https://api.contoso.example/blog");
        claims["appid"] = claims["azp"].take();
        claims["upn"] = claims["preferred_username"].take();
    });
    let principal = fixture.validator.validate(&token).expect("a valid token");
    assert_eq!(principal.app_id().map(|id| id.to_string()).as_deref(), Some(SITE));
    assert_eq!(principal.preferred_username(), Some("alice@contoso.example"));
}

#[test]
fn a_cached_token_is_rejected_once_it_has_expired() {
    let fixture = Fixture::new();
    let token = fixture.token(|_| {});
    assert_eq!(fixture.outcome(&token), "ok");
    assert!(
        fixture
            .validator
            .validate_now(&token)
            .is_some_and(|outcome| outcome.is_ok()),
        "from memory"
    );
    fixture.clock.advance(std::time::Duration::from_mins(62));
    assert_eq!(fixture.outcome(&token), "expired");
}

#[test]
fn a_cached_token_does_not_validate_a_similar_one() {
    let fixture = Fixture::new();
    let token = fixture.token(|_| {});
    assert_eq!(fixture.outcome(&token), "ok");
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    let swapped = signature.replace(|c: char| c.is_ascii_lowercase(), "a");
    assert_eq!(fixture.outcome(&format!("{input}.{swapped}")), "bad_signature");
}

#[test]
fn a_cached_token_expires_with_the_configured_skew() {
    let fixture = Fixture::with(|settings| settings.clock_skew_seconds = 0);
    let token = fixture.token(|claims| claims["exp"] = json!(chrono::Utc::now().timestamp() + 600));
    assert_eq!(fixture.outcome(&token), "ok");
    fixture.clock.advance(std::time::Duration::from_secs(601));
    assert_eq!(fixture.outcome(&token), "expired");
}
