//! Searches, in a separate lane: a few run at the same time, a few more wait, and the rest are rejected.
//!
//! A search may take a hundred milliseconds of CPU time, so it runs on a thread with a lower priority than all others.
//! It stops when its client has gone or its time is over: see [`super::search_stop`]. A search whose client goes while
//! it waits never runs.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use diesel::sqlite::SqliteConnection;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time,
};

use super::{
    file::DatabaseFile,
    open,
    search_stop::{CurrentSearch, StopOnDrop, StopSignal, register},
};
use crate::{
    config::DatabaseSettings,
    db::{
        Connection, DbError, WorkError, WorkValue, deadline,
        lane::{Lane, NoTurn},
        work::WorkOnce,
    },
};

/// How much lower the priority of search threads is than that of serving threads; 19 is the lowest priority.
const NICENESS: i32 = 10;

/// The searches of one database.
pub(super) struct Searches {
    file: Arc<DatabaseFile>,
    lane: Lane,
    at_once: usize,
    deadline: Duration,
    /// `None` until the first search, and once closed.
    threads: Mutex<Option<Threads>>,
    is_closed: Arc<AtomicBool>,
}

struct Threads {
    jobs: mpsc::Sender<Job>,
    handles: Vec<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&mut SearchConnection) + Send>;

impl Searches {
    pub fn new(file: Arc<DatabaseFile>, settings: &DatabaseSettings) -> Self {
        let at_once = settings.search_connections.max(1) as usize;
        Self {
            file,
            lane: Lane::new("searches", at_once, settings.search_queue as usize),
            at_once,
            deadline: settings.search_deadline,
            threads: Mutex::default(),
            is_closed: Arc::default(),
        }
    }

    /// Opens the connections and starts their threads.
    pub fn prepare(&self) -> Result<(), DbError> {
        self.start_threads().map(drop)
    }

    /// Runs `before` and then the search once it has its turn, both within the deadline of a search.
    ///
    /// # Errors
    /// [`DbError::SearchBusy`] when too many searches wait, [`DbError::Deadline`], or the work's own.
    pub async fn run<T: WorkValue, E: WorkError>(
        &self,
        before: impl Future<Output = Result<(), DbError>>,
        work: impl WorkOnce<T, E>,
    ) -> Result<T, E> {
        let (begun, ends) = (Instant::now(), deadline::until(self.deadline));
        let late = || DbError::late_since(begun);
        let permit = self.lane.enter(ends).await.map_err(|reason| match reason {
            NoTurn::Full => DbError::SearchBusy,
            NoTurn::Deadline => late(),
            NoTurn::Closed => DbError::Closed,
        })?;
        match time::timeout_at(ends.into(), before).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::warn!("a search does not cover the newest posts: {error}"),
            Err(_) => return Err(late().into()),
        }
        let signal = Arc::new(StopSignal::new(ends, Arc::clone(&self.is_closed)));
        let stop_on_drop = StopOnDrop(Arc::clone(&signal));
        let (send_reply, reply) = oneshot::channel();
        let job = job(work, signal, send_reply, permit);
        self.start_threads()?.send(job).map_err(|_| DbError::Closed)?;
        let outcome = time::timeout_at(ends.into(), reply).await;
        drop(stop_on_drop);
        match outcome {
            // A search that was stopped fails with a database error.
            Ok(Ok(Err(_))) if Instant::now() >= ends => Err(late().into()),
            Ok(Ok(Err(_))) if self.is_closed.load(Ordering::Acquire) => Err(DbError::Closed.into()),
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(DbError::Panicked.into()),
            Err(_) => Err(late().into()),
        }
    }

    /// Rejects waiting searches, stops running ones, and waits for the threads to end.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.lane.close();
        let threads = self.threads.lock().take();
        let Some(Threads { jobs, handles }) = threads else {
            return;
        };
        drop(jobs);
        for thread in handles {
            if thread.join().is_err() {
                log::error!("a search thread ended with a panic");
            }
        }
    }

    /// Starts the threads unless they run already; returns the way to them.
    fn start_threads(&self) -> Result<mpsc::Sender<Job>, DbError> {
        let mut threads = self.threads.lock();
        if let Some(Threads { jobs, .. }) = &*threads {
            return Ok(jobs.clone());
        }
        if self.is_closed.load(Ordering::Acquire) {
            return Err(DbError::Closed);
        }
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut handles = Vec::new();
        for number in 0..self.at_once {
            let (mut connection, queue) = (SearchConnection::open(Arc::clone(&self.file))?, Arc::clone(&queue));
            let thread = thread::Builder::new()
                .name(format!("sqlite-search-{number}"))
                .spawn(move || {
                    lower_priority();
                    while let Some(job) = next(&queue) {
                        job(&mut connection);
                    }
                })
                .map_err(|reason| DbError::cannot_open(self.file.path().display(), reason))?;
            handles.push(thread);
        }
        *threads = Some(Threads {
            jobs: jobs.clone(),
            handles,
        });
        Ok(jobs)
    }
}

fn next(queue: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    queue.lock().recv().ok()
}

fn job<T: WorkValue, E: WorkError>(
    work: impl WorkOnce<T, E>,
    signal: Arc<StopSignal>,
    reply: oneshot::Sender<Result<T, E>>,
    permit: OwnedSemaphorePermit,
) -> Job {
    Box::new(move |connection| {
        if !signal.is_set() {
            // The receiver of a stopped search is gone.
            let _ = reply.send(connection.run(signal, work));
        }
        // The next search begins only now.
        drop(permit);
    })
}

/// A connection whose searches can be stopped.
struct SearchConnection {
    file: Arc<DatabaseFile>,
    /// `None` after a panic.
    connection: Option<SqliteConnection>,
    current: CurrentSearch,
}

impl SearchConnection {
    fn open(file: Arc<DatabaseFile>) -> Result<Self, DbError> {
        let mut opened = Self {
            file,
            connection: None,
            current: Arc::default(),
        };
        opened.connection()?;
        Ok(opened)
    }

    fn connection(&mut self) -> Result<&mut SqliteConnection, DbError> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => {
                let mut connection = open::for_reading(&self.file)?;
                register(&mut connection, Some(Arc::clone(&self.current)))?;
                Ok(none.insert(connection))
            }
        }
    }

    fn run<T, E: From<DbError>>(
        &mut self,
        signal: Arc<StopSignal>,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let current = Arc::clone(&self.current);
        let set_current = |signal| *current.lock() = signal;
        let connection = self.connection()?;
        set_current(Some(signal));
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| work(&mut Connection::Sqlite(connection))));
        set_current(None);
        outcome.unwrap_or_else(|_| {
            self.connection = None;
            Err(DbError::Panicked.into())
        })
    }
}

/// Gives all other threads of the machine precedence over this one.
#[cfg(target_os = "linux")]
fn lower_priority() {
    // On Linux, priorities belong to threads.
    if let Err(reason) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        log::debug!("searches run at the priority of requests: {reason}");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {
    let _ = NICENESS;
}
