//! SQLite, embedded: short reads on the calling thread, long reads and searches on other threads, all writes through
//! one writer.
//!
//! A read by key takes some microseconds; handing it to another thread takes longer. So a short read runs on the
//! calling thread, on that thread's connection. One writer that commits all queued writes as one transaction writes
//! eight times as much as many writers do with the same durability, and no write starves.

mod busy_retry;
mod file;
mod long_reads;
mod open;
pub(super) mod path;
mod search_index;
mod search_stop;
mod searches;
mod short_reads;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use diesel::sqlite::SqliteConnection;

pub(super) use self::search_index::{index_pending as index_pending_posts, is_behind as is_search_index_behind};
use self::{file::DatabaseFile, long_reads::LongReads, searches::Searches, short_reads::ShortReads, writer::Writer};
use super::{
    Connection, DbError, WorkError, WorkValue, deadline,
    span::carry,
    work::{AfterCommit, WorkOnce},
};
use crate::config::DatabaseSettings;

/// Indexing steps before a search: some thirty milliseconds of work.
const MAX_STEPS_BEFORE_SEARCH: usize = 8;

/// An open SQLite file.
pub(super) struct SqliteDatabase {
    file: Arc<DatabaseFile>,
    /// How long a request may wait for and use the database.
    deadline: Duration,
    short_reads: ShortReads,
    long_reads: LongReads,
    searches: Searches,
    writer: Writer,
}

impl SqliteDatabase {
    /// Opens the file; creates it if it is missing.
    pub fn open(path: &Path, settings: &DatabaseSettings) -> Result<Self, DbError> {
        if path.is_dir() {
            return Err(DbError::cannot_open(
                path.display(),
                "this is a folder; name a file in it",
            ));
        }
        if let Some(folder) = path.parent()
            && !folder.is_dir()
        {
            return Err(DbError::no_folder(path, folder));
        }
        let file = Arc::new(DatabaseFile::create(path, settings.file_mode.0)?);
        // The writer comes first: its connection switches the file to WAL.
        let writer = Writer::start(&file)?;
        Ok(Self {
            deadline: settings.deadline,
            short_reads: ShortReads::new(Arc::clone(&file)),
            long_reads: LongReads::new(Arc::clone(&file)),
            searches: Searches::new(Arc::clone(&file), settings),
            file,
            writer,
        })
    }

    /// Opens the connections that this many serving threads, the long reads and the searches will need: later, the
    /// process may have run out of file descriptors.
    pub fn prepare(&self, threads: usize) -> Result<(), DbError> {
        self.short_reads.prepare(threads)?;
        self.long_reads.prepare()?;
        self.searches.prepare()
    }

    /// Checks that the path still leads to the open file.
    pub fn check_file(&self) -> Result<(), DbError> {
        self.file.check()
    }

    /// Reads on the calling thread. A serving thread waits for it, so only for reads that take microseconds.
    pub fn read_short<T, E: From<DbError>>(
        &self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.short_reads.run(work)
    }

    /// See [`super::Database::read_long`].
    pub async fn read_long<T: WorkValue, E: WorkError>(&self, work: impl WorkOnce<T, E>) -> Result<T, E> {
        self.long_reads.run(deadline::until(self.deadline), carry(work)).await
    }

    /// See [`super::Database::write`].
    pub async fn write<T: WorkValue, E: WorkError>(
        &self,
        work: impl WorkOnce<T, E>,
        after_commit: impl AfterCommit<T>,
    ) -> Result<T, E> {
        self.writer
            .run(deadline::until(self.deadline), carry(work), after_commit)
            .await
    }

    /// Searches after the index has caught up.
    pub async fn search<T: WorkValue, E: WorkError>(&self, work: impl WorkOnce<T, E>) -> Result<T, E> {
        self.searches.run(self.catch_up(), carry(work)).await
    }

    /// Lets the full-text index catch up with the writes of all processes. After a burst of writes it catches up only
    /// in part, so that the search does not wait too long; the writer indexes the rest when it is idle.
    async fn catch_up(&self) -> Result<(), DbError> {
        for _ in 0..MAX_STEPS_BEFORE_SEARCH {
            let is_behind = |connection: &mut Connection<'_>| match connection {
                Connection::Sqlite(c) => Ok::<_, DbError>(search_index::is_behind(c)?),
                Connection::Postgres(_) => Ok(false),
            };
            if !self.read_short(is_behind)? {
                return Ok(());
            }
            self.write(
                |connection| match connection {
                    Connection::Sqlite(c) => {
                        Ok::<_, DbError>(search_index::index_pending(c, search_index::STEP).map(drop)?)
                    }
                    Connection::Postgres(_) => Ok(()),
                },
                |()| (),
            )
            .await?;
        }
        Ok(())
    }

    /// Makes the writer index pending posts when it is idle.
    pub fn index_when_idle(&self) {
        self.writer.index_when_idle();
    }

    /// See [`super::Database::connect`].
    pub fn connect(&self) -> Result<SqliteConnection, DbError> {
        open::for_writing(&self.file)
    }

    /// Finishes queued writes and closes every connection, the writer's last: closing the last connection checkpoints
    /// the WAL.
    pub fn close(&self) {
        self.searches.close();
        self.short_reads.close();
        self.long_reads.close();
        self.writer.close();
    }
}

/// Runs the work in a transaction that holds the write lock from its beginning.
pub(super) fn transaction<T, E: From<DbError>>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, E> {
    use diesel::connection::{AnsiTransactionManager, TransactionManager};

    busy_retry::begin_immediate(connection, busy_retry::LOCK_TIMEOUT).map_err(DbError::from)?;
    match work(&mut Connection::Sqlite(connection)) {
        Ok(value) => {
            AnsiTransactionManager::commit_transaction(connection).map_err(DbError::from)?;
            Ok(value)
        }
        Err(error) => {
            if let Err(rollback) = AnsiTransactionManager::rollback_transaction(connection) {
                log::warn!("a transaction was not rolled back cleanly: {rollback}");
            }
            Err(error)
        }
    }
}
