//! A client assertion of another identity provider that the registration trusts (Microsoft Learn "Workload identity
//! federation"): signed with the issuer's published keys, for exactly one subject and audience.
//!
//! The issuer's keys are fetched for each assertion, so that they are never stale during development.

use std::time::Duration;

use josekit::{
    jwk::Jwk,
    jws::{JwsVerifier as _, PS256, RS256},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::assertion::{JwtParts, times};
use crate::{
    config::FederatedIdentity,
    idp::{
        error::{OAuthError, invalid_client},
        registrations::App,
    },
    outbound,
};

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Map<String, Value>>,
}

/// Whether the client has federated credentials, and another party issued `assertion`.
pub fn is_federated(client: &App, assertion: &str) -> bool {
    !client.registration.federated_credentials.is_empty()
        && JwtParts::parse(assertion)
            .is_ok_and(|parts| parts.text("iss").is_ok_and(|issuer| issuer != client.client_id()))
}

/// Verifies the assertion. Calls the issuer.
///
/// # Errors
/// AADSTS700211, 700212 and 700213 if no credential has its issuer, audience and subject, 7002138 if a subject differs
/// in case only, 50166 if the issuer's keys cannot be fetched, 5002738 for its algorithm, 700027 if none of the keys
/// verifies it, 700024 for its times.
pub fn verify(client: &App, assertion: &str, now: i64) -> Result<(), OAuthError> {
    let parts = JwtParts::parse(assertion)?;
    let trusted = &client.registration.federated_credentials;
    let (issuer, subject, audience) = (parts.text("iss")?, parts.text("sub")?, audience(&parts.claims)?);
    let from_issuer: Vec<_> = trusted.iter().filter(|one| one.issuer == issuer).collect();
    if from_issuer.is_empty() {
        return Err(no_match(700_211, "issuer", issuer));
    }
    let for_subject: Vec<&&FederatedIdentity> = from_issuer.iter().filter(|one| one.subject == subject).collect();
    if for_subject.is_empty() {
        // Since August 2024, Entra reports this error separately.
        let is_close = from_issuer.iter().any(|one| one.subject.eq_ignore_ascii_case(subject));
        return Err(no_match(if is_close { 7_002_138 } else { 700_213 }, "subject", subject));
    }
    if !for_subject.iter().any(|one| one.audience == audience) {
        return Err(no_match(700_212, "audience", audience));
    }
    check_signature(&parts, &keys(issuer)?)?;
    // Never strict: the issuer chooses the lifetime of its token, and the client may use it more than once.
    times::check(&parts.claims, now, false).map(|_| ())
}

/// A string, or an array with one string, as Kubernetes writes it.
fn audience(claims: &Map<String, Value>) -> Result<&str, OAuthError> {
    let audience = match claims.get("aud") {
        Some(Value::Array(all)) if all.len() == 1 => all.first(),
        other => other,
    };
    audience
        .and_then(Value::as_str)
        .ok_or_else(|| no_match(700_212, "audience", ""))
}

fn check_signature(parts: &JwtParts, keys: &[Map<String, Value>]) -> Result<(), OAuthError> {
    let invalid = |reason: &str| {
        invalid_client(
            700_027,
            format!("Client assertion failed signature validation. [Reason - {reason}]"),
        )
    };
    let kid = parts.header.get("kid");
    let key = keys.iter().find(|key| kid.is_some() && key.get("kid") == kid);
    let key = key.ok_or_else(|| invalid("The key was not found."))?;
    // Only the key itself: josekit rejects members that issuers write in different ways, such as `x5t`.
    let key_members = key
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "kty" | "n" | "e"));
    let key = Jwk::from_map(
        key_members
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>(),
    )
    .map_err(|_| invalid("The key cannot be read."))?;
    let alg = parts.alg()?;
    let verified = match alg {
        "RS256" => RS256
            .verifier_from_jwk(&key)
            .map(|verifier| verifier.verify(input(parts), &parts.signature)),
        "PS256" => PS256
            .verifier_from_jwk(&key)
            .map(|verifier| verifier.verify(input(parts), &parts.signature)),
        other => return Err(super::assertion::unsupported_algorithm(other)),
    };
    match verified {
        Ok(Ok(())) => Ok(()),
        _ => Err(invalid(
            "The key was found, but use of the key to verify the signature failed.",
        )),
    }
}

fn input(parts: &JwtParts) -> &[u8] {
    parts.signing_input.as_bytes()
}

/// Fetches the keys by OpenID Connect Discovery, as Entra does.
fn keys(issuer: &str) -> Result<Vec<Map<String, Value>>, OAuthError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let configuration: Configuration = fetch(&url)?;
    if configuration.issuer != issuer {
        return Err(unavailable(&url));
    }
    fetch::<KeySet>(&configuration.jwks_uri).map(|set| set.keys)
}

fn fetch<T: DeserializeOwned>(url: &str) -> Result<T, OAuthError> {
    let agent = outbound::agent(outbound::Target::Other, TIMEOUT, None).map_err(|_| unavailable(url))?;
    let mut response = agent.get(url).call().map_err(|_| unavailable(url))?;
    let body = outbound::read_body(&mut response).map_err(|_| unavailable(url))?;
    serde_json::from_slice(&body).map_err(|_| unavailable(url))
}

fn unavailable(url: &str) -> OAuthError {
    invalid_client(
        50166,
        format!("Request to External OIDC endpoint failed. Endpoint: '{url}'."),
    )
}

fn no_match(code: u32, what: &str, value: &str) -> OAuthError {
    invalid_client(
        code,
        format!(
            "No matching federated identity record found for presented assertion {what} '{value}'. Check your federated \
             identity credential Subject, Audience and Issuer against the presented assertion."
        ),
    )
}
