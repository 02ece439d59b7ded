//! SQLite, embedded: short reads on the caller's own thread, long reads aside, all writes through one writer.
//!
//! A read by key takes some microseconds; handing it to another thread takes longer than the read. So a short read runs
//! where it is asked for, on a connection that belongs to that thread. One writer that commits what has queued up as
//! one transaction writes eight times as much as many writers do at the same durability, and none of them starves.

mod busy_retry;
mod file;
mod long_reads;
mod open;
mod search_index;
mod searches;
mod short_reads;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use diesel::sqlite::SqliteConnection;

pub(super) use self::search_index::{is_behind as is_search_index_behind, take_in as take_into_search_index};
use self::{file::DatabaseFile, long_reads::LongReads, searches::Searches, short_reads::ShortReads, writer::Writer};
use super::{Connection, DbError, blocking::BlockingConnection, deadline};
use crate::config::DatabaseSettings;

/// How far a search brings the index up: some thirty milliseconds of work.
const MOST_STEPS_OF_A_SEARCH: usize = 8;

/// An open SQLite file.
pub(super) struct SqliteDatabase {
    file: Arc<DatabaseFile>,
    /// Longest time in which a request may wait for and use the database.
    time: Duration,
    short_reads: ShortReads,
    long_reads: LongReads,
    searches: Searches,
    writer: Writer,
}

impl SqliteDatabase {
    /// Opens the file, and makes it when it is missing.
    pub fn open(path: &Path, settings: &DatabaseSettings) -> Result<Self, DbError> {
        if path.is_dir() {
            return Err(open::error(path, &"this is a folder; name a file in it"));
        }
        if let Some(folder) = path.parent()
            && !folder.is_dir()
        {
            return Err(open::error(
                path,
                &format!("there is no folder {}; make it first", folder.display()),
            ));
        }
        let file = Arc::new(DatabaseFile::create(path, settings.file_mode.0)?);
        // First the writer: its connection switches the file to WAL.
        let writer = Writer::start(&file)?;
        Ok(Self {
            time: settings.deadline,
            short_reads: ShortReads::new(Arc::clone(&file)),
            long_reads: LongReads::new(Arc::clone(&file)),
            searches: Searches::new(Arc::clone(&file), settings),
            file,
            writer,
        })
    }

    /// Opens the connections that so many serving threads, long reads and searches will need: later there may be no
    /// descriptor left.
    pub fn prepare(&self, threads: usize) -> Result<(), DbError> {
        self.short_reads.prepare(threads)?;
        self.long_reads.prepare()?;
        self.searches.prepare()
    }

    /// Whether the file is still the one that is open.
    pub fn check_file(&self) -> Result<(), DbError> {
        self.file.check()
    }

    /// Reads on this thread, now. For what takes microseconds only: a serving thread waits for it.
    pub fn read_short<T, E: From<DbError>>(
        &self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.short_reads.run(work)
    }

    /// Reads on a blocking thread, a few at a time.
    pub async fn read_long<T, E>(
        &self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.long_reads.run(deadline::until(self.time), work).await
    }

    /// Writes in a transaction, and returns after its commit.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.writer.run(deadline::until(self.time), work).await
    }

    /// Searches, a few at a time, after the index has caught up.
    pub async fn search<T, E>(
        &self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.searches.run(self.catch_up(), work).await
    }

    /// Lets the full-text index catch up with what has been written, by whomever. After a storm of writes it catches up some
    /// way only, so that a search is not kept waiting; the writer goes on when it is idle.
    async fn catch_up(&self) -> Result<(), DbError> {
        for _ in 0..MOST_STEPS_OF_A_SEARCH {
            let is_behind = |connection: &mut Connection<'_>| match connection {
                Connection::Sqlite(c) => Ok::<_, DbError>(search_index::is_behind(c)?),
                Connection::Postgres(_) => Ok(false),
            };
            if !self.read_short(is_behind)? {
                return Ok(());
            }
            self.write(|connection| match connection {
                Connection::Sqlite(c) => Ok::<_, DbError>(search_index::take_in(c, search_index::STEP).map(drop)?),
                Connection::Postgres(_) => Ok(()),
            })
            .await?;
        }
        Ok(())
    }

    /// Tells the writer that the index may be behind.
    pub fn index_when_idle(&self) {
        self.writer.index_when_idle();
    }

    /// A connection for long work of its own, beside the writer.
    pub fn connect(&self) -> Result<BlockingConnection, DbError> {
        Ok(BlockingConnection::Sqlite(open::for_writing(&self.file)?))
    }

    /// Finishes queued writes and closes every connection. The writer's is the last: closing the last one takes the
    /// WAL into the file.
    pub fn close(&self) {
        self.searches.close();
        self.short_reads.close();
        self.long_reads.close();
        self.writer.close();
    }
}

/// Runs the work in a transaction that has the write lock from its beginning.
pub(super) fn transaction<T, E: From<DbError>>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, E> {
    use diesel::connection::{AnsiTransactionManager, TransactionManager};

    busy_retry::begin_immediate(connection, busy_retry::PATIENCE).map_err(DbError::from)?;
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
