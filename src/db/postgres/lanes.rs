//! Who may use how many connections at the same time, so that one kind of work cannot keep another from the database.
//!
//! Short reads, long reads and writes have connections of their own, a quarter of the pool each; short reads and writes share
//! the rest. Searches and the readiness probe have others beside the pool.

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

use crate::{config::DatabaseSettings, db::DbError};

/// Requests that may wait for a connection of a lane; more are turned away at once.
const MOST_WAITING: usize = 1024;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    ShortRead,
    LongRead,
    Write,
    Search,
    Probe,
}

/// The places of all lanes.
pub(super) struct Lanes {
    short_reads: Places,
    long_reads: Places,
    writes: Places,
    searches: Places,
    probe: Places,
    shared: Arc<Semaphore>,
    /// Whether long reads have none of their own, since the pool is too small.
    is_undivided: bool,
}

struct Places {
    own: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    most_waiting: usize,
}

/// One that waits.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lanes {
    pub fn new(settings: &DatabaseSettings) -> Self {
        let pool = settings.pool_size.max(1) as usize;
        // Fewer than four cannot be divided.
        let own = pool / 4;
        let with = |own, most_waiting| Places {
            own: Arc::new(Semaphore::new(own)),
            waiting: Arc::default(),
            most_waiting,
        };
        Self {
            short_reads: with(own, MOST_WAITING),
            long_reads: with(own, MOST_WAITING),
            writes: with(own, MOST_WAITING),
            searches: with(
                settings.search_connections.max(1) as usize,
                settings.search_queue as usize,
            ),
            probe: with(1, MOST_WAITING),
            shared: Arc::new(Semaphore::new(pool - 3 * own)),
            is_undivided: own == 0,
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`DbError::SearchBusy`], [`DbError::Closed`], or the one that `none_free` makes, when there is none until `ends` or too
    /// many wait already.
    pub async fn enter(
        &self,
        lane: Lane,
        ends: Instant,
        none_free: impl Fn() -> DbError,
    ) -> Result<OwnedSemaphorePermit, DbError> {
        let places = match lane {
            Lane::ShortRead => &self.short_reads,
            Lane::LongRead => &self.long_reads,
            Lane::Write => &self.writes,
            Lane::Search => &self.searches,
            Lane::Probe => &self.probe,
        };
        let may_share = match lane {
            Lane::ShortRead | Lane::Write => true,
            Lane::LongRead => self.is_undivided,
            Lane::Search | Lane::Probe => false,
        };
        if let Ok(permit) = Arc::clone(&places.own).try_acquire_owned() {
            return Ok(permit);
        }
        if may_share && let Ok(permit) = Arc::clone(&self.shared).try_acquire_owned() {
            return Ok(permit);
        }
        let before = places.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(Arc::clone(&places.waiting));
        if before >= places.most_waiting {
            return Err(if lane == Lane::Search {
                DbError::SearchBusy
            } else {
                none_free()
            });
        }
        let own = Arc::clone(&places.own).acquire_owned();
        let permit = async {
            if may_share {
                let shared = Arc::clone(&self.shared).acquire_owned();
                tokio::select! { permit = own => permit, permit = shared => permit }
            } else {
                own.await
            }
        };
        let permit = time::timeout_at(ends.into(), permit).await.map_err(|_| none_free())?;
        permit.map_err(|_: AcquireError| DbError::Closed)
    }

    /// Turns away whoever waits, and whoever comes.
    pub fn close(&self) {
        for places in [
            &self.short_reads,
            &self.long_reads,
            &self.writes,
            &self.searches,
            &self.probe,
        ] {
            places.own.close();
        }
        self.shared.close();
    }
}
