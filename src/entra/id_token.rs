//! ID token validation (OpenID Connect Core 1.0 §3.1.3.7; Microsoft Learn "ID token claims reference"). `tid` and `oid`
//! identify a person. Names and addresses are for display only, since they change and users can choose them ("nOAuth").

use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::{
    Provider,
    jws::{JwsError, TokenKind, UnverifiedJws},
    signing_keys::KeyLookup,
};
use crate::guid;

/// As for access tokens: the clock of a machine that has just started may be a minute off.
const LEEWAY_SECONDS: i64 = 60;

/// The claims of a validated ID token.
#[derive(Debug, Clone)]
pub struct IdTokenClaims {
    /// `tid`
    pub tenant_id: Uuid,
    /// `oid`: with `tid`, it identifies a person.
    pub object_id: Uuid,
    /// `sub`
    pub subject: String,
    /// `name`, for display only.
    pub name: Option<String>,
    /// `email`, for display only.
    pub email: Option<String>,
    /// `preferred_username`, for display only.
    pub preferred_username: Option<String>,
    /// `roles`
    pub roles: Vec<String>,
    /// `sid`: the provider's session, for front-channel sign-out.
    pub session_id: Option<String>,
    /// `login_hint`: the value for `logout_hint`.
    pub login_hint: Option<String>,
    /// `iss`
    pub issuer: String,
}

/// Why an ID token was rejected. Holds no part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdTokenError {
    /// The token endpoint sent no ID token.
    #[error("the token endpoint sent none")]
    Absent,
    /// The provider did not sign it.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// `kid` names no key of the provider.
    #[error("its kid names no signing key of this tenant")]
    UnknownKey,
    /// No signing keys are available.
    #[error("the signing keys are not available")]
    KeysUnavailable,
    /// A required claim is missing, occurs twice, or has the wrong type.
    #[error("its claims are incomplete or of the wrong types")]
    MalformedClaims,
    /// `iss`
    #[error("its iss is not this tenant")]
    WrongIssuer,
    /// `aud`
    #[error("its aud is not this application's client id")]
    WrongAudience,
    /// `tid`
    #[error("its tid is not this tenant")]
    WrongTenant,
    /// `oid`
    #[error("its oid is not a GUID")]
    BadObjectId,
    /// `exp`
    #[error("it has expired")]
    Expired,
    /// `nbf` or `iat`
    #[error("it is not valid yet: compare the clocks")]
    NotYetValid,
    /// `nonce`
    #[error("its nonce is not the one of this sign-in")]
    WrongNonce,
}

/// Required claims are not optional. A derived struct also rejects a claim that occurs twice.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    tid: String,
    oid: String,
    sub: String,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: String,
    name: Option<String>,
    email: Option<String>,
    preferred_username: Option<String>,
    roles: Option<Vec<String>>,
    sid: Option<String>,
    login_hint: Option<String>,
}

/// Validates an ID token that the token endpoint answered with. May block: an unknown `kid` leads to a fetch of the
/// signing keys.
pub(super) fn validate(
    provider: &Provider,
    id_token: &str,
    client_id: &str,
    nonce: &str,
) -> Result<IdTokenClaims, IdTokenError> {
    let (jws, kid) = UnverifiedJws::parse(id_token, TokenKind::Id)?;
    let key = match provider.find_key(&kid) {
        KeyLookup::Found(key) => key,
        KeyLookup::Unknown => return Err(IdTokenError::UnknownKey),
        KeyLookup::Unavailable | KeyLookup::MustFetch => return Err(IdTokenError::KeysUnavailable),
    };
    if !key.signs_for(provider.authority()) {
        return Err(IdTokenError::UnknownKey);
    }
    let payload = jws.verify(&key)?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| IdTokenError::MalformedClaims)?;
    claims.check(provider, client_id, nonce)
}

impl Claims {
    fn check(self, provider: &Provider, client_id: &str, nonce: &str) -> Result<IdTokenClaims, IdTokenError> {
        let authority = provider.authority();
        if self.iss != authority.issuer_v2() {
            return Err(IdTokenError::WrongIssuer);
        }
        if self.aud != client_id {
            return Err(IdTokenError::WrongAudience);
        }
        let tenant_id = guid::parse(&self.tid).filter(|id| *id == authority.tenant_id());
        let tenant_id = tenant_id.ok_or(IdTokenError::WrongTenant)?;
        let object_id = guid::parse(&self.oid).ok_or(IdTokenError::BadObjectId)?;
        self.check_times(provider.clock().now().timestamp())?;
        // A pending sign-in without nonce must not match a token without one.
        if nonce.is_empty() || !bool::from(self.nonce.as_bytes().ct_eq(nonce.as_bytes())) {
            return Err(IdTokenError::WrongNonce);
        }
        Ok(IdTokenClaims {
            tenant_id,
            object_id,
            subject: self.sub,
            name: self.name,
            email: self.email,
            preferred_username: self.preferred_username,
            roles: self.roles.unwrap_or_default(),
            session_id: self.sid,
            login_hint: self.login_hint,
            issuer: self.iss,
        })
    }

    fn check_times(&self, now: i64) -> Result<(), IdTokenError> {
        if self.exp.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(IdTokenError::Expired);
        }
        // OpenID Connect does not know `nbf`, Entra sends it.
        let valid_from = self.iat.max(self.nbf.unwrap_or(self.iat));
        if valid_from.saturating_sub(LEEWAY_SECONDS) > now {
            return Err(IdTokenError::NotYetValid);
        }
        Ok(())
    }
}
