//! Sorted sets of entries with a time, in which each entry expires separately.

use std::time::Duration;

use super::{
    error::StoreError,
    record_name::{RecordKind, RecordName},
    store::RedisStore,
};
use crate::redis::{eval, millis};
use chrono::Utc;

/// Adds entries, removes expired ones and the oldest beyond the maximum, extends the set's lifetime, and returns its
/// length. Arguments: the time before which entries are expired, the lifetime, the maximum, the time of the new
/// entries, the entries.
const ADD: &str = "for i=5,#ARGV do redis.call('zadd',KEYS[1],ARGV[4],ARGV[i]) end \
                   redis.call('zremrangebyscore',KEYS[1],'-inf',ARGV[1]) redis.call('pexpire',KEYS[1],ARGV[2]) \
                   local n=redis.call('zcard',KEYS[1]) local m=tonumber(ARGV[3]) \
                   if n>m then redis.call('zremrangebyrank',KEYS[1],0,n-m-1) return m end return n";
/// The times of two entries.
const TIMES: &str = "return {redis.call('zscore',KEYS[1],ARGV[1]),redis.call('zscore',KEYS[1],ARGV[2])}";

impl RedisStore {
    /// Adds members to a set. Each stays for `lifetime`. Returns the length of the set.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn add_members(
        &self,
        kind: RecordKind,
        set: &RecordName,
        members: &[&str],
        lifetime: Duration,
    ) -> Result<usize, StoreError> {
        let now = Utc::now().timestamp_millis();
        self.add(kind, set, members, now, lifetime, i64::MAX)
    }

    /// Adds an entry with a time. It stays for `lifetime`. Of more than `most` entries, the oldest are removed.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn add_event(
        &self,
        kind: RecordKind,
        set: &RecordName,
        entry: &str,
        at_millis: i64,
        lifetime: Duration,
        most: i64,
    ) -> Result<(), StoreError> {
        self.add(kind, set, &[entry], at_millis, lifetime, most).map(drop)
    }

    fn add(
        &self,
        kind: RecordKind,
        set: &RecordName,
        entries: &[&str],
        at_millis: i64,
        lifetime: Duration,
        most: i64,
    ) -> Result<usize, StoreError> {
        let (key, lifetime) = (self.key(kind, set), millis(lifetime));
        let expired = at_millis.saturating_sub(i64::try_from(lifetime).unwrap_or(i64::MAX));
        self.run("EVAL", |redis| {
            eval(ADD, &key)
                .arg(expired)
                .arg(lifetime)
                .arg(most)
                .arg(at_millis)
                .arg(entries)
                .query(redis)
        })
    }

    /// The members of a set, the oldest first. Some of their records may have expired.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn members(&self, kind: RecordKind, set: &RecordName) -> Result<Vec<RecordName>, StoreError> {
        let key = self.key(kind, set);
        let members: Vec<String> = self.run("ZRANGE", |redis| {
            redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).query(redis)
        })?;
        Ok(members.into_iter().map(RecordName::from_digest).collect())
    }

    /// Removes members from a set.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn remove_members(&self, kind: RecordKind, set: &RecordName, members: &[&str]) -> Result<(), StoreError> {
        self.run("ZREM", |redis| {
            redis::cmd("ZREM").arg(self.key(kind, set)).arg(members).exec(redis)
        })
    }

    /// The times of two entries.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn event_times(
        &self,
        kind: RecordKind,
        set: &RecordName,
        entries: [&str; 2],
    ) -> Result<[Option<i64>; 2], StoreError> {
        let key = self.key(kind, set);
        let times: (Option<f64>, Option<f64>) =
            self.run("EVAL", |redis| eval(TIMES, &key).arg(&entries).query(redis))?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds since 1970 are whole, and fit"
        )]
        let millis = |score: f64| score as i64;
        Ok([times.0.map(millis), times.1.map(millis)])
    }
}
