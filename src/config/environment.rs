//! Whether the servers run in production, and which URLs may carry tokens there.

use serde::{Deserialize, Serialize};
use url::Url;

use super::value::choices;
use crate::loopback::is_secure;

/// Where the servers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// Entra ID's emulator and the API may use plain HTTP on any host, such as a container's name.
    Development,
    /// The default. Plain HTTP is allowed on loopback only.
    #[default]
    Production,
}

choices!(Environment => "development or production");

impl Environment {
    /// Whether requests with tokens or signing keys may go to a URL: over TLS, or over plain HTTP on this machine, and in
    /// development over plain HTTP on any host.
    pub fn may_use(self, url: &Url) -> bool {
        is_secure(url) || (self == Self::Development && url.scheme() == "http" && url.has_host())
    }
}
