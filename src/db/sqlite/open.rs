//! How a connection to an SQLite file is set up.

use std::path::Path;

use diesel::{Connection as _, connection::SimpleConnection, sqlite::SqliteConnection};

use super::busy;
use crate::db::DbError;

/// The memory-mapped file takes a fifth off the CPU of reads, and unlike a page cache it is shared by all connections;
/// so the caches of the connections are small.
const FOR_ALL: &str = "PRAGMA foreign_keys = ON; PRAGMA mmap_size = 268435456; PRAGMA temp_store = MEMORY; \
                       PRAGMA cache_size = -1024; PRAGMA trusted_schema = OFF;";

/// `synchronous = FULL`: an acknowledged write outlives a power cut. In WAL mode, readers and the writer do not wait
/// for each other.
const FOR_WRITING: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;";

/// Readers wait for others only in rare moments, such as recovery after a crash.
const FOR_READING: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON;";

/// A connection that writes. Makes the file when it is missing, and switches it to WAL.
pub(super) fn for_writing(path: &Path) -> Result<SqliteConnection, DbError> {
    connect(path, FOR_WRITING)
}

/// A connection that cannot write.
pub(super) fn for_reading(path: &Path) -> Result<SqliteConnection, DbError> {
    connect(path, FOR_READING)
}

/// The file cannot be opened.
pub(super) fn error(path: &Path, reason: &dyn ToString) -> DbError {
    DbError::Open { database: path.display().to_string(), reason: reason.to_string() }
}

fn connect(path: &Path, pragmas: &str) -> Result<SqliteConnection, DbError> {
    let name = path.to_str().ok_or_else(|| error(path, &"the path is not UTF-8"))?;
    let mut connection = SqliteConnection::establish(name).map_err(|reason| error(path, &reason))?;
    busy::retry(|| connection.batch_execute(FOR_ALL))
        .and_then(|()| busy::retry(|| connection.batch_execute(pragmas)))
        .map_err(|reason| error(path, &reason))?;
    Ok(connection)
}
