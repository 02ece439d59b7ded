//! The authority: which tenant of which cloud, its addresses and the issuers that its tokens may name.

use url::Url;
use uuid::Uuid;

use crate::config::EntraSettings;

/// Why the settings name no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// `entra.tenant_id` is not a GUID.
    #[error("entra.tenant_id is not a GUID: {0:?}")]
    TenantId(String),
    /// `entra.authority_host` is not HTTPS and not on loopback.
    #[error("entra.authority_host {0} must be https, or http on loopback")]
    Insecure(Url),
}

/// One tenant of one cloud.
#[derive(Debug, Clone)]
pub struct Authority {}

impl Authority {
    /// The authority that the settings name.
    ///
    /// # Errors
    /// When the tenant is not a GUID or the host would be reached over plain HTTP beyond loopback.
    pub fn new(settings: &EntraSettings) -> Result<Self, AuthorityError> {
        let _ = settings;
        unimplemented!()
    }
    /// The tenant.
    pub fn tenant_id(&self) -> Uuid {
        unimplemented!()
    }
    /// `{host}/{tenant}/v2.0/.well-known/openid-configuration`
    pub fn discovery_url(&self) -> Url {
        unimplemented!()
    }
    /// Issuer of v2 tokens: `{host}/{tenant}/v2.0`.
    pub fn issuer_v2(&self) -> String {
        unimplemented!()
    }
    /// Issuer of v1 tokens: `https://sts.windows.net/{tenant}/` (`https://sts.chinacloudapi.cn/{tenant}/` in China,
    /// `{authority_host}/{tenant}/` when a host of one's own is set).
    pub fn issuer_v1(&self) -> String {
        unimplemented!()
    }
}
