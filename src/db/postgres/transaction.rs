//! Runs work on a worker's connection, and retries it where that cannot do anything twice.

use std::{
    cell::Cell,
    thread,
    time::{Duration, Instant},
};

use diesel::{
    connection::{AnsiTransactionManager, TransactionManager},
    pg::PgConnection,
};

use super::{
    cancellation::RunningSearch,
    connect::Route,
    slot::{Checkout, ConnectionSlot},
};
use crate::db::{Connection, DbError, failure::Failure};

/// How often work is attempted in all, when other transactions conflict with it.
const MAX_ATTEMPTS: u32 = 4;
/// How a transaction begins. READ COMMITTED, whatever the server's default: since a rule locks the rows that it reads,
/// nothing can fail to serialise.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The statements that begin a transaction.
pub(super) struct Begin {
    /// Through a pooler, where session settings do not reach the server process: they follow in the same message.
    pooled: String,
}

impl Begin {
    /// `local_settings` are `SET LOCAL` statements.
    pub fn with_settings(local_settings: &str) -> Self {
        Self {
            pooled: format!("{BEGIN}; {local_settings}"),
        }
    }

    fn sql(&self, route: Route) -> &str {
        match route {
            Route::Direct => BEGIN,
            Route::Pooled => &self.pooled,
        }
    }
}

/// Runs a read. It runs again on a fresh connection if the first one turns out to be lost.
///
/// `begin` is for reads whose time the server must limit: through a pooler, that takes a transaction. `search` is for
/// reads that are cancelled when their client has gone.
pub(super) fn read<T, E: From<DbError>>(
    slot: &mut ConnectionSlot,
    ends: Instant,
    begin: Option<&Begin>,
    search: Option<&RunningSearch>,
    work: &impl Fn(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut attempt = 1;
    loop {
        let Checkout {
            connection,
            route,
            is_fresh,
            process,
        } = slot.check_out()?;
        let execution = search
            .map(|search| search.begin(process).ok_or(DbError::Closed))
            .transpose()?;
        let outcome = match begin.filter(|_| route == Route::Pooled) {
            Some(begin) => in_transaction(connection, begin.sql(route), work),
            None => work(&mut Connection::Postgres(connection)),
        };
        let is_abandoned = execution.is_some_and(|execution| !execution.end());
        let failure = slot.check_in();
        if is_abandoned {
            slot.close();
        }
        let Err(error) = outcome else { return outcome };
        let may_retry = match failure {
            Some(Failure::Lost | Failure::ReadOnly) => !is_fresh && attempt == 1,
            Some(Failure::PreparedStatements | Failure::SchemaChanged | Failure::Conflict) => attempt < MAX_ATTEMPTS,
            Some(Failure::Busy | Failure::Transient | Failure::Permanent) | None => false,
        };
        if !may_retry || Instant::now() >= ends {
            return Err(error);
        }
        attempt += 1;
    }
}

/// How a write reaches the database.
#[derive(Debug, Clone, Copy)]
pub(super) enum WriteMode {
    /// In a transaction.
    Transaction,
    /// The write is one statement, which PostgreSQL commits without a transaction: two round trips fewer. The server ends
    /// it after `timeout`.
    Statement { timeout: Duration },
}

/// Runs a write: first `read`, which writes nothing, then `write` with what was read.
///
/// It runs again only if nothing can have been committed: never when the connection is lost after `write` has begun,
/// since it may have been committed. Nothing begins or is committed after `ends`: the client was told that the time is
/// over, and may have sent the request again. So a single statement that the server could end too late runs in a
/// transaction, as does one through a pooler, where the server's time limit applies within transactions only.
pub(super) fn write<R, T, E: From<DbError>>(
    slot: &mut ConnectionSlot,
    ends: Instant,
    begin: &Begin,
    mode: WriteMode,
    read: &impl Fn(&mut Connection<'_>) -> Result<R, E>,
    write: &impl Fn(&mut Connection<'_>, R) -> Result<T, E>,
) -> Result<T, E> {
    let since = Instant::now();
    let check_deadline = || {
        if Instant::now() < ends {
            Ok(())
        } else {
            Err(DbError::late_since(since))
        }
    };
    let mut attempt = 1;
    loop {
        let Checkout {
            connection,
            route,
            is_fresh,
            ..
        } = slot.check_out()?;
        check_deadline()?;
        // Without a transaction, the server must end the statement in time: it is committed as soon as it ends.
        let ends_in_time = |timeout| Instant::now() + timeout <= ends;
        let has_begun_to_write = Cell::new(false);
        let work = |connection: &mut Connection<'_>, may_write: &dyn Fn() -> Result<(), DbError>| {
            let found = read(connection)?;
            may_write()?;
            has_begun_to_write.set(true);
            write(connection, found)
        };
        let outcome = match mode {
            WriteMode::Statement { timeout } if route == Route::Direct && ends_in_time(timeout) => {
                let may_write = || {
                    if ends_in_time(timeout) {
                        Ok(())
                    } else {
                        Err(DbError::late_since(since))
                    }
                };
                work(&mut Connection::Postgres(connection), &may_write)
            }
            WriteMode::Statement { .. } | WriteMode::Transaction => {
                in_transaction(connection, begin.sql(route), |connection| {
                    let value = work(connection, &check_deadline)?;
                    check_deadline()?;
                    Ok(value)
                })
            }
        };
        let failure = slot.check_in();
        let error = match outcome {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let may_retry = match failure {
            Some(Failure::Lost) => !has_begun_to_write.get() && !is_fresh && attempt == 1,
            Some(Failure::ReadOnly) => !is_fresh && attempt == 1,
            Some(Failure::PreparedStatements | Failure::SchemaChanged | Failure::Conflict) => attempt < MAX_ATTEMPTS,
            Some(Failure::Busy | Failure::Transient | Failure::Permanent) | None => false,
        };
        if !may_retry || Instant::now() >= ends {
            return Err(error);
        }
        if failure == Some(Failure::Conflict) {
            // Without a random pause, both transactions lock the same rows in the same order and conflict again.
            let pause = Duration::from_millis(rand::random_range(20..100)) * attempt;
            thread::sleep(pause.min(ends.saturating_duration_since(Instant::now())));
        }
        attempt += 1;
    }
}

/// Runs the work in a transaction without a time limit.
pub(in crate::db) fn transaction<T, E: From<DbError>>(
    connection: &mut PgConnection,
    work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, E> {
    in_transaction(connection, BEGIN, work)
}

fn in_transaction<T, E: From<DbError>>(
    connection: &mut PgConnection,
    begin: &str,
    work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, E> {
    AnsiTransactionManager::begin_transaction_sql(connection, begin).map_err(DbError::from)?;
    match work(&mut Connection::Postgres(connection)) {
        Ok(value) => {
            AnsiTransactionManager::commit_transaction(connection).map_err(DbError::from)?;
            Ok(value)
        }
        Err(error) => {
            match AnsiTransactionManager::rollback_transaction(connection) {
                // Most likely the work's error is what broke it.
                Ok(()) | Err(diesel::result::Error::BrokenTransactionManager) => {}
                Err(reason) => log::debug!("a transaction was not rolled back cleanly: {reason}"),
            }
            Err(error)
        }
    }
}
