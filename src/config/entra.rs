//! `[entra]`: which tenant of which cloud, and how to reach it.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    rules::{hours, optional_url, seconds, text_or_empty},
    section::section,
    validate::{A_GUID, A_SECURE_ADDRESS, guid, origin, secure_address, secure_url},
    value::choices,
};

/// A Microsoft cloud. Each has its own sign-in host.
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

section! {
    /// The tenant of Microsoft Entra ID, and how to reach it.
    #[derive(Debug, Clone)]
    pub struct EntraSettings = "entra" {
        /// Directory (tenant) ID, a GUID, from the overview page of Microsoft Entra ID in the portal.
        #[alias(TENANT_ID)]
        pub tenant_id: String = String::new(), text_or_empty(A_GUID, guid);

        /// The Microsoft cloud: `public`, `us-government` or `china`.
        pub cloud: Cloud = Cloud::Public;

        /// Base URL that replaces the cloud's sign-in host, such as `http://localhost:9000` for `blogctl serve-idp`. HTTPS,
        /// or HTTP on this machine.
        pub authority_host: Option<Url> = None, optional_url(
            "an https URL (http on localhost only) with nothing after host and port",
            |url| secure_url(url) && origin(url),
        );

        /// URL of the signing keys, if not the one that discovery returns. It may have a query: an application with claims
        /// mapping has its own keys, at `…/discovery/v2.0/keys?appid=` followed by its client ID.
        #[alias(JWKS_URI)]
        pub jwks_uri: Option<Url> = None, optional_url(A_SECURE_ADDRESS, secure_address);

        /// PEM file with certificate authorities to trust in addition to the system's: that of a company proxy, or that of
        /// `serve-idp --tls`.
        pub ca_file: Option<PathBuf> = None;

        /// How long the last good signing keys are used while Entra ID cannot be reached. They are refreshed every hour.
        #[key(keys_max_age_hours)]
        pub keys_max_age: Duration = Duration::from_hours(24), hours(1..=168);

        /// File that also stores the last good signing keys (they are public), so that a server that restarts during an outage
        /// can use them. The file is used only if it is a regular file (not a symbolic link) of at most 2 MiB, if the account
        /// that runs blogctl or root owns the file and its folder, and if no other account may write to either: `/tmp` is not
        /// suitable. A missing folder is created with mode 0700, the file with mode 0600. The log says why a file is not used.
        pub keys_cache_file: Option<PathBuf> = None;

        /// Timeout of one request to Entra ID, including the connection.
        #[key(timeout_seconds)]
        pub timeout: Duration = Duration::from_secs(10), seconds(1..=120);
    }
}
