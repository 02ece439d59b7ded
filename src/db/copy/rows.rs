//! The rows of each table: how they are read in batches, written, and hashed.

use diesel::{
    QueryableByName,
    connection::SimpleConnection,
    prelude::*,
    sql_types::{BigInt, Nullable},
};
use openssl::sha::Sha256;

use crate::db::{
    Connection, DbError, on_either,
    schema::{blog_posts, idempotency_keys, name_tokens, users},
};

/// Rows in a batch, which is one statement. SQLite allows 32,766 values in a statement.
const BATCH_ROWS: usize = 1000;
/// Bytes of text in a batch, unless a single row is longer.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// A row that is copied.
pub(super) trait CopiedRow: Sized {
    /// The name of the table.
    const TABLE: &'static str;
    /// The column that orders the rows: a primary key.
    const KEY: &'static str;
    /// SQL for the size of a row.
    const BYTES: &'static str;

    /// The value of the key.
    fn key(&self) -> i64;

    /// Loads the rows with keys above `after` up to `until`, in order.
    fn load(connection: &mut Connection<'_>, after: i64, until: i64) -> Result<Vec<Self>, DbError>;

    /// Inserts the rows in one statement.
    fn insert(connection: &mut Connection<'_>, rows: &[Self]) -> Result<(), DbError>;

    /// Adds every copied column to the digest.
    fn add_to(&self, digest: &mut Digest);
}

/// A SHA-256 over values, each with its length, so that no two lists of values have the same bytes.
pub(super) struct Digest(Sha256);

impl Digest {
    pub fn new() -> Self {
        Self(Sha256::new())
    }

    fn number(&mut self, number: i64) {
        self.0.update(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    pub fn finish(self) -> String {
        hex::encode(self.0.finish())
    }
}

/// A row of `users`.
#[derive(Queryable)]
pub(super) struct UserRow {
    id: i64,
    tid: String,
    oid: String,
    display_name: String,
    created_at_micros: i64,
    updated_at_micros: i64,
}

/// A row of `blog_posts`.
#[derive(Queryable)]
pub(super) struct PostRow {
    id: i64,
    title: String,
    content: String,
    author_id: i64,
    created_at_micros: i64,
    updated_at_micros: i64,
}

/// A row of `name_tokens`.
#[derive(Queryable)]
pub(super) struct NameTokenRow {
    user_id: i64,
    issued_at: i64,
}

/// A row of `idempotency_keys`. Its id means nothing, and is new in the target; the order stays.
#[derive(Queryable)]
pub(super) struct KeyRow {
    id: i64,
    user_id: i64,
    key: String,
    fingerprint: Vec<u8>,
    post_id: i64,
    post_version: i64,
    answer: String,
    created_at_micros: i64,
}

/// Inserts rows: with `COPY` on PostgreSQL, which needs no parameter for each value.
macro_rules! insert_rows {
    ($connection:expr, $table:expr, $values:expr) => {
        match $connection {
            Connection::Sqlite(c) => diesel::insert_into($table).values(&$values).execute(&mut **c)?,
            Connection::Postgres(c) => diesel::copy_from($table).from_insertable($values).execute(&mut **c)?,
        }
    };
}

impl CopiedRow for UserRow {
    const TABLE: &'static str = "users";
    const KEY: &'static str = "id";
    const BYTES: &'static str = "octet_length(display_name)";

    fn key(&self) -> i64 {
        self.id
    }

    fn load(connection: &mut Connection<'_>, after: i64, until: i64) -> Result<Vec<Self>, DbError> {
        Ok(on_either!(connection, |c| users::table
            .filter(users::id.gt(after))
            .filter(users::id.le(until))
            .order(users::id)
            .select((
                users::id,
                users::tid,
                users::oid,
                users::display_name,
                users::created_at_micros,
                users::updated_at_micros,
            ))
            .load(c))?)
    }

    fn insert(connection: &mut Connection<'_>, rows: &[Self]) -> Result<(), DbError> {
        let values: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    users::id.eq(row.id),
                    users::tid.eq(&row.tid),
                    users::oid.eq(&row.oid),
                    users::display_name.eq(&row.display_name),
                    users::created_at_micros.eq(row.created_at_micros),
                    users::updated_at_micros.eq(row.updated_at_micros),
                )
            })
            .collect();
        insert_rows!(connection, users::table, values);
        Ok(())
    }

    fn add_to(&self, digest: &mut Digest) {
        digest.number(self.id);
        digest.bytes(self.tid.as_bytes());
        digest.bytes(self.oid.as_bytes());
        digest.bytes(self.display_name.as_bytes());
        digest.number(self.created_at_micros);
        digest.number(self.updated_at_micros);
    }
}

impl CopiedRow for PostRow {
    const TABLE: &'static str = "blog_posts";
    const KEY: &'static str = "id";
    const BYTES: &'static str = "octet_length(title) + octet_length(content)";

    fn key(&self) -> i64 {
        self.id
    }

    fn load(connection: &mut Connection<'_>, after: i64, until: i64) -> Result<Vec<Self>, DbError> {
        Ok(on_either!(connection, |c| blog_posts::table
            .filter(blog_posts::id.gt(after))
            .filter(blog_posts::id.le(until))
            .order(blog_posts::id)
            .select((
                blog_posts::id,
                blog_posts::title,
                blog_posts::content,
                blog_posts::author_id,
                blog_posts::created_at_micros,
                blog_posts::updated_at_micros,
            ))
            .load(c))?)
    }

    fn insert(connection: &mut Connection<'_>, rows: &[Self]) -> Result<(), DbError> {
        let values: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    blog_posts::id.eq(row.id),
                    blog_posts::title.eq(&row.title),
                    blog_posts::content.eq(&row.content),
                    blog_posts::author_id.eq(row.author_id),
                    blog_posts::created_at_micros.eq(row.created_at_micros),
                    blog_posts::updated_at_micros.eq(row.updated_at_micros),
                )
            })
            .collect();
        insert_rows!(connection, blog_posts::table, values);
        Ok(())
    }

    fn add_to(&self, digest: &mut Digest) {
        digest.number(self.id);
        digest.bytes(self.title.as_bytes());
        digest.bytes(self.content.as_bytes());
        digest.number(self.author_id);
        digest.number(self.created_at_micros);
        digest.number(self.updated_at_micros);
    }
}

impl CopiedRow for NameTokenRow {
    const TABLE: &'static str = "name_tokens";
    const KEY: &'static str = "user_id";
    const BYTES: &'static str = "16";

    fn key(&self) -> i64 {
        self.user_id
    }

    fn load(connection: &mut Connection<'_>, after: i64, until: i64) -> Result<Vec<Self>, DbError> {
        Ok(on_either!(connection, |c| name_tokens::table
            .filter(name_tokens::user_id.gt(after))
            .filter(name_tokens::user_id.le(until))
            .order(name_tokens::user_id)
            .select((name_tokens::user_id, name_tokens::issued_at))
            .load(c))?)
    }

    fn insert(connection: &mut Connection<'_>, rows: &[Self]) -> Result<(), DbError> {
        let values: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    name_tokens::user_id.eq(row.user_id),
                    name_tokens::issued_at.eq(row.issued_at),
                )
            })
            .collect();
        insert_rows!(connection, name_tokens::table, values);
        Ok(())
    }

    fn add_to(&self, digest: &mut Digest) {
        digest.number(self.user_id);
        digest.number(self.issued_at);
    }
}

impl CopiedRow for KeyRow {
    const TABLE: &'static str = "idempotency_keys";
    const KEY: &'static str = "id";
    const BYTES: &'static str = "octet_length(answer)";

    fn key(&self) -> i64 {
        self.id
    }

    fn load(connection: &mut Connection<'_>, after: i64, until: i64) -> Result<Vec<Self>, DbError> {
        Ok(on_either!(connection, |c| idempotency_keys::table
            .filter(idempotency_keys::id.gt(after))
            .filter(idempotency_keys::id.le(until))
            .order(idempotency_keys::id)
            .select((
                idempotency_keys::id,
                idempotency_keys::user_id,
                idempotency_keys::key,
                idempotency_keys::fingerprint,
                idempotency_keys::post_id,
                idempotency_keys::post_version,
                idempotency_keys::answer,
                idempotency_keys::created_at_micros,
            ))
            .load(c))?)
    }

    fn insert(connection: &mut Connection<'_>, rows: &[Self]) -> Result<(), DbError> {
        let values: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    idempotency_keys::user_id.eq(row.user_id),
                    idempotency_keys::key.eq(&row.key),
                    idempotency_keys::fingerprint.eq(&row.fingerprint),
                    idempotency_keys::post_id.eq(row.post_id),
                    idempotency_keys::post_version.eq(row.post_version),
                    idempotency_keys::answer.eq(&row.answer),
                    idempotency_keys::created_at_micros.eq(row.created_at_micros),
                )
            })
            .collect();
        insert_rows!(connection, idempotency_keys::table, values);
        Ok(())
    }

    fn add_to(&self, digest: &mut Digest) {
        digest.number(self.user_id);
        digest.bytes(self.key.as_bytes());
        digest.bytes(&self.fingerprint);
        digest.number(self.post_id);
        digest.number(self.post_version);
        digest.bytes(self.answer.as_bytes());
        digest.number(self.created_at_micros);
    }
}

#[derive(QueryableByName)]
struct Last {
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
}

/// The last key of the next batch after a key; `None` at the end of the table.
pub(super) fn end_of_batch<R: CopiedRow>(connection: &mut Connection<'_>, after: i64) -> Result<Option<i64>, DbError> {
    let (table, key, bytes) = (R::TABLE, R::KEY, R::BYTES);
    let query = format!(
        "SELECT max(key) AS last FROM ( \
             SELECT key, sum(bytes) OVER (ORDER BY key) AS total, row_number() OVER (ORDER BY key) AS number FROM ( \
                 SELECT {key} AS key, {bytes} AS bytes FROM {table} WHERE {key} > {after} ORDER BY {key} LIMIT {BATCH_ROWS} \
             ) AS next \
         ) AS sized WHERE total <= {BATCH_BYTES} OR number = 1"
    );
    let row: Last = on_either!(connection, |c| diesel::sql_query(query).get_result(c))?;
    Ok(row.last)
}

/// The last key in the table; the lowest number if it is empty.
pub(super) fn last_key<R: CopiedRow>(connection: &mut Connection<'_>) -> Result<i64, DbError> {
    let query = format!("SELECT max({}) AS last FROM {}", R::KEY, R::TABLE);
    let row: Last = on_either!(connection, |c| diesel::sql_query(query).get_result(c))?;
    Ok(row.last.unwrap_or(i64::MIN))
}

/// The number of rows in all tables.
pub(super) fn count_all(connection: &mut Connection<'_>) -> Result<u64, DbError> {
    let query = "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM blog_posts) \
                 + (SELECT count(*) FROM name_tokens) + (SELECT count(*) FROM idempotency_keys) AS last";
    let row: Last = on_either!(connection, |c| diesel::sql_query(query).get_result(c))?;
    Ok(row.last.and_then(|rows| u64::try_from(rows).ok()).unwrap_or_default())
}

/// PostgreSQL does not wait for the disk at the end of this transaction: a later one does, and a copy that is lost in a
/// crash of the server continues.
pub(super) fn commit_without_wait(connection: &mut Connection<'_>) -> Result<(), DbError> {
    if let Connection::Postgres(c) = connection {
        c.batch_execute("SET LOCAL synchronous_commit = off")?;
    }
    Ok(())
}

/// Deletes all idempotency keys.
pub(super) fn delete_keys(connection: &mut Connection<'_>) -> Result<(), DbError> {
    on_either!(connection, |c| diesel::delete(idempotency_keys::table).execute(c))?;
    Ok(())
}

/// Deletes the rows of all tables.
pub(super) fn delete_all(connection: &mut Connection<'_>) -> Result<(), DbError> {
    delete_keys(connection)?;
    on_either!(connection, |c| diesel::delete(name_tokens::table).execute(c))?;
    crate::db::posts::delete_all(connection)?;
    crate::db::users::delete_all(connection)?;
    Ok(())
}
