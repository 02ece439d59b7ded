//! Searches, in a lane of their own: a few at the same time, a few more that wait, the rest turned away.
//!
//! A search may take a hundred milliseconds of CPU, so it runs on a thread that yields to all others, and it stops when
//! its client has gone or its time is over: the query calls `search_goes_on` for each post that matches, and that fails
//! then. A search that waits for its turn goes with its request and never runs.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use diesel::{
    QueryResult,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::Bool,
    sqlite::{Sqlite, SqliteConnection},
};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time,
};

use super::{file::DatabaseFile, open};
use crate::{
    config::DatabaseSettings,
    db::{Connection, DbError, deadline},
};

/// How far the threads of searches stand behind those that serve; 19 is the farthest.
const NICENESS: i32 = 10;

/// The searches of one database.
pub(super) struct Searches {
    file: Arc<DatabaseFile>,
    /// For those that run, and for those and the ones that wait.
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    at_once: usize,
    time: Duration,
    /// `None` until the first search, and once closed.
    threads: Mutex<Option<Threads>>,
    is_closed: Arc<AtomicBool>,
}

struct Threads {
    jobs: mpsc::Sender<Job>,
    handles: Vec<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&mut SearchConnection) + Send>;

/// When a search must stop.
pub(super) struct Stop {
    is_abandoned: AtomicBool,
    /// The whole database.
    is_closed: Arc<AtomicBool>,
    ends: Instant,
}

impl Stop {
    fn is_due(&self) -> bool {
        self.is_abandoned.load(Ordering::Relaxed)
            || self.is_closed.load(Ordering::Relaxed)
            || Instant::now() >= self.ends
    }
}

/// Lets a search stop when its request is dropped.
struct StopWithRequest(Arc<Stop>);

impl Drop for StopWithRequest {
    fn drop(&mut self) {
        self.0.is_abandoned.store(true, Ordering::Relaxed);
    }
}

impl Searches {
    pub fn new(file: Arc<DatabaseFile>, settings: &DatabaseSettings) -> Self {
        let at_once = settings.search_connections.max(1) as usize;
        Self {
            file,
            turns: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once + settings.search_queue as usize)),
            at_once,
            time: settings.search_deadline,
            threads: Mutex::default(),
            is_closed: Arc::default(),
        }
    }

    /// Opens the connections and starts their threads.
    pub fn prepare(&self) -> Result<(), DbError> {
        self.threads().map(drop)
    }

    /// Runs `before`, then the search, when its turn comes; both within the time of a search.
    ///
    /// # Errors
    /// [`DbError::SearchBusy`] when too many wait, [`DbError::Deadline`], or the work's own.
    pub async fn run<T, E>(
        &self,
        before: impl Future<Output = Result<(), DbError>>,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (begun, ends) = (Instant::now(), deadline::until(self.time));
        let late = || DbError::late_since(begun);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| self.busy())?;
        let turn = time::timeout_at(ends.into(), Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| late())?.map_err(|_| DbError::Closed)?;
        // Readers do without the newest posts.
        match time::timeout_at(ends.into(), before).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::warn!("a search does without the newest posts: {error}"),
            Err(_) => return Err(late().into()),
        }
        let is_closed = Arc::clone(&self.is_closed);
        let stop = Arc::new(Stop {
            is_abandoned: AtomicBool::new(false),
            is_closed,
            ends,
        });
        let with_request = StopWithRequest(Arc::clone(&stop));
        let (reply, answer) = oneshot::channel();
        let job = job(work, Arc::clone(&stop), reply, (place, turn));
        self.threads()?.send(job).map_err(|_| DbError::Closed)?;
        let outcome = time::timeout_at(ends.into(), answer).await;
        drop(with_request);
        match outcome {
            // What it was stopped by comes as an error of the database.
            Ok(Ok(Err(_))) if Instant::now() >= ends => Err(late().into()),
            Ok(Ok(Err(_))) if self.is_closed.load(Ordering::Acquire) => Err(DbError::Closed.into()),
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(DbError::Panicked.into()),
            Err(_) => Err(late().into()),
        }
    }

    /// Turns away whoever waits, stops what runs, and waits for the end of the threads.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.turns.close();
        self.places.close();
        let threads = self.threads.lock().take();
        let Some(Threads { jobs, handles }) = threads else {
            return;
        };
        drop(jobs);
        for thread in handles {
            if thread.join().is_err() {
                log::error!("a thread of searches ended with a panic");
            }
        }
    }

    fn busy(&self) -> DbError {
        if self.is_closed.load(Ordering::Acquire) {
            DbError::Closed
        } else {
            DbError::SearchBusy
        }
    }

    fn threads(&self) -> Result<mpsc::Sender<Job>, DbError> {
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
                    yield_to_others();
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

fn job<T, E>(
    work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    stop: Arc<Stop>,
    reply: oneshot::Sender<Result<T, E>>,
    places: (OwnedSemaphorePermit, OwnedSemaphorePermit),
) -> Job
where
    T: Send + 'static,
    E: From<DbError> + Send + 'static,
{
    Box::new(move |connection| {
        if !stop.is_due() {
            // Nobody waits for the answer of one that was stopped.
            let _ = reply.send(connection.run(stop, work));
        }
        // Only now does the next one begin.
        drop(places);
    })
}

/// A connection whose searches can be stopped.
struct SearchConnection {
    file: Arc<DatabaseFile>,
    /// `None` after a panic.
    connection: Option<SqliteConnection>,
    current: Arc<Mutex<Option<Arc<Stop>>>>,
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
        stop: Arc<Stop>,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let current = Arc::clone(&self.current);
        let set = |stop| *current.lock() = stop;
        let connection = self.connection()?;
        set(Some(stop));
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| work(&mut Connection::Sqlite(connection))));
        set(None);
        outcome.unwrap_or_else(|_| {
            self.connection = None;
            Err(DbError::Panicked.into())
        })
    }
}

diesel::define_sql_function! {
    /// Whether the search that runs on this connection is still wanted; fails when it is not. Takes the id of a post so
    /// that SQLite asks for each.
    fn search_goes_on(post_id: diesel::sql_types::BigInt) -> Bool;
}

/// Defines `search_goes_on` on a connection; without a search that can be stopped it is always true.
pub(super) fn register(
    connection: &mut SqliteConnection,
    current: Option<Arc<Mutex<Option<Arc<Stop>>>>>,
) -> QueryResult<()> {
    // A panic leaves nothing half changed behind this lock: it holds one pointer.
    let current = AssertUnwindSafe(current);
    search_goes_on_utils::register_nondeterministic_impl(connection, move |_: i64| {
        let current = (*current).as_ref().map(|current| current.lock());
        let is_due = current.is_some_and(|current| current.as_ref().is_some_and(|stop| stop.is_due()));
        GoesOn { is_due }
    })
}

/// True, or an error that ends the statement.
struct GoesOn {
    is_due: bool,
}

impl fmt::Debug for GoesOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_due { "stops" } else { "goes on" })
    }
}

impl ToSql<Bool, Sqlite> for GoesOn {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        if self.is_due {
            return Err("the search is no longer wanted".into());
        }
        out.set_value(1_i32);
        Ok(IsNull::No)
    }
}

/// Lets every other thread of the machine go first.
#[cfg(target_os = "linux")]
fn yield_to_others() {
    // On Linux each thread has a priority of its own.
    if let Err(reason) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        log::debug!("searches run at the priority of requests: {reason}");
    }
}

#[cfg(not(target_os = "linux"))]
fn yield_to_others() {
    let _ = NICENESS;
}
