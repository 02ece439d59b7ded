//! Waits for SQLite's write lock, which another process (such as `blogctl seed` next to the API) may hold for a moment.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{QueryResult, connection::AnsiTransactionManager, sqlite::SqliteConnection};

use crate::db::failure::Failure;

/// How long a transaction without a deadline waits for another process.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// SQLite's own busy handler soon retries only every 100 ms. A process that writes a lot releases the lock for some
/// microseconds every few milliseconds, so it takes thousands of attempts to meet such a gap. An attempt costs
/// microseconds.
const INTERVAL: Duration = Duration::from_micros(200);

/// Begins a transaction that holds the write lock.
///
/// # Errors
/// When another connection holds the lock for longer than `timeout`.
pub(super) fn begin_immediate(connection: &mut SqliteConnection, timeout: Duration) -> QueryResult<()> {
    retry(timeout, || {
        AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE")
    })
}

/// Retries while another connection holds the lock, for up to `timeout`.
pub(super) fn retry<T>(timeout: Duration, mut attempt: impl FnMut() -> QueryResult<T>) -> QueryResult<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if Failure::classify(&error) == Failure::Busy && begun.elapsed() < timeout => {
                thread::sleep(INTERVAL);
            }
            outcome => return outcome,
        }
    }
}
