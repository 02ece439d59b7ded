//! Inspects a database without writing to it: creates no file and no table, and takes no lock.

use std::{collections::BTreeSet, fmt::Display, fs::OpenOptions, io, path::Path};

use diesel::{
    Connection as _, OptionalExtension as _, QueryResult, QueryableByName, RunQueryDsl, pg::PgConnection,
    sql_types::Text, sqlite::SqliteConnection,
};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Migration, State, compare};
use crate::{
    config::DatabaseSettings,
    db::{
        Connection, DatabaseUrl, DbError, legacy, postgres,
        sqlite::path::{self, follow_links},
    },
};

/// The state of a database.
#[derive(Debug)]
pub struct Inspection {
    /// The address. Its `Display` shows no password.
    pub url: DatabaseUrl,
    /// Whether the database exists. The API creates a missing SQLite file when it starts.
    pub exists: bool,
    /// Every migration that this binary knows, in order.
    pub migrations: Vec<Migration>,
    /// The newest version that this binary does not know but works with: a newer release has migrated the database.
    pub newer: Option<String>,
    /// Whether it is a database of the Python system, which no migration changes.
    pub is_python: bool,
    /// Why the user cannot write, as far as the server shows it.
    pub obstacle: Option<String>,
}

/// A row of Diesel's table of applied migrations.
#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// A row of one column.
#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

/// Inspects the database of the settings. Blocks.
///
/// # Errors
/// When the database cannot be read, its file or folder cannot be written, or a newer blogctl has migrated it.
pub fn inspect(settings: &DatabaseSettings) -> Result<Inspection, DbError> {
    let url = DatabaseUrl::parse(&settings.url)?;
    Ok(match &url {
        DatabaseUrl::Sqlite(path) => {
            let (exists, is_python, State { known, newer }) = sqlite(path)?;
            Inspection {
                url,
                exists,
                migrations: known,
                newer,
                is_python,
                obstacle: None,
            }
        }
        DatabaseUrl::Postgres { url: complete, shown } => {
            let (State { known, newer }, obstacle) = postgres(complete, shown, settings)?;
            Inspection {
                url,
                exists: true,
                migrations: known,
                newer,
                is_python: false,
                obstacle,
            }
        }
    })
}

/// Whether the file exists, whether it is the Python system's, and its migrations.
fn sqlite(path: &Path) -> Result<(bool, bool, State), DbError> {
    let error = |reason: &dyn Display| DbError::cannot_open(path.display(), reason);
    let path = &*follow_links(path).map_err(|reason| error(&reason))?;
    if path.is_dir() {
        return Err(error(&"this is a folder; name a file in it"));
    }
    if let Some(folder) = path.parent() {
        match folder.metadata() {
            Ok(found) if found.is_dir() => {}
            Err(reason) if reason.kind() != io::ErrorKind::NotFound => {
                return Err(error(&format!(
                    "the folder {} cannot be read: {reason}",
                    folder.display()
                )));
            }
            _ => return Err(DbError::no_folder(path, folder)),
        }
        // SQLite creates more files in the folder.
        accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(|reason| {
            error(&format!(
                "no file can be created in the folder {}: {}",
                folder.display(),
                io::Error::from(reason)
            ))
        })?;
    }
    if !path.exists() {
        return Ok((false, false, State::of_new_database()));
    }
    // The API will have to open the file for writing.
    OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(|reason| error(&reason))?;
    let mut log_path = path.as_os_str().to_owned();
    log_path.push("-wal");
    // Without a write-ahead log, no process has the file open, and reading it with locks would leave a log behind.
    let options = if Path::new(&log_path).exists() {
        "mode=ro"
    } else {
        "mode=ro&immutable=1"
    };
    let uri = path::uri(path, options).map_err(|reason| error(&reason))?;
    let mut connection = SqliteConnection::establish(&uri).map_err(|reason| error(&reason))?;
    let has_table = has_sqlite_table(&mut connection).map_err(|reason| error(&reason))?;
    let applied = sqlite_versions(&mut connection, has_table)?;
    let is_python = applied.is_empty() && legacy::is_python_database(&mut connection)?;
    let state = compare(&mut Connection::Sqlite(&mut connection), applied)?;
    Ok((true, is_python, state))
}

fn has_sqlite_table(connection: &mut SqliteConnection) -> QueryResult<bool> {
    let table = diesel::sql_query(
        "SELECT name AS version FROM sqlite_master WHERE type = 'table' AND name = '__diesel_schema_migrations'",
    )
    .get_result::<Applied>(connection)
    .optional()?;
    Ok(table.is_some())
}

fn sqlite_versions(connection: &mut SqliteConnection, has_table: bool) -> QueryResult<BTreeSet<String>> {
    if !has_table {
        return Ok(BTreeSet::new());
    }
    Ok(versions(
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load(connection)?,
    ))
}

/// Whether the database has every migration of this binary, and no newer one. Only reads, also in a read-only transaction.
///
/// # Errors
/// When the database does not answer, or a newer blogctl has migrated it.
pub(in crate::db) fn is_current(connection: &mut Connection<'_>) -> Result<bool, DbError> {
    let applied = match connection {
        Connection::Sqlite(c) => {
            let has_table = has_sqlite_table(c)?;
            sqlite_versions(c, has_table)?
        }
        Connection::Postgres(c) => postgres_versions(c)?,
    };
    let state = compare(connection, applied)?;
    Ok(state.newer.is_none() && state.known.iter().all(|migration| migration.applied))
}

fn postgres(url: &str, shown: &str, settings: &DatabaseSettings) -> Result<(State, Option<String>), DbError> {
    let mut connection = postgres::connect_once(url, shown, settings)?;
    let applied = postgres_versions(&mut connection)?;
    let obstacle = obstacle(&mut connection)?;
    Ok((compare(&mut Connection::Postgres(&mut connection), applied)?, obstacle))
}

fn postgres_versions(connection: &mut PgConnection) -> QueryResult<BTreeSet<String>> {
    let table = diesel::sql_query(
        "SELECT c.relname::text AS version FROM pg_class c \
         WHERE c.oid = to_regclass('__diesel_schema_migrations')",
    )
    .get_result::<Applied>(connection)
    .optional()?;
    if table.is_none() {
        return Ok(BTreeSet::new());
    }
    Ok(versions(
        diesel::sql_query("SELECT version::text AS version FROM __diesel_schema_migrations").load(connection)?,
    ))
}

/// Why the user cannot write: a read-only server, or missing privileges.
fn obstacle(connection: &mut PgConnection) -> Result<Option<String>, DbError> {
    let read_only =
        diesel::sql_query("SELECT current_setting('transaction_read_only') AS text").get_result::<Line>(connection)?;
    if read_only.text == "on" {
        return Ok(Some(
            "its transactions are read-only (default_transaction_read_only, or a standby)".to_owned(),
        ));
    }
    let without_privileges = diesel::sql_query(
        "SELECT c.relname::text AS text FROM pg_class c \
         WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid) \
         AND c.relname IN ('users', 'blog_posts', 'post_counts', 'idempotency_keys', 'name_tokens') \
         AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
                  AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) \
         ORDER BY 1",
    )
    .load::<Line>(connection)?;
    let tables: Vec<_> = without_privileges.into_iter().map(|row| row.text).collect();
    Ok((!tables.is_empty()).then(|| format!("its user may not read and write all of {}", tables.join(", "))))
}

fn versions(applied: Vec<Applied>) -> BTreeSet<String> {
    applied.into_iter().map(|row| row.version).collect()
}
