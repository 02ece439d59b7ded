//! How many connections each kind of work may use at the same time, so that no kind keeps another from the database.
//!
//! Short reads, long reads and writes have a quarter of the pool each; short reads and writes share the rest. Searches
//! and the readiness probe have connections outside the pool.

use std::{sync::Arc, time::Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::DatabaseSettings,
    db::{
        DbError,
        lane::{Lane, NoTurn},
    },
    metrics::{
        Observation,
        database::{LaneUse, observe_lane},
    },
};

/// Requests that may wait for a connection of a lane; more are rejected at once.
const MAX_WAITING: usize = 1024;

/// A kind of work, each with its own lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkKind {
    ShortRead,
    LongRead,
    Write,
    Search,
    Probe,
}

/// The lanes of one database.
pub(super) struct Lanes {
    short_reads: Lane,
    long_reads: Lane,
    writes: Lane,
    searches: Lane,
    probe: Lane,
    shared: Arc<Semaphore>,
    _observation: Observation,
    /// Long reads share too when the pool is too small for separate connections.
    long_reads_share: bool,
}

impl Lanes {
    pub fn new(settings: &DatabaseSettings) -> Self {
        let pool = settings.pool_size.max(1) as usize;
        // 0 for a pool of fewer than four.
        let reserved = pool / 4;
        let size = pool - 3 * reserved;
        let shared = Arc::new(Semaphore::new(size));
        let observed = Arc::downgrade(&shared);
        let observation = observe_lane("shared", move || {
            Some(LaneUse {
                running: Some((size.saturating_sub(observed.upgrade()?.available_permits()), size)),
                ..LaneUse::default()
            })
        });
        Self {
            short_reads: Lane::new("short_reads", reserved, MAX_WAITING),
            long_reads: Lane::new("long_reads", reserved, MAX_WAITING),
            writes: Lane::new("writes", reserved, MAX_WAITING),
            searches: Lane::new(
                "searches",
                settings.search_connections.max(1) as usize,
                settings.search_queue as usize,
            ),
            probe: Lane::new("probe", 1, MAX_WAITING),
            shared,
            _observation: observation,
            long_reads_share: reserved == 0,
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`DbError::SearchBusy`] when too many searches wait, [`DbError::Closed`], or the error that `none_free` makes
    /// when no connection is free before `ends` or too many requests wait already.
    pub async fn enter(
        &self,
        kind: WorkKind,
        ends: Instant,
        none_free: impl Fn() -> DbError,
    ) -> Result<OwnedSemaphorePermit, DbError> {
        let (lane, shares) = match kind {
            WorkKind::ShortRead => (&self.short_reads, true),
            WorkKind::LongRead => (&self.long_reads, self.long_reads_share),
            WorkKind::Write => (&self.writes, true),
            WorkKind::Search => (&self.searches, false),
            WorkKind::Probe => (&self.probe, false),
        };
        let permit = lane.enter_or_share(shares.then_some(&self.shared), ends).await;
        permit.map_err(|reason| match reason {
            NoTurn::Full if kind == WorkKind::Search => DbError::SearchBusy,
            NoTurn::Full | NoTurn::Deadline => none_free(),
            NoTurn::Closed => DbError::Closed,
        })
    }

    /// Rejects the work that waits, and all further work.
    pub fn close(&self) {
        for lane in [
            &self.short_reads,
            &self.long_reads,
            &self.writes,
            &self.searches,
            &self.probe,
        ] {
            lane.close();
        }
        self.shared.close();
    }
}
