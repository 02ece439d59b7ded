//! A connection for long work that blocks the calling thread: migrations, sample data, imports.

use diesel::{pg::PgConnection, sqlite::SqliteConnection};

use super::{Connection, DbError, postgres, sqlite};

/// Posts that are indexed in one transaction.
const INDEX_BATCH: usize = 1000;

/// A connection to either database, owned by the caller. On SQLite it competes with the writer thread for the write
/// lock, as another process would.
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
    /// The work's own, or the database's when the transaction cannot be begun or committed.
    pub fn transaction<T, E: From<DbError>>(
        &mut self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Sqlite(connection) => sqlite::transaction(connection, work),
            Self::Postgres(connection) => postgres::transaction(connection, work),
        }
    }

    /// Indexes all pending posts for full-text search; calls `progress` with the number of each batch. PostgreSQL's
    /// index is always up to date.
    ///
    /// # Errors
    /// The database's; batches before it stay indexed.
    pub fn index_for_search(&mut self, mut progress: impl FnMut(u64)) -> Result<(), DbError> {
        loop {
            let indexed: usize = self.transaction(|connection| match connection {
                Connection::Sqlite(c) => Ok(sqlite::index_pending_posts(c, INDEX_BATCH)?),
                Connection::Postgres(_) => Ok::<_, DbError>(0),
            })?;
            if indexed == 0 {
                return Ok(());
            }
            progress(indexed as u64);
        }
    }
}
