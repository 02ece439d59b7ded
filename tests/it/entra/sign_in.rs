//! The authorization code flow against a scripted provider: requests, responses, and what never leaks.

use std::{collections::HashMap, sync::Arc};

use blogctl::{
    certificate::CertificateError,
    config::{ClientSettings, Settings},
    entra::{
        ConfidentialClient, CredentialError, PendingSignIn, Provider, ProviderError, SignInHints,
        aadsts::ErrorCategory, clock::Clock, confidential_client::SignInError, signing_keys::KeyPolicy,
    },
};
use chrono::{TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::support::{
    certificates::{TestCertificate, file, key_pem, pem, settings},
    entra::{ALICE, API, SITE, ScriptedProvider, ScriptedResponse, keys},
};

pub const NONCE: &str = "the nonce of this sign-in";
const REDIRECT_URI: &str = "http://localhost:5000/callback";

pub struct Fixture {
    pub provider: ScriptedProvider,
    pub client: ConfidentialClient,
    entra: Arc<Provider>,
    clock: Clock,
    _folder: TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        let provider = ScriptedProvider::start();
        let folder = tempfile::tempdir().expect("a folder");
        let key = &keys()[0].key;
        let certificate = pem(&TestCertificate::new("site", key).make());
        let path = file(folder.path(), "client.pem", &[&key_pem(key), &certificate]);
        let clock = Clock::default();
        let entra =
            Provider::with_policy(&provider.settings(), &[], KeyPolicy::default(), clock.clone()).expect("a provider");
        let client = ClientSettings {
            client_id: SITE.to_owned(),
            api_scope: format!("api://{API}/access_as_user"),
            certificate: settings(&path),
            ..ClientSettings::default()
        };
        let settings = Settings {
            entra: provider.settings(),
            client,
            ..Settings::default()
        };
        let redirect_uri = Url::parse(REDIRECT_URI).expect("a URL");
        let entra = Arc::new(entra);
        let client = ConfidentialClient::new(Arc::clone(&entra), &settings, redirect_uri).expect("a client");
        Self {
            provider,
            client,
            entra,
            clock,
            _folder: folder,
        }
    }

    pub fn refresh_keys(&self) {
        self.entra.refresh_keys().expect("keys");
    }

    pub fn answer(&self, answer: &Value) {
        self.provider.script().token = ScriptedResponse::json(answer);
    }

    /// A token response with this ID token.
    pub fn answer_with(&self, id_token: &str) {
        self.answer(&json!({
            "token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600, "scope": "openid profile",
            "access_token": "the access token", "refresh_token": "the refresh token", "id_token": id_token,
        }));
    }

    pub fn redeem(&self) -> Result<blogctl::entra::SignIn, SignInError> {
        let verifier = SecretString::from("v".repeat(43));
        let pending = PendingSignIn {
            nonce: NONCE.to_owned(),
            code_verifier: verifier,
        };
        self.client.redeem_code(&SecretString::from("the code"), &pending)
    }

    fn form(&self) -> HashMap<String, String> {
        self.provider.script().token_forms.pop().expect("a request")
    }
}

fn query(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

#[test]
fn the_browser_is_redirected_to_the_authorize_endpoint_with_all_parameters() {
    let fixture = Fixture::new();
    let request = fixture
        .client
        .authorization_request(&SignInHints::default())
        .expect("a request");
    assert!(
        request.url.path().ends_with("/oauth2/v2.0/authorize"),
        "{}",
        request.url
    );
    let query = query(&request.url);
    let challenge = openssl::sha::sha256(request.pending.code_verifier.expose_secret().as_bytes());
    let challenge = openssl::base64::encode_block(&challenge)
        .replace('+', "-")
        .replace('/', "_")
        .replace('=', "");
    let scope = format!("openid profile offline_access api://{API}/access_as_user");
    let expected = [
        ("client_id", SITE),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT_URI),
        ("response_mode", "query"),
        ("scope", &scope),
        ("state", &request.state),
        ("nonce", &request.pending.nonce),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("claims", r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#),
    ];
    for (name, value) in expected {
        assert_eq!(query.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(query.len(), expected.len(), "and nothing else: {query:?}");
}

#[test]
fn hints_are_passed_on() {
    let fixture = Fixture::new();
    let hints = SignInHints {
        prompt: Some("select_account".to_owned()),
        login_hint: Some("alice+x@contoso.example".to_owned()),
        ..SignInHints::default()
    };
    let query = query(&fixture.client.authorization_request(&hints).expect("a request").url);
    assert_eq!(query["prompt"], "select_account");
    assert_eq!(query["login_hint"], "alice+x@contoso.example");
}

#[test]
fn state_nonce_and_verifier_are_random_and_not_in_debug_output() {
    let fixture = Fixture::new();
    let [one, two] = [(); 2].map(|()| {
        fixture
            .client
            .authorization_request(&SignInHints::default())
            .expect("a request")
    });
    let shown = format!("{one:?} {:?}", one.pending);
    for (one, two) in [
        (one.state.as_str(), two.state.as_str()),
        (&one.pending.nonce, &two.pending.nonce),
        (
            one.pending.code_verifier.expose_secret(),
            two.pending.code_verifier.expose_secret(),
        ),
    ] {
        assert_ne!(one, two);
        assert_eq!(one.len(), 43, "256 bits in base64url");
        assert!(!shown.contains(one), "{shown}");
    }
    assert_ne!(one.state, one.pending.nonce);
}

#[test]
fn a_code_is_redeemed_with_an_assertion_and_never_a_secret() {
    let fixture = Fixture::new();
    fixture.answer_with(&keys()[0].sign(&fixture.provider.id_claims(NONCE)));
    let before = Utc::now();
    let sign_in = fixture.redeem().expect("signed in");
    assert_eq!(sign_in.user.object_id.to_string(), ALICE);
    assert_eq!(sign_in.user.session_id.as_deref(), Some("session"));
    assert_eq!(sign_in.user.login_hint.as_deref(), Some("hint"));
    assert_eq!(sign_in.tokens.access_token.expose_secret(), "the access token");
    assert_eq!(
        sign_in.tokens.refresh_token.as_ref().expect("one").expose_secret(),
        "the refresh token"
    );
    assert!(sign_in.tokens.expires_at >= before + TimeDelta::seconds(3600));
    assert!(sign_in.tokens.expires_at <= Utc::now() + TimeDelta::seconds(3600));

    let mut form = fixture.form();
    let assertion = form.remove("client_assertion").expect("an assertion");
    let claims = assertion.split('.').nth(1).expect("three parts");
    let claims = openssl::base64::decode_block(&pad(claims)).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["aud"], fixture.provider.token_endpoint());
    let scope = format!("openid profile offline_access api://{API}/access_as_user");
    let verifier = "v".repeat(43);
    let expected = [
        ("client_id", SITE),
        ("grant_type", "authorization_code"),
        ("code", "the code"),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", &verifier),
        ("scope", &scope),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
    ];
    assert_eq!(
        form,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    );
}

/// base64url to padded base64.
fn pad(text: &str) -> String {
    let text = text.replace('-', "+").replace('_', "/");
    let padding = "=".repeat((4 - text.len() % 4) % 4);
    format!("{text}{padding}")
}

#[test]
fn a_refresh_sends_a_new_assertion_and_keeps_the_refresh_token_if_none_is_returned() {
    let fixture = Fixture::new();
    fixture
        .answer(&json!({"token_type": "Bearer", "expires_in": 60, "access_token": "new", "refresh_token": "rotated"}));
    let tokens = fixture.client.refresh(&SecretString::from("old")).expect("refreshed");
    assert_eq!(tokens.refresh_token.expect("one").expose_secret(), "rotated");
    let first = fixture.form();
    assert_eq!(first["grant_type"], "refresh_token");
    assert_eq!(first["refresh_token"], "old");
    assert_eq!(
        first["scope"],
        format!("openid profile offline_access api://{API}/access_as_user")
    );
    assert!(!first.contains_key("client_secret"));

    fixture.answer(&json!({"token_type": "Bearer", "expires_in": 60, "access_token": "new"}));
    let tokens = fixture.client.refresh(&SecretString::from("old")).expect("refreshed");
    assert_eq!(tokens.refresh_token.expect("one").expose_secret(), "old");
    assert_ne!(fixture.form()["client_assertion"], first["client_assertion"]);
}

#[test]
fn a_missing_or_excessive_token_lifetime_is_limited() {
    let fixture = Fixture::new();
    for answer in [
        json!({"token_type": "Bearer", "access_token": "new"}),
        json!({"token_type": "Bearer", "access_token": "new", "expires_in": 10_000_000}),
        json!({"token_type": "Bearer", "access_token": "new", "expires_in": u64::MAX}),
    ] {
        fixture.answer(&answer);
        let tokens = fixture.client.refresh(&SecretString::from("old")).expect("refreshed");
        assert!(tokens.expires_at < Utc::now() + TimeDelta::minutes(6), "{answer}");
    }
}

#[test]
fn an_error_response_becomes_its_code_with_cause_and_hint() {
    let fixture = Fixture::new();
    for (code, error, remedy) in [
        (700_027, "invalid_client", ErrorCategory::Certificate),
        (700_016, "unauthorized_client", ErrorCategory::Configuration),
        (65_001, "invalid_grant", ErrorCategory::Consent),
        (54_005, "invalid_grant", ErrorCategory::SignInAgain),
    ] {
        let answer = json!({
            "error": error, "error_codes": [code], "trace_id": "t", "correlation_id": "6f1c2d4e-0000-4000-8000-1234567890ab",
            "error_description": format!("AADSTS{code}: something. Trace ID: x Correlation ID: y Timestamp: z"),
        });
        fixture.provider.script().token = ScriptedResponse::with_status(401, &answer);
        let SignInError::Entra(found) = fixture.redeem().expect_err("rejected") else {
            unreachable!("an error of Entra's")
        };
        assert_eq!(
            (found.code, found.error.as_str(), found.category()),
            (Some(code), error, remedy)
        );
        assert_eq!(found.description, format!("AADSTS{code}: something."));
        assert_eq!(
            found.correlation_id.as_deref(),
            Some("6f1c2d4e-0000-4000-8000-1234567890ab")
        );
        assert!(!found.cause().is_empty() && !found.hint().is_empty());
    }
}

#[test]
fn no_error_repeats_a_code_a_token_or_an_assertion() {
    let fixture = Fixture::new();
    let secret = format!(
        "eyJ{}.eyJ{}.{}",
        "SECRET".repeat(20),
        "SECRET".repeat(20),
        "SECRET".repeat(20)
    );
    let echo =
        json!({"error": "invalid_client", "error_description": format!("AADSTS700027: assertion '{secret}'\r\nmore")});
    for (name, answer) in [
        (
            "an error that echoes the request",
            ScriptedResponse::with_status(401, &echo),
        ),
        (
            "an error that is not JSON",
            ScriptedResponse {
                status: 502,
                headers: "",
                body: secret.clone(),
            },
        ),
        (
            "tokens that cannot be read",
            ScriptedResponse::json(&json!({"access_token": secret, "expires_in": "SECRET"})),
        ),
        (
            "tokens of another type",
            ScriptedResponse {
                status: 200,
                headers: "Content-Type: text/plain\r\n",
                body: secret.clone(),
            },
        ),
        (
            "an ID token that is rejected",
            ScriptedResponse::json(&json!({
                "token_type": "Bearer", "expires_in": 60, "access_token": secret, "id_token": secret,
            })),
        ),
    ] {
        fixture.provider.script().token = answer;
        let error = fixture.redeem().expect_err(name);
        let shown = format!(
            "{error} {error:?} {:?}",
            std::error::Error::source(&error).map(ToString::to_string)
        );
        assert!(!shown.contains("SECRET"), "{name}: {shown}");
    }
}

#[test]
fn a_signed_in_users_tokens_stay_out_of_debug_output() {
    let fixture = Fixture::new();
    let id_token = keys()[0].sign(&fixture.provider.id_claims(NONCE));
    fixture.answer_with(&id_token);
    let shown = format!("{:?}", fixture.redeem().expect("signed in"));
    assert!(!shown.contains("the access token") && !shown.contains("the refresh token") && !shown.contains(&id_token));
}

#[test]
fn a_redirect_of_the_token_endpoint_is_not_followed() {
    let fixture = Fixture::new();
    let elsewhere = ScriptedProvider::start();
    for status in [302, 307, 308] {
        let headers = format!("Location: {}\r\n", elsewhere.token_endpoint()).leak();
        fixture.provider.script().token = ScriptedResponse {
            status,
            headers,
            body: String::new(),
        };
        let error = fixture.redeem().expect_err("no tokens");
        assert!(
            matches!(error, SignInError::Provider(ProviderError::Unreachable { .. })),
            "{error}"
        );
    }
    assert_eq!(
        elsewhere.script().token_forms.len(),
        0,
        "no assertion and no code went there"
    );
}

#[test]
fn a_certificate_that_expires_at_run_time_is_reported_and_nothing_is_sent() {
    let fixture = Fixture::new();
    fixture.clock.advance(std::time::Duration::from_hours(31 * 24));
    let error = fixture.redeem().expect_err("expired");
    assert!(
        matches!(
            error,
            SignInError::Credential(CredentialError::Certificate(CertificateError::Expired { .. }))
        ),
        "{error}"
    );
    assert!(fixture.provider.script().token_forms.is_empty());
}

#[test]
fn signing_out_leads_through_the_providers_end_session_endpoint() {
    let fixture = Fixture::new();
    let home = Url::parse("http://localhost:5000/").expect("a URL");
    let url = fixture
        .client
        .sign_out_url(&home, Some("the login_hint claim"))
        .expect("a URL");
    assert!(url.path().ends_with("/oauth2/v2.0/logout"), "{url}");
    let query = query(&url);
    assert_eq!(query["post_logout_redirect_uri"], home.as_str());
    assert_eq!(query["logout_hint"], "the login_hint claim");
    let without = fixture.client.sign_out_url(&home, None).expect("a URL");
    assert!(!without.as_str().contains("logout_hint"));
}
