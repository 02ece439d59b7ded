//! The one writer of an SQLite file: a thread that commits what has queued up as one transaction.
//!
//! Each job runs in a savepoint, so that one that fails does not take others with it. Nobody gets an answer before the
//! commit: an acknowledged write outlives `kill -9` and a power cut.

mod job;

use std::{
    mem,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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

/// What the thread is told.
enum Message {
    Write(Box<dyn Job>),
    /// Take nothing more; what is queued is still written.
    Close,
}

type Queue = mpsc::Receiver<Message>;

/// The writer thread, and the way to it.
pub(super) struct Writer {
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Message>>>,
    /// Says the same as [`Message::Close`], to a thread whose queue is full.
    closing: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Opens the writer's connection and starts its thread.
    pub fn start(path: &Path) -> Result<Self, DbError> {
        let connection = open::for_writing(path)?;
        let (queue, messages) = mpsc::channel(MAX_QUEUED);
        let closing = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&closing);
        let owned: Box<Path> = path.into();
        let thread = thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || work_off(connection, messages, &told, &owned))
            .map_err(|reason| open::error(path, &reason))?;
        Ok(Self { queue: Mutex::new(Some(queue)), closing, thread: Mutex::new(Some(thread)) })
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
        queue.send(Message::Write(Box::new(Write::new(work, reply)))).await.map_err(|_| DbError::Closed)?;
        answer.await.map_err(|_| DbError::Closed)?
    }

    /// Lets the thread finish what is queued, and waits for its end. Does not wait for writes that have found no place
    /// in the queue yet: they are refused.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        if let Some(queue) = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // An idle thread must be woken; one whose queue is full is awake, and looks at `closing`.
            let _ = queue.try_send(Message::Close);
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            log::error!("the SQLite writer ended with a panic");
        }
    }
}

/// The thread: takes what is queued, commits it, answers; until it is told to close, or every sender is gone.
fn work_off(mut connection: SqliteConnection, mut queue: Queue, closing: &AtomicBool, path: &Path) {
    while let Some(first) = next_message(&mut queue, closing) {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            if let Message::Write(job) = message {
                batch.push(job);
            }
            next = if batch.len() < MAX_BATCH { queue.try_recv().ok() } else { None };
        }
        if batch.is_empty() {
            continue;
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

/// Waits for a message. While closing it does not wait: whoever has a place in the queue but has not used it yet may never
/// be polled again, and must not keep the thread alive.
fn next_message(queue: &mut Queue, closing: &AtomicBool) -> Option<Message> {
    if closing.load(Ordering::Acquire) { queue.try_recv().ok() } else { queue.blocking_recv() }
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
