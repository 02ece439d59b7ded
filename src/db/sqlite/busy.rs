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

/// How long a writer waits for another process.
const PATIENCE: Duration = Duration::from_secs(10);
/// SQLite's own busy handler asks every 100 ms after a while, and misses the moment between two transactions of a
/// process that writes a lot: some microseconds out of milliseconds, so it takes thousands of attempts to meet one. An
/// attempt costs microseconds, too.
const INTERVAL: Duration = Duration::from_micros(200);

/// Begins a transaction with the write lock.
pub(super) fn begin_immediate(connection: &mut SqliteConnection) -> QueryResult<()> {
    retry(|| AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE"))
}

/// Repeats what another connection's lock refuses, until it works or patience ends.
pub(super) fn retry<T>(mut attempt: impl FnMut() -> QueryResult<T>) -> QueryResult<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if is_busy(&error) && begun.elapsed() < PATIENCE => thread::sleep(INTERVAL),
            outcome => return outcome,
        }
    }
}

/// SQLITE_BUSY; Diesel passes on SQLite's message alone.
fn is_busy(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::Unknown, info) if info.message() == "database is locked")
}
