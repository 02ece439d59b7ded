//! The token response (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    config::TokenVersion,
    idp::{
        claims::{self, ClientAuthMethod, SignedInUser, Validity},
        error::{OAuthError, invalid_grant},
        grants::Grant,
        registrations::App,
        scope::{Resource, Scope},
        signing_keys::KeyError,
        state::Idp,
    },
};

#[derive(Serialize)]
pub struct TokenResponse {
    token_type: &'static str,
    /// Absent in app-only responses.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    expires_in: u64,
    ext_expires_in: u64,
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_info: Option<String>,
}

/// What a user's tokens are made from.
pub struct UserTokens<'a> {
    pub grant: &'a Grant,
    /// The scope that is requested now.
    pub scope: &'a Scope,
    /// For the ID token.
    pub nonce: Option<&'a str>,
    /// The client requests the ids of the account (`client_info=1`, as MSAL does).
    pub client_info: bool,
}

/// Issues tokens for a user, always with a new refresh token.
///
/// # Errors
/// AADSTS50034 if the user does not exist any more, 90033 if signing fails.
pub fn for_user(
    idp: &Idp,
    client: &App,
    auth_method: ClientAuthMethod,
    tokens: &UserTokens<'_>,
) -> Result<TokenResponse, OAuthError> {
    let UserTokens {
        grant,
        scope,
        nonce,
        client_info,
    } = *tokens;
    let user = idp
        .registrations
        .user(&grant.oid)
        .ok_or_else(|| invalid_grant(50034, "The user account does not exist."))?;
    let signed_in = SignedInUser { user, sid: &grant.sid };
    let (validity, expires_in) = validity(idp);
    let mut access_claims = claims::access_token(
        &idp.authority,
        client,
        auth_method,
        &scope.resource,
        signed_in,
        validity,
    );
    access_claims.extend(tokens.grant.claims.as_claims());
    let id_claims = scope
        .openid
        .then(|| claims::id_token(&idp.authority, client, signed_in, nonce, validity));
    let client_info = client_info.then(|| {
        let ids = json!({ "uid": user.oid, "utid": idp.authority.tenant_id() });
        URL_SAFE_NO_PAD.encode(ids.to_string())
    });
    Ok(TokenResponse {
        token_type: "Bearer",
        scope: Some(scope.granted()),
        expires_in,
        ext_expires_in: expires_in,
        access_token: sign_access_token(idp, &scope.resource, &access_claims)?,
        refresh_token: grant
            .scope
            .offline_access
            .then(|| idp.grants.issue_refresh_token(grant.clone(), idp.clock.now())),
        id_token: id_claims.map(|claims| sign(idp, Map::new(), &claims)).transpose()?,
        client_info,
    })
}

/// Issues a token for the application itself.
///
/// # Errors
/// AADSTS90033 if signing fails.
pub fn for_app(
    idp: &Idp,
    client: &App,
    auth_method: ClientAuthMethod,
    resource: &Resource,
) -> Result<TokenResponse, OAuthError> {
    let (validity, expires_in) = validity(idp);
    let claims = claims::app_only_token(&idp.authority, client, auth_method, resource, validity);
    Ok(TokenResponse {
        token_type: "Bearer",
        scope: None,
        expires_in,
        ext_expires_in: expires_in,
        access_token: sign_access_token(idp, resource, &claims)?,
        refresh_token: None,
        id_token: None,
        client_info: None,
    })
}

fn validity(idp: &Idp) -> (Validity, u64) {
    let seconds = idp.access_token_lifetime.as_secs();
    let from = idp.clock.now();
    (
        Validity {
            from,
            until: from.saturating_add_unsigned(seconds),
        },
        seconds,
    )
}

/// v1 tokens name the key also in `x5t` (`access-token-claims-reference.md`).
fn sign_access_token(idp: &Idp, resource: &Resource, claims: &Map<String, Value>) -> Result<String, OAuthError> {
    let mut header = Map::new();
    if resource.token_version == TokenVersion::V1 {
        let key = idp.signing_keys.current().map_err(cannot_sign)?;
        header.insert("x5t".to_owned(), json!(key.kid));
    }
    sign(idp, header, claims)
}

fn sign(idp: &Idp, mut header: Map<String, Value>, claims: &Map<String, Value>) -> Result<String, OAuthError> {
    header.insert("typ".to_owned(), json!("JWT"));
    let key = idp.signing_keys.current().map_err(cannot_sign)?;
    key.sign(header, claims).map_err(cannot_sign)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes the error by value")]
fn cannot_sign(error: KeyError) -> OAuthError {
    log::error!("cannot sign a token: {error}");
    OAuthError::new(
        90033,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    )
}
