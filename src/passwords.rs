//! Where the password of PostgreSQL or Redis comes from, if not from its URL: a file, a command, or a token of an identity in
//! Azure. Passwords are fetched for each connection and expire, so that there is no shared secret to store.
//!
//! ```text
//! let password = source.current(limit)?;
//! // … the server rejects it …
//! if let Some(newer) = source.replace_rejected(&password, limit)? { /* connect once more */ }
//! ```
//!
//! Calls block: never make them on a serving thread. No password is ever logged.

mod command;
mod error;
mod source;

use std::time::Duration;

use chrono::Utc;
use secrecy::{ExposeSecret as _, SecretString};

pub use self::{error::PasswordError, source::PasswordSource};
use crate::{config::Cloud, token_cache::Token};

/// What the password is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Azure Database for PostgreSQL.
    Postgres,
    /// Azure Managed Redis and Azure Cache for Redis.
    Redis,
}

impl Service {
    /// The resource that its tokens are for, without `/.default`.
    fn resource(self, cloud: Cloud) -> &'static str {
        match (self, cloud) {
            (Self::Postgres, Cloud::Public) => "https://ossrdbms-aad.database.windows.net",
            (Self::Postgres, Cloud::UsGovernment) => "https://ossrdbms-aad.database.usgovcloudapi.net",
            (Self::Postgres, Cloud::China) => "https://ossrdbms-aad.database.chinacloudapi.cn",
            // The same application in every cloud.
            (Self::Redis, _) => "https://redis.azure.com",
        }
    }
}

/// A password, and when it expires.
#[derive(Debug, Clone)]
pub struct Password(Token);

impl Password {
    /// The password.
    pub fn value(&self) -> &SecretString {
        self.0.value()
    }

    /// How long the server will still accept it; `None` if the password does not say. A server may close a connection at
    /// that time.
    pub fn time_left(&self) -> Option<Duration> {
        let left = self.0.expires_at()?.saturating_sub(Utc::now().timestamp());
        Some(Duration::from_secs(u64::try_from(left).unwrap_or_default()))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.value().expose_secret() == other.value().expose_secret()
    }
}
