//! Everything that the handlers share: the directory, the keys, and what is in memory while it runs.

use std::time::Duration;

use super::{
    authority::Authority, clock::Clock, expiring_map::ExpiringMap, faults::Faults, grants::Grants, pages::Pages,
    registrations::Registrations, request_log::Journal, server::StartError, session::Sessions, signing_keys::KeyRing,
};
use crate::config::IdpSettings;

/// The provider, without its sockets.
pub struct Idp {
    /// Addresses and issuers.
    pub authority: Authority,
    /// What time it is.
    pub clock: Clock,
    /// Users and applications.
    pub registrations: Registrations,
    /// Keys that sign tokens.
    pub signing_keys: KeyRing,
    /// Who is signed in.
    pub sessions: Sessions,
    /// Codes and refresh tokens.
    pub grants: Grants,
    /// `jti` of the client assertions seen, each until it expires.
    pub assertions_seen: ExpiringMap<()>,
    /// What a test told it to do wrong.
    pub faults: Faults,
    /// The last requests, for tests.
    pub journal: Journal,
    /// Templates.
    pub pages: Pages,
    /// Demand the best form of an assertion.
    pub strict: bool,
    /// Demand PKCE of every client.
    pub require_pkce: bool,
    /// How long access tokens live.
    pub access_token_lifetime: Duration,
}

impl Idp {
    /// Reads the registrations and the signing keys, or makes one; `port` is the one it listens on.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn prepare(settings: &IdpSettings, port: u16) -> Result<Self, StartError> {
        let scheme = if settings.tls { "https" } else { "http" };
        let base_url = format!("{scheme}://localhost:{port}");
        Ok(Self {
            authority: Authority::new(base_url, &settings.tenant_id, &settings.domain),
            clock: Clock::default(),
            registrations: Registrations::load(settings)?,
            signing_keys: KeyRing::open(settings.signing_keys_file.clone())?,
            sessions: Sessions::new(settings.tls),
            grants: Grants::new(),
            assertions_seen: ExpiringMap::new(MOST_ASSERTIONS),
            faults: Faults::default(),
            journal: Journal::default(),
            pages: Pages::new()?,
            strict: settings.strict,
            require_pkce: settings.require_pkce,
            access_token_lifetime: Duration::from_secs(settings.access_token_seconds),
        })
    }
}

const MOST_ASSERTIONS: usize = 100_000;
