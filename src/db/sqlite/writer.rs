//! The only writer of an SQLite file: a thread that commits all queued writes as one transaction.
//!
//! Each write runs in a savepoint, so that one that fails does not undo the others. Callers get their reply after the
//! commit: an acknowledged write survives `kill -9` and a power cut. When the thread has little to do, it also updates
//! the full-text index.

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

use self::job::{CommitError, Job, SavepointError, Write};
use super::{busy_retry, file::DatabaseFile, open, search_index};
use crate::{
    background,
    db::{
        Connection, DbError, WorkError, WorkValue,
        failure::Failure,
        work::{AfterCommit, WorkOnce},
    },
    metrics::{
        self,
        database::{LaneMetrics, LaneUse},
    },
};

/// The name of the thread, in the log.
const WRITER_THREAD: &str = "sqlite-writer";

/// Most writes in one transaction: with more, the writes wait longer than the saved disk syncs are worth.
const MAX_BATCH: usize = 64;
/// Most queued writes; a caller with one more waits for a place in the queue.
const MAX_QUEUED: usize = 1024;

/// A transaction with fewer writes also indexes posts, up to this many writes and posts together. So the index is up to
/// date except during bursts of writes.
const MAX_WRITES_AND_INDEXED: usize = 16;
/// How long no write must come before the thread works on the index alone. Under load, too, the queue is empty for a
/// moment between two transactions.
const IDLE: Duration = Duration::from_millis(20);
/// How long indexing waits for another process's lock, while writes may queue up behind it.
const INDEX_LOCK_TIMEOUT: Duration = Duration::from_millis(20);
/// The pause between two indexing transactions, in which another process can write.
const INDEX_PAUSE: Duration = Duration::from_millis(1);

enum Message {
    Write(Box<dyn Job>),
    /// The full-text index may be behind.
    Index,
    /// Accept no more writes; those in the queue are still written.
    Close,
}

type Queue = mpsc::Receiver<Message>;

/// A handle to the writer thread.
pub(super) struct Writer {
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Message>>>,
    /// Means the same as [`Message::Close`], for which a full queue has no room.
    closing: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    metrics: Arc<LaneMetrics>,
}

impl Writer {
    /// Opens the writer's connection and starts its thread.
    pub fn start(file: &Arc<DatabaseFile>) -> Result<Self, DbError> {
        let connection = open::for_writing(file)?;
        let error = |reason: &io::Error| DbError::cannot_open(file.path().display(), reason);
        let (queue, messages) = mpsc::channel(MAX_QUEUED);
        let observed = queue.downgrade();
        let metrics = Arc::new(LaneMetrics::new("writes", move || {
            let queue = observed.upgrade()?;
            Some(LaneUse {
                running: None,
                waiting: Some(queue.max_capacity() - queue.capacity()),
                waiting_limit: Some(queue.max_capacity()),
            })
        }));
        let closing = Arc::new(AtomicBool::new(false));
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let clock = clock.map_err(|reason| error(&reason))?;
        let writer_loop = WriterLoop {
            connection,
            file: Arc::clone(file),
            queue: messages,
            closing: Arc::clone(&closing),
            clock,
            index: IndexState::UpToDate,
            metrics: Arc::clone(&metrics),
        };
        let thread =
            background::spawn_once(WRITER_THREAD, move || writer_loop.run()).map_err(|reason| error(&reason))?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            closing,
            thread: Mutex::new(Some(thread)),
            metrics,
        })
    }

    /// Queues the work, and returns its outcome after the commit. Work that has not begun before `ends` never begins.
    /// `after_commit` runs on the writer thread, even if the caller has gone.
    ///
    /// # Errors
    /// [`DbError::Deadline`], the work's own, or the database's.
    pub async fn run<T: WorkValue, E: WorkError>(
        &self,
        ends: Instant,
        work: impl WorkOnce<T, E>,
        after_commit: impl AfterCommit<T>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let late = || {
            self.metrics.refused_at_deadline();
            DbError::late_since(begun)
        };
        let (send_reply, reply) = oneshot::channel();
        let queue = self.queue.lock().clone().ok_or(DbError::Closed)?;
        let place = time::timeout_at(ends.into(), queue.reserve()).await;
        let place = place.map_err(|_| late())?.map_err(|_| DbError::Closed)?;
        place.send(Message::Write(Box::new(Write::new(
            work,
            after_commit,
            ends,
            send_reply,
        ))));
        let replied = time::timeout_at(ends.into(), reply).await.map_err(|_| late())?;
        replied.map_err(|_| DbError::Closed)?
    }

    /// Makes the thread index pending posts when it is idle.
    pub fn index_when_idle(&self) {
        if let Some(queue) = &*self.queue.lock() {
            // A full queue means writes, which cause the same.
            let _ = queue.try_send(Message::Index);
        }
    }

    /// Lets the thread finish the queued writes, and waits for its end. Writes that still wait for a place in the queue
    /// are rejected.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        if let Some(queue) = self.queue.lock().take() {
            // Wakes an idle thread. A thread whose queue is full is awake, and checks `closing`.
            let _ = queue.try_send(Message::Close);
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // Its panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// What the writer thread runs.
struct WriterLoop {
    connection: SqliteConnection,
    file: Arc<DatabaseFile>,
    queue: Queue,
    closing: Arc<AtomicBool>,
    /// Only for waiting with a timeout.
    clock: Runtime,
    index: IndexState,
    metrics: Arc<LaneMetrics>,
}

/// The state of the full-text index, as far as this thread knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IndexState {
    UpToDate,
    Behind,
    /// Behind, and the thread is indexing.
    CatchingUp,
}

/// What the thread does next.
enum Next {
    Handle(Message),
    IndexPending,
    Stop,
}

impl WriterLoop {
    /// Commits queued writes and indexes pending posts until the writer is closed.
    fn run(mut self) {
        loop {
            match self.next() {
                Next::Handle(first) => self.handle_queued(first),
                Next::IndexPending => self.index_pending(),
                Next::Stop => return,
            }
        }
    }

    /// Waits for a message. While closing, it does not wait: a caller that has reserved a place in the queue may never
    /// be polled again, and must not keep the thread alive.
    fn next(&mut self) -> Next {
        if self.closing.load(Ordering::Acquire) {
            return self.queue.try_recv().map_or(Next::Stop, Next::Handle);
        }
        let timeout = match self.index {
            IndexState::UpToDate => return self.queue.blocking_recv().map_or(Next::Stop, Next::Handle),
            IndexState::Behind => IDLE,
            IndexState::CatchingUp => INDEX_PAUSE,
        };
        // The timer must be created within the runtime.
        match self
            .clock
            .block_on(async { time::timeout(timeout, self.queue.recv()).await })
        {
            Ok(message) => message.map_or(Next::Stop, Next::Handle),
            Err(_) => Next::IndexPending,
        }
    }

    /// Commits the first message and those queued behind it as one transaction, and replies.
    fn handle_queued(&mut self, first: Message) {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Write(job) => batch.push(job),
                Message::Index => self.index = IndexState::Behind,
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
        let begun = Instant::now();
        for job in &batch {
            self.metrics.waited(begun.saturating_duration_since(job.queued_at()));
        }
        let outcome = self.commit(&mut batch);
        metrics::database::batch_committed(batch.len(), begun.elapsed());
        for job in batch {
            job.reply(outcome.as_ref().copied().map_err(CommitError::clone));
        }
    }

    /// Commits the batch, and checks that the path still leads to the file.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), CommitError> {
        let gone = |error| CommitError::FileGone(Arc::new(error));
        self.file.check().map_err(gone)?;
        match commit(&mut self.connection, batch) {
            Ok(index) => self.index = index,
            Err(error) => {
                log::error!(
                    "{} writes to {} were not committed: {error}",
                    batch.len(),
                    self.file.path().display()
                );
                // Another process's lock leaves the connection as it was. After any other error its state is unknown,
                // so a new connection replaces it. If none can be opened, the next batch fails and tries again.
                if Failure::classify(&error) != Failure::Busy {
                    match open::for_writing(&self.file) {
                        Ok(fresh) => drop(mem::replace(&mut self.connection, fresh)),
                        Err(error) => log::error!("{error}"),
                    }
                }
                return Err(CommitError::NotCommitted(Arc::new(error)));
            }
        }
        // A commit to a deleted file is lost when this process ends.
        self.file.check().map_err(gone)
    }

    /// Indexes some posts in a separate transaction. If it fails, the next write or search tries again.
    fn index_pending(&mut self) {
        let indexed = busy_retry::begin_immediate(&mut self.connection, INDEX_LOCK_TIMEOUT).and_then(|()| {
            let index = index_some(&mut self.connection, search_index::STEP);
            AnsiTransactionManager::commit_transaction(&mut self.connection)?;
            Ok(index)
        });
        self.index = match indexed {
            Ok(IndexState::UpToDate) => IndexState::UpToDate,
            Ok(IndexState::Behind | IndexState::CatchingUp) => IndexState::CatchingUp,
            Err(error) => {
                log::warn!(
                    "the full-text index of {} was not updated: {error}",
                    self.file.path().display()
                );
                drop(AnsiTransactionManager::rollback_transaction(&mut self.connection));
                IndexState::UpToDate
            }
        };
    }
}

/// Commits all writes as one transaction, which also indexes posts if the writes are few; returns the state of the
/// index. On an error, nothing was written.
fn commit(connection: &mut SqliteConnection, batch: &mut [Box<dyn Job>]) -> QueryResult<IndexState> {
    // Waits for the lock until the latest deadline.
    let latest = batch.iter().map(|job| job.ends()).max().unwrap_or_else(Instant::now);
    busy_retry::begin_immediate(connection, latest.saturating_duration_since(Instant::now()))?;
    let room = MAX_WRITES_AND_INDEXED.saturating_sub(batch.len());
    for job in batch {
        // Diesel makes a nested transaction a savepoint.
        match connection.transaction(|connection| job.run(&mut Connection::Sqlite(connection))) {
            Ok(()) | Err(SavepointError::Work) => {}
            Err(SavepointError::Database(error)) => {
                // If this fails, the connection is replaced anyway.
                drop(AnsiTransactionManager::rollback_transaction(connection));
                return Err(error);
            }
        }
    }
    let index = if room > 0 {
        index_some(connection, room)
    } else {
        IndexState::Behind
    };
    AnsiTransactionManager::commit_transaction(connection)?;
    Ok(index)
}

/// Indexes up to `max` posts within a transaction. A failure does not affect the writes: they are indexed later.
fn index_some(connection: &mut SqliteConnection, max: usize) -> IndexState {
    // Diesel makes a nested transaction a savepoint.
    match connection.transaction(|connection| search_index::index_pending(connection, max)) {
        Ok(indexed) if indexed >= max => IndexState::Behind,
        Ok(_) => IndexState::UpToDate,
        Err(error) => {
            log::warn!("the full-text index was not updated: {error}");
            IndexState::UpToDate
        }
    }
}
