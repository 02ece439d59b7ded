//! The users' sessions, whichever browser they are in: the middleware that finds a request's own, and how they are ended
//! from elsewhere.

use actix_session::{SessionMiddleware, config::BrowserSession};
use actix_web::cookie::SameSite;
use uuid::Uuid;

use super::{
    cookies::Flags,
    key_ring::KeyRing,
    session::{ProviderSession, Ticket},
    session_store::{Lifetime, MemorySessionStore},
};
use crate::config::ClientSettings;

/// All of them. A clone is another handle to the same sessions.
#[derive(Clone)]
pub struct Sessions {
    store: MemorySessionStore,
}

impl Sessions {
    /// None yet.
    pub fn new(settings: &ClientSettings) -> Self {
        Self { store: MemorySessionStore::new(settings.max_sessions, Lifetime::of(settings)) }
    }

    /// Ends every session that belongs to a session at the provider, and gives the tickets of their sign-ins.
    pub fn end_provider_session(&self, session: &ProviderSession) -> Vec<Ticket> {
        self.store.end_provider_session(session)
    }

    /// Ends every session of a user, and gives the tickets of their sign-ins.
    pub fn end_sessions_of(&self, tenant_id: Uuid, object_id: Uuid) -> Vec<Ticket> {
        self.store.end_sessions_of(tenant_id, object_id)
    }

    /// The middleware, inside of [`sort_out`](super::cookies::sort_out). The cookie holds the session id, encrypted by the
    /// newest key, and ends with the browser.
    pub fn middleware(&self, keys: &KeyRing, flags: Flags) -> SessionMiddleware<MemorySessionStore> {
        SessionMiddleware::builder(self.store.clone(), keys.newest())
            .cookie_name(flags.session_name().to_owned())
            .cookie_secure(flags.is_secure)
            .cookie_http_only(true)
            .cookie_same_site(SameSite::Lax)
            .cookie_path("/".to_owned())
            .session_lifecycle(BrowserSession::default())
            .build()
    }
}
