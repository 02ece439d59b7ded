//! The database: SQLite (embedded) or PostgreSQL, with the same repository code for both. The only room with SQL.
//!
//! [`Database`] runs work on a connection: [`Database::read_short`], [`Database::read_long`], [`Database::search`],
//! [`Database::write`]. The work calls the repositories [`users`], [`posts`], [`post_list`], [`post_search`] and
//! [`idempotency`], which decide nothing. What a rule reads and what it then writes is one piece of work, and so one
//! transaction.

use std::sync::Arc;

use crate::config::DatabaseSettings;

mod author;
pub mod backup;
mod blocking;
pub mod check;
mod column_types;
mod connection;
pub mod copy;
mod deadline;
mod error;
mod failure;
pub mod idempotency;
pub mod ids;
mod lane;
pub mod legacy;
pub mod migrate;
pub mod post_list;
pub mod post_search;
mod postgres;
pub mod posts;
pub mod schema;
mod span;
mod sqlite;
mod unfinished_copy;
mod url;
pub mod users;
mod work;

pub use blocking::BlockingConnection;
pub use connection::Connection;
use connection::on_either;
pub use deadline::within;
pub use error::DbError;
pub use post_list::DataVersion;
pub use url::DatabaseUrl;
pub use work::{AfterCommit, Work, WorkError, WorkValue, WriteStatement};

use self::{
    connection::{POSTGRES, SQLITE},
    postgres::PostgresDatabase,
    sqlite::SqliteDatabase,
};

/// An open database. Cheap to clone; dropping the last clone closes it.
#[derive(Clone)]
pub struct Database {
    opened: Arc<Opened>,
}

struct Opened {
    url: DatabaseUrl,
    engine: Engine,
}

#[expect(
    clippy::large_enum_variant,
    reason = "one for each database, behind the Arc of Database"
)]
enum Engine {
    Sqlite(SqliteDatabase),
    Postgres(PostgresDatabase),
}

impl Database {
    /// Opens the database; creates a missing SQLite file. Applies no migrations. Blocks.
    ///
    /// # Errors
    /// When the URL is invalid or the database cannot be reached.
    pub fn open(settings: &DatabaseSettings) -> Result<Self, DbError> {
        let url = DatabaseUrl::parse(&settings.url)?;
        let engine = match &url {
            DatabaseUrl::Sqlite(path) => Engine::Sqlite(SqliteDatabase::open(path, settings)?),
            DatabaseUrl::Postgres { url, shown } => Engine::Postgres(PostgresDatabase::open(url, shown, settings)?),
        };
        Ok(Self {
            opened: Arc::new(Opened { url, engine }),
        })
    }

    /// The address. Its `Display` shows no password.
    pub fn url(&self) -> &DatabaseUrl {
        &self.opened.url
    }

    /// Whether each statement takes a round trip to a server, so that fewer statements are worth more than simpler ones.
    pub fn is_remote(&self) -> bool {
        matches!(self.opened.engine, Engine::Postgres(_))
    }

    /// Runs a trivial query, for the readiness probe.
    ///
    /// # Errors
    /// When the database does not answer, or has no schema yet.
    pub async fn ping(&self) -> Result<(), DbError> {
        let count = |connection: &mut Connection<'_>| post_list::count_all(connection).map(drop);
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => {
                self.read_short(count).await?;
                sqlite.check_file()
            }
            Engine::Postgres(postgres) => postgres.probe(count).await,
        }
    }

    /// The current version of the data, for caches. `None` on PostgreSQL, where there is no cheap way to read it. Takes
    /// microseconds, on the calling thread.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn data_version(&self) -> Result<Option<DataVersion>, DbError> {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => sqlite.read_short(post_list::data_version),
            Engine::Postgres(_) => Ok(None),
        }
    }

    /// Runs a read that takes microseconds on SQLite: a few rows by key. On SQLite it runs on the calling thread, since
    /// handing it over would take longer than the read. It may run twice: again on a fresh connection if the first one
    /// turns out to be lost.
    ///
    /// # Errors
    /// The work's own, or the database's.
    pub async fn read_short<T: WorkValue, E: WorkError>(&self, work: impl Work<T, E>) -> Result<T, E> {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => sqlite.read_short(work),
            Engine::Postgres(postgres) => span::unit("short read", POSTGRES, postgres.read_short(work)).await,
        }
    }

    /// Runs a read that may take long, on a blocking thread.
    ///
    /// # Errors
    /// The work's own, or the database's.
    pub async fn read_long<T: WorkValue, E: WorkError>(&self, work: impl Work<T, E>) -> Result<T, E> {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => span::unit("long read", SQLITE, sqlite.read_long(work)).await,
            Engine::Postgres(postgres) => span::unit("long read", POSTGRES, postgres.read_long(work)).await,
        }
    }

    /// Runs a full-text search. Searches have a separate lane, so that a flood of them delays no other read. On SQLite,
    /// the index first catches up with the writes; PostgreSQL's index is always up to date.
    ///
    /// # Errors
    /// [`DbError::SearchBusy`], [`DbError::Deadline`], the work's own, or the database's.
    pub async fn search<T: WorkValue, E: WorkError>(&self, work: impl Work<T, E>) -> Result<T, E> {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => span::unit("search", SQLITE, sqlite.search(work)).await,
            Engine::Postgres(postgres) => span::unit("search", POSTGRES, postgres.search(work)).await,
        }
    }

    /// Runs work that writes, in a transaction. An error of the work rolls it back. Returns after the commit. The work
    /// may run again after its transaction was rolled back in favour of another one, but never when the transaction may
    /// have been committed.
    ///
    /// # Errors
    /// The work's own, or the database's when the transaction is not committed.
    pub async fn write<T: WorkValue, E: WorkError>(&self, work: impl Work<T, E>) -> Result<T, E> {
        self.write_then(work, |_| ()).await
    }

    /// As [`Self::write`], and calls `after_commit` on the database's thread once the transaction is committed: also when the
    /// caller has gone, or has run out of time.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_then<T: WorkValue, E: WorkError>(
        &self,
        work: impl Work<T, E>,
        after_commit: impl AfterCommit<T>,
    ) -> Result<T, E> {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => span::unit("write", SQLITE, sqlite.write(work, after_commit)).await,
            Engine::Postgres(postgres) => span::unit("write", POSTGRES, postgres.write(work, after_commit)).await,
        }
    }

    /// Runs a read, and then one statement that writes, with what was read. SQLite runs both in one transaction; on
    /// PostgreSQL there is none, so other writers may change in between what was read: the statement must check for it.
    /// Both may run again as those of [`Self::write`], and `after_commit` is called as in [`Self::write_then`].
    ///
    /// # Errors
    /// The work's own, or the database's when the statement is not committed, or may not be.
    pub async fn read_then_write<R, T: WorkValue, E: WorkError>(
        &self,
        read: impl Work<R, E>,
        statement: impl WriteStatement<R, T, E>,
        after_commit: impl AfterCommit<T>,
    ) -> Result<T, E> {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => {
                let both = move |connection: &mut Connection<'_>| {
                    let found = read(connection)?;
                    statement(connection, found)
                };
                span::unit("write", SQLITE, sqlite.write(both, after_commit)).await
            }
            Engine::Postgres(postgres) => {
                let write = postgres.read_then_write(read, statement, after_commit);
                span::unit("write", POSTGRES, write).await
            }
        }
    }

    /// Opens the connections that a server with this many serving threads needs, which would otherwise be opened at
    /// their first use. SQLite only. Blocks.
    ///
    /// # Errors
    /// When a connection cannot be opened.
    pub fn prepare(&self, threads: usize) -> Result<(), DbError> {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => sqlite.prepare(threads),
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Opens a connection for long work. Blocks.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub fn connect(&self) -> Result<BlockingConnection, DbError> {
        Ok(match &self.opened.engine {
            Engine::Sqlite(sqlite) => BlockingConnection::Sqlite(sqlite.connect()?),
            Engine::Postgres(postgres) => BlockingConnection::Postgres(postgres.connect()?),
        })
    }

    /// Applies pending migrations, all or none. Blocks.
    ///
    /// # Errors
    /// When one fails, or a newer blogctl has migrated the database.
    pub fn migrate(&self) -> Result<(), DbError> {
        migrate::run(self)?;
        // A migration may have made posts pending for the full-text index.
        if let Engine::Sqlite(sqlite) = &self.opened.engine {
            sqlite.index_when_idle();
        }
        Ok(())
    }

    /// Whether migrations are pending. Blocks.
    ///
    /// # Errors
    /// When the database does not answer, or a newer blogctl has migrated it.
    pub fn has_pending_migrations(&self) -> Result<bool, DbError> {
        Ok(migrate::status(self)?.iter().any(|migration| !migration.applied))
    }

    /// Finishes queued writes and closes all connections, which checkpoints SQLite's WAL. Blocks.
    pub fn close(&self) {
        self.opened.engine.close();
    }
}

impl Engine {
    fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close(),
            Self::Postgres(postgres) => postgres.close(),
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.engine.close();
    }
}
