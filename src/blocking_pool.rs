//! A pool of threads for blocking requests to one target: when the target hangs, requests to it use up its own threads,
//! and everything else continues (the bulkhead pattern).
//!
//! When all threads of a pool are busy, a request waits briefly without a thread. When too many requests wait, it fails
//! at once. Work that has begun keeps its thread until it ends, even if the browser has disconnected: it shows how many
//! requests the target has not answered yet.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{metrics::limits::PoolMetrics, trace};

/// Most requests that wait for a thread of one pool.
const MAX_WAITING: usize = 256;

/// Why a pool did not complete the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Too many requests use the pool.
    #[error("too many requests to {0} are in progress")]
    Busy(&'static str),
    /// The work has panicked, or the site is stopping.
    #[error("work for {0} was aborted")]
    Aborted(&'static str),
}

/// The threads for one target.
pub struct BlockingPool {
    target: &'static str,
    /// `None` only while the pool is dropped.
    threads: Option<Runtime>,
    free: Arc<Semaphore>,
    places: Semaphore,
    wait: Duration,
    metrics: PoolMetrics,
}

impl BlockingPool {
    /// A pool of up to `threads` threads. A request that finds none free waits at most for `wait`.
    ///
    /// # Errors
    /// When the system does not provide what the pool needs.
    pub fn new(target: &'static str, threads: usize, wait: Duration) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(threads)
            .thread_name(target)
            .build()?;
        let (free, places) = (Arc::new(Semaphore::new(threads)), Semaphore::new(MAX_WAITING));
        let observed = Arc::downgrade(&free);
        let running = move || {
            observed
                .upgrade()
                .map_or(0, |free| threads.saturating_sub(free.available_permits()))
        };
        let name = target
            .trim_start_matches("the ")
            .to_lowercase()
            .replace([' ', '-'], "_");
        Ok(Self {
            target,
            threads: Some(runtime),
            free,
            places,
            wait,
            metrics: PoolMetrics::new(name, threads, running),
        })
    }

    /// Runs `work` on one of the threads.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PoolError> {
        let free = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(free) => free,
            Err(_) => self.wait_for_thread().await.inspect_err(|_| self.metrics.rejected())?,
        };
        let threads = self.threads.as_ref().ok_or(PoolError::Aborted(self.target))?;
        let work = trace::carry(move || {
            let outcome = work();
            drop(free);
            outcome
        });
        threads
            .spawn_blocking(work)
            .await
            .map_err(|_| PoolError::Aborted(self.target))
    }

    /// Starts `work` if a thread is free, and does not wait for it. Returns `false` when none is.
    pub fn try_start(&self, work: impl FnOnce() + Send + 'static) -> bool {
        let (Ok(free), Some(threads)) = (Arc::clone(&self.free).try_acquire_owned(), &self.threads) else {
            return false;
        };
        threads.spawn_blocking(trace::carry(move || {
            let _free = free;
            work();
        }));
        true
    }

    async fn wait_for_thread(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        let busy = PoolError::Busy(self.target);
        let _place = self.places.try_acquire().map_err(|_| busy)?;
        let free = timeout(self.wait, Arc::clone(&self.free).acquire_owned())
            .await
            .map_err(|_| busy)?;
        free.map_err(|_| PoolError::Aborted(self.target))
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            // Work that hangs must not delay the shutdown.
            threads.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};

    use futures_util::{FutureExt as _, future::join_all};

    use super::*;

    #[actix_web::test]
    async fn beyond_its_threads_a_pool_waits_briefly_and_then_fails() {
        let pool = BlockingPool::new("a test", 2, Duration::from_millis(10)).unwrap();
        let gate = Arc::new(Barrier::new(3));
        let hang = || {
            let gate = Arc::clone(&gate);
            move || {
                gate.wait();
            }
        };
        assert!(pool.try_start(hang()) && pool.try_start(hang()) && !pool.try_start(hang()));
        assert_eq!(pool.run(|| 1).await, Err(PoolError::Busy("a test")));
        gate.wait();
        let mut pool = pool;
        pool.wait = Duration::from_mins(1);
        assert_eq!(pool.run(|| 1).await, Ok(1), "a thread is free again");
    }

    #[actix_web::test]
    async fn when_too_many_requests_wait_further_ones_fail_at_once() {
        let pool = BlockingPool::new("a test", 1, Duration::from_mins(1)).unwrap();
        let (end, hangs) = mpsc::channel::<()>();
        assert!(pool.try_start(move || {
            let _ = hangs.recv();
        }));
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|n| {
                let mut work = Box::pin(pool.run(move || n));
                assert!(work.as_mut().now_or_never().is_none());
                work
            })
            .collect();
        assert_eq!(pool.run(|| 0).now_or_never(), Some(Err(PoolError::Busy("a test"))));
        drop(end);
        assert!(join_all(waiting).await.into_iter().all(|outcome| outcome.is_ok()));
    }

    #[actix_web::test]
    async fn work_that_panics_gives_its_thread_back() {
        let pool = BlockingPool::new("a test", 1, Duration::from_mins(1)).unwrap();
        for _ in 0..3 {
            assert_eq!(
                pool.run(|| panic!("at work")).await,
                Err::<(), _>(PoolError::Aborted("a test"))
            );
        }
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }

    #[actix_web::test]
    async fn work_continues_when_its_caller_no_longer_waits() {
        let pool = BlockingPool::new("a test", 1, Duration::from_mins(1)).unwrap();
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let mut work = Box::pin(pool.run(move || {
            begun.send(()).unwrap();
            let _ = may_end.recv();
        }));
        assert!(work.as_mut().now_or_never().is_none());
        has_begun.recv().unwrap();
        drop(work);
        assert!(!pool.try_start(|| {}), "its thread is still busy");
        drop(end);
    }
}
