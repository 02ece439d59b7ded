//! The provider: an authority's discovered endpoints and signing keys, fetched when needed and kept.

use std::sync::Arc;

use url::Url;

use super::Authority;
use crate::{config::EntraSettings, outbound::OutboundError};

/// What discovery says (OpenID Connect Discovery 1.0 §3).
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Checked against the authority.
    pub issuer: String,
    /// Where the browser is sent to sign in.
    pub authorization_endpoint: Url,
    /// Where codes are redeemed; also the audience of client assertions.
    pub token_endpoint: Url,
    /// Where the signing keys are.
    pub jwks_uri: Url,
    /// Where the browser is sent to sign out.
    pub end_session_endpoint: Url,
}

/// Why the provider could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The settings name no authority.
    #[error(transparent)]
    Authority(#[from] super::authority::AuthorityError),
    /// No HTTP agent.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The provider did not answer, or not with what was asked for.
    #[error("{url}: {reason}")]
    Unreachable {
        /// What was fetched.
        url: Url,
        /// What came instead.
        reason: String,
    },
    /// Discovery names another issuer.
    #[error("discovery names issuer {found:?}, expected {expected:?}")]
    Issuer {
        /// What the settings lead to.
        expected: String,
        /// What discovery says.
        found: String,
    },
}

/// One authority over one HTTP agent, with what it told cached.
pub struct Provider {}

impl Provider {
    /// No I/O beyond reading the CA file.
    ///
    /// # Errors
    /// When the settings name no authority or the CA file is unusable.
    pub fn new(settings: &EntraSettings) -> Result<Self, ProviderError> {
        let _ = settings;
        unimplemented!()
    }
    /// The authority.
    pub fn authority(&self) -> &Authority {
        unimplemented!()
    }
    /// The discovered endpoints; fetched at first use and once a day. May block.
    ///
    /// # Errors
    /// When discovery fails or names another issuer.
    pub fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        unimplemented!()
    }
}
