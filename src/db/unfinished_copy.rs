//! The table in the target of a copy that marks it as unfinished, and names the source.

use diesel::{OptionalExtension as _, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_types::Text};

use super::{Connection, DbError, on_either};

/// The table. It exists only during a copy.
const TABLE: &str = "__blogctl_unfinished_copy";

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// The source of the unfinished copy in this database, without a password; `None` if there is no such copy.
///
/// # Errors
/// The database's.
pub(super) fn source(connection: &mut Connection<'_>) -> Result<Option<String>, DbError> {
    let query = match connection {
        Connection::Sqlite(_) => format!("SELECT name AS line FROM sqlite_schema WHERE name = '{TABLE}'"),
        Connection::Postgres(_) => {
            format!("SELECT relname::text AS line FROM pg_class WHERE oid = to_regclass('{TABLE}')")
        }
    };
    let table: Option<Line> = on_either!(connection, |c| diesel::sql_query(query).get_result(c).optional())?;
    if table.is_none() {
        return Ok(None);
    }
    let query = format!("SELECT source AS line FROM {TABLE}");
    let source: Option<Line> = on_either!(connection, |c| diesel::sql_query(query).get_result(c).optional())?;
    Ok(source.map(|row| row.line))
}

pub(super) fn set(connection: &mut Connection<'_>, source: &str) -> Result<(), DbError> {
    remove(connection)?;
    let create = format!("CREATE TABLE {TABLE} (source TEXT NOT NULL)");
    on_either!(connection, |c| c.batch_execute(&create))?;
    match connection {
        Connection::Sqlite(c) => diesel::sql_query(format!("INSERT INTO {TABLE} (source) VALUES (?)"))
            .bind::<Text, _>(source)
            .execute(&mut **c)?,
        Connection::Postgres(c) => diesel::sql_query(format!("INSERT INTO {TABLE} (source) VALUES ($1)"))
            .bind::<Text, _>(source)
            .execute(&mut **c)?,
    };
    Ok(())
}

pub(super) fn remove(connection: &mut Connection<'_>) -> Result<(), DbError> {
    let drop = format!("DROP TABLE IF EXISTS {TABLE}");
    Ok(on_either!(connection, |c| c.batch_execute(&drop))?)
}
