//! Schema migrations, embedded in the binary, with the same versions for both databases.
//!
//! A run is one transaction under a lock: two processes that start at the same time do not conflict, and a migration
//! that fails leaves the database unchanged.

mod preflight;

use std::collections::BTreeSet;

use diesel::{
    backend::Backend,
    migration::{Migration as _, MigrationSource},
    sql_types::BigInt,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Connection, Database, DbError, legacy};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The key of the advisory lock on PostgreSQL: the bytes of "blogctl" and a zero.
const ADVISORY_LOCK: i64 = i64::from_be_bytes(*b"blogctl\0");

/// A migration that this binary knows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Migration {
    /// Sorts in the order in which migrations are applied.
    pub version: String,
    /// The version and a short description.
    pub name: String,
    /// Whether the migration is applied.
    pub applied: bool,
}

/// Applies all pending migrations or none, and returns them. Blocks.
///
/// # Errors
/// When one fails, or a newer blogctl has migrated the database.
pub fn run(database: &Database) -> Result<Vec<Migration>, DbError> {
    database.connect()?.transaction(|connection| {
        lock(connection)?;
        let mut pending = known_and_applied(connection)?;
        reject_python_database(database, connection, &pending)?;
        pending.retain(|migration| !migration.applied);
        match connection {
            Connection::Sqlite(c) => c.run_pending_migrations(SQLITE).map(drop),
            Connection::Postgres(c) => c.run_pending_migrations(POSTGRES).map(drop),
        }
        .map_err(DbError::Migration)?;
        Ok(pending
            .into_iter()
            .map(|migration| Migration {
                applied: true,
                ..migration
            })
            .collect())
    })
}

/// Reverts the newest migration, which deletes its data, and returns it; `None` when no migration is applied. Blocks.
///
/// # Errors
/// When it fails, or a newer blogctl has migrated the database.
pub fn revert(database: &Database) -> Result<Option<Migration>, DbError> {
    database.connect()?.transaction(|connection| {
        lock(connection)?;
        let Some(newest) = known_and_applied(connection)?
            .into_iter()
            .rfind(|migration| migration.applied)
        else {
            return Ok(None);
        };
        match connection {
            Connection::Sqlite(c) => c.revert_last_migration(SQLITE).map(drop),
            Connection::Postgres(c) => c.revert_last_migration(POSTGRES).map(drop),
        }
        .map_err(DbError::Migration)?;
        Ok(Some(Migration {
            applied: false,
            ..newest
        }))
    })
}

/// Every migration that this binary knows, in order. Blocks.
///
/// # Errors
/// When the database does not answer, or a newer blogctl has migrated it.
pub fn status(database: &Database) -> Result<Vec<Migration>, DbError> {
    database.connect()?.transaction(|connection| {
        lock(connection)?;
        known_and_applied(connection)
    })
}

pub(super) use preflight::recorded;
pub use preflight::{Inspection, inspect};

/// Whether this binary has a migration of this version.
pub(super) fn is_known(version: &str) -> bool {
    compare::<diesel::sqlite::Sqlite>(&SQLITE, BTreeSet::from([version.to_owned()])).is_ok()
}

/// Makes other processes wait until this transaction ends. On SQLite, the transaction does that itself.
fn lock(connection: &mut Connection<'_>) -> Result<(), DbError> {
    use diesel::RunQueryDsl;

    if let Connection::Postgres(c) = connection {
        diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
            .bind::<BigInt, _>(ADVISORY_LOCK)
            .execute(&mut **c)?;
    }
    Ok(())
}

/// The Python system's tables have the same names, so the first migration would fail with a misleading error.
fn reject_python_database(
    database: &Database,
    connection: &mut Connection<'_>,
    migrations: &[Migration],
) -> Result<(), DbError> {
    let Connection::Sqlite(c) = connection else {
        return Ok(());
    };
    if migrations.iter().all(|migration| !migration.applied) && legacy::is_python_database(c)? {
        return Err(DbError::PythonDatabase {
            path: database.url().to_string(),
        });
    }
    Ok(())
}

fn known_and_applied(connection: &mut Connection<'_>) -> Result<Vec<Migration>, DbError> {
    match connection {
        Connection::Sqlite(c) => compare::<diesel::sqlite::Sqlite>(&SQLITE, texts(c.applied_migrations())?),
        Connection::Postgres(c) => compare::<diesel::pg::Pg>(&POSTGRES, texts(c.applied_migrations())?),
    }
}

fn texts(
    applied: diesel::migration::Result<Vec<diesel::migration::MigrationVersion<'static>>>,
) -> Result<BTreeSet<String>, DbError> {
    Ok(applied
        .map_err(DbError::Migration)?
        .iter()
        .map(ToString::to_string)
        .collect())
}

fn compare<DB: Backend>(source: &EmbeddedMigrations, mut applied: BTreeSet<String>) -> Result<Vec<Migration>, DbError>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let mut known: Vec<Migration> = MigrationSource::<DB>::migrations(source)
        .map_err(DbError::Migration)?
        .iter()
        .map(|migration| {
            let version = migration.name().version().to_string();
            let is_applied = applied.remove(&version);
            Migration {
                name: migration.name().to_string(),
                applied: is_applied,
                version,
            }
        })
        .collect();
    known.sort_by(|a, b| a.version.cmp(&b.version));
    match applied.pop_last() {
        Some(version) => Err(DbError::NewerSchema { version }),
        None => Ok(known),
    }
}
