//! Updates the full-text index. Triggers record every changed post in `posts_to_index`, whichever program changed it;
//! this indexes the recorded posts.
//!
//! Indexing a post takes about a tenth of a millisecond. If each write did it, sixty concurrent writes would wait for
//! the index rather than for the disk. So a transaction with few writes indexes them at once, and one with many leaves
//! them pending. A search that comes before they are indexed indexes them first.

use diesel::{
    OptionalExtension, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Nullable},
    sqlite::SqliteConnection,
};

/// Posts that are indexed in one transaction when others may wait for its lock: some milliseconds.
pub(super) const STEP: usize = 32;

#[derive(QueryableByName)]
struct Last {
    #[diesel(sql_type = Nullable<BigInt>)]
    post_id: Option<i64>,
}

/// Indexes up to `max` pending posts, the oldest first, within the caller's transaction; returns how many.
pub(in crate::db) fn index_pending(connection: &mut SqliteConnection, max: usize) -> QueryResult<usize> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let last: Last = diesel::sql_query(
        "SELECT max(post_id) AS post_id FROM (SELECT post_id FROM posts_to_index ORDER BY post_id LIMIT ?)",
    )
    .bind::<BigInt, _>(max)
    .get_result(connection)?;
    let Some(last) = last.post_id else { return Ok(0) };
    for statement in [
        "DELETE FROM post_search WHERE rowid IN (SELECT post_id FROM posts_to_index WHERE post_id <= ?)",
        "INSERT INTO post_search (rowid, title, content) SELECT p.id, p.title, p.content \
         FROM posts_to_index AS n CROSS JOIN blog_posts AS p ON p.id = n.post_id WHERE n.post_id <= ?",
    ] {
        diesel::sql_query(statement)
            .bind::<BigInt, _>(last)
            .execute(connection)?;
    }
    diesel::sql_query("DELETE FROM posts_to_index WHERE post_id <= ?")
        .bind::<BigInt, _>(last)
        .execute(connection)
}

/// Whether posts are pending.
pub(in crate::db) fn is_behind(connection: &mut SqliteConnection) -> QueryResult<bool> {
    let first: Option<Last> = diesel::sql_query("SELECT post_id FROM posts_to_index LIMIT 1")
        .get_result(connection)
        .optional()?;
    Ok(first.is_some())
}
