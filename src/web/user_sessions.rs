//! Begins and ends sign-ins in all stores together: sessions, tokens, and the list of revoked sign-ins.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    session::{Account, ProviderSession, Ticket, UserKey},
    session_store::{RevocationList, Sessions},
    storage::{StorageExecutor, StoreError},
    token_store::AccessTokens,
};
use crate::entra::TokenSet;

/// The sign-ins of all users.
pub struct UserSessions {
    sessions: Sessions,
    tokens: Arc<AccessTokens>,
    revocations: RevocationList,
    executor: StorageExecutor,
}

/// Which sessions a sign-out ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignOutScope {
    /// Those of this browser.
    ThisBrowser,
    /// Those of the user in all browsers.
    AllBrowsers,
}

impl UserSessions {
    /// The sign-ins in these stores.
    pub fn new(
        sessions: Sessions,
        tokens: Arc<AccessTokens>,
        revocations: RevocationList,
        executor: StorageExecutor,
    ) -> Self {
        Self {
            sessions,
            tokens,
            revocations,
            executor,
        }
    }

    /// Stores the tokens of a new sign-in, and deletes those of the sign-in that it replaces. Returns the time of the
    /// sign-in.
    ///
    /// # Errors
    /// When Redis does not answer; so for all functions here.
    pub async fn start(
        &self,
        account: &Account,
        tokens: TokenSet,
        replaced: Option<Ticket>,
    ) -> Result<DateTime<Utc>, StoreError> {
        let (store, revocations) = (Arc::clone(&self.tokens), self.revocations.clone());
        let (user, ticket) = (account.user(), account.ticket.clone());
        let start = move || {
            store.insert(&ticket, tokens)?;
            store.remove(replaced.as_slice())?;
            revocations.sign_in_time(user)
        };
        self.executor.run(start).await
    }

    /// Ends the sign-in of `account`, and with it all sessions that belong to the same session at the provider, also
    /// those whose cookie a late response has replaced.
    pub async fn sign_out(&self, account: &Account, scope: SignOutScope) -> Result<(), StoreError> {
        let (sessions, tokens) = (self.sessions.clone(), Arc::clone(&self.tokens));
        let revocations = self.revocations.clone();
        let (user, ticket, at_provider) = (account.user(), account.ticket.clone(), account.provider_session());
        let sign_out = move || {
            // First: the revocation alone ends every sign-in, even if Redis fails at the next command.
            if scope == SignOutScope::AllBrowsers {
                revocations.revoke_user(user)?;
            }
            let others = at_provider
                .map(|session| sessions.end_provider_session(&session))
                .transpose()?;
            tokens.remove(&[ticket])?;
            tokens.remove(&others.unwrap_or_default())
        };
        self.executor.run(sign_out).await
    }

    /// Ends all sessions of `user`, and returns how many. [`Self::sign_out`] has revoked them already.
    pub async fn end_all_of(&self, user: UserKey) -> Result<usize, StoreError> {
        self.end(move |sessions| sessions.end_sessions_of(user)).await
    }

    /// Ends all sessions that belong to a session at the provider, and returns how many.
    pub async fn end_provider_session(&self, session: ProviderSession) -> Result<usize, StoreError> {
        self.end(move |sessions| sessions.end_provider_session(&session)).await
    }

    async fn end(
        &self,
        end: impl FnOnce(&Sessions) -> Result<Vec<Ticket>, StoreError> + Send + 'static,
    ) -> Result<usize, StoreError> {
        let (sessions, tokens) = (self.sessions.clone(), Arc::clone(&self.tokens));
        let end = move || {
            let tickets = end(&sessions)?;
            tokens.remove(&tickets).map(|()| tickets.len())
        };
        self.executor.run(end).await
    }

    /// Deletes the tokens of one sign-in.
    pub async fn remove_tokens(&self, ticket: &Ticket) -> Result<(), StoreError> {
        let (tokens, ticket) = (Arc::clone(&self.tokens), ticket.clone());
        self.executor.run(move || tokens.remove(&[ticket])).await
    }

    /// When the access token of a sign-in expires, if it has one.
    pub async fn token_expires_at(&self, ticket: &Ticket) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (tokens, ticket) = (Arc::clone(&self.tokens), ticket.clone());
        self.executor.run(move || tokens.expires_at(&ticket)).await
    }

    /// Whether a sign-in of `user` at this time was revoked.
    pub async fn is_revoked(&self, user: UserKey, signed_in_at: DateTime<Utc>) -> Result<bool, StoreError> {
        let revocations = self.revocations.clone();
        self.executor
            .run(move || revocations.is_revoked(user, signed_in_at, None))
            .await
    }
}
