//! `grant_type=refresh_token` (RFC 6749 §6).

use super::response::{self, TokenResponse, UserTokens};
use crate::idp::{
    claims::ClientProof, error::Refusal, parameters::Parameters, registrations::App, requested_claims::RequestedClaims,
    scope::Scope, state::Idp,
};

/// New tokens, a new refresh token included, for whatever the application may ask for: as with Entra, a refresh token
/// is good for every resource, and not just for the one that it came with.
///
/// # Errors
/// AADSTS70000 and 700082 for the refresh token, those of [`Scope::parse`] for the scope.
pub fn exchange(idp: &Idp, client: &App, proof: ClientProof, form: &Parameters) -> Result<TokenResponse, Refusal> {
    let token = form.require("refresh_token")?;
    let asked = form
        .get("scope")
        .map(|text| Scope::parse(text, &idp.registrations, client, idp.authority.domain()))
        .transpose()?;
    let claims = RequestedClaims::read(form)?;
    let mut grant = idp.grants.refresh(token, client.client_id(), idp.clock.now())?;
    grant.claims = claims.and(&grant.claims);
    let tokens = UserTokens {
        grant: &grant,
        scope: asked.as_ref().unwrap_or(&grant.scope),
        nonce: None,
        client_info: form.get("client_info") == Some("1"),
    };
    response::for_user(idp, client, proof, &tokens)
}
