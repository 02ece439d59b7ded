//! Repairs what can be derived from other data: counters, numbering of ids, full-text index.

use diesel::{RunQueryDsl, connection::SimpleConnection};

use super::{Check, POSTGRES_SLOTS, SEARCH_DIFFERENCES};
use crate::db::{BlockingConnection, Connection, DbError, ids};

/// How long PostgreSQL waits for the lock that stops writes; until then, later writes wait behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '5s'";

/// Repairs what a check has found, where that loses nothing. Other writes wait meanwhile: for the counter, as long as
/// counting the posts takes. `indexed` is called with the number of posts of each batch that is indexed. Blocks.
///
/// # Errors
/// The database's; then nothing is changed, except for posts that are already indexed.
pub fn repair(connection: &mut BlockingConnection, check: Check, indexed: impl FnMut(u64)) -> Result<(), DbError> {
    match check {
        // Only a backup, or the source of the copy, has the missing data.
        Check::Integrity | Check::References | Check::Copy => Ok(()),
        Check::Counters => connection.transaction(counters),
        Check::Ids => connection.transaction(numbering),
        Check::Search => {
            connection.transaction(|connection| match connection {
                Connection::Sqlite(c) => {
                    let query = format!(
                        "INSERT INTO posts_to_index (post_id) SELECT id FROM ({SEARCH_DIFFERENCES}) WHERE true \
                         ON CONFLICT DO NOTHING"
                    );
                    Ok::<_, DbError>(diesel::sql_query(query).execute(&mut **c).map(drop)?)
                }
                Connection::Postgres(_) => Ok(()),
            })?;
            connection.index_for_search(indexed)
        }
    }
}

fn counters(connection: &mut Connection<'_>) -> Result<(), DbError> {
    let update = "UPDATE post_counts SET posts = CASE slot WHEN 0 THEN (SELECT count(*) FROM blog_posts) ELSE 0 END";
    match connection {
        // The transaction holds the only write lock. A new state makes the API drop what it has cached.
        Connection::Sqlite(c) => c.batch_execute(&format!(
            "DELETE FROM post_counts WHERE slot <> 0; \
             INSERT INTO post_counts (slot, posts) VALUES (0, 0) ON CONFLICT DO NOTHING; \
             {update}, state = random()"
        ))?,
        Connection::Postgres(c) => c.batch_execute(&format!(
            "{LOCK_TIMEOUT}; LOCK TABLE blog_posts IN SHARE MODE; \
             DELETE FROM post_counts WHERE slot NOT BETWEEN 0 AND {last}; \
             INSERT INTO post_counts (slot, posts) SELECT slot, 0 FROM generate_series(0, {last}) AS slot \
             ON CONFLICT DO NOTHING; {update}",
            last = POSTGRES_SLOTS - 1,
        ))?,
    }
    Ok(())
}

fn numbering(connection: &mut Connection<'_>) -> Result<(), DbError> {
    let Connection::Postgres(_) = connection else {
        return Ok(());
    };
    for table in ids::TABLES.into_iter().chain(["idempotency_keys"]) {
        if let Connection::Postgres(c) = connection {
            // An insert takes its number after its lock on the table.
            c.batch_execute(&format!(
                "{LOCK_TIMEOUT}; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"
            ))?;
        }
        ids::continue_numbering(connection, table, 0)?;
    }
    Ok(())
}
