//! A lane: how much work of one kind runs at the same time, and how much may wait for its turn, until a deadline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time,
};

/// One lane.
pub(super) struct Lane {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// Why work gets no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// The queue is full.
    Full,
    /// The deadline passed first.
    Deadline,
    /// The database is closed.
    Closed,
}

/// Counts one waiting caller until dropped.
struct Waiting<'l>(&'l AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    /// A lane in which `at_once` pieces of work run, and `max_waiting` more wait.
    pub fn new(at_once: usize, max_waiting: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once)),
            waiting: AtomicUsize::new(0),
            max_waiting,
        }
    }

    /// Waits for a turn, which lasts until the permit is dropped.
    ///
    /// # Errors
    /// See [`NoTurn`].
    pub async fn enter(&self, ends: Instant) -> Result<OwnedSemaphorePermit, NoTurn> {
        self.enter_or_share(None, ends).await
    }

    /// Waits for a turn of this lane, or for one of those that several lanes share, whichever comes first.
    ///
    /// # Errors
    /// See [`NoTurn`].
    pub async fn enter_or_share(
        &self,
        shared: Option<&Arc<Semaphore>>,
        ends: Instant,
    ) -> Result<OwnedSemaphorePermit, NoTurn> {
        for turns in [Some(&self.turns), shared].into_iter().flatten() {
            if let Ok(permit) = Arc::clone(turns).try_acquire_owned() {
                return Ok(permit);
            }
        }
        if self.is_closed() {
            return Err(NoTurn::Closed);
        }
        let already_waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if already_waiting >= self.max_waiting {
            return Err(NoTurn::Full);
        }
        let own = Arc::clone(&self.turns).acquire_owned();
        let permit = async {
            match shared {
                Some(shared) => {
                    let shared = Arc::clone(shared).acquire_owned();
                    tokio::select! { permit = own => permit, permit = shared => permit }
                }
                None => own.await,
            }
        };
        let permit = time::timeout_at(ends.into(), permit)
            .await
            .map_err(|_| NoTurn::Deadline)?;
        permit.map_err(|_: AcquireError| NoTurn::Closed)
    }

    /// Rejects the work that waits, and all further work.
    pub fn close(&self) {
        self.turns.close();
    }

    /// Whether the lane was closed.
    pub fn is_closed(&self) -> bool {
        self.turns.is_closed()
    }
}
