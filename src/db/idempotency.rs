//! Idempotency keys, and the responses stored under them: see [`crate::blog::idempotency`].

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{
    Connection, DbError,
    column_types::StoredTime,
    on_either,
    schema::{idempotency_keys, users},
    span::statement,
};

/// The response stored under a key.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = idempotency_keys)]
pub struct StoredResponse {
    /// SHA-256 of the request's title and content.
    pub fingerprint: Vec<u8>,
    /// Row id of the created post.
    pub post_id: i64,
    /// Its version at creation.
    pub post_version: i64,
    /// The response body.
    #[diesel(column_name = answer)]
    pub body: String,
    /// When the post was created.
    #[diesel(column_name = created_at_micros, deserialize_as = StoredTime)]
    pub created_at: DateTime<Utc>,
}

/// Makes other transactions that use this user's keys wait until this one ends: two that look for the same key at the
/// same time would both find nothing.
pub fn lock_keys(connection: &mut Connection<'_>, user_id: i64) -> Result<(), DbError> {
    statement(connection, "SELECT FOR UPDATE", "users", |connection| {
        // On SQLite, the transaction holds the only write lock. On PostgreSQL, this lock does not block inserts of posts
        // that refer to the user.
        if let Connection::Postgres(c) = connection {
            users::table
                .find(user_id)
                .select(users::id)
                .for_no_key_update()
                .get_result::<i64>(&mut **c)
                .optional()?;
        }
        Ok(())
    })
}

/// Finds the response stored under a user's key.
pub fn find(connection: &mut Connection<'_>, user_id: i64, key: &str) -> Result<Option<StoredResponse>, DbError> {
    statement(connection, "SELECT", "idempotency_keys", |connection| {
        Ok(on_either!(connection, |c| idempotency_keys::table
            .filter(idempotency_keys::user_id.eq(user_id))
            .filter(idempotency_keys::key.eq(key))
            .select(StoredResponse::as_select())
            .get_result(c)
            .optional())?)
    })
}

/// Stores a response under a user's key, which must be unused.
pub fn insert(
    connection: &mut Connection<'_>,
    user_id: i64,
    key: &str,
    response: &StoredResponse,
) -> Result<(), DbError> {
    statement(connection, "INSERT", "idempotency_keys", |connection| {
        let values = (
            idempotency_keys::user_id.eq(user_id),
            idempotency_keys::key.eq(key),
            idempotency_keys::fingerprint.eq(&response.fingerprint),
            idempotency_keys::post_id.eq(response.post_id),
            idempotency_keys::post_version.eq(response.post_version),
            idempotency_keys::answer.eq(&response.body),
            idempotency_keys::created_at_micros.eq(response.created_at.timestamp_micros()),
        );
        on_either!(connection, |c| diesel::insert_into(idempotency_keys::table)
            .values(values)
            .execute(c))?;
        Ok(())
    })
}

/// Deletes a user's key.
pub fn delete(connection: &mut Connection<'_>, user_id: i64, key: &str) -> Result<(), DbError> {
    statement(connection, "DELETE", "idempotency_keys", |connection| {
        on_either!(connection, |c| diesel::delete(idempotency_keys::table)
            .filter(idempotency_keys::user_id.eq(user_id))
            .filter(idempotency_keys::key.eq(key))
            .execute(c))?;
        Ok(())
    })
}

/// Deletes the oldest keys created at or before `until`, at most `max` of them.
pub fn delete_expired(connection: &mut Connection<'_>, until: DateTime<Utc>, max: i64) -> Result<(), DbError> {
    statement(connection, "DELETE", "idempotency_keys", |connection| {
        let oldest = idempotency_keys::table
            .filter(idempotency_keys::created_at_micros.le(until.timestamp_micros()))
            .order(idempotency_keys::created_at_micros)
            .limit(max)
            .select(idempotency_keys::id);
        let old: Vec<i64> = match connection {
            Connection::Sqlite(c) => oldest.load(&mut **c)?,
            // Skips the rows that another transaction is deleting.
            Connection::Postgres(c) => oldest.for_update().skip_locked().load(&mut **c)?,
        };
        if !old.is_empty() {
            on_either!(connection, |c| diesel::delete(idempotency_keys::table)
                .filter(idempotency_keys::id.eq_any(&old))
                .execute(c))?;
        }
        Ok(())
    })
}
