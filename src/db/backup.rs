//! Backups: copies an SQLite file while it is in use, verifies backups of both databases, and puts one in place.
//!
//! PostgreSQL's own `pg_dump` and `pg_restore` do that work there; this says how to call them, and looks at the result. No
//! command line contains a password.

mod archive;
mod error;
mod sqlite_file;

use std::{fs::File, io::Read as _, path::Path};

pub use self::{
    archive::{dump_command, restore_command},
    error::BackupError,
    sqlite_file::{back_up, restore},
};
use super::{BlockingConnection, Connection, DbError, migrate};
pub use crate::atomic_file::Existing;
use crate::config::quotable_path;

/// What a backup contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Size of the file.
    pub bytes: u64,
    /// The newest migration, such as `0006`; `None` if no migration was applied.
    pub schema: Option<String>,
    /// Number of posts.
    pub posts: u64,
    /// Number of users.
    pub users: u64,
}

/// The kind of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A file of SQLite.
    Sqlite,
    /// An archive of `pg_dump` in its custom format.
    PostgresArchive,
}

impl Format {
    /// Recognises a file by its first bytes.
    ///
    /// # Errors
    /// When the file cannot be read, or is neither.
    pub fn of(path: &Path) -> Result<Self, BackupError> {
        let mut head = Vec::with_capacity(16);
        File::open(path)
            .and_then(|file| file.take(16).read_to_end(&mut head))
            .map_err(|source| BackupError::read(path, source))?;
        if head == b"SQLite format 3\0" {
            Ok(Self::Sqlite)
        } else if head.starts_with(b"PGDMP") {
            Ok(Self::PostgresArchive)
        } else {
            Err(BackupError::UnknownFormat {
                path: quotable_path(path).into_owned(),
            })
        }
    }
}

/// Verifies a backup: SQLite's pages, or that `pg_restore` can read every row of the archive; that all tables are there,
/// and that the counter of posts agrees with the rows. Reads the file once, with little memory. Blocks.
///
/// # Errors
/// When the file cannot be read, is damaged or incomplete, or `pg_restore` is missing.
pub fn verify(path: &Path) -> Result<Contents, BackupError> {
    match Format::of(path)? {
        Format::Sqlite => sqlite_file::verify(path),
        Format::PostgresArchive => archive::verify(path),
    }
}

/// Whether the database has no table with a user or a post, so that a restore overwrites nothing. Blocks.
///
/// # Errors
/// The database's.
pub fn is_empty(connection: &mut BlockingConnection) -> Result<bool, DbError> {
    use diesel::{QueryableByName, RunQueryDsl as _, sql_types::BigInt};

    #[derive(QueryableByName)]
    struct Number {
        #[diesel(sql_type = BigInt)]
        number: i64,
    }

    match &mut connection.lend() {
        Connection::Sqlite(c) => Ok(sqlite_file::is_empty(c)?),
        Connection::Postgres(c) => {
            for table in ["users", "blog_posts"] {
                let exists: Number = diesel::sql_query(format!(
                    "SELECT count(*) AS number FROM pg_class WHERE oid = to_regclass('{table}')"
                ))
                .get_result(&mut **c)?;
                if exists.number == 0 {
                    continue;
                }
                let rows: Number = diesel::sql_query(format!(
                    "SELECT count(*) AS number FROM (SELECT 1 FROM {table} LIMIT 1) AS first"
                ))
                .get_result(&mut **c)?;
                if rows.number > 0 {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// Rejects a backup of a newer blogctl, whose schema this one does not know.
fn check_schema(schema: Option<&str>) -> Result<(), DbError> {
    match schema {
        Some(version) if !migrate::is_known(version) => Err(DbError::NewerSchema {
            version: version.to_owned(),
        }),
        _ => Ok(()),
    }
}
