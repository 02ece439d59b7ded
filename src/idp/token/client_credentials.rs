//! `grant_type=client_credentials` (RFC 6749 §4.4): a token for the application itself.

use super::response::{self, TokenResponse};
use crate::idp::{
    claims::ClientAuthMethod,
    error::{OAuthError, invalid_client},
    parameters::Parameters,
    registrations::App,
    scope,
    state::Idp,
};

/// Issues an app-only token.
///
/// # Errors
/// AADSTS7000218 for a public client, 1002012 and 500011 for the scope.
pub fn exchange(
    idp: &Idp,
    client: &App,
    auth_method: ClientAuthMethod,
    form: &Parameters,
) -> Result<TokenResponse, OAuthError> {
    if auth_method == ClientAuthMethod::None {
        // RFC 6749 §4.4: confidential clients only.
        return Err(invalid_client(
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        ));
    }
    let resource = scope::app_only_resource(form.require("scope")?, &idp.registrations, idp.authority.domain())?;
    response::for_app(idp, client, auth_method, &resource)
}
