//! What is recorded of each applied migration: the checksum of its SQL, and which binaries work with the schema after it.
//!
//! Diesel's own table has only the versions. A binary that does not know a version finds here whether it may work with the
//! schema all the same.

use std::collections::BTreeMap;

use diesel::{
    OptionalExtension as _, QueryResult, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_types::Text,
};

use super::scripts::{Dialect, Script};
use crate::db::{Connection, DbError, on_either};

/// The table.
const TABLE: &str = "__blogctl_migrations";

/// The record of an applied migration.
#[derive(Debug, Clone, QueryableByName)]
pub(super) struct Record {
    #[diesel(sql_type = Text)]
    version: String,
    /// SHA-256 of the SQL that was run.
    #[diesel(sql_type = Text)]
    pub sha256: String,
    /// The version that a binary must know at least to work with the schema.
    #[diesel(sql_type = Text)]
    pub works_with: String,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    #[expect(dead_code, reason = "only whether there is a row matters")]
    name: String,
}

/// Records by version. Only reads; empty for a database that an older release has migrated.
pub(super) fn read(connection: &mut Connection<'_>) -> Result<BTreeMap<String, Record>, DbError> {
    let records = on_either!(connection, |c| {
        if c.has_table()? {
            diesel::sql_query(format!("SELECT version, sha256, works_with FROM {TABLE}")).load::<Record>(c)
        } else {
            Ok(Vec::new())
        }
    })?;
    Ok(records
        .into_iter()
        .map(|record| (record.version.clone(), record))
        .collect())
}

/// Records applied migrations that have no record yet.
pub(super) fn add<'s>(
    connection: &mut Connection<'_>,
    dialect: Dialect,
    scripts: impl Iterator<Item = &'s Script>,
) -> Result<(), DbError> {
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (version TEXT PRIMARY KEY, sha256 TEXT NOT NULL, works_with TEXT NOT NULL)"
    );
    on_either!(connection, |c| c.batch_execute(&create))?;
    for script in scripts {
        let (version, works_with) = (script.version(), script.works_with);
        // No value comes from outside.
        let insert = format!(
            "INSERT INTO {TABLE} (version, sha256, works_with) VALUES ('{version}', '{}', '{works_with}') \
             ON CONFLICT DO NOTHING",
            script.checksum(dialect)
        );
        on_either!(connection, |c| c.batch_execute(&insert))?;
    }
    Ok(())
}

/// Removes the record of a reverted migration.
pub(super) fn remove(connection: &mut Connection<'_>, script: &Script) -> Result<(), DbError> {
    let delete = format!("DELETE FROM {TABLE} WHERE version = '{}'", script.version());
    Ok(on_either!(connection, |c| {
        if c.has_table()? {
            c.batch_execute(&delete)
        } else {
            Ok(())
        }
    })?)
}

/// Whether a database has the table.
trait HasTable {
    fn has_table(&mut self) -> QueryResult<bool>;
}

impl HasTable for diesel::sqlite::SqliteConnection {
    fn has_table(&mut self) -> QueryResult<bool> {
        let query = format!("SELECT name FROM sqlite_schema WHERE name = '{TABLE}'");
        Ok(diesel::sql_query(query).get_result::<Name>(self).optional()?.is_some())
    }
}

impl HasTable for diesel::pg::PgConnection {
    fn has_table(&mut self) -> QueryResult<bool> {
        let query = format!("SELECT relname::text AS name FROM pg_class WHERE oid = to_regclass('{TABLE}')");
        Ok(diesel::sql_query(query).get_result::<Name>(self).optional()?.is_some())
    }
}
