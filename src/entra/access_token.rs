//! Validation of access tokens: the only place where a [`Principal`] is made.

use std::sync::Arc;

use super::{Principal, Provider};
use crate::config::ApiSettings;

/// Why a token was refused. Each has a stable code that clients and logs may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Not a JWT.
    Malformed,
    // …the entra author completes this list: algorithm, unknown key, signature, issuer, audience, tenant, expired,
    // not yet valid, missing claim, app-only, …
}

impl Refusal {
    /// Stable code, such as `expired` or `wrong_audience`.
    pub fn code(self) -> &'static str {
        unimplemented!()
    }
    /// One sentence for a developer: what is wrong and what is expected. Holds nothing of the token.
    pub fn description(self) -> &'static str {
        unimplemented!()
    }
}

/// Why there is no principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is not valid here: 401.
    #[error("access token refused: {}", .0.description())]
    Refused(Refusal),
    /// The token is valid but lacks the required scope: 403.
    #[error("access token lacks the scope {required}")]
    InsufficientScope {
        /// The scope that `scp` must hold.
        required: String,
    },
    /// No signing keys could be had: 503.
    #[error("signing keys are not available")]
    KeysUnavailable,
}

/// Validates access tokens for one API of one tenant, and remembers the verified ones.
pub struct AccessTokenValidator {}

impl AccessTokenValidator {
    /// A validator with the provider's signing keys and the API's audience and scope. No I/O.
    pub fn new(provider: Arc<Provider>, settings: &ApiSettings) -> Self {
        let _ = (provider, settings);
        unimplemented!()
    }
    /// Validates with what is in memory; `None` when a key must be fetched first: then call [`Self::validate`] on a
    /// thread that may block. Takes microseconds.
    pub fn validate_now(&self, token: &str) -> Option<Result<Arc<Principal>, TokenError>> {
        let _ = token;
        unimplemented!()
    }
    /// Validates, fetching signing keys where needed. May block for the provider's timeout.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn validate(&self, token: &str) -> Result<Arc<Principal>, TokenError> {
        let _ = token;
        unimplemented!()
    }
    /// Fetches the signing keys if there are none yet; for readiness and for warming up at start. May block.
    ///
    /// # Errors
    /// [`TokenError::KeysUnavailable`].
    pub fn prepare(&self) -> Result<(), TokenError> {
        unimplemented!()
    }
    /// Whether signing keys are in memory.
    pub fn is_ready(&self) -> bool {
        unimplemented!()
    }
}
