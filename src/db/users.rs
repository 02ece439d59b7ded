//! Users in the database.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::{
    Connection, DbError,
    column_types::{StoredGuid, StoredTime},
    on_either,
    schema::{name_tokens, users},
    span::statement,
};
use crate::user_key::UserKey;

/// A stored user.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct UserRow {
    /// Row id.
    pub id: i64,
    /// Tenant id.
    #[diesel(deserialize_as = StoredGuid)]
    pub tid: Uuid,
    /// Object id within the tenant.
    #[diesel(deserialize_as = StoredGuid)]
    pub oid: Uuid,
    /// For display only.
    pub display_name: String,
    /// When first seen.
    #[diesel(column_name = created_at_micros, deserialize_as = StoredTime)]
    pub created_at: DateTime<Utc>,
    /// When last changed.
    #[diesel(column_name = updated_at_micros, deserialize_as = StoredTime)]
    pub updated_at: DateTime<Utc>,
}

/// A user to store.
#[derive(Debug, Clone)]
pub struct NewUser<'a> {
    /// Tenant and object id.
    pub key: UserKey,
    /// For display only.
    pub display_name: &'a str,
    /// When first seen.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// The user with this key, if there is one.
pub fn by_key(connection: &mut Connection<'_>, key: UserKey) -> Result<Option<UserRow>, DbError> {
    match existing_by_key(connection, key) {
        Err(DbError::Statement(diesel::result::Error::NotFound)) => Ok(None),
        found => found.map(Some),
    }
}

/// The user with this key, who must exist.
pub fn existing_by_key(connection: &mut Connection<'_>, key: UserKey) -> Result<UserRow, DbError> {
    statement(connection, "SELECT", "users", |connection| {
        let (mut tid_text, mut oid_text) = (Uuid::encode_buffer(), Uuid::encode_buffer());
        let tid = &*key.tenant_id.hyphenated().encode_lower(&mut tid_text);
        let oid = &*key.object_id.hyphenated().encode_lower(&mut oid_text);
        Ok(on_either!(connection, |c| users::table
            .filter(users::tid.eq(tid))
            .filter(users::oid.eq(oid))
            .select(UserRow::as_select())
            // Not `first`: see `posts::by_id`.
            .get_result(c))?)
    })
}

/// Stores a user unless one with this key exists; returns whether it did. Safe against concurrent calls.
pub fn insert_if_new(connection: &mut Connection<'_>, user: &NewUser<'_>) -> Result<bool, DbError> {
    statement(connection, "INSERT", "users", |connection| {
        let values = user.values();
        let inserted = on_either!(connection, |c| diesel::insert_into(users::table)
            .values(values)
            .on_conflict((users::tid, users::oid))
            .do_nothing()
            .execute(c))?;
        Ok(inserted == 1)
    })
}

/// Stores a user under its id from another database.
pub fn insert_with_id(connection: &mut Connection<'_>, id: i64, user: &NewUser<'_>) -> Result<(), DbError> {
    let values = (users::id.eq(id), user.values());
    on_either!(connection, |c| diesel::insert_into(users::table)
        .values(values)
        .execute(c))?;
    Ok(())
}

/// Changes a user's display name.
pub fn rename(
    connection: &mut Connection<'_>,
    id: i64,
    display_name: &str,
    updated_at: DateTime<Utc>,
) -> Result<(), DbError> {
    statement(connection, "UPDATE", "users", |connection| {
        let changes = (
            users::display_name.eq(display_name),
            users::updated_at_micros.eq(updated_at.timestamp_micros()),
        );
        on_either!(connection, |c| diesel::update(users::table.find(id))
            .set(changes)
            .execute(c))?;
        Ok(())
    })
}

/// When the token that the user's name comes from was issued, in seconds since 1970; `None` if the name comes from no
/// token.
pub fn name_issued_at(connection: &mut Connection<'_>, id: i64) -> Result<Option<i64>, DbError> {
    statement(connection, "SELECT", "name_tokens", |connection| {
        Ok(on_either!(connection, |c| name_tokens::table
            .find(id)
            .select(name_tokens::issued_at)
            .get_result(c)
            .optional())?)
    })
}

/// Records a token that names the user; returns whether it was issued later than every token recorded before. Until the
/// transaction ends, no other transaction records a token for this user.
pub fn record_name_token(connection: &mut Connection<'_>, id: i64, issued_at: i64) -> Result<bool, DbError> {
    statement(connection, "UPDATE", "name_tokens", |connection| {
        if replace_older_name_token(connection, id, issued_at)? {
            return Ok(true);
        }
        let values = (name_tokens::user_id.eq(id), name_tokens::issued_at.eq(issued_at));
        let inserted = on_either!(connection, |c| diesel::insert_into(name_tokens::table)
            .values(values)
            .on_conflict(name_tokens::user_id)
            .do_nothing()
            .execute(c))?;
        // If another transaction inserted a token in between, that token may be older.
        Ok(inserted == 1 || replace_older_name_token(connection, id, issued_at)?)
    })
}

fn replace_older_name_token(connection: &mut Connection<'_>, id: i64, issued_at: i64) -> Result<bool, DbError> {
    let replaced = on_either!(connection, |c| diesel::update(name_tokens::table.find(id))
        .filter(name_tokens::issued_at.lt(issued_at))
        .set(name_tokens::issued_at.eq(issued_at))
        .execute(c))?;
    Ok(replaced == 1)
}

/// The number of users.
pub fn count(connection: &mut Connection<'_>) -> Result<i64, DbError> {
    Ok(on_either!(connection, |c| users::table.count().get_result(c))?)
}

/// Deletes every user, and returns how many. Their posts must have been deleted.
pub fn delete_all(connection: &mut Connection<'_>) -> Result<usize, DbError> {
    Ok(on_either!(connection, |c| diesel::delete(users::table).execute(c))?)
}

type Values<'a> = (
    diesel::dsl::Eq<users::tid, String>,
    diesel::dsl::Eq<users::oid, String>,
    diesel::dsl::Eq<users::display_name, &'a str>,
    diesel::dsl::Eq<users::created_at_micros, i64>,
    diesel::dsl::Eq<users::updated_at_micros, i64>,
);

impl<'a> NewUser<'a> {
    fn values(&self) -> Values<'a> {
        (
            users::tid.eq(self.key.tenant_id.hyphenated().to_string()),
            users::oid.eq(self.key.object_id.hyphenated().to_string()),
            users::display_name.eq(self.display_name),
            users::created_at_micros.eq(self.created_at.timestamp_micros()),
            users::updated_at_micros.eq(self.updated_at.timestamp_micros()),
        )
    }
}
