//! Who is signed in by a session, and what names their tokens and their session at the provider.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ACCOUNT;
pub use crate::user_key::UserKey;
use crate::{entra::IdTokenClaims, web::storage::redis::Name};

/// 256 random bits, base64url: what session ids, tickets and CSRF tokens are made of.
pub fn random_id() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Names the tokens of one sign-in in the token store. Never leaves the server.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket(String);

impl Ticket {
    /// A new one.
    pub fn new() -> Self {
        Self(random_id())
    }

    /// What its records are called outside of this process.
    pub fn name(&self) -> Name {
        Name::of(&self.0)
    }
}

impl UserKey {
    /// What records about the user are called outside of this process.
    pub fn name(self) -> Name {
        Name::of(&format!("{} {}", self.tenant_id, self.object_id))
    }
}

/// Who is signed in, from the ID token. Names and addresses are for display only.
#[derive(Clone, Serialize, Deserialize)]
pub struct Account {
    /// Under which the tokens are kept.
    pub ticket: Ticket,
    /// Proves that a form came from this session.
    pub csrf_token: String,
    /// `tid`
    pub tenant_id: Uuid,
    /// `oid`: with `tenant_id`, how a person is known.
    pub object_id: Uuid,
    /// `name`
    pub name: Option<String>,
    /// `email`
    pub email: Option<String>,
    /// `preferred_username`
    pub preferred_username: Option<String>,
    /// `roles`
    pub roles: Vec<String>,
    /// `login_hint`, for sign-out.
    pub login_hint: Option<String>,
    /// `iss`
    pub issuer: String,
    /// `sid`: the provider's session, by which it tells that it has ended.
    #[serde(default)]
    pub provider_session_id: Option<String>,
    /// Whether the access token's app roles look like those of somebody who may only read: what pages offer before the API
    /// has said more.
    #[serde(default)]
    pub seems_reader: bool,
    /// When.
    pub signed_in_at: DateTime<Utc>,
}

impl Account {
    /// Of a validated ID token, with a new ticket and CSRF token.
    pub fn new(user: IdTokenClaims) -> Self {
        Self {
            ticket: Ticket::new(),
            csrf_token: random_id(),
            tenant_id: user.tenant_id,
            object_id: user.object_id,
            name: user.name,
            email: user.email,
            preferred_username: user.preferred_username,
            roles: user.roles,
            login_hint: user.login_hint,
            issuer: user.issuer,
            provider_session_id: user.session_id,
            seems_reader: false,
            signed_in_at: Utc::now(),
        }
    }

    /// Who is signed in by a session's state, as the session store has it.
    pub fn in_state(state: &HashMap<String, String>) -> Option<Self> {
        serde_json::from_str(state.get(ACCOUNT)?).ok()
    }

    /// Who it is.
    pub fn user(&self) -> UserKey {
        UserKey {
            tenant_id: self.tenant_id,
            object_id: self.object_id,
        }
    }

    /// The provider's session that the sign-in belongs to, if it said which.
    pub fn provider_session(&self) -> Option<ProviderSession> {
        let sid = self.provider_session_id.clone()?;
        Some(ProviderSession {
            issuer: self.issuer.clone(),
            sid,
        })
    }

    /// What to call them: the first of name, user name and e-mail address that there is.
    pub fn display_name(&self) -> &str {
        let names = [&self.name, &self.preferred_username, &self.email];
        names
            .into_iter()
            .flatten()
            .map(|name| name.trim())
            .find(|name| !name.is_empty())
            .unwrap_or("Your account")
    }
}

/// A session at the provider (OpenID Connect Front-Channel Logout 1.0 §3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProviderSession {
    /// `iss`
    pub issuer: String,
    /// `sid`
    pub sid: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_256_bits_and_differ() {
        let (one, other) = (random_id(), random_id());
        assert_ne!(one, other);
        assert_eq!(URL_SAFE_NO_PAD.decode(one).map(|bytes| bytes.len()), Ok(32));
    }
}
