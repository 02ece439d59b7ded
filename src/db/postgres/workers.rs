//! Connections, each with a thread of its own that works on it.
//!
//! libpq waits for an answer without a limit of its own, and nothing can wake it. A thread whose server has gone silent is
//! therefore given up when the time of its work is over: its place goes to a new thread with a new connection, and it ends
//! by itself, together with its connection, as soon as the system reports the connection dead.

use std::{
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::slot::Slot;

/// A thread that nobody needs for so long ends, and its connection with it.
const IDLE: Duration = Duration::from_mins(10);
/// Threads that may hang on silent connections; beyond that, their places are not given to others.
const MOST_STUCK: usize = 64;
/// How often work is looked for whose time is over.
const LOOK: Duration = Duration::from_millis(200);

/// A piece of work on a connection. What it returns is done once the thread can take the next one.
pub(super) type Job = Box<dyn FnOnce(&mut Slot) -> Box<dyn FnOnce() + Send> + Send>;

type Task = (Job, Arc<Lease>);
/// A thread that waits, by its number.
type Idle = (u64, Sender<Task>);

/// Threads with connections for one purpose.
pub(super) struct Workers {
    make_slot: Box<dyn Fn() -> Slot + Send + Sync>,
    /// Those that wait for work, the last one to finish on top; `None` once closed.
    idle: Mutex<Option<Vec<Idle>>>,
    /// Work under way.
    leases: Mutex<HashMap<u64, Arc<Lease>>>,
    next: AtomicU64,
    stuck: AtomicUsize,
    /// Whether the log has said that too many are stuck.
    has_reported: AtomicBool,
}

/// A place among those that work at the same time.
pub(super) struct Lease {
    number: u64,
    ends: Instant,
    /// `None` once the work is done, or given up.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Workers {
    /// Without any thread yet. `make_slot` makes the place for a thread's connection.
    pub fn new(make_slot: impl Fn() -> Slot + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            make_slot: Box::new(make_slot),
            idle: Mutex::new(Some(Vec::new())),
            leases: Mutex::default(),
            next: AtomicU64::new(0),
            stuck: AtomicUsize::new(0),
            has_reported: AtomicBool::new(false),
        })
    }

    /// Has a thread do the job. Gives the permit back when the job is done, or when its time is over.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn run(self: &Arc<Self>, job: Job, permit: OwnedSemaphorePermit, ends: Instant) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let lease = Arc::new(Lease {
            number,
            ends,
            permit: Mutex::new(Some(permit)),
        });
        self.leases.lock().insert(number, Arc::clone(&lease));
        let mut task = (job, lease);
        loop {
            // Sent under the lock: a thread that ends takes itself off the list first, and then looks for a task once more.
            let mut idle = self.idle.lock();
            let Some((_, worker)) = idle.as_mut().and_then(Vec::pop) else {
                break;
            };
            match worker.send(task) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(unsent)) => task = unsent,
            }
        }
        let workers = Arc::clone(self);
        let started = thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || workers.work(task));
        if started.is_err() {
            self.leases.lock().remove(&number);
        }
        started.map(drop)
    }

    /// Lets all threads end when their work is done, and gives out no more.
    pub fn close(&self) {
        self.idle.lock().take();
    }

    fn is_closed(&self) -> bool {
        self.idle.lock().is_none()
    }

    /// Gives up what should have ended.
    fn give_up_late(&self) {
        let now = Instant::now();
        for lease in self.leases.lock().values().filter(|lease| lease.ends < now) {
            let mut permit = lease.permit.lock();
            if permit.is_none() {
                continue;
            }
            if self.stuck.load(Ordering::Relaxed) >= MOST_STUCK {
                if !self.has_reported.swap(true, Ordering::Relaxed) {
                    log::error!("{MOST_STUCK} connections to PostgreSQL hang; no others are opened in their place");
                }
                return;
            }
            self.stuck.fetch_add(1, Ordering::Relaxed);
            permit.take();
            log::warn!("a connection to PostgreSQL did not answer in time and is given up");
        }
    }

    /// The life of a thread, from its first task on.
    fn work(self: Arc<Self>, first: Task) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut slot = (self.make_slot)();
        let (mut job, mut lease) = first;
        loop {
            // What panics is dropped with its reply, which tells the caller.
            let finish = catch_unwind(AssertUnwindSafe(|| job(&mut slot))).ok();
            if finish.is_none() {
                slot.discard();
            }
            self.leases.lock().remove(&lease.number);
            let Some(permit) = lease.permit.lock().take() else {
                // Another thread has this place meanwhile.
                self.stuck.fetch_sub(1, Ordering::Relaxed);
                return;
            };
            let (send, receive) = mpsc::channel();
            if let Some(idle) = self.idle.lock().as_mut() {
                idle.push((number, send));
            }
            // The connection is there for others before its permit is.
            drop(permit);
            if let Some(finish) = finish {
                finish();
            }
            let Some(next) = self.next_task(number, &receive) else {
                return;
            };
            (job, lease) = next;
        }
    }

    /// `None` when the thread is no longer needed.
    fn next_task(&self, number: u64, receive: &Receiver<Task>) -> Option<Task> {
        match receive.recv_timeout(IDLE) {
            Err(RecvTimeoutError::Timeout) => {
                if let Some(idle) = self.idle.lock().as_mut() {
                    idle.retain(|(waiting, _)| *waiting != number);
                }
                // Unless a task has just been sent.
                receive.try_recv().ok()
            }
            received => received.ok(),
        }
    }
}

/// Starts the thread that gives up work whose time is over, until all of the workers are closed.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn watch(all: Vec<Arc<Workers>>) -> io::Result<()> {
    let look = move || {
        while !all.iter().all(|workers| workers.is_closed()) {
            thread::sleep(LOOK);
            for workers in &all {
                workers.give_up_late();
            }
        }
    };
    thread::Builder::new()
        .name("postgres-watch".to_owned())
        .spawn(look)
        .map(drop)
}
