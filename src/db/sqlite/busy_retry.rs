//! Waiting for the write lock, which another process (`blogctl seed` beside the API) may hold for a moment.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{
    QueryResult,
    connection::AnsiTransactionManager,
    result::{DatabaseErrorKind, Error},
    sqlite::SqliteConnection,
};

/// How long a transaction without a deadline of its own waits for another process.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// SQLite's own busy handler asks every 100 ms after a while, and misses the moment between two transactions of a
/// process that writes a lot: some microseconds out of milliseconds, so it takes thousands of attempts to meet one. An
/// attempt costs microseconds, too.
const INTERVAL: Duration = Duration::from_micros(200);

/// Begins a transaction with the write lock, for which it waits so long.
pub(super) fn begin_immediate(connection: &mut SqliteConnection, patience: Duration) -> QueryResult<()> {
    retry(patience, || {
        AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE")
    })
}

/// Repeats what another connection's lock refuses, until it works or patience ends.
pub(super) fn retry<T>(patience: Duration, mut attempt: impl FnMut() -> QueryResult<T>) -> QueryResult<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if is_busy(&error) && begun.elapsed() < patience => thread::sleep(INTERVAL),
            outcome => return outcome,
        }
    }
}

/// SQLITE_BUSY; Diesel passes on SQLite's message alone.
pub(super) fn is_busy(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::Unknown, info) if info.message() == "database is locked")
}
