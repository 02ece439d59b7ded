//! What the handlers share: registrations, keys, and everything that changes at run time.

use std::time::Duration;

use actix_web::web::{Data, ServiceConfig};

use super::{
    authority::Authority, clock::Clock, expiring_map::ExpiringMap, faults::FaultInjector, grants::Grants, pages::Pages,
    registrations::Registrations, request_log::RequestLog, session::Sessions, signing_keys::KeyRing,
    start_error::StartError,
};
use crate::config::IdpSettings;

/// The state of the emulator.
pub struct Idp {
    pub authority: Data<Authority>,
    pub clock: Data<Clock>,
    pub registrations: Data<Registrations>,
    pub signing_keys: Data<KeyRing>,
    pub sessions: Sessions,
    pub grants: Grants,
    /// `jti` of each client assertion that was accepted, until it expires.
    pub assertions_seen: ExpiringMap<()>,
    pub faults: Data<FaultInjector>,
    pub request_log: Data<RequestLog>,
    pub pages: Data<Pages>,
    /// Accept only the best form of a client assertion.
    pub strict: bool,
    /// Demand PKCE from every client.
    pub require_pkce: bool,
    pub access_token_lifetime: Duration,
}

impl Idp {
    /// Loads the registrations and the signing keys. `scheme` and `port` are those of the emulator.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(settings: &IdpSettings, scheme: &str, port: u16) -> Result<Self, StartError> {
        let browser_url = format!("{scheme}://localhost:{port}");
        let server_url = match &settings.server_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => browser_url.clone(),
        };
        let authority = Authority::new(server_url, browser_url, &settings.tenant_id, &settings.domain);
        Ok(Self {
            authority: Data::new(authority),
            clock: Data::new(Clock::default()),
            registrations: Data::new(Registrations::load(settings)?),
            signing_keys: Data::new(KeyRing::load(settings.signing_keys_file.clone())?),
            sessions: Sessions::new(scheme == "https"),
            grants: Grants::new(),
            assertions_seen: ExpiringMap::new(MOST_ASSERTIONS),
            faults: Data::new(FaultInjector::default()),
            request_log: Data::new(RequestLog::default()),
            pages: Data::new(Pages::new()?),
            strict: settings.strict,
            require_pkce: settings.require_pkce,
            access_token_lifetime: Duration::from_secs(settings.access_token_seconds),
        })
    }

    /// Registers each component for handlers and middleware that need no other.
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
