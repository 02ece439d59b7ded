//! Keys under which posts were created, and what was answered: see [`crate::blog::idempotency`].

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{
    Connection, DbError,
    column_types::StoredTime,
    on_either,
    schema::{idempotency_keys, users},
};

/// What is kept under a key.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = idempotency_keys)]
pub struct KeptAnswer {
    /// SHA-256 of what was to be created.
    pub fingerprint: Vec<u8>,
    /// Row id of the post that was.
    pub post_id: i64,
    /// Its version then.
    pub post_version: i64,
    /// What was answered.
    pub answer: String,
    /// When.
    #[diesel(column_name = created_at_micros, deserialize_as = StoredTime)]
    pub created_at: DateTime<Utc>,
}

/// Makes other transactions that use this user's keys wait for the end of this one: two that look for the same key at
/// once would both find nothing.
pub fn lock(connection: &mut Connection<'_>, user_id: i64) -> Result<(), DbError> {
    // SQLite: a transaction that writes has the only write lock there is. Here, a lock that posts referring to the user
    // do not wait for.
    if let Connection::Postgres(c) = connection {
        users::table
            .find(user_id)
            .select(users::id)
            .for_no_key_update()
            .get_result::<i64>(&mut **c)
            .optional()?;
    }
    Ok(())
}

/// What is kept under a user's key.
pub fn by_key(connection: &mut Connection<'_>, user_id: i64, key: &str) -> Result<Option<KeptAnswer>, DbError> {
    Ok(on_either!(connection, |c| idempotency_keys::table
        .filter(idempotency_keys::user_id.eq(user_id))
        .filter(idempotency_keys::key.eq(key))
        .select(KeptAnswer::as_select())
        .get_result(c)
        .optional())?)
}

/// Keeps an answer under a user's key, which must be free.
pub fn insert(connection: &mut Connection<'_>, user_id: i64, key: &str, kept: &KeptAnswer) -> Result<(), DbError> {
    let values = (
        idempotency_keys::user_id.eq(user_id),
        idempotency_keys::key.eq(key),
        idempotency_keys::fingerprint.eq(&kept.fingerprint),
        idempotency_keys::post_id.eq(kept.post_id),
        idempotency_keys::post_version.eq(kept.post_version),
        idempotency_keys::answer.eq(&kept.answer),
        idempotency_keys::created_at_micros.eq(kept.created_at.timestamp_micros()),
    );
    on_either!(connection, |c| diesel::insert_into(idempotency_keys::table)
        .values(values)
        .execute(c))?;
    Ok(())
}

/// Frees a user's key.
pub fn delete(connection: &mut Connection<'_>, user_id: i64, key: &str) -> Result<(), DbError> {
    on_either!(connection, |c| diesel::delete(idempotency_keys::table)
        .filter(idempotency_keys::user_id.eq(user_id))
        .filter(idempotency_keys::key.eq(key))
        .execute(c))?;
    Ok(())
}

/// Deletes the oldest of what was kept until `until`, at most so many.
pub fn delete_old(connection: &mut Connection<'_>, until: DateTime<Utc>, at_most: i64) -> Result<(), DbError> {
    let oldest = idempotency_keys::table
        .filter(idempotency_keys::created_at_micros.le(until.timestamp_micros()))
        .order(idempotency_keys::created_at_micros)
        .limit(at_most)
        .select(idempotency_keys::id);
    let old: Vec<i64> = match connection {
        Connection::Sqlite(c) => oldest.load(&mut **c)?,
        // What another transaction is deleting need not be waited for.
        Connection::Postgres(c) => oldest.for_update().skip_locked().load(&mut **c)?,
    };
    if !old.is_empty() {
        on_either!(connection, |c| diesel::delete(idempotency_keys::table)
            .filter(idempotency_keys::id.eq_any(&old))
            .execute(c))?;
    }
    Ok(())
}
