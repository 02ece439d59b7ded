//! The one writer of an SQLite file: a thread that commits what has queued up as one transaction.
//!
//! Each job runs in a savepoint, so that one that fails does not take others with it. Nobody gets an answer before the
//! commit: an acknowledged write outlives `kill -9` and a power cut. When there is little to do, it also keeps the
//! full-text index up.

mod job;

use std::{
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use diesel::{
    Connection as _, QueryResult,
    connection::{AnsiTransactionManager, TransactionManager},
    sqlite::SqliteConnection,
};
use parking_lot::Mutex;
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
    time,
};

use self::job::{Job, Refusal, Undone, Write};
use super::{busy_retry, file::DatabaseFile, open, search_index};
use crate::{
    background,
    db::{Connection, DbError},
};

/// Under which health reports it.
const WRITER_THREAD: &str = "sqlite-writer";

/// Jobs that one transaction holds at most: beyond this, waiting costs more than another sync of the disk saves.
const MAX_BATCH: usize = 64;
/// Jobs that may wait; whoever has more to write waits before it queues.
const MAX_QUEUED: usize = 1024;

/// Writes and posts taken into the full-text index that one transaction holds together, if the writes alone are fewer:
/// so the index is up to date but for storms.
const INDEXED_WITH_WRITES: usize = 16;
/// For how long nobody must have written before the thread works on the index alone. Between two transactions under load
/// the queue is empty for a moment too.
const IDLE: Duration = Duration::from_millis(20);
/// How long the index waits for another process, while writes may queue up behind it.
const PATIENCE_OF_INDEX: Duration = Duration::from_millis(20);
/// Between two transactions for the index alone, so that another process gets to write too.
const PAUSE: Duration = Duration::from_millis(1);

/// What the thread is told.
enum Message {
    Write(Box<dyn Job>),
    /// The full-text index may be behind.
    Index,
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
    pub fn start(file: &Arc<DatabaseFile>) -> Result<Self, DbError> {
        let connection = open::for_writing(file)?;
        let error = |reason: &io::Error| open::error(file.path(), reason);
        let (queue, messages) = mpsc::channel(MAX_QUEUED);
        let closing = Arc::new(AtomicBool::new(false));
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let clock = clock.map_err(|reason| error(&reason))?;
        let work = Work {
            connection,
            file: Arc::clone(file),
            queue: messages,
            closing: Arc::clone(&closing),
            clock,
            index: Index::UpToDate,
        };
        let thread = background::spawn_once(WRITER_THREAD, move || work.off()).map_err(|reason| error(&reason))?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            closing,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues the work, and returns what it returned, after the commit. Work that has not begun when its time is over never
    /// does.
    pub async fn run<T, E>(
        &self,
        ends: Instant,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let begun = Instant::now();
        let late = || DbError::late_since(begun);
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.lock().clone().ok_or(DbError::Closed)?;
        let place = time::timeout_at(ends.into(), queue.reserve()).await;
        let place = place.map_err(|_| late())?.map_err(|_| DbError::Closed)?;
        place.send(Message::Write(Box::new(Write::new(work, ends, reply))));
        let answered = time::timeout_at(ends.into(), answer).await.map_err(|_| late())?;
        answered.map_err(|_| DbError::Closed)?
    }

    /// Tells the thread that the full-text index may be behind.
    pub fn index_when_idle(&self) {
        if let Some(queue) = &*self.queue.lock() {
            // A full queue means writes, and they set off the same.
            let _ = queue.try_send(Message::Index);
        }
    }

    /// Lets the thread finish what is queued, and waits for its end. Does not wait for writes that have found no place
    /// in the queue yet: they are refused.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        if let Some(queue) = self.queue.lock().take() {
            // An idle thread must be woken; one whose queue is full is awake, and looks at `closing`.
            let _ = queue.try_send(Message::Close);
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A panic there has been reported already.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Work {
    connection: SqliteConnection,
    file: Arc<DatabaseFile>,
    queue: Queue,
    closing: Arc<AtomicBool>,
    /// Only for waiting with a deadline.
    clock: Runtime,
    index: Index,
}

/// Whether the full-text index lacks something, as far as this thread knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Index {
    UpToDate,
    Behind,
    /// And the thread is working on it.
    CatchingUp,
}

/// What waiting for a message ended with.
enum Waited {
    Message(Message),
    /// Nobody writes, and the index is behind.
    Idle,
    /// Told to close, or every sender is gone.
    Closed,
}

impl Work {
    /// Takes what is queued, commits it, answers.
    fn off(mut self) {
        loop {
            match self.next_message() {
                Waited::Message(first) => self.take(first),
                Waited::Idle => self.index_alone(),
                Waited::Closed => return,
            }
        }
    }

    /// Waits for a message. While closing it does not wait: whoever has a place in the queue but has not used it yet may
    /// never be polled again, and must not keep the thread alive.
    fn next_message(&mut self) -> Waited {
        if self.closing.load(Ordering::Acquire) {
            return self.queue.try_recv().map_or(Waited::Closed, Waited::Message);
        }
        let patience = match self.index {
            Index::UpToDate => return self.queue.blocking_recv().map_or(Waited::Closed, Waited::Message),
            Index::Behind => IDLE,
            Index::CatchingUp => PAUSE,
        };
        // The timer is made within the runtime.
        match self
            .clock
            .block_on(async { time::timeout(patience, self.queue.recv()).await })
        {
            Ok(message) => message.map_or(Waited::Closed, Waited::Message),
            Err(_) => Waited::Idle,
        }
    }

    fn take(&mut self, first: Message) {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Write(job) => batch.push(job),
                Message::Index => self.index = Index::Behind,
                Message::Close => {}
            }
            next = if batch.len() < MAX_BATCH {
                self.queue.try_recv().ok()
            } else {
                None
            };
        }
        if batch.is_empty() {
            return;
        }
        let outcome = self.commit(&mut batch);
        for job in batch {
            job.answer(outcome.as_ref().copied().map_err(Refusal::clone));
        }
    }

    /// Commits the batch, to the file that the path leads to.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Refusal> {
        let gone = |error| Refusal::FileGone(Arc::new(error));
        self.file.check().map_err(gone)?;
        match commit(&mut self.connection, batch) {
            Ok(index) => self.index = index,
            Err(error) => {
                log::error!(
                    "{} writes to {} were not committed: {error}",
                    batch.len(),
                    self.file.path().display()
                );
                // A lock of another process leaves the connection as it was. After anything else, whatever state it is in, a
                // new one is clean. Without one, the next batch tells.
                if !busy_retry::is_busy(&error) {
                    match open::for_writing(&self.file) {
                        Ok(fresh) => drop(mem::replace(&mut self.connection, fresh)),
                        Err(error) => log::error!("{error}"),
                    }
                }
                return Err(Refusal::NotCommitted(Arc::new(error)));
            }
        }
        // What was committed to a file without a name ends with this process.
        self.file.check().map_err(gone)
    }

    /// A step of the index in a transaction of its own. Should it fail, the next write or search tries again.
    fn index_alone(&mut self) {
        let indexed = busy_retry::begin_immediate(&mut self.connection, PATIENCE_OF_INDEX).and_then(|()| {
            let index = take_into_index(&mut self.connection, search_index::STEP);
            AnsiTransactionManager::commit_transaction(&mut self.connection)?;
            Ok(index)
        });
        self.index = match indexed {
            Ok(Index::UpToDate) => Index::UpToDate,
            Ok(Index::Behind | Index::CatchingUp) => Index::CatchingUp,
            Err(error) => {
                log::warn!(
                    "the full-text index of {} was not brought up: {error}",
                    self.file.path().display()
                );
                drop(AnsiTransactionManager::rollback_transaction(&mut self.connection));
                Index::UpToDate
            }
        };
    }
}

/// One transaction for all, and for the index if they are few; whether it is behind then. An error means that none of
/// them was written.
fn commit(connection: &mut SqliteConnection, batch: &mut [Box<dyn Job>]) -> QueryResult<Index> {
    // As long as one of them has time.
    let latest = batch.iter().map(|job| job.ends()).max().unwrap_or_else(Instant::now);
    busy_retry::begin_immediate(connection, latest.saturating_duration_since(Instant::now()))?;
    let room = INDEXED_WITH_WRITES.saturating_sub(batch.len());
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
    let index = if room > 0 {
        take_into_index(connection, room)
    } else {
        Index::Behind
    };
    AnsiTransactionManager::commit_transaction(connection)?;
    Ok(index)
}

/// A step of the index within a transaction. It may fail without harm to the writes: they can be searched later.
fn take_into_index(connection: &mut SqliteConnection, at_most: usize) -> Index {
    // A transaction within a transaction is a savepoint.
    match connection.transaction(|connection| search_index::take_in(connection, at_most)) {
        Ok(taken) if taken >= at_most => Index::Behind,
        Ok(_) => Index::UpToDate,
        Err(error) => {
            log::warn!("the full-text index was not brought up: {error}");
            Index::UpToDate
        }
    }
}
