//! What the site remembers about one browser, typed: who is signed in, a message to show once, and what the
//! API demands of a sign-in. The only place that knows the names under which the session store keeps them.
//!
//! No token is ever in here: a session holds a [`Ticket`], and the tokens are in the
//! [`TokenStore`](super::token_store::TokenStore) under it.

mod account;

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use actix_session::{Session, SessionExt};
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use account::{Account, ProviderSession, Ticket, UserKey, random_id};

use crate::entra::ClaimsChallenge;

/// Key of the signed-in account; the session store tells signed-in sessions from anonymous ones by it.
pub const ACCOUNT: &str = "account";
const FLASH: &str = "flash";
const FORCED_SIGN_IN: &str = "forced_sign_in";
const DEMAND: &str = "demand";

/// A demand that nobody has signed in for after so long is forgotten.
const DEMAND_LIFETIME: Duration = Duration::minutes(10);
/// So many different demands, each answered a moment before the next, are one too many.
const MAX_DEMANDS_IN_A_ROW: u8 = 3;
/// A second forced sign-in within this time means that signing in does not help.
const FORCED_SIGN_IN_MEMORY: Duration = Duration::minutes(2);

/// Not when a clock that was set back makes it a time to come.
fn is_a_moment_ago(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (Duration::zero()..FORCED_SIGN_IN_MEMORY).contains(&(now - at))
}

/// What the API demands of a sign-in, as JSON.
#[derive(Serialize, Deserialize)]
struct Demand {
    claims: String,
    made_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    /// How many were answered just before this one.
    #[serde(default)]
    in_a_row: u8,
}

/// The session of the browser that sent the request. Reading costs nothing; only a write makes a session.
pub struct TypedSession(Session);

impl TypedSession {
    /// Of this request.
    pub fn of(request: &HttpRequest) -> Self {
        Self(request.get_session())
    }

    /// Who is signed in.
    pub fn account(&self) -> Option<Account> {
        self.read(ACCOUNT)
    }

    /// Signs in, under a new session id: one that somebody planted in the browser before is worth nothing
    /// (session fixation).
    pub fn sign_in(&self, account: &Account) {
        self.0.renew();
        self.write(ACCOUNT, account);
    }

    /// Forgets who is signed in, under a new session id: the old one is dead wherever it was copied to.
    pub fn end_sign_in(&self) {
        self.0.remove(ACCOUNT);
        self.0.renew();
    }

    /// Ends the session: its id is dead from now on.
    pub fn purge(&self) {
        self.0.purge();
    }

    /// Says something on the next page.
    pub fn set_flash(&self, text: &str) {
        self.write(FLASH, &text);
    }

    /// What is to be said, once.
    pub fn take_flash(&self) -> Option<String> {
        let text = self.read(FLASH)?;
        self.0.remove(FLASH);
        Some(text)
    }

    /// Notes that the user was sent to sign in although signed in. `true` when that happened a moment ago too: then
    /// signing in does not help, and sending the browser there again would go on for ever.
    pub fn note_forced_sign_in(&self) -> bool {
        let before: Option<DateTime<Utc>> = self.read(FORCED_SIGN_IN);
        self.write(FORCED_SIGN_IN, &Utc::now());
        before.is_some_and(|at| is_a_moment_ago(at, Utc::now()))
    }

    /// Whether [`Self::note_forced_sign_in`] was called a moment ago.
    pub fn has_forced_sign_in(&self) -> bool {
        self.read::<DateTime<Utc>>(FORCED_SIGN_IN)
            .is_some_and(|at| is_a_moment_ago(at, Utc::now()))
    }

    /// Keeps what the API demands of the next sign-in. `true` when a sign-in that was completed a moment ago should have
    /// brought it, and did not: the next one would not either. That is so of the same demand, and of any that comes after
    /// several others.
    pub fn demand(&self, challenge: &ClaimsChallenge) -> bool {
        let now = Utc::now();
        let before: Option<Demand> = self.read(DEMAND);
        let answered = before.filter(|before| before.answered_at.is_some_and(|at| is_a_moment_ago(at, now)));
        let in_a_row = answered.as_ref().map_or(0, |before| before.in_a_row.saturating_add(1));
        let is_same = answered
            .and_then(|before| ClaimsChallenge::from_json(before.claims.as_bytes()))
            .is_some_and(|before| before.demands_the_same(challenge));
        let is_in_vain = is_same || in_a_row >= MAX_DEMANDS_IN_A_ROW;
        let in_a_row = if is_in_vain { 0 } else { in_a_row };
        self.write(
            DEMAND,
            &Demand {
                claims: challenge.to_json(),
                made_at: now,
                answered_at: None,
                in_a_row,
            },
        );
        is_in_vain
    }

    /// What the API demands of a sign-in that begins now, if anything.
    pub fn demanded(&self) -> Option<ClaimsChallenge> {
        let demand: Demand = self.read(DEMAND)?;
        let is_open = demand.answered_at.is_none() && Utc::now() - demand.made_at < DEMAND_LIFETIME;
        ClaimsChallenge::from_json(demand.claims.as_bytes()).filter(|_| is_open)
    }

    /// Notes that somebody has signed in after the demand.
    pub fn answer_demand(&self) {
        if let Some(demand) = self.read::<Demand>(DEMAND) {
            self.write(
                DEMAND,
                &Demand {
                    answered_at: Some(Utc::now()),
                    ..demand
                },
            );
        }
    }

    /// Something unreadable, say written by another version, counts as absent.
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
        ready(Ok(Self::of(request)))
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
        TypedSession::of(&TestRequest::default().to_http_request())
    }

    #[test]
    fn a_demand_holds_for_the_next_sign_in_and_is_in_vain_if_that_did_not_help() {
        let challenge = |value: &str| {
            let json = serde_json::json!({ "access_token": { "acrs": { "value": value } } }).to_string();
            ClaimsChallenge::from_json(json.as_bytes()).expect("a challenge")
        };
        let session = session();
        assert_eq!(session.demanded(), None);
        assert!(!session.demand(&challenge("c1")));
        assert!(!session.demand(&challenge("c1")), "nobody has signed in meanwhile");
        assert_eq!(session.demanded(), Some(challenge("c1")));
        session.answer_demand();
        assert_eq!(session.demanded(), None);
        assert!(!session.demand(&challenge("c2")), "another one");
        session.answer_demand();
        assert!(session.demand(&challenge("c2")));
        assert!(
            !session.demand(&challenge("c2")),
            "asked for once more, by the user's own choice"
        );
    }

    #[test]
    fn demands_that_are_different_each_time_end_too() {
        let demand =
            |json: &serde_json::Value| ClaimsChallenge::from_json(json.to_string().as_bytes()).expect("a challenge");
        let nbf = |time: u64| demand(&serde_json::json!({ "access_token": { "nbf": { "value": time.to_string() } } }));
        let session = session();
        assert!(!session.demand(&nbf(1)));
        session.answer_demand();
        assert!(session.demand(&nbf(2)), "a later time is the same demand: a new token");

        let acrs = |n: usize| demand(&serde_json::json!({ "access_token": { "acrs": { "value": n.to_string() } } }));
        let session = self::session();
        let tries = (0..10).take_while(|n| {
            let is_in_vain = session.demand(&acrs(*n));
            session.answer_demand();
            !is_in_vain
        });
        assert_eq!(tries.count(), 3);
    }

    #[test]
    fn whenever_somebody_signs_in_or_a_sign_in_ends_the_session_gets_a_new_id() {
        let of_nobody = session();
        of_nobody.set_flash("hello");
        assert_eq!(of_nobody.0.status(), SessionStatus::Changed);
        of_nobody.end_sign_in();
        assert_eq!(of_nobody.0.status(), SessionStatus::Renewed);
        let of_alice = session();
        of_alice.sign_in(&Account::new(IdTokenClaims {
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
        assert_eq!(of_alice.0.status(), SessionStatus::Renewed);
    }

    #[test]
    fn a_second_forced_sign_in_in_a_row_is_noticed() {
        let session = session();
        assert!(!session.note_forced_sign_in());
        assert!(session.note_forced_sign_in());
    }
}
