//! `[entra]`: which tenant of which cloud, and how to reach it.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

/// A Microsoft cloud, each with its own sign-in host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// `login.microsoftonline.com`
    #[default]
    Public,
    /// `login.microsoftonline.us`
    UsGovernment,
    /// `login.partner.microsoftonline.cn`
    China,
}

/// `[entra]`.
#[derive(Debug, Clone)]
pub struct EntraSettings {
    /// `entra.tenant_id`, older name `TENANT_ID`: the directory (tenant) id, a GUID. Empty when not set.
    pub tenant_id: String,
    /// `entra.cloud`: `public`, `us-government` or `china`.
    pub cloud: Cloud,
    /// `entra.authority_host`: a base URL in place of the cloud's host, such as `http://localhost:9000` for the
    /// development identity provider. Plain HTTP is taken on loopback only.
    pub authority_host: Option<Url>,
    /// `entra.jwks_uri`, older name `JWKS_URI`: signing keys from here, in place of the discovered address.
    pub jwks_uri: Option<Url>,
    /// `entra.ca_file`: PEM certificates trusted beside the system's, for a company proxy or the development
    /// identity provider with `--tls`.
    pub ca_file: Option<PathBuf>,
    /// `entra.timeout_seconds`: longest time for one request to Entra, connecting included.
    pub timeout: Duration,
}

impl Default for EntraSettings {
    fn default() -> Self {
        Self {
            tenant_id: String::new(),
            cloud: Cloud::Public,
            authority_host: None,
            jwks_uri: None,
            ca_file: None,
            timeout: Duration::from_secs(10),
        }
    }
}
