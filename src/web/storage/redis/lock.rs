//! Locks that one replica holds at a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use redis::cmd;

use super::{
    error::StoreError,
    record_name::{RecordKind, RecordName},
    store::RedisStore,
};
use crate::{
    redis::{eval, millis},
    web::storage::random_id::random_id,
};

/// How often to try a lock that another replica holds.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// Deletes a lock, if it still has this owner.
const RELEASE: &str = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0";

/// A lock. Dropping it releases it.
pub struct Lock {
    store: RedisStore,
    key: String,
    owner: String,
}

impl RedisStore {
    /// Waits for a lock, at most for `timeout`; `None` after that. The lock expires after `lifetime` if its owner has
    /// disappeared.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn lock(
        &self,
        kind: RecordKind,
        name: &RecordName,
        lifetime: Duration,
        timeout: Duration,
    ) -> Result<Option<Lock>, StoreError> {
        let (key, owner) = (self.key(kind, name), random_id());
        let deadline = Instant::now() + timeout;
        loop {
            let acquired: Option<String> = self.run("SET", |redis| {
                cmd("SET")
                    .arg(&key)
                    .arg(&owner)
                    .arg("PX")
                    .arg(millis(lifetime))
                    .arg("NX")
                    .query(redis)
            })?;
            // If the response was lost, the command was sent again, and found the lock that it had set itself.
            let is_own = acquired.is_some()
                || self
                    .run("GET", |redis| cmd("GET").arg(&key).query::<Option<String>>(redis))?
                    .as_ref()
                    == Some(&owner);
            if is_own {
                return Ok(Some(Lock {
                    store: self.clone(),
                    key,
                    owner,
                }));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock may have expired, and belong to another owner now.
        let released = self.store.run("EVAL", |redis| {
            eval(RELEASE, &self.key).arg(&self.owner).query::<u64>(redis)
        });
        if let Err(error) = released {
            log::warn!("a refresh lock is not released and expires later: {error}");
        }
    }
}
