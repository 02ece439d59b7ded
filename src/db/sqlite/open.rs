//! Opens connections to an SQLite file. None creates the file: a file that was deleted while the program runs must not
//! come back empty.

use std::{fmt::Display, time::Duration};

use diesel::{Connection as _, connection::SimpleConnection, sqlite::SqliteConnection};

use super::{busy_retry, file::DatabaseFile, path, search_stop};
use crate::db::DbError;

/// The memory-mapped file saves a fifth of the CPU time of reads. Unlike a page cache, all connections share it, so
/// their page caches are small.
const FOR_ALL: &str = "PRAGMA foreign_keys = ON; PRAGMA mmap_size = 268435456; PRAGMA temp_store = MEMORY; \
                       PRAGMA cache_size = -1024; PRAGMA trusted_schema = OFF;";

/// `synchronous = FULL`: an acknowledged write survives a power cut. In WAL mode, readers and the writer do not wait
/// for each other.
const FOR_WRITING: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;";

/// Readers wait for a lock only in rare cases, such as recovery after a crash. The wait is short, because it blocks a
/// serving thread.
const FOR_READING: &str = "PRAGMA busy_timeout = 1000; PRAGMA query_only = ON;";

/// A first read makes the connection hold the write-ahead log open, so that no other connection that closes deletes it
/// as the last one.
const FIRST_READ: &str = "SELECT count(*) FROM sqlite_schema";

/// How long opening a connection waits for another process.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a connection that can write. Switches the file to WAL.
pub(super) fn for_writing(file: &DatabaseFile) -> Result<SqliteConnection, DbError> {
    connect(file, FOR_WRITING)
}

/// Opens a connection that cannot write.
pub(super) fn for_reading(file: &DatabaseFile) -> Result<SqliteConnection, DbError> {
    connect(file, FOR_READING)
}

fn connect(file: &DatabaseFile, pragmas: &str) -> Result<SqliteConnection, DbError> {
    let error = |reason: &dyn Display| DbError::cannot_open(file.path().display(), reason);
    file.check()?;
    let uri = path::uri(file.path(), "mode=rw").map_err(|reason| error(&reason))?;
    let mut connection = SqliteConnection::establish(&uri).map_err(|reason| error(&reason))?;
    busy_retry::retry(LOCK_TIMEOUT, || connection.batch_execute(FOR_ALL))
        .and_then(|()| busy_retry::retry(LOCK_TIMEOUT, || connection.batch_execute(pragmas)))
        .and_then(|()| busy_retry::retry(LOCK_TIMEOUT, || connection.batch_execute(FIRST_READ)))
        .and_then(|()| search_stop::register(&mut connection, None))
        .map_err(|reason| error(&reason))?;
    // Again: the file may have been replaced since the first check.
    file.check()?;
    Ok(connection)
}
