//! The session of one browser, typed: who is signed in, a message to show once, and the API's claims challenge for the
//! next sign-in. Only this file and `account` know the names of the entries.
//!
//! A session never contains a token: it holds a [`Ticket`], which names the tokens in the token store.

mod account;
pub mod lifetime;

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use actix_session::{Session, SessionExt};
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use account::{ACCOUNT, Account, ProviderSession, Ticket, UserKey};

use crate::entra::ClaimsChallenge;

const FLASH: &str = "flash";
const FORCED_SIGN_IN: &str = "forced_sign_in";
const PENDING_CHALLENGE: &str = "demand";

/// A claims challenge is dropped if the user has not signed in after this time.
const CHALLENGE_LIFETIME: Duration = Duration::minutes(10);
/// So many different challenges, each met just before the next one, are a loop.
const MAX_CHALLENGES_IN_A_ROW: u8 = 3;
/// A second forced sign-in within this time means that signing in does not help.
const FORCED_SIGN_IN_MEMORY: Duration = Duration::minutes(2);

/// Whether `at` is within [`FORCED_SIGN_IN_MEMORY`] before `now`. A time in the future, after the clock was set back,
/// is not.
fn is_recent(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (Duration::zero()..FORCED_SIGN_IN_MEMORY).contains(&(now - at))
}

/// The API's claims challenge for the next sign-in, as JSON.
#[derive(Serialize, Deserialize)]
struct PendingChallenge {
    claims: String,
    made_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    /// How many challenges were met just before this one.
    #[serde(default)]
    in_a_row: u8,
}

/// Whether a forced sign-in can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForcedSignIn {
    /// It may help.
    First,
    /// The user signed in a moment ago, and it did not help.
    Repeated,
}

/// Whether a stronger sign-in can meet the API's claims challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepUp {
    /// The user must sign in again.
    Required,
    /// The user signed in a moment ago, and the sign-in did not meet the challenge.
    Failed,
}

/// The session of the browser that sent the request. Reading creates no session; only a write does.
pub struct TypedSession(Session);

impl TypedSession {
    /// The session of `request`.
    pub fn from_http(request: &HttpRequest) -> Self {
        Self(request.get_session())
    }

    /// Who is signed in.
    pub fn account(&self) -> Option<Account> {
        self.read(ACCOUNT)
    }

    /// Signs in, under a new session id: an id that an attacker planted in the browser before is worthless (session
    /// fixation).
    pub fn sign_in(&self, account: &Account) {
        self.0.renew();
        self.write(ACCOUNT, account);
    }

    /// Removes the account, and renews the session id: copies of the old one are worthless.
    pub fn forget_account(&self) {
        self.0.remove(ACCOUNT);
        self.0.renew();
    }

    /// Ends the session, and makes its id worthless.
    pub fn purge(&self) {
        self.0.purge();
    }

    /// Sets a message for the next page.
    pub fn set_flash(&self, text: &str) {
        self.write(FLASH, &text);
    }

    /// Takes the message for this page: it is shown once.
    pub fn take_flash(&self) -> Option<String> {
        let text = self.read(FLASH)?;
        self.0.remove(FLASH);
        Some(text)
    }

    /// Records that a signed-in user is sent to sign in again.
    pub fn record_forced_sign_in(&self) -> ForcedSignIn {
        let before: Option<DateTime<Utc>> = self.read(FORCED_SIGN_IN);
        self.write(FORCED_SIGN_IN, &Utc::now());
        if before.is_some_and(|at| is_recent(at, Utc::now())) {
            ForcedSignIn::Repeated
        } else {
            ForcedSignIn::First
        }
    }

    /// Whether the user was sent to sign in again a moment ago.
    pub fn has_forced_sign_in(&self) -> bool {
        self.read::<DateTime<Utc>>(FORCED_SIGN_IN)
            .is_some_and(|at| is_recent(at, Utc::now()))
    }

    /// Stores the API's claims challenge for the next sign-in. [`StepUp::Failed`] when a sign-in a moment ago should
    /// have met it: that is so for the same challenge, and for any challenge after several others in a row.
    pub fn require_step_up(&self, challenge: &ClaimsChallenge) -> StepUp {
        let now = Utc::now();
        let before: Option<PendingChallenge> = self.read(PENDING_CHALLENGE);
        let met = before.filter(|before| before.answered_at.is_some_and(|at| is_recent(at, now)));
        let in_a_row = met.as_ref().map_or(0, |before| before.in_a_row.saturating_add(1));
        let is_same = met
            .and_then(|before| ClaimsChallenge::from_json(before.claims.as_bytes()))
            .is_some_and(|before| before.demands_the_same(challenge));
        let has_failed = is_same || in_a_row >= MAX_CHALLENGES_IN_A_ROW;
        self.write(
            PENDING_CHALLENGE,
            &PendingChallenge {
                claims: challenge.to_json(),
                made_at: now,
                answered_at: None,
                in_a_row: if has_failed { 0 } else { in_a_row },
            },
        );
        if has_failed { StepUp::Failed } else { StepUp::Required }
    }

    /// The claims challenge that a sign-in which begins now must meet, if any.
    pub fn pending_challenge(&self) -> Option<ClaimsChallenge> {
        let pending: PendingChallenge = self.read(PENDING_CHALLENGE)?;
        let is_open = pending.answered_at.is_none() && Utc::now() - pending.made_at < CHALLENGE_LIFETIME;
        ClaimsChallenge::from_json(pending.claims.as_bytes()).filter(|_| is_open)
    }

    /// Records that the user has signed in after the claims challenge.
    pub fn record_step_up(&self) {
        if let Some(pending) = self.read::<PendingChallenge>(PENDING_CHALLENGE) {
            self.write(
                PENDING_CHALLENGE,
                &PendingChallenge {
                    answered_at: Some(Utc::now()),
                    ..pending
                },
            );
        }
    }

    /// An unreadable entry, for example one of another version, counts as absent.
    fn read<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.0.get(key).unwrap_or_else(|_| {
            log::warn!("session entry {key} is unreadable and ignored");
            None
        })
    }

    fn write<T: Serialize>(&self, key: &str, value: &T) {
        if self.0.insert(key, value).is_err() {
            log::error!("session entry {key} cannot be written");
        }
    }
}

impl FromRequest for TypedSession {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::from_http(request)))
    }
}

#[cfg(test)]
mod tests {
    use actix_session::SessionStatus;
    use actix_web::test::TestRequest;
    use uuid::Uuid;

    use super::*;
    use crate::entra::IdTokenClaims;

    fn session() -> TypedSession {
        TypedSession::from_http(&TestRequest::default().to_http_request())
    }

    #[test]
    fn a_challenge_holds_for_the_next_sign_in_and_fails_if_that_did_not_meet_it() {
        let challenge = |value: &str| {
            let json = serde_json::json!({ "access_token": { "acrs": { "value": value } } }).to_string();
            ClaimsChallenge::from_json(json.as_bytes()).expect("a challenge")
        };
        let session = session();
        assert_eq!(session.pending_challenge(), None);
        assert_eq!(session.require_step_up(&challenge("c1")), StepUp::Required);
        assert_eq!(
            session.require_step_up(&challenge("c1")),
            StepUp::Required,
            "the user has not signed in meanwhile"
        );
        assert_eq!(session.pending_challenge(), Some(challenge("c1")));
        session.record_step_up();
        assert_eq!(session.pending_challenge(), None);
        assert_eq!(
            session.require_step_up(&challenge("c2")),
            StepUp::Required,
            "another challenge"
        );
        session.record_step_up();
        assert_eq!(session.require_step_up(&challenge("c2")), StepUp::Failed);
        assert_eq!(
            session.require_step_up(&challenge("c2")),
            StepUp::Required,
            "the user tries once more"
        );
    }

    #[test]
    fn challenges_that_differ_each_time_fail_in_the_end() {
        let demand =
            |json: &serde_json::Value| ClaimsChallenge::from_json(json.to_string().as_bytes()).expect("a challenge");
        let nbf = |time: u64| demand(&serde_json::json!({ "access_token": { "nbf": { "value": time.to_string() } } }));
        let session = session();
        assert_eq!(session.require_step_up(&nbf(1)), StepUp::Required);
        session.record_step_up();
        assert_eq!(
            session.require_step_up(&nbf(2)),
            StepUp::Failed,
            "a later time is the same challenge: a new token"
        );

        let acrs = |n: usize| demand(&serde_json::json!({ "access_token": { "acrs": { "value": n.to_string() } } }));
        let session = self::session();
        let tries = (0..10).take_while(|n| {
            let step_up = session.require_step_up(&acrs(*n));
            session.record_step_up();
            step_up == StepUp::Required
        });
        assert_eq!(tries.count(), 3);
    }

    #[test]
    fn a_sign_in_and_its_end_renew_the_session_id() {
        let anonymous = session();
        anonymous.set_flash("hello");
        assert_eq!(anonymous.0.status(), SessionStatus::Changed);
        anonymous.forget_account();
        assert_eq!(anonymous.0.status(), SessionStatus::Renewed);
        let signed_in = session();
        signed_in.sign_in(&Account::new(IdTokenClaims {
            tenant_id: Uuid::nil(),
            object_id: Uuid::nil(),
            subject: String::new(),
            name: None,
            email: None,
            preferred_username: None,
            roles: Vec::new(),
            session_id: None,
            login_hint: None,
            issuer: String::new(),
        }));
        assert_eq!(signed_in.0.status(), SessionStatus::Renewed);
    }

    #[test]
    fn a_second_forced_sign_in_in_a_row_is_recognized() {
        let session = session();
        assert_eq!(session.record_forced_sign_in(), ForcedSignIn::First);
        assert_eq!(session.record_forced_sign_in(), ForcedSignIn::Repeated);
    }
}
