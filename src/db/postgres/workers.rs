//! Worker threads, each with its own connection.
//!
//! libpq waits for an answer without a limit, and nothing can wake it. So a thread whose server has gone silent is
//! abandoned when the time of its work is over: a new thread with a new connection takes its place, and the old one
//! ends together with its connection as soon as the operating system reports the connection dead.

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

use super::slot::ConnectionSlot;

/// A thread that is idle for this long ends and closes its connection.
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);
/// Abandoned threads that may hang on silent connections. Beyond this number, no new threads take their places.
const MAX_STUCK: usize = 64;
/// How often the watch thread looks for overdue work.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Work on a connection. It returns what is to be done once the thread can take the next job.
pub(super) type Job = Box<dyn FnOnce(&mut ConnectionSlot) -> Box<dyn FnOnce() + Send> + Send>;

type Task = (Job, Arc<Lease>);
/// The id of an idle thread, and the way to it.
type Idle = (u64, Sender<Task>);

/// The threads for one purpose.
pub(super) struct Workers {
    make_slot: Box<dyn Fn() -> ConnectionSlot + Send + Sync>,
    /// The last one to become idle is on top; `None` once closed.
    idle: Mutex<Option<Vec<Idle>>>,
    /// Of the jobs that run.
    leases: Mutex<HashMap<u64, Arc<Lease>>>,
    next_id: AtomicU64,
    stuck: AtomicUsize,
    has_reported_too_many: AtomicBool,
}

/// A job's turn in its lane.
pub(super) struct Lease {
    id: u64,
    ends: Instant,
    /// `None` once the job is done or abandoned.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Workers {
    /// Starts no thread yet. `make_slot` makes each thread's connection slot.
    pub fn new(make_slot: impl Fn() -> ConnectionSlot + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            make_slot: Box::new(make_slot),
            idle: Mutex::new(Some(Vec::new())),
            leases: Mutex::default(),
            next_id: AtomicU64::new(0),
            stuck: AtomicUsize::new(0),
            has_reported_too_many: AtomicBool::new(false),
        })
    }

    /// Threads with a job, and idle ones.
    pub fn in_use(&self) -> (usize, usize) {
        let idle = self.idle.lock().as_ref().map_or(0, Vec::len);
        (self.leases.lock().len(), idle)
    }

    /// Gives the job to a thread. The permit is returned when the job is done, or when its time is over.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn run(self: &Arc<Self>, job: Job, permit: OwnedSemaphorePermit, ends: Instant) -> io::Result<()> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let lease = Arc::new(Lease {
            id,
            ends,
            permit: Mutex::new(Some(permit)),
        });
        self.leases.lock().insert(id, Arc::clone(&lease));
        let mut task = (job, lease);
        loop {
            // Sent under the lock: a thread that ends first removes itself from the list, and then checks once more for
            // a task.
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
            self.leases.lock().remove(&id);
        }
        started.map(drop)
    }

    /// Lets each thread end when its job is done.
    pub fn close(&self) {
        self.idle.lock().take();
    }

    fn is_closed(&self) -> bool {
        self.idle.lock().is_none()
    }

    fn abandon_overdue(&self) {
        let now = Instant::now();
        for lease in self.leases.lock().values().filter(|lease| lease.ends < now) {
            let mut permit = lease.permit.lock();
            if permit.is_none() {
                continue;
            }
            if self.stuck.load(Ordering::Relaxed) >= MAX_STUCK {
                if !self.has_reported_too_many.swap(true, Ordering::Relaxed) {
                    log::error!("{MAX_STUCK} connections to PostgreSQL hang; no more are opened to replace them");
                }
                return;
            }
            self.stuck.fetch_add(1, Ordering::Relaxed);
            permit.take();
            log::warn!("a connection to PostgreSQL did not answer in time and was abandoned");
        }
    }

    /// Runs jobs on this thread, from the first one on.
    fn work(self: Arc<Self>, first: Task) {
        let thread_id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut slot = (self.make_slot)();
        let (mut job, mut lease) = first;
        loop {
            // A panic drops the reply channel, so the caller gets an error.
            let finish = catch_unwind(AssertUnwindSafe(|| job(&mut slot))).ok();
            if finish.is_none() {
                slot.close();
            }
            self.leases.lock().remove(&lease.id);
            let Some(permit) = lease.permit.lock().take() else {
                // Abandoned: another thread has taken this one's place.
                self.stuck.fetch_sub(1, Ordering::Relaxed);
                // The caller may not have noticed yet that its time is over. Without an outcome, it would report a panic.
                if let Some(finish) = finish {
                    finish();
                }
                return;
            };
            let (send, receive) = mpsc::channel();
            if let Some(idle) = self.idle.lock().as_mut() {
                idle.push((thread_id, send));
            }
            // The connection must be available before its permit is.
            drop(permit);
            if let Some(finish) = finish {
                finish();
            }
            let Some(next) = self.next_task(thread_id, &receive) else {
                return;
            };
            (job, lease) = next;
        }
    }

    /// `None` when the thread is no longer needed.
    fn next_task(&self, thread_id: u64, receive: &Receiver<Task>) -> Option<Task> {
        match receive.recv_timeout(IDLE_TIMEOUT) {
            Err(RecvTimeoutError::Timeout) => {
                if let Some(idle) = self.idle.lock().as_mut() {
                    idle.retain(|(id, _)| *id != thread_id);
                }
                // A task may have been sent just before.
                receive.try_recv().ok()
            }
            received => received.ok(),
        }
    }
}

/// Starts the thread that abandons overdue work, until all workers are closed.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn watch(all: Vec<Arc<Workers>>) -> io::Result<()> {
    let watch = move || {
        while !all.iter().all(|workers| workers.is_closed()) {
            thread::sleep(WATCH_INTERVAL);
            for workers in &all {
                workers.abandon_overdue();
            }
        }
    };
    thread::Builder::new()
        .name("postgres-watch".to_owned())
        .spawn(watch)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::{
        super::{connect::Connector, parameters::Purpose},
        *,
    };
    use crate::config::DatabaseSettings;

    #[test]
    fn the_outcome_of_abandoned_work_reaches_a_caller_that_still_waits() {
        let url = "postgres://localhost/never-used";
        let connector = Connector::new(url, "a database", &DatabaseSettings::default()).expect("valid settings");
        let connector = Arc::new(connector);
        let workers = Workers::new(move || ConnectionSlot::new(Arc::clone(&connector), Purpose::Requests));
        let turns = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&turns).try_acquire_owned().expect("a turn");
        let (resume, frozen) = mpsc::channel::<()>();
        let (reply, answer) = mpsc::channel();
        let job: Job = Box::new(move |_| {
            frozen.recv().expect("resumed");
            Box::new(move || reply.send("committed").expect("the caller waits"))
        });
        workers.run(job, permit, Instant::now()).expect("a thread");
        while turns.available_permits() == 0 {
            workers.abandon_overdue();
            thread::yield_now();
        }
        resume.send(()).expect("it waits");
        assert_eq!(answer.recv(), Ok("committed"));
    }
}
