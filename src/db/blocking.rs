//! A connection for long work of its own: migrations, sample data, taking over another database. Blocks the caller.

use diesel::{pg::PgConnection, sqlite::SqliteConnection};

use super::{Connection, DbError, postgres, sqlite};

/// Posts that the full-text index takes in as one transaction.
const INDEXED_AT_ONCE: usize = 1000;

/// A connection to either database that is the caller's own. On SQLite it writes beside the writer thread, as another
/// process would.
pub enum BlockingConnection {
    /// SQLite.
    Sqlite(SqliteConnection),
    /// PostgreSQL.
    Postgres(PgConnection),
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

    /// Brings the full-text index up to everything that has been written; `progress` is told how many posts were taken
    /// in. PostgreSQL's always is.
    ///
    /// # Errors
    /// The database's; what was taken in before stays.
    pub fn index_for_search(&mut self, mut progress: impl FnMut(u64)) -> Result<(), DbError> {
        loop {
            let taken: usize = self.transaction(|connection| match connection {
                Connection::Sqlite(c) => Ok(sqlite::take_into_search_index(c, INDEXED_AT_ONCE)?),
                Connection::Postgres(_) => Ok::<_, DbError>(0),
            })?;
            if taken == 0 {
                return Ok(());
            }
            progress(taken as u64);
        }
    }
}
