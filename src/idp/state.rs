//! Everything that the handlers share: the directory, the keys, and what is in memory while it runs.

use std::time::Duration;

use actix_web::web::{Data, ServiceConfig};

use super::{
    authority::Authority, clock::Clock, expiring_map::ExpiringMap, faults::Faults, grants::Grants, pages::Pages,
    registrations::Registrations, request_log::Journal, session::Sessions, signing_keys::KeyRing,
    start_error::StartError,
};
use crate::config::IdpSettings;

/// The provider, without its sockets.
pub struct Idp {
    /// Addresses and issuers.
    pub authority: Data<Authority>,
    /// What time it is.
    pub clock: Data<Clock>,
    /// Users and applications.
    pub registrations: Data<Registrations>,
    /// Keys that sign tokens.
    pub signing_keys: Data<KeyRing>,
    /// Who is signed in.
    pub sessions: Sessions,
    /// Codes and refresh tokens.
    pub grants: Grants,
    /// `jti` of the client assertions seen, each until it expires.
    pub assertions_seen: ExpiringMap<()>,
    /// What a test told it to do wrong.
    pub faults: Data<Faults>,
    /// The last requests, for tests.
    pub request_log: Data<Journal>,
    /// Templates.
    pub pages: Data<Pages>,
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
            authority: Data::new(Authority::new(base_url, &settings.tenant_id, &settings.domain)),
            clock: Data::new(Clock::default()),
            registrations: Data::new(Registrations::load(settings)?),
            signing_keys: Data::new(KeyRing::open(settings.signing_keys_file.clone())?),
            sessions: Sessions::new(settings.tls),
            grants: Grants::new(),
            assertions_seen: ExpiringMap::new(MOST_ASSERTIONS),
            faults: Data::new(Faults::default()),
            request_log: Data::new(Journal::default()),
            pages: Data::new(Pages::new()?),
            strict: settings.strict,
            require_pkce: settings.require_pkce,
            access_token_lifetime: Duration::from_secs(settings.access_token_seconds),
        })
    }

    /// Gives handlers and middleware each component by itself, for those that need no more.
    pub fn mount(&self, config: &mut ServiceConfig) {
        config
            .app_data(self.authority.clone())
            .app_data(self.clock.clone())
            .app_data(self.registrations.clone())
            .app_data(self.signing_keys.clone())
            .app_data(self.faults.clone())
            .app_data(self.request_log.clone())
            .app_data(self.pages.clone());
    }
}

const MOST_ASSERTIONS: usize = 100_000;
