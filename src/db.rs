//! The database: SQLite (embedded) or PostgreSQL, one repository code for both. The only place with SQL.
//!
//! [`Database`] runs work on a connection: [`Database::read_short`], [`Database::read_long`], [`Database::write`]. The
//! work calls the repositories [`users`], [`posts`], [`post_list`], [`post_search`] and [`idempotency`], which make no decision: what a
//! rule looks at and what it then writes is in one piece of work, and so in one transaction.

use std::sync::Arc;

use crate::config::DatabaseSettings;

mod blocking;
mod column_types;
mod connection;
mod deadline;
mod error;
mod failure;
pub mod idempotency;
pub mod legacy;
pub mod migrate;
pub mod post_list;
pub mod post_search;
mod postgres;
pub mod posts;
pub mod schema;
mod sqlite;
mod url;
pub mod users;

pub use blocking::BlockingConnection;
pub use connection::Connection;
use connection::on_either;
pub use deadline::within;
pub use error::DbError;
pub use post_list::Stamp;
pub use url::DatabaseUrl;

use self::{postgres::PostgresDatabase, sqlite::SqliteDatabase};

/// An open database. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Database {
    opened: Arc<Opened>,
}

struct Opened {
    url: DatabaseUrl,
    engine: Engine,
}

enum Engine {
    Sqlite(SqliteDatabase),
    Postgres(PostgresDatabase),
}

impl Database {
    /// Opens it; on SQLite the file is made when missing. Applies no migrations. Blocks.
    ///
    /// # Errors
    /// When the URL is not understood or the database cannot be reached.
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

    /// Where it is. Its `Display` shows no password.
    pub fn url(&self) -> &DatabaseUrl {
        &self.opened.url
    }

    /// Asks the database something trivial: for readiness.
    ///
    /// # Errors
    /// When it does not answer, or has no schema yet.
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

    /// What the database holds now, for whoever keeps something that was read from it. `None` where there is no cheap way
    /// to know. Microseconds, on the calling thread.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn stamp(&self) -> Result<Option<Stamp>, DbError> {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => sqlite.read_short(post_list::stamp),
            Engine::Postgres(_) => Ok(None),
        }
    }

    /// Runs a read that takes microseconds on SQLite: a few rows by key. It runs on the calling thread there, since
    /// handing it over would take longer than the read. It may run twice: again on a fresh connection when the first one
    /// turns out to be lost.
    ///
    /// # Errors
    /// The work's own, or the database's.
    pub async fn read_short<T, E>(
        &self,
        work: impl Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => sqlite.read_short(work),
            Engine::Postgres(postgres) => postgres.read_short(work).await,
        }
    }

    /// Runs a read that may take long, on a blocking thread.
    ///
    /// # Errors
    /// The work's own, or the database's.
    pub async fn read_long<T, E>(
        &self,
        work: impl Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => sqlite.read_long(work).await,
            Engine::Postgres(postgres) => postgres.read_long(work).await,
        }
    }

    /// Runs a full-text search: in a lane of its own, so that a flood of searches delays no other read. On SQLite, after the
    /// index has caught up with what was written; PostgreSQL's is never behind.
    ///
    /// # Errors
    /// [`DbError::SearchBusy`], [`DbError::Deadline`], the work's own, or the database's.
    pub async fn search<T, E>(
        &self,
        work: impl Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => sqlite.search(work).await,
            Engine::Postgres(postgres) => postgres.search(work).await,
        }
    }

    /// Runs work that writes, in a transaction that an error of the work rolls back. Returns after the commit, never
    /// before. It may run again after a transaction that was rolled back for others; never when nobody knows whether it was
    /// committed.
    ///
    /// # Errors
    /// The work's own, or the database's when the transaction is not committed.
    pub async fn write<T, E>(&self, work: impl Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => sqlite.write(work).await,
            Engine::Postgres(postgres) => postgres.write(work).await,
        }
    }

    /// Opens the connections that a server with so many serving threads will need, where they would otherwise be opened when
    /// they are first used. Blocks.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn prepare(&self, threads: usize) -> Result<(), DbError> {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => sqlite.prepare(threads),
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// A connection for long work of its own, that blocks.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub fn connect(&self) -> Result<BlockingConnection, DbError> {
        match &self.opened.engine {
            Engine::Sqlite(sqlite) => sqlite.connect(),
            Engine::Postgres(postgres) => postgres.connect(),
        }
    }

    /// Applies pending migrations, all or none. Blocks.
    ///
    /// # Errors
    /// When one fails, or a newer blogctl has migrated the database.
    pub fn migrate(&self) -> Result<(), DbError> {
        migrate::run(self)?;
        // The posts of before a new index.
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

    /// Finishes queued writes and closes the files (checkpointing the WAL). Blocks.
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
