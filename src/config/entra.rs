//! `[entra]`: which tenant of which cloud, and how to reach it.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    environment::Environment,
    loader::Loader,
    rules::{hours, optional_url, seconds, text_or_empty},
    section::section,
    validate::{A_GUID, A_USABLE_ADDRESS, guid, origin, usable_address, usable_url},
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

impl Cloud {
    /// The host at which users and applications of this cloud sign in (Microsoft Learn "National clouds").
    pub fn sign_in_host(self) -> Url {
        constant_url(match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.partner.microsoftonline.cn",
        })
    }
}

fn constant_url(url: &'static str) -> Url {
    #[expect(clippy::expect_used, reason = "three constants, each parsed by a test")]
    Url::parse(url).expect("a constant URL")
}

choices!(Cloud => "public, us-government or china");

section! {
    /// The tenant of Microsoft Entra ID, and how to reach it.
    #[derive(Debug, Clone)]
    pub struct EntraSettings = "entra" (in_environment: Environment) {
        /// Directory (tenant) ID, a GUID, from the overview page of Microsoft Entra ID in the portal.
        #[alias(TENANT_ID)]
        pub tenant_id: String = String::new(), text_or_empty(A_GUID, guid);

        /// The Microsoft cloud: `public`, `us-government` or `china`.
        pub cloud: Cloud = Cloud::Public;

        /// Base URL that replaces the cloud's sign-in host, such as `http://localhost:9000` for `blogctl serve-idp`. HTTPS,
        /// or HTTP on this machine; in development, HTTP on any host.
        pub authority_host: Option<Url> = None, optional_url(
            "an https URL (http on localhost only; in development on any host) with nothing after host and port",
            move |url| usable_url(in_environment, url) && origin(url),
        );

        /// URL of the signing keys, if not the one that discovery returns. It may have a query: an application with claims
        /// mapping has its own keys, at `…/discovery/v2.0/keys?appid=` followed by its client ID.
        #[alias(JWKS_URI)]
        pub jwks_uri: Option<Url> = None, optional_url(A_USABLE_ADDRESS, move |url| {
            usable_address(in_environment, url)
        });

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
    also {
        /// `server.environment`: whether plain HTTP may be used on other hosts.
        pub environment: Environment = Environment::Production;
    }
}

impl EntraSettings {
    /// Reads the section.
    pub(super) fn load(loader: &mut Loader, environment: Environment) -> Self {
        Self {
            environment,
            ..Self::read(loader, environment)
        }
    }
}
