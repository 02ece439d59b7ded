//! Client authentication. A confidential client sends a signed assertion (RFC 7523 §2.2), a public client cannot.

use std::sync::Arc;

use super::{assertion, federated};
use crate::idp::{
    claims::ClientAuthMethod,
    error::{OAuthError, invalid_client},
    parameters::Parameters,
    registrations::App,
    state::Idp,
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Identifies and authenticates the client.
///
/// # Errors
/// AADSTS700016 for an unknown client, 7000215 for a secret, 7000218 for no credential, 700025 for a credential of a
/// public client, and every error of an assertion.
pub fn authenticate(idp: &Idp, tenant: &str, form: &Parameters) -> Result<(Arc<App>, ClientAuthMethod), OAuthError> {
    let client_id = form.require("client_id")?;
    let client = Arc::clone(idp.registrations.client(client_id, idp.authority.domain())?);
    let assertion = form.get("client_assertion");
    if client.registration.public_client {
        if assertion.is_some() || form.get("client_secret").is_some() {
            return Err(OAuthError::new(
                700_025,
                "unauthorized_client",
                "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
            ));
        }
        return Ok((client, ClientAuthMethod::None));
    }
    if form.get("client_secret").is_some() {
        return Err(secret_rejected(client_id));
    }
    let assertion = assertion.ok_or_else(|| {
        invalid_client(
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )
    })?;
    let assertion_type = form.require("client_assertion_type")?;
    if assertion_type != JWT_BEARER {
        return Err(invalid_client(
            70002,
            format!("The client assertion type '{assertion_type}' is not supported; it must be '{JWT_BEARER}'."),
        ));
    }
    if federated::is_federated(&client, assertion) {
        federated::verify(&client, assertion, idp.clock.now())?;
    } else {
        assertion::verify(idp, tenant, &client, assertion)?;
    }
    Ok((client, ClientAuthMethod::Certificate))
}

/// AADSTS7000215: no application of this tenant has a secret, so every secret is wrong.
pub fn secret_rejected(client_id: &str) -> OAuthError {
    invalid_client(
        7_000_215,
        format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not \
             the client secret ID, for a secret added to app '{client_id}'. Applications here authenticate by certificate."
        ),
    )
}
