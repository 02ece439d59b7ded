//! The one writer of an SQLite file: a thread that commits what has queued up as one transaction.
//!
//! Each job runs in a savepoint, so that one that fails does not take others with it. Nobody gets an answer before the
//! commit: an acknowledged write outlives `kill -9` and a power cut.

mod job;

use std::{
    mem,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use diesel::{
    Connection as _, QueryResult,
    connection::{AnsiTransactionManager, TransactionManager},
    sqlite::SqliteConnection,
};
use tokio::sync::{mpsc, oneshot};

use self::job::{Job, Undone, Write};
use super::{busy, open};
use crate::db::{Connection, DbError};

/// Jobs that one transaction holds at most: beyond this, waiting costs more than another sync of the disk saves.
const MAX_BATCH: usize = 64;
/// Jobs that may wait; whoever has more to write waits before it queues.
const MAX_QUEUED: usize = 1024;

type Jobs = mpsc::Receiver<Box<dyn Job>>;

/// The writer thread, and the way to it.
pub(super) struct Writer {
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Opens the writer's connection and starts its thread.
    pub fn start(path: &Path) -> Result<Self, DbError> {
        let connection = open::for_writing(path)?;
        let (queue, jobs) = mpsc::channel(MAX_QUEUED);
        let owned: Box<Path> = path.into();
        let thread = thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || work_off(connection, jobs, &owned))
            .map_err(|reason| open::error(path, &reason))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Queues the work, and returns what it returned, after the commit.
    pub async fn run<T, E>(
        &self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(DbError::Closed)?;
        queue.send(Box::new(Write::new(work, reply))).await.map_err(|_| DbError::Closed)?;
        // The thread ends when nobody can queue any more; whoever only waits for an answer must not hold it up.
        drop(queue);
        answer.await.map_err(|_| DbError::Closed)?
    }

    /// Lets the thread finish what is queued, and waits for its end.
    pub fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            log::error!("the SQLite writer ended with a panic");
        }
    }
}

/// The thread: takes what is queued, commits it, answers; until every sender is gone.
fn work_off(mut connection: SqliteConnection, mut jobs: Jobs, path: &Path) {
    while let Some(first) = jobs.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        let committed = commit(&mut connection, &mut batch).map_err(Arc::new);
        if let Err(error) = &committed {
            log::error!("{} writes to {} were not committed: {error}", batch.len(), path.display());
            // Whatever state the connection is in, a new one is clean. Without one, the next batch tells.
            match open::for_writing(path) {
                Ok(fresh) => drop(mem::replace(&mut connection, fresh)),
                Err(error) => log::error!("{error}"),
            }
        }
        for job in batch {
            job.answer(committed.as_ref().copied().map_err(Arc::clone));
        }
    }
}

/// One transaction for all. An error means that none of them was written.
fn commit(connection: &mut SqliteConnection, batch: &mut [Box<dyn Job>]) -> QueryResult<()> {
    busy::begin_immediate(connection)?;
    for job in batch {
        // A transaction within a transaction is a savepoint.
        match connection.transaction(|connection| job.run(&mut Connection::Sqlite(connection))) {
            Ok(()) | Err(Undone::ByTheJob) => {}
            Err(Undone::ByTheDatabase(error)) => {
                // The new connection that follows an error rolls back all the same.
                drop(AnsiTransactionManager::rollback_transaction(connection));
                return Err(error);
            }
        }
    }
    AnsiTransactionManager::commit_transaction(connection)
}
