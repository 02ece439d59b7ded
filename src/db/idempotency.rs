//! Idempotency keys, and the responses stored under them: see [`crate::blog::idempotency`].

use chrono::{DateTime, Utc};
use diesel::{
    pg::{Pg, PgConnection},
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::BigInt,
    sqlite::SqliteConnection,
};

use super::{Connection, DbError, column_types::StoredTime, on_either, schema::idempotency_keys, span::statement};

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

/// Stores a response under a user's key unless the key is in use; returns whether it did. Waits for a transaction that is
/// using the key. Also deletes keys created at or before `expired`, at most `max_expired` of them.
pub fn insert(
    connection: &mut Connection<'_>,
    user_id: i64,
    key: &str,
    response: &StoredResponse,
    expired: DateTime<Utc>,
    max_expired: i64,
) -> Result<bool, DbError> {
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
        // A macro, because the type of the statement differs between the databases.
        macro_rules! insert {
            () => {
                diesel::insert_into(idempotency_keys::table)
                    .values(values)
                    .on_conflict((idempotency_keys::user_id, idempotency_keys::key))
                    .do_nothing()
            };
        }
        let inserted = match connection {
            Connection::Sqlite(c) => {
                delete_expired(c, expired, max_expired)?;
                insert!().execute(&mut **c)?
            }
            Connection::Postgres(c) => {
                let insert = AfterDeletingExpired {
                    expired: expired.timestamp_micros(),
                    max_expired,
                    insert: insert!(),
                };
                insert.execute(&mut **c)?
            }
        };
        Ok(inserted == 1)
    })
}

/// Deletes expired keys in the statement that inserts one: one round trip.
struct AfterDeletingExpired<I> {
    expired: i64,
    max_expired: i64,
    insert: I,
}

impl<I: QueryFragment<Pg>> QueryFragment<Pg> for AfterDeletingExpired<I> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH deleted AS (DELETE FROM idempotency_keys WHERE id IN (SELECT id FROM idempotency_keys \
             WHERE created_at_micros <= ",
        );
        out.push_bind_param::<BigInt, _>(&self.expired)?;
        out.push_sql(" ORDER BY created_at_micros LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.max_expired)?;
        // Skips the rows that another transaction is deleting.
        out.push_sql(" FOR UPDATE SKIP LOCKED)) ");
        self.insert.walk_ast(out)
    }
}

impl<I> QueryId for AfterDeletingExpired<I> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<I> RunQueryDsl<PgConnection> for AfterDeletingExpired<I> {}

/// Deletes a user's key if it was created at or before `expired`.
pub fn delete_if_expired(
    connection: &mut Connection<'_>,
    user_id: i64,
    key: &str,
    expired: DateTime<Utc>,
) -> Result<(), DbError> {
    statement(connection, "DELETE", "idempotency_keys", |connection| {
        on_either!(connection, |c| diesel::delete(idempotency_keys::table)
            .filter(idempotency_keys::user_id.eq(user_id))
            .filter(idempotency_keys::key.eq(key))
            .filter(idempotency_keys::created_at_micros.le(expired.timestamp_micros()))
            .execute(c))?;
        Ok(())
    })
}

fn delete_expired(connection: &mut SqliteConnection, expired: DateTime<Utc>, max: i64) -> QueryResult<()> {
    let old: Vec<i64> = idempotency_keys::table
        .filter(idempotency_keys::created_at_micros.le(expired.timestamp_micros()))
        .order(idempotency_keys::created_at_micros)
        .limit(max)
        .select(idempotency_keys::id)
        .load(connection)?;
    if !old.is_empty() {
        diesel::delete(idempotency_keys::table)
            .filter(idempotency_keys::id.eq_any(&old))
            .execute(connection)?;
    }
    Ok(())
}
