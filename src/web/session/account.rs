//! The signed-in account of a session, and the names of its tokens and of its session at the provider.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::user_key::UserKey;
use crate::{
    entra::IdTokenClaims,
    web::storage::{random_id, redis::RecordName},
};

/// Name of the session entry with the signed-in account, by which the session store distinguishes signed-in sessions
/// from anonymous ones.
pub const ACCOUNT: &str = "account";

/// Names the tokens of one sign-in in the token store. Never leaves the server.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket(String);

impl Ticket {
    /// A new, unguessable ticket.
    pub fn new() -> Self {
        Self(random_id())
    }

    /// The name of its records in Redis.
    pub fn name(&self) -> RecordName {
        RecordName::hash(&self.0)
    }
}

impl UserKey {
    /// The name of records about the user in Redis.
    pub fn name(self) -> RecordName {
        RecordName::hash(&format!("{} {}", self.tenant_id, self.object_id))
    }
}

/// Who is signed in, from the ID token. Names and addresses are for display only.
#[derive(Clone, Serialize, Deserialize)]
pub struct Account {
    /// Names its tokens in the token store.
    pub ticket: Ticket,
    /// Proves that a form came from this session.
    pub csrf_token: String,
    /// `tid`
    pub tenant_id: Uuid,
    /// `oid`; identifies the user together with `tenant_id`.
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
    /// `sid`: the session at the provider, which the provider names when that session ends.
    #[serde(default)]
    pub provider_session_id: Option<String>,
    /// Whether the access token's app roles seem to allow reading only. Decides what pages offer until the API has
    /// answered.
    #[serde(default)]
    pub seems_reader: bool,
    /// When the user signed in.
    pub signed_in_at: DateTime<Utc>,
}

impl Account {
    /// The account of a validated ID token, with a new ticket and CSRF token.
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

    /// The account in the state of a session, as the session store has it.
    pub fn in_state(state: &HashMap<String, String>) -> Option<Self> {
        serde_json::from_str(state.get(ACCOUNT)?).ok()
    }

    /// Identifies the user.
    pub fn user(&self) -> UserKey {
        UserKey {
            tenant_id: self.tenant_id,
            object_id: self.object_id,
        }
    }

    /// The session at the provider that the sign-in belongs to, if the provider named it.
    pub fn provider_session(&self) -> Option<ProviderSession> {
        let sid = self.provider_session_id.clone()?;
        Some(ProviderSession {
            issuer: self.issuer.clone(),
            sid,
        })
    }

    /// The name to show: the first non-empty one of name, user name and e-mail address.
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
