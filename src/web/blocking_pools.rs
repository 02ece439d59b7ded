//! Threads for work that blocks, apart for each target: when one of them hangs, requests to it use up its own threads, and everything
//! else goes on.
//!
//! A pool has so many threads. Beyond that a request waits a little, without a thread; and beyond so many that wait it is refused at
//! once. Work that has begun keeps its thread until it ends, also when the browser has gone meanwhile: it is what the target still
//! has to answer.

use std::{io, sync::Arc, time::Duration};

use actix_web::rt::time::timeout;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Most requests that wait for a thread of a pool.
const MAX_WAITING: usize = 256;

/// Why a pool has not done what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Too many do the same.
    #[error("too many requests to {0} are under way")]
    Busy(&'static str),
    /// The work has panicked, or the site ends.
    #[error("work for {0} was broken off")]
    Aborted(&'static str),
}

/// The threads for one target.
pub struct BlockingPool {
    target: &'static str,
    /// `None` once it is dropped.
    threads: Option<Runtime>,
    free: Arc<Semaphore>,
    places: Semaphore,
    wait: Duration,
}

/// The lanes of the site beside the one of Redis, which is the store's own.
pub struct BlockingPools {
    /// Requests to the API.
    pub api: BlockingPool,
    /// Refreshes at Entra's token endpoint, each with the signature of an assertion, perhaps by a vault.
    pub tokens: BlockingPool,
    /// Redemption of codes there. Everybody can bring a code, so it takes no thread from those who are signed in.
    pub sign_ins: BlockingPool,
    /// Entra's discovery document.
    pub discovery: BlockingPool,
    /// What `/health` asks: one request at a time to each of Entra, the API and Redis.
    pub probes: BlockingPool,
}

impl BlockingPools {
    /// Starts no thread before there is work.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            api: BlockingPool::new("the API", 64, Duration::from_secs(2))?,
            tokens: BlockingPool::new("the token endpoint", 32, Duration::from_secs(5))?,
            sign_ins: BlockingPool::new("sign-ins", 16, Duration::from_secs(5))?,
            discovery: BlockingPool::new("discovery", 8, Duration::from_secs(5))?,
            probes: BlockingPool::new("health", 4, Duration::from_secs(1))?,
        })
    }
}

impl BlockingPool {
    /// Up to `threads` at once; who finds none free waits for `wait`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(target: &'static str, threads: usize, wait: Duration) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(threads)
            .thread_name(target)
            .build()?;
        let (free, places) = (Arc::new(Semaphore::new(threads)), Semaphore::new(MAX_WAITING));
        Ok(Self {
            target,
            threads: Some(runtime),
            free,
            places,
            wait,
        })
    }

    /// Does `work` on one of the threads.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PoolError> {
        let free = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(free) => free,
            Err(_) => self.wait_for_thread().await?,
        };
        let threads = self.threads.as_ref().ok_or(PoolError::Aborted(self.target))?;
        let work = move || {
            let outcome = work();
            drop(free);
            outcome
        };
        threads
            .spawn_blocking(work)
            .await
            .map_err(|_| PoolError::Aborted(self.target))
    }

    /// Has `work` done, if a thread is free, and does not wait for it. `false` when none is.
    pub fn try_start(&self, work: impl FnOnce() + Send + 'static) -> bool {
        let (Ok(free), Some(threads)) = (Arc::clone(&self.free).try_acquire_owned(), &self.threads) else {
            return false;
        };
        threads.spawn_blocking(move || {
            let _free = free;
            work();
        });
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
            // What hangs must not hold up the end.
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
    async fn beyond_its_threads_a_lane_waits_a_little_and_then_refuses() {
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
        assert_eq!(pool.run(|| 1).await, Ok(1), "once they have ended it goes on");
    }

    #[actix_web::test]
    async fn of_very_many_that_would_wait_the_last_are_refused_at_once() {
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
    async fn work_goes_on_when_nobody_waits_for_it_any_more() {
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
        assert!(!pool.try_start(|| {}), "its thread is in use");
        drop(end);
    }
}
