//! Reads in one snapshot: everything is of the moment at which the first statement began.

use diesel::{
    QueryResult,
    connection::{AnsiTransactionManager, TransactionManager},
};

use crate::db::{BlockingConnection, Connection, DbError, migrate};

/// Runs reads in one snapshot, which blocks no write.
pub(super) fn in_snapshot<T, E: From<DbError>>(
    connection: &mut BlockingConnection,
    work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let begun = match connection {
        BlockingConnection::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN"),
        BlockingConnection::Postgres(c) => {
            AnsiTransactionManager::begin_transaction_sql(c, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        }
    };
    begun.map_err(DbError::from)?;
    let outcome = work(&mut connection.lend());
    let ended: QueryResult<()> = match connection {
        BlockingConnection::Sqlite(c) => AnsiTransactionManager::rollback_transaction(c),
        BlockingConnection::Postgres(c) => AnsiTransactionManager::rollback_transaction(c),
    };
    if let Err(reason) = ended {
        log::debug!("a snapshot did not end cleanly: {reason}");
    }
    outcome
}

/// Whether the database has every migration of this binary, and no other.
pub(super) fn has_every_migration(connection: &mut Connection<'_>) -> Result<bool, DbError> {
    migrate::is_current(connection)
}
