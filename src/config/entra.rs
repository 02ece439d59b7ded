//! `[entra]`: which tenant of which cloud, and how to reach it.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    loader::Loader,
    validate::{A_GUID, A_SECURE_ADDRESS, guid, origin, secure_address, secure_url},
    value::choices,
};

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

choices!(Cloud => "public, us-government or china");

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
    /// `entra.jwks_uri`, older name `JWKS_URI`: signing keys from here, in place of the discovered address. An
    /// application with claims mapping has keys of its own, at `…/discovery/v2.0/keys?appid={client id}`.
    pub jwks_uri: Option<Url>,
    /// `entra.ca_file`: PEM certificates trusted beside the system's, for a company proxy or the development
    /// identity provider with `--tls`.
    pub ca_file: Option<PathBuf>,
    /// `entra.keys_max_age_hours`: the last good signing keys outlive an outage of Entra for so long.
    pub keys_max_age: Duration,
    /// `entra.keys_cache_file`: the last good signing keys are kept here too, for a restart during an outage.
    pub keys_cache_file: Option<PathBuf>,
    /// `entra.timeout_seconds`: longest time for one request to Entra, connecting included.
    pub timeout: Duration,
}

impl EntraSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        let host_or_none = |url: &Option<Url>| url.as_ref().is_none_or(|url| secure_url(url) && origin(url));
        Self {
            tenant_id: loader.get_if("entra.tenant_id", default.tenant_id, A_GUID, |id| {
                id.is_empty() || guid(id)
            }),
            cloud: loader.get("entra.cloud", default.cloud),
            authority_host: loader.get_if(
                "entra.authority_host",
                default.authority_host,
                "an https URL (http is taken on localhost only) with nothing after host and port",
                host_or_none,
            ),
            jwks_uri: loader.get_if("entra.jwks_uri", default.jwks_uri, A_SECURE_ADDRESS, |url| {
                url.as_ref().is_none_or(secure_address)
            }),
            ca_file: loader.get("entra.ca_file", default.ca_file),
            keys_max_age: Duration::from_hours(loader.get_if(
                "entra.keys_max_age_hours",
                default.keys_max_age.as_secs() / 3600,
                "a whole number of hours from 1 to 168",
                |hours| (1..=168).contains(hours),
            )),
            keys_cache_file: loader.get("entra.keys_cache_file", default.keys_cache_file),
            timeout: Duration::from_secs(loader.get_if(
                "entra.timeout_seconds",
                default.timeout.as_secs(),
                "a whole number of seconds from 1 to 120",
                |seconds| (1..=120).contains(seconds),
            )),
        }
    }
}

impl Default for EntraSettings {
    fn default() -> Self {
        Self {
            tenant_id: String::new(),
            cloud: Cloud::Public,
            authority_host: None,
            jwks_uri: None,
            ca_file: None,
            keys_max_age: Duration::from_hours(24),
            keys_cache_file: None,
            timeout: Duration::from_secs(10),
        }
    }
}
