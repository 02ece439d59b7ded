//! `grant_type=authorization_code` (RFC 6749 §4.1.3, RFC 7636 §4.5).

use super::response::{self, TokenResponse, UserTokens};
use crate::idp::{
    claims::ClientAuthMethod,
    error::OAuthError,
    parameters::Parameters,
    registrations::App,
    requested_claims::RequestedClaims,
    scope::{self, Scope},
    state::Idp,
};

/// Redeems a code, once, for tokens.
///
/// # Errors
/// Those of [`crate::idp::grants::Grants::redeem_code`], and AADSTS70011 for a scope that exceeds the authorized one.
pub fn exchange(
    idp: &Idp,
    client: &App,
    auth_method: ClientAuthMethod,
    form: &Parameters,
) -> Result<TokenResponse, OAuthError> {
    let code = form.require("code")?;
    let redirect_uri = form.require("redirect_uri")?;
    let verifier = form.get("code_verifier");
    let requested = form
        .get("scope")
        .map(|text| Scope::parse(text, &idp.registrations, client, idp.authority.domain()).map(|scope| (text, scope)))
        .transpose()?;
    let claims = RequestedClaims::parse(form)?;
    let mut code = idp
        .grants
        .redeem_code(code, client.client_id(), redirect_uri, verifier, idp.clock.now())?;
    code.grant.claims = claims.merged_with(&code.grant.claims);
    if let Some((text, _)) = requested
        .as_ref()
        .filter(|(_, scope)| !scope.is_subset_of(&code.grant.scope))
    {
        return Err(scope::not_valid(text));
    }
    let scope = requested.as_ref().map_or(&code.grant.scope, |(_, scope)| scope);
    let tokens = UserTokens {
        grant: &code.grant,
        scope,
        nonce: code.nonce.as_deref(),
        client_info: form.get("client_info") == Some("1"),
    };
    response::for_user(idp, client, auth_method, &tokens)
}
