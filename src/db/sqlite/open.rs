//! How a connection to an SQLite file is set up. None of them creates the file: one that was deleted while the program runs
//! must not come back empty.

use std::{path::Path, time::Duration};

use diesel::{Connection as _, connection::SimpleConnection, sqlite::SqliteConnection};

use super::{busy_retry, file::DatabaseFile, searches};
use crate::db::DbError;

/// The memory-mapped file takes a fifth off the CPU of reads, and unlike a page cache it is shared by all connections;
/// so the caches of the connections are small.
const FOR_ALL: &str = "PRAGMA foreign_keys = ON; PRAGMA mmap_size = 268435456; PRAGMA temp_store = MEMORY; \
                       PRAGMA cache_size = -1024; PRAGMA trusted_schema = OFF;";

/// `synchronous = FULL`: an acknowledged write outlives a power cut. In WAL mode, readers and the writer do not wait
/// for each other.
const FOR_WRITING: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;";

/// Readers wait for others only in rare moments, such as recovery after a crash; and not for long, since a serving thread
/// waits with them.
const FOR_READING: &str = "PRAGMA busy_timeout = 1000; PRAGMA query_only = ON;";

/// A first read. From then on the connection holds the write-ahead log open, and no other that closes takes it away as the
/// last one.
const FIRST_READ: &str = "SELECT count(*) FROM sqlite_schema";

/// For how long a connection that is opened waits for another process.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that writes, to a file that exists. Switches it to WAL.
pub(super) fn for_writing(file: &DatabaseFile) -> Result<SqliteConnection, DbError> {
    connect(file, FOR_WRITING)
}

/// A connection that cannot write.
pub(super) fn for_reading(file: &DatabaseFile) -> Result<SqliteConnection, DbError> {
    connect(file, FOR_READING)
}

/// The file cannot be opened.
pub(super) fn error(path: &Path, reason: &dyn ToString) -> DbError {
    DbError::Open {
        database: path.display().to_string(),
        reason: reason.to_string(),
    }
}

fn connect(file: &DatabaseFile, pragmas: &str) -> Result<SqliteConnection, DbError> {
    let path = file.path();
    file.check()?;
    let name = path.to_str().ok_or_else(|| error(path, &"the path is not UTF-8"))?;
    // https://www.sqlite.org/uri.html: `?`, `#` and `%` mean something else.
    let escaped = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let connection = SqliteConnection::establish(&format!("file://{escaped}?mode=rw"));
    let mut connection = connection.map_err(|reason| error(path, &reason))?;
    busy_retry::retry(PATIENCE, || connection.batch_execute(FOR_ALL))
        .and_then(|()| busy_retry::retry(PATIENCE, || connection.batch_execute(pragmas)))
        .and_then(|()| busy_retry::retry(PATIENCE, || connection.batch_execute(FIRST_READ)))
        .and_then(|()| searches::register(&mut connection, None))
        .map_err(|reason| error(path, &reason))?;
    // What was opened is the file that the other connections have open, too.
    file.check()?;
    Ok(connection)
}
