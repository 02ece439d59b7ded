//! Keeps the full-text index up with the posts. Triggers note in `posts_to_index` which posts it lacks, whoever wrote
//! them; here the notes are taken in.
//!
//! A post costs the index about a tenth of a millisecond. Were it paid with each write, sixty writes at once would wait
//! for the index and not for the disk. So a transaction with few writes pays at once, one with many leaves it for later,
//! and whoever searches before that pays first.

use diesel::{
    OptionalExtension, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Nullable},
    sqlite::SqliteConnection,
};

/// Notes taken in at once when others may wait for it: some milliseconds.
pub(super) const STEP: usize = 32;

#[derive(QueryableByName)]
struct Last {
    #[diesel(sql_type = Nullable<BigInt>)]
    post_id: Option<i64>,
}

/// Takes in so many notes at most, the oldest posts first; how many. Within the caller's transaction.
pub(in crate::db) fn take_in(connection: &mut SqliteConnection, at_most: usize) -> QueryResult<usize> {
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    let last: Last = diesel::sql_query(
        "SELECT max(post_id) AS post_id FROM (SELECT post_id FROM posts_to_index ORDER BY post_id LIMIT ?)",
    )
    .bind::<BigInt, _>(at_most)
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

/// Whether the index lacks something.
pub(in crate::db) fn is_behind(connection: &mut SqliteConnection) -> QueryResult<bool> {
    let first: Option<Last> = diesel::sql_query("SELECT post_id FROM posts_to_index LIMIT 1")
        .get_result(connection)
        .optional()?;
    Ok(first.is_some())
}
