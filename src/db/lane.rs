//! A lane: how much work of one kind runs at the same time, and how much may wait for its turn, until a deadline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time,
};

use crate::metrics::database::{LaneMetrics, LaneUse};

/// One lane.
pub(super) struct Lane {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
    metrics: LaneMetrics,
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
    /// A lane in which `at_once` pieces of work run, and `max_waiting` more wait. `name` is for the metrics.
    pub fn new(name: &'static str, at_once: usize, max_waiting: usize) -> Self {
        let (turns, waiting) = (Arc::new(Semaphore::new(at_once)), Arc::<AtomicUsize>::default());
        let (observed_turns, observed_waiting) = (Arc::downgrade(&turns), Arc::clone(&waiting));
        let read = move || {
            Some(LaneUse {
                running: Some((
                    at_once.saturating_sub(observed_turns.upgrade()?.available_permits()),
                    at_once,
                )),
                waiting: Some(observed_waiting.load(Ordering::Relaxed)),
                waiting_limit: Some(max_waiting).filter(|most| *most < usize::MAX),
            })
        };
        Self {
            turns,
            waiting,
            max_waiting,
            metrics: LaneMetrics::new(name, read),
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
                self.metrics.waited(Duration::ZERO);
                return Ok(permit);
            }
        }
        if self.is_closed() {
            return Err(NoTurn::Closed);
        }
        let already_waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if already_waiting >= self.max_waiting {
            self.metrics.refused_when_full();
            return Err(NoTurn::Full);
        }
        let since = Instant::now();
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
        let permit = time::timeout_at(ends.into(), permit).await;
        self.metrics.waited(since.elapsed());
        let permit = permit.map_err(|_| {
            self.metrics.refused_at_deadline();
            NoTurn::Deadline
        })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[tokio::test]
    async fn work_beyond_the_queue_is_rejected_at_once() {
        let lane = Lane::new("test", 1, 0);
        let turn = lane.enter(soon()).await.expect("the only turn");
        assert_eq!(lane.enter(soon()).await.expect_err("no queue"), NoTurn::Full);
        drop(turn);
        assert!(lane.enter(soon()).await.is_ok(), "the turn is free again");
    }

    #[tokio::test]
    async fn waiting_work_gets_a_turn_or_its_deadline_passes() {
        let lane = Arc::new(Lane::new("test", 1, 1));
        let turn = lane.enter(soon()).await.expect("the only turn");
        assert_eq!(lane.enter(Instant::now()).await.expect_err("no turn"), NoTurn::Deadline);
        let waiting = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { lane.enter(soon()).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert_eq!(lane.enter(soon()).await.expect_err("one waits already"), NoTurn::Full);
        drop(turn);
        assert!(waiting.await.expect("no panic"));
    }

    #[tokio::test]
    async fn shared_turns_are_used_when_the_own_ones_are_taken() {
        let lane = Lane::new("test", 1, 0);
        let shared = Arc::new(Semaphore::new(1));
        let _own = lane.enter_or_share(Some(&shared), soon()).await.expect("its own turn");
        assert_eq!(shared.available_permits(), 1);
        let _shared = lane
            .enter_or_share(Some(&shared), soon())
            .await
            .expect("the shared turn");
        let third = lane.enter_or_share(Some(&shared), soon()).await;
        assert_eq!(third.expect_err("no third turn"), NoTurn::Full);
    }

    #[tokio::test]
    async fn a_closed_lane_rejects_all_work() {
        let lane = Arc::new(Lane::new("test", 1, 1));
        let _turn = lane.enter(soon()).await.expect("the only turn");
        let waiting = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { lane.enter(soon()).await.map(drop) }
        });
        tokio::task::yield_now().await;
        lane.close();
        assert_eq!(waiting.await.expect("no panic"), Err(NoTurn::Closed));
        assert_eq!(lane.enter(soon()).await.expect_err("closed"), NoTurn::Closed);
    }
}
