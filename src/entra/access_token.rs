//! Validation of access tokens: the only place that creates a [`Principal`].
//!
//! The checks follow Microsoft Learn "Access token claims reference" and "Validate tokens", and RFC 8725 (JWT best current
//! practices). Verified tokens are cached by their SHA-256, so that each signature is verified once and not for each request.

mod audience;
mod bearer_token;
mod claims;
mod error;
mod hint;
mod policy;
mod rejected_cache;
mod tenants;
mod verified_cache;

use std::sync::Arc;

use audience::Audience;
pub use audience::{api_names, is_audience};
pub use bearer_token::BearerToken;
use claims::Claims;
pub use error::{Claim, Forbidden, Rejection, TokenError};
use policy::Policy;
use rejected_cache::RejectedTokenCache;
use tenants::Tenants;
use verified_cache::VerifiedTokenCache;

use super::{
    Principal, Provider,
    jws::{JwsError, TokenKind, UnverifiedJws},
    signing_keys::{KeyLookup, SigningKey},
};
use crate::config::ApiSettings;

/// Validates access tokens for one API, and caches the results.
pub struct AccessTokenValidator {
    provider: Arc<Provider>,
    audience: Audience,
    authorization_uri: String,
    tenants: Tenants,
    policy: Policy,
    /// Accepted difference between Entra's clock and this machine's, in seconds.
    skew: i64,
    verified_tokens: VerifiedTokenCache,
    rejected_tokens: RejectedTokenCache,
}

impl AccessTokenValidator {
    /// A validator with the provider's signing keys and the API's audience and scope. No I/O.
    pub fn new(provider: Arc<Provider>, settings: &ApiSettings) -> Self {
        Self {
            authorization_uri: provider.authority().authorization_uri(),
            tenants: Tenants::new(provider.authority(), &settings.tenants),
            provider,
            audience: Audience::new(settings),
            policy: Policy::new(settings),
            skew: i64::from(settings.clock_skew_seconds),
            verified_tokens: VerifiedTokenCache::new(),
            rejected_tokens: RejectedTokenCache::new(),
        }
    }

    /// The cached outcome for a token: verified and not expired, or rejected a moment ago. An outcome is dropped when the keys
    /// that led to it no longer count.
    pub fn cached(&self, token: &BearerToken<'_>) -> Option<Result<Arc<Principal>, TokenError>> {
        // Called even for a cached token: this call starts the hourly refresh of the keys.
        let generation = self.provider.keys_in_memory()?.generation();
        let principal = self.verified_tokens.get(token.digest(), generation, self.now()).map(Ok);
        principal.or_else(|| self.rejected_tokens.get(token.digest(), generation).map(Err))
    }

    /// Validates with the keys in memory. `None` when a key must be fetched first: then call [`Self::validate`] on a
    /// thread that may block. Takes 1 microsecond for a cached token, 25 for a new one.
    pub fn validate_now(&self, token: &str) -> Option<Result<Arc<Principal>, TokenError>> {
        let token = BearerToken::new(token);
        self.cached(&token).or_else(|| self.verify_now(&token))
    }

    /// [`Self::validate_now`] for a token that is not in [`Self::cached`].
    pub fn verify_now(&self, token: &BearerToken<'_>) -> Option<Result<Arc<Principal>, TokenError>> {
        let (jws, kid) = match UnverifiedJws::parse(token.as_str(), TokenKind::Access) {
            Ok(parsed) => parsed,
            Err(error) => return Some(Err(error.into())),
        };
        let outcome = match self.provider.look_up_key(&kid) {
            KeyLookup::MustFetch => return None,
            KeyLookup::Found(key) => self.verify(token, jws, &key),
            KeyLookup::Unknown => Err(Rejection::UnknownKey.into()),
            KeyLookup::Unavailable => Err(TokenError::KeysUnavailable),
        };
        Some(outcome)
    }

    /// Validates, and fetches signing keys if needed. May block for the provider's timeout.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn validate(&self, token: &str) -> Result<Arc<Principal>, TokenError> {
        let token = BearerToken::new(token);
        if let Some(outcome) = self.cached(&token) {
            return outcome;
        }
        let (jws, kid) = UnverifiedJws::parse(token.as_str(), TokenKind::Access)?;
        match self.provider.find_key(&kid) {
            KeyLookup::Found(key) => self.verify(&token, jws, &key),
            KeyLookup::Unknown => Err(Rejection::UnknownKey.into()),
            KeyLookup::Unavailable | KeyLookup::MustFetch => Err(TokenError::KeysUnavailable),
        }
    }

    /// Checks the claims of a token whose signature cannot be verified. For explanations only: it creates no [`Principal`] and
    /// grants no access. No I/O.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn check_unverified_claims(&self, token: &str) -> Result<(), TokenError> {
        let (jws, _) = UnverifiedJws::parse(token, TokenKind::Access)?;
        self.principal(jws.peek().ok_or(Rejection::MalformedClaims)?).map(drop)
    }

    /// Fetches the signing keys if there are none, for the readiness check and at start. May block.
    ///
    /// # Errors
    /// [`TokenError::KeysUnavailable`].
    pub fn prepare(&self) -> Result<(), TokenError> {
        self.provider.prepare_keys().map_err(|_| TokenError::KeysUnavailable)
    }

    /// The authorize endpoint for the API's challenges (Microsoft Learn "Claims challenges").
    pub fn authorization_uri(&self) -> &str {
        &self.authorization_uri
    }

    /// Whether signing keys are in memory.
    pub fn is_ready(&self) -> bool {
        self.provider.keys_in_memory().is_some()
    }

    fn verify(
        &self,
        token: &BearerToken<'_>,
        jws: UnverifiedJws<'_>,
        key: &SigningKey,
    ) -> Result<Arc<Principal>, TokenError> {
        let outcome = self.verify_uncached(token, jws, key);
        if let Err(error) = &outcome {
            self.rejected_tokens.insert(*token.digest(), error, key.generation());
        }
        outcome
    }

    fn verify_uncached(
        &self,
        token: &BearerToken<'_>,
        jws: UnverifiedJws<'_>,
        key: &SigningKey,
    ) -> Result<Arc<Principal>, TokenError> {
        let payload = jws.verify(key).map_err(|error| explain_signature_error(error, jws))?;
        let claims = Claims::parse(&payload)?;
        let usable_until = claims.usable_until(self.skew)?;
        // `principal` checks that `tid` is this issuer's tenant.
        if !key.signs_for(&self.tenants.by_issuer(claims.iss.as_deref())?.authority) {
            return Err(Rejection::UnknownKey.into());
        }
        let principal = Arc::new(self.principal(claims)?);
        self.verified_tokens
            .insert(*token.digest(), &principal, key.generation(), usable_until, self.now());
        Ok(principal)
    }

    /// The only function that creates a [`Principal`]. Its callers have verified the signature, except
    /// [`Self::check_unverified_claims`], which drops the result.
    fn principal(&self, claims: Claims) -> Result<Principal, TokenError> {
        let issuer = self.tenants.by_issuer(claims.iss.as_deref())?;
        claims.check_not_id_token()?;
        claims.check_audience(&self.audience)?;
        claims.check_times(self.now(), self.skew)?;
        let tenant_id = claims.tenant_id(issuer)?;
        let object_id = claims.object_id()?;
        let app_role = self.policy.authorize(&claims)?;
        Ok(Principal {
            tenant_id,
            object_id,
            app_id: claims.app_id(),
            kind: claims.kind(),
            scopes: claims.scopes(),
            app_role,
            roles: claims.roles.unwrap_or_default(),
            issued_at: claims.iat,
            name: claims.name,
            email: claims.email,
            preferred_username: claims.preferred_username.or(claims.upn).or(claims.unique_name),
        })
    }

    fn now(&self) -> i64 {
        self.provider.clock().now().timestamp()
    }
}

/// A token for Microsoft Graph never verifies, since only Graph can handle the `nonce` in its header. Sending one is the most
/// common error of clients, so the unverified `aud` decides which explanation they get. The token is rejected either way.
fn explain_signature_error(error: JwsError, jws: UnverifiedJws<'_>) -> TokenError {
    if error == JwsError::Signature && jws.peek::<Claims>().is_some_and(|claims| claims.is_for_graph()) {
        return Rejection::ForGraph.into();
    }
    error.into()
}
