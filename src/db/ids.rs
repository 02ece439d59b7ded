//! The ids of users and posts: the highest one that was ever given, and where new rows continue.

use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Text},
};

use super::{Connection, DbError, on_either};

/// The highest id that blogctl accepts from elsewhere: 2^53 − 1, the largest integer that every JSON parser keeps exact.
/// After 2^63 − 1 neither database could give a new row an id.
pub const MAX_ID: i64 = (1 << 53) - 1;

/// The tables whose ids clients see.
pub const TABLES: [&str; 2] = ["users", "blog_posts"];

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// The highest id that the table's rows have or had, as far as the database remembers deleted rows; 0 for none.
///
/// # Errors
/// The database's.
pub fn last_given(connection: &mut Connection<'_>, table: &str) -> Result<i64, DbError> {
    let query = match connection {
        Connection::Sqlite(_) => format!(
            "SELECT max(coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = '{table}'), 0), \
             coalesce((SELECT max(id) FROM {table}), 0)) AS id"
        ),
        Connection::Postgres(_) => format!(
            "SELECT greatest(coalesce(pg_sequence_last_value(pg_get_serial_sequence('{table}', 'id')::regclass), 0), \
             coalesce((SELECT max(id) FROM {table}), 0)) AS id"
        ),
    };
    let row: Id = on_either!(connection, |c| diesel::sql_query(query).get_result(c))?;
    Ok(row.id)
}

/// The highest id that new rows of the table continue after; 0 before the first row.
///
/// # Errors
/// The database's.
pub(super) fn numbering(connection: &mut Connection<'_>, table: &str) -> Result<i64, DbError> {
    match connection {
        // AUTOINCREMENT looks at the rows as well.
        Connection::Sqlite(_) => last_given(connection, table),
        Connection::Postgres(c) => Ok(diesel::sql_query(format!(
            "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('{table}', 'id')::regclass), 0) AS id"
        ))
        .get_result::<Id>(&mut **c)?
        .id),
    }
}

/// Makes new rows continue after the highest id in the table, and after `at_least`. Never goes back. The caller must
/// prevent concurrent inserts.
///
/// # Errors
/// The database's.
pub fn continue_numbering(connection: &mut Connection<'_>, table: &str, at_least: i64) -> Result<(), DbError> {
    match connection {
        Connection::Sqlite(c) => {
            diesel::sql_query(
                "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0 \
                 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
            )
            .bind::<Text, _>(table)
            .execute(&mut **c)?;
            diesel::sql_query("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?")
                .bind::<BigInt, _>(at_least)
                .bind::<Text, _>(table)
                .execute(&mut **c)?;
        }
        Connection::Postgres(c) => {
            diesel::sql_query(format!(
                "SELECT setval(sequence, last) FROM ( \
                     SELECT sequence, greatest($1, coalesce(pg_sequence_last_value(sequence), 0), \
                         coalesce((SELECT max(id) FROM {table}), 0)) AS last \
                     FROM (SELECT pg_get_serial_sequence('{table}', 'id')::regclass AS sequence) AS named \
                 ) AS numbering WHERE last > 0"
            ))
            .bind::<BigInt, _>(at_least)
            .execute(&mut **c)?;
        }
    }
    Ok(())
}
