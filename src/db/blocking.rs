//! A connection for long work of its own: migrations, sample data, taking over another database. Blocks the caller.

use diesel::{
    pg::PgConnection,
    r2d2::{ConnectionManager, PooledConnection},
    sqlite::SqliteConnection,
};

use super::{Connection, DbError, postgres, sqlite};

/// A connection to either database that is the caller's own. On SQLite it writes beside the writer thread, as another
/// process would.
pub enum BlockingConnection {
    /// SQLite.
    Sqlite(SqliteConnection),
    /// PostgreSQL.
    Postgres(PooledConnection<ConnectionManager<PgConnection>>),
}

impl BlockingConnection {
    /// Lends the connection to work outside a transaction.
    pub fn lend(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(connection) => Connection::Sqlite(connection),
            Self::Postgres(connection) => Connection::Postgres(connection),
        }
    }

    /// Runs the work in a transaction; an error rolls it back.
    ///
    /// # Errors
    /// The work's own, or the database's when the transaction is not begun or committed.
    pub fn transaction<T, E: From<DbError>>(
        &mut self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Sqlite(connection) => sqlite::transaction(connection, work),
            Self::Postgres(connection) => postgres::transaction(connection, work),
        }
    }
}
