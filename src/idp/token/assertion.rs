//! Verifies a client assertion (RFC 7523 §3, `certificate-credentials.md`).
//!
//! Only the registration decides which key verifies: `x5c`, `jwk`, `jku` and `x5u` in the header come from the sender,
//! and are ignored. Strict mode accepts only the best form. Otherwise the emulator accepts what real clients send and
//! Entra accepts: padded thumbprints, fractional times, no `nbf`, one `jti` for several requests.

mod parts;
pub mod times;

pub use self::parts::JwtParts;
use self::parts::{Thumbprint, not_strict};
use crate::idp::{
    certificate::RegisteredCertificate,
    clock,
    error::{OAuthError, invalid_client},
    registrations::App,
    state::Idp,
};

/// Verifies an assertion that `client` sent to `/{tenant}/oauth2/v2.0/token`.
///
/// # Errors
/// AADSTS50027 if it is not a JWT, 5002738 for its algorithm, 5002723 if it names no certificate, 700027 if that
/// certificate is not registered for this client, not valid now, or does not verify the signature, 7000214 if it is
/// revoked, 700021 for issuer and subject, 700023 for the audience, 700024 for the times, 90014 for a missing claim,
/// 70002 for what only strict mode rejects.
pub fn verify(idp: &Idp, tenant: &str, client: &App, assertion: &str) -> Result<(), OAuthError> {
    let now = idp.clock.now();
    let parts = JwtParts::parse(assertion)?;
    let thumbprint = Thumbprint::from_header(&parts.header, idp.strict)?;
    let certificate = registered(client, &thumbprint, now)?;
    let verifier = certificate
        .verifier(parts.alg()?)
        .ok_or_else(|| unsupported_algorithm(parts.alg().unwrap_or("")))?;
    if verifier
        .verify(parts.signing_input.as_bytes(), &parts.signature)
        .is_err()
    {
        return Err(invalid_client(
            700_027,
            format!(
                "Client assertion contains an invalid signature. [Reason - The key was found, but use of the key to verify \
                 the signature failed., Thumbprint of key used by client: '{thumbprint}'{}]",
                portal_hint(client)
            ),
        ));
    }
    check_parties(idp, tenant, client, &parts)?;
    let expires_at = times::check(&parts.claims, now, idp.strict)?;
    if idp.strict {
        check_jti_is_new(idp, client, &parts, expires_at, now)?;
    }
    Ok(())
}

/// The certificate that the assertion names, among those registered for this client.
fn registered(client: &App, thumbprint: &Thumbprint, now: i64) -> Result<RegisteredCertificate, OAuthError> {
    let found = client
        .certificates()
        .into_iter()
        .find(|certificate| thumbprint.matches(certificate));
    let Some(certificate) = found else {
        return Err(invalid_client(
            700_027,
            format!(
                "The certificate with identifier used to sign the client assertion is not registered on application. \
                 [Reason - The key was not found., Thumbprint of key used by client: '{thumbprint}'{}]",
                portal_hint(client)
            ),
        ));
    };
    if certificate.revoked {
        return Err(invalid_client(
            7_000_214,
            format!("The certificate has been revoked. Thumbprint of key used by client: '{thumbprint}'."),
        ));
    }
    if !(certificate.not_before..=certificate.not_after).contains(&now) {
        let what = if now > certificate.not_after {
            "expired"
        } else {
            "not valid yet"
        };
        return Err(invalid_client(
            700_027,
            format!(
                "Client assertion contains an invalid signature. [Reason - The key used is {what}., Thumbprint of key used \
                 by client: '{thumbprint}', Found key 'Start={}, End={}'{}]",
                clock::rfc3339(certificate.not_before),
                clock::rfc3339(certificate.not_after),
                portal_hint(client)
            ),
        ));
    }
    Ok(certificate)
}

/// RFC 7523 §3, rules 1 to 3: issuer and subject are the client, and the audience is this token endpoint.
fn check_parties(idp: &Idp, tenant: &str, client: &App, parts: &JwtParts) -> Result<(), OAuthError> {
    for name in ["iss", "sub"] {
        if parts.text(name)? != client.client_id() {
            return Err(invalid_client(
                700_021,
                format!(
                    "Client assertion application identifier doesn't match 'client_id' parameter. The claim '{name}' must be \
                     '{}'.",
                    client.client_id()
                ),
            ));
        }
    }
    let audience = parts.text("aud")?;
    let endpoints = idp.authority.token_endpoints(tenant);
    if endpoints.iter().any(|endpoint| endpoint == audience) {
        return Ok(());
    }
    let [expected, _] = endpoints;
    Err(invalid_client(
        700_023,
        format!("Client assertion audience claim does not match Realm issuer. The claim 'aud' must be '{expected}'."),
    ))
}

/// RFC 7523 §3, rule 7: the server may reject a repeated `jti`.
fn check_jti_is_new(idp: &Idp, client: &App, parts: &JwtParts, expires_at: i64, now: i64) -> Result<(), OAuthError> {
    let name = format!("{}|{}", client.client_id(), parts.text("jti")?);
    let is_new = idp
        .assertions_seen
        .insert_new(name, (), expires_at + times::SKEW_SECONDS, now);
    if is_new {
        Ok(())
    } else {
        Err(not_strict(
            "its 'jti' has been used before; every request needs a fresh one",
        ))
    }
}

/// AADSTS5002738: Entra does not accept this algorithm.
pub fn unsupported_algorithm(alg: &str) -> OAuthError {
    invalid_client(
        5_002_738,
        format!(
            "Invalid JWT token. '{alg}' is not a supported signature algorithm. Supported signing algorithms are: \
             'PS256,RS256'"
        ),
    )
}

fn portal_hint(client: &App) -> String {
    format!(
        ", Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{}'",
        client.client_id()
    )
}
