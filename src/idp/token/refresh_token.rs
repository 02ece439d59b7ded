//! `grant_type=refresh_token` (RFC 6749 §6).

use super::response::{self, TokenResponse, UserTokens};
use crate::idp::{
    claims::ClientAuthMethod, error::OAuthError, parameters::Parameters, registrations::App,
    requested_claims::RequestedClaims, scope::Scope, state::Idp,
};

/// Issues new tokens, including a new refresh token, for every scope that the application may request. As with Entra, a
/// refresh token is valid for every resource, not only for the one that it was issued with.
///
/// # Errors
/// AADSTS70000 and 700082 for the refresh token, those of [`Scope::parse`] for the scope.
pub fn exchange(
    idp: &Idp,
    client: &App,
    auth_method: ClientAuthMethod,
    form: &Parameters,
) -> Result<TokenResponse, OAuthError> {
    let token = form.require("refresh_token")?;
    let requested = form
        .get("scope")
        .map(|text| Scope::parse(text, &idp.registrations, client, idp.authority.domain()))
        .transpose()?;
    let claims = RequestedClaims::parse(form)?;
    let mut grant = idp.grants.refresh(token, client.client_id(), idp.clock.now())?;
    grant.claims = claims.merged_with(&grant.claims);
    let tokens = UserTokens {
        grant: &grant,
        scope: requested.as_ref().unwrap_or(&grant.scope),
        nonce: None,
        client_info: form.get("client_info") == Some("1"),
    };
    response::for_user(idp, client, auth_method, &tokens)
}
