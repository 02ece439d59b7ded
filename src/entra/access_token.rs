//! Validation of access tokens: the only place where a [`Principal`] is made.
//!
//! What is checked, and against what: Microsoft Learn "Access token claims reference" and "Validate tokens", RFC 8725
//! (JWT best current practices). A token that passes is remembered by its SHA-256, so that its signature is verified
//! once and not for each request.

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
pub use audience::{is_audience, names_of_api};
pub use bearer_token::PresentedToken;
use claims::Claims;
pub use error::{Claim, Forbidden, Refusal, TokenError};
use policy::Policy;
use rejected_cache::RefusedTokens;
use tenants::Tenants;
use verified_cache::RememberedTokens;

use super::{
    Principal, Provider,
    jws::{JwsError, TokenKind, UnverifiedJws},
    signing_keys::{KeyLookup, SigningKey},
};
use crate::config::ApiSettings;

/// Validates access tokens for one API of one tenant, and remembers the verified ones.
pub struct AccessTokenValidator {
    provider: Arc<Provider>,
    audience: Audience,
    authorization_uri: String,
    tenants: Tenants,
    policy: Policy,
    /// How far the clocks of Entra and this machine may be apart, in seconds.
    skew: i64,
    remembered: RememberedTokens,
    refused: RefusedTokens,
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
            remembered: RememberedTokens::new(),
            refused: RefusedTokens::new(),
        }
    }

    /// What came of a token before: verified, while it has not expired, or refused a moment ago; both while the keys of
    /// that time still count.
    pub fn recall(&self, token: &PresentedToken<'_>) -> Option<Result<Arc<Principal>, TokenError>> {
        // Also when the token is remembered: this is what sets off the hourly refresh.
        let generation = self.provider.keys_in_memory()?.generation();
        let principal = self.remembered.get(token.digest(), generation, self.now()).map(Ok);
        principal.or_else(|| self.refused.get(token.digest(), generation).map(Err))
    }

    /// Validates with what is in memory; `None` when a key must be fetched first: then call [`Self::validate`] on a
    /// thread that may block. Takes microseconds: 1 for a remembered token, 25 for a new one.
    pub fn validate_now(&self, token: &str) -> Option<Result<Arc<Principal>, TokenError>> {
        let token = PresentedToken::new(token);
        self.recall(&token).or_else(|| self.verify_now(&token))
    }

    /// [`Self::validate_now`] for a token that [`Self::recall`] knows nothing of.
    pub fn verify_now(&self, token: &PresentedToken<'_>) -> Option<Result<Arc<Principal>, TokenError>> {
        let (jws, kid) = match UnverifiedJws::parse(token.as_str(), TokenKind::Access) {
            Ok(parsed) => parsed,
            Err(error) => return Some(Err(error.into())),
        };
        let outcome = match self.provider.look_up_key(&kid) {
            KeyLookup::MustFetch => return None,
            KeyLookup::Found(key) => self.verify(token, jws, &key),
            KeyLookup::Unknown => Err(Refusal::UnknownKey.into()),
            KeyLookup::Unavailable => Err(TokenError::KeysUnavailable),
        };
        Some(outcome)
    }

    /// Validates, fetching signing keys where needed. May block for the provider's timeout.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn validate(&self, token: &str) -> Result<Arc<Principal>, TokenError> {
        let token = PresentedToken::new(token);
        if let Some(outcome) = self.recall(&token) {
            return outcome;
        }
        let (jws, kid) = UnverifiedJws::parse(token.as_str(), TokenKind::Access)?;
        match self.provider.find_key(&kid) {
            KeyLookup::Found(key) => self.verify(&token, jws, &key),
            KeyLookup::Unknown => Err(Refusal::UnknownKey.into()),
            KeyLookup::Unavailable | KeyLookup::MustFetch => Err(TokenError::KeysUnavailable),
        }
    }

    /// What the rules say of the claims of a token whose signature cannot be checked. For explaining only: it makes no
    /// [`Principal`], and lets nobody in. No I/O.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn judge_unverified(&self, token: &str) -> Result<(), TokenError> {
        let (jws, _) = UnverifiedJws::parse(token, TokenKind::Access)?;
        self.principal(jws.peek().ok_or(Refusal::MalformedClaims)?).map(drop)
    }

    /// Fetches the signing keys if there are none yet; for readiness and for warming up at start. May block.
    ///
    /// # Errors
    /// [`TokenError::KeysUnavailable`].
    pub fn prepare(&self) -> Result<(), TokenError> {
        self.provider.prepare_keys().map_err(|_| TokenError::KeysUnavailable)
    }

    /// Where a user signs in to get a token, for a challenge (Microsoft Learn "Claims challenges").
    pub fn authorization_uri(&self) -> &str {
        &self.authorization_uri
    }

    /// Whether signing keys are in memory.
    pub fn is_ready(&self) -> bool {
        self.provider.keys_in_memory().is_some()
    }

    fn verify(
        &self,
        token: &PresentedToken<'_>,
        jws: UnverifiedJws<'_>,
        key: &SigningKey,
    ) -> Result<Arc<Principal>, TokenError> {
        let outcome = self.verify_anew(token, jws, key);
        if let Err(error) = &outcome {
            self.refused.insert(*token.digest(), error, key.generation());
        }
        outcome
    }

    fn verify_anew(
        &self,
        token: &PresentedToken<'_>,
        jws: UnverifiedJws<'_>,
        key: &SigningKey,
    ) -> Result<Arc<Principal>, TokenError> {
        let payload = jws.verify(key).map_err(|error| explain(error, jws))?;
        let claims = Claims::parse(&payload)?;
        let usable_until = claims.usable_until(self.skew)?;
        // `principal` makes sure that `tid` is this issuer's tenant.
        if !key.signs_for(&self.tenants.of_issuer(claims.iss.as_deref())?.authority) {
            return Err(Refusal::UnknownKey.into());
        }
        let principal = Arc::new(self.principal(claims)?);
        self.remembered
            .insert(*token.digest(), &principal, key.generation(), usable_until, self.now());
        Ok(principal)
    }

    /// The one function that makes a [`Principal`]: from the claims of a token whose signature has been verified.
    fn principal(&self, claims: Claims) -> Result<Principal, TokenError> {
        let issuer = self.tenants.of_issuer(claims.iss.as_deref())?;
        claims.check_kind()?;
        claims.check_audience(&self.audience)?;
        claims.check_times(self.now(), self.skew)?;
        let tenant_id = claims.tenant_id(issuer)?;
        let object_id = claims.object_id()?;
        let app_role = self.policy.admit(&claims)?;
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

/// A token for Microsoft Graph never verifies (its header holds a `nonce` that only Graph knows how to treat), yet
/// sending one is the commonest mistake there is. It says so itself, unverified; it is refused either way.
fn explain(error: JwsError, jws: UnverifiedJws<'_>) -> TokenError {
    if error == JwsError::Signature && jws.peek::<Claims>().is_some_and(|claims| claims.is_for_graph()) {
        return Refusal::ForGraph.into();
    }
    error.into()
}
