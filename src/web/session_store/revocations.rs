//! The list of revoked sign-ins. Entries live longer than any session can.
//!
//! An ended session is deleted, but a deleted record can come back: an attacker with write access to Redis can restore
//! an old record, whose seal is still valid. And a form that was opened before *sign out everywhere* still has its
//! seal. So sessions and seals are checked against this list.
//!
//! The list is in Redis for all replicas. Each replica also caches what it has revoked or has read from the list. An
//! attacker who deletes the list and restores a record gains a session only on replicas that have not seen the
//! sign-out, and only until the session's longest lifetime is over, which is in the sealed record.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moka::{policy::EvictionPolicy, sync::Cache};

use crate::web::{
    form_seal,
    session::UserKey,
    storage::{
        RedisStore, StoreError,
        redis::{RecordKind, RecordName},
    },
};

const SIGNED_OUT: RecordKind = RecordKind("signed-out");
/// The entry that revokes all sign-ins of the user up to its time.
const EVERYWHERE: &str = "*";
/// Most entries of one user; the oldest goes first.
const MAX_OF_USER: i64 = 2000;
/// Most entries that one replica caches.
const MAX_CACHED: u64 = 100_000;
/// More than the clocks of replicas may differ.
const SLACK: Duration = Duration::from_hours(1);

/// A clone is another handle to the same list.
#[derive(Clone)]
pub struct RevocationList {
    redis: Option<RedisStore>,
    everywhere: Cache<UserKey, DateTime<Utc>>,
    sessions: Cache<RecordName, ()>,
    lifetime: Duration,
}

impl RevocationList {
    /// A list for sessions that live at most `session_max`.
    pub fn new(session_max: Duration, redis: Option<RedisStore>) -> Self {
        let lifetime = session_max.max(form_seal::LIFETIME.to_std().unwrap_or_default()) + SLACK;
        let lru = EvictionPolicy::lru;
        Self {
            redis,
            everywhere: Cache::builder()
                .max_capacity(MAX_CACHED)
                .eviction_policy(lru())
                .time_to_live(lifetime)
                .build(),
            sessions: Cache::builder()
                .max_capacity(MAX_CACHED)
                .eviction_policy(lru())
                .time_to_live(lifetime)
                .build(),
            lifetime,
        }
    }

    /// Revokes every sign-in of `user` up to now. Blocks, like all functions here.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn revoke_user(&self, user: UserKey) -> Result<(), StoreError> {
        // Redis stores milliseconds. Rounded up, so that a sign-in in the same millisecond ends too.
        let now = Utc::now().timestamp_millis().saturating_add(1);
        self.cache_user(user, now);
        match &self.redis {
            Some(redis) => redis.add_event(SIGNED_OUT, &user.name(), EVERYWHERE, now, self.lifetime, MAX_OF_USER),
            None => Ok(()),
        }
    }

    /// Revokes the session of `user` whose record has this name.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn revoke_session(&self, user: UserKey, session: &RecordName) -> Result<(), StoreError> {
        self.sessions.insert(session.clone(), ());
        let now = Utc::now().timestamp_millis();
        match &self.redis {
            Some(redis) => redis.add_event(
                SIGNED_OUT,
                &user.name(),
                session.as_str(),
                now,
                self.lifetime,
                MAX_OF_USER,
            ),
            None => Ok(()),
        }
    }

    /// Whether a sign-in of `user` at this time, or the session whose record has this name, is revoked.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn is_revoked(
        &self,
        user: UserKey,
        signed_in_at: DateTime<Utc>,
        session: Option<&RecordName>,
    ) -> Result<bool, StoreError> {
        if let (Some(redis), false) = (&self.redis, self.is_cached(user, signed_in_at, session)) {
            let name = session.map_or("", RecordName::as_str);
            let [everywhere, ended] = redis.event_times(SIGNED_OUT, &user.name(), [EVERYWHERE, name])?;
            if let Some(millis) = everywhere {
                self.cache_user(user, millis);
            }
            if let (Some(_), Some(session)) = (ended, session) {
                self.sessions.insert(session.clone(), ());
            }
        }
        Ok(self.is_cached(user, signed_in_at, session))
    }

    /// The time to record for a sign-in of `user` that succeeds now. It is later than every *sign out everywhere* so
    /// far, whichever replica's clock that came from.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn sign_in_time(&self, user: UserKey) -> Result<DateTime<Utc>, StoreError> {
        let now = Utc::now();
        self.is_revoked(user, now, None)?;
        let earliest = self
            .everywhere
            .get(&user)
            .map(|ended| ended + TimeDelta::milliseconds(1));
        Ok(earliest.map_or(now, |earliest| earliest.max(now)))
    }

    fn is_cached(&self, user: UserKey, signed_in_at: DateTime<Utc>, session: Option<&RecordName>) -> bool {
        self.everywhere.get(&user).is_some_and(|ended| signed_in_at <= ended)
            || session.is_some_and(|session| self.sessions.contains_key(session))
    }

    /// Keeps the later of the cached time and `millis`.
    fn cache_user(&self, user: UserKey, millis: i64) {
        let Some(time) = DateTime::from_timestamp_millis(millis) else {
            return;
        };
        self.everywhere
            .entry(user)
            .and_upsert_with(|found| found.map_or(time, |found| found.into_value().max(time)));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn signing_out_everywhere_revokes_earlier_sign_ins_and_no_later_ones() {
        let revocations = RevocationList::new(Duration::from_hours(12), None);
        let [alice, bob] = [1, 2].map(|n| UserKey {
            tenant_id: Uuid::nil(),
            object_id: Uuid::from_u128(n),
        });
        let before = revocations.sign_in_time(alice).unwrap();
        assert!(!revocations.is_revoked(alice, before, None).unwrap());
        revocations.revoke_user(alice).unwrap();
        assert!(revocations.is_revoked(alice, before, None).unwrap());
        assert!(!revocations.is_revoked(bob, before, None).unwrap());
        let again = revocations.sign_in_time(alice).unwrap();
        assert!(
            !revocations.is_revoked(alice, again, None).unwrap(),
            "even within the same millisecond"
        );
    }

    #[test]
    fn an_ended_session_is_cached_by_its_name() {
        let revocations = RevocationList::new(Duration::from_hours(12), None);
        let user = UserKey {
            tenant_id: Uuid::nil(),
            object_id: Uuid::nil(),
        };
        let [ended, other] = ["a", "b"].map(RecordName::hash);
        revocations.revoke_session(user, &ended).unwrap();
        assert!(revocations.is_revoked(user, Utc::now(), Some(&ended)).unwrap());
        assert!(!revocations.is_revoked(user, Utc::now(), Some(&other)).unwrap());
    }
}
