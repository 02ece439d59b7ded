//! Records in Redis, each sealed and with a lifetime.

use std::time::Duration;

use redis::{ConnectionLike, RedisResult, cmd};
use zeroize::Zeroizing;

use super::{
    error::StoreError,
    record_name::{RecordKind, RecordName},
};
use crate::{
    config::RedisSettings,
    redis::{RedisClient, RedisSetupError, eval, millis},
    web::storage::{key_ring::KeyRing, random_id::random_id},
};

/// Reads a record, and extends its lifetime.
const GET_AND_EXTEND: &str =
    "local v=redis.call('get',KEYS[1]) if v then redis.call('pexpire',KEYS[1],ARGV[1]) end return v";
/// Reads a record, and deletes it.
const TAKE: &str = "local v=redis.call('get',KEYS[1]) redis.call('del',KEYS[1]) return v";

/// The records in one Redis. A clone is another handle to the same connections.
#[derive(Clone)]
pub struct RedisStore {
    redis: RedisClient,
    keys: KeyRing,
}

impl RedisStore {
    /// The Redis in the settings, if they name one. Does not connect: the site starts while Redis is down.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn from_settings(settings: &RedisSettings, keys: &KeyRing) -> Result<Option<Self>, RedisSetupError> {
        let keys = keys.clone();
        Ok(RedisClient::from_settings(settings)?.map(|redis| Self { redis, keys }))
    }

    /// Runs `work`, which may use this store, on a thread for Redis: see [`RedisClient::run_blocking`].
    ///
    /// # Errors
    /// When the time is over, or too many other requests wait.
    pub async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        Ok(self.redis.run_blocking(work).await?)
    }

    /// Stores a record for `lifetime`, and replaces an earlier one.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn put(&self, kind: RecordKind, name: &RecordName, plain: &[u8], lifetime: Duration) -> Result<(), StoreError> {
        let sealed = self.seal(kind, name, plain)?;
        self.run("SET", |redis| {
            cmd("SET")
                .arg(self.key(kind, name))
                .arg(&sealed)
                .arg("PX")
                .arg(millis(lifetime))
                .exec(redis)
        })
    }

    /// Replaces a record that still exists. Returns `false`, and stores nothing, when it has expired or was deleted.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn replace(
        &self,
        kind: RecordKind,
        name: &RecordName,
        plain: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let sealed = self.seal(kind, name, plain)?;
        let key = self.key(kind, name);
        let replaced: Option<String> = self.run("SET", |redis| {
            cmd("SET")
                .arg(&key)
                .arg(&sealed)
                .arg("PX")
                .arg(millis(lifetime))
                .arg("XX")
                .query(redis)
        })?;
        Ok(replaced.is_some())
    }

    /// Reads a record, and extends its lifetime to `lifetime` from now. A record that none of the keys opens counts as
    /// expired.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn get_and_extend(
        &self,
        kind: RecordKind,
        name: &RecordName,
        lifetime: Duration,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let key = self.key(kind, name);
        let sealed: Option<Vec<u8>> = self.run("EVAL", |redis| {
            eval(GET_AND_EXTEND, &key).arg(millis(lifetime)).query(redis)
        })?;
        Ok(sealed.and_then(|sealed| self.open(kind, name, &sealed)))
    }

    /// Reads a record, and leaves its lifetime unchanged.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn get(&self, kind: RecordKind, name: &RecordName) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .redis
            .run("GET", |redis| cmd("GET").arg(self.key(kind, name)).query(redis))?;
        Ok(sealed.and_then(|sealed| self.open(kind, name, &sealed)))
    }

    /// Deletes a record and returns it. Only the first of several callers gets it.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn take(&self, kind: RecordKind, name: &RecordName) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let key = self.key(kind, name);
        let sealed: Option<Vec<u8>> = self.run("EVAL", |redis| eval(TAKE, &key).query(redis))?;
        Ok(sealed.and_then(|sealed| self.open(kind, name, &sealed)))
    }

    /// Deletes a record. Returns `false` when there was none.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn remove(&self, kind: RecordKind, name: &RecordName) -> Result<bool, StoreError> {
        let removed: u64 = self
            .redis
            .run("DEL", |redis| cmd("DEL").arg(self.key(kind, name)).query(redis))?;
        Ok(removed > 0)
    }

    /// How long a record lives without use; `None` when there is none.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn remaining_lifetime(&self, kind: RecordKind, name: &RecordName) -> Result<Option<Duration>, StoreError> {
        let left: i64 = self
            .redis
            .run("PTTL", |redis| cmd("PTTL").arg(self.key(kind, name)).query(redis))?;
        // Negative when there is no record, and for a record without lifetime, which this store never writes.
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    /// Runs a command: see [`RedisClient::run`].
    pub(super) fn run<T>(
        &self,
        operation: &'static str,
        command: impl Fn(&mut dyn ConnectionLike) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        Ok(self.redis.run(operation, command)?)
    }

    /// Checks that Redis accepts writes: see [`RedisClient::ping`].
    ///
    /// # Errors
    /// When it does not.
    pub fn ping(&self) -> Result<(), StoreError> {
        Ok(self.redis.ping()?)
    }

    /// Writes a record, reads it back and deletes it. Returns the version of Redis, if the site may ask for it.
    ///
    /// # Errors
    /// When any of that fails.
    pub fn probe(&self) -> Result<Option<String>, StoreError> {
        const LIFETIME: Duration = Duration::from_mins(1);
        let (kind, name) = (RecordKind("probe"), RecordName::hash(&random_id()));
        self.put(kind, &name, b"probe", LIFETIME)?;
        if self.take(kind, &name)?.is_none() {
            return Err(StoreError::new("a record that was just written does not exist"));
        }
        Ok(self.redis.version(&self.key(kind, &name)).ok().flatten())
    }

    pub(super) fn key(&self, RecordKind(kind): RecordKind, name: &RecordName) -> String {
        self.redis.key(kind, name.as_str())
    }

    /// Seals a record for its own name, so that an attacker cannot replace another record with it.
    fn seal(&self, kind: RecordKind, name: &RecordName, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let sealed = self.keys.seal(&place(kind, name), plain);
        sealed.ok_or_else(|| StoreError::new("a record cannot be sealed"))
    }

    fn open(&self, kind: RecordKind, name: &RecordName, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.keys.open(&place(kind, name), sealed)
    }
}

fn place(RecordKind(kind): RecordKind, name: &RecordName) -> String {
    format!("{kind}:{}", name.as_str())
}
