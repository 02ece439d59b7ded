//! Cached probes of Entra ID, the API and the session store. Each answer is cached for a few seconds, so that no client
//! can make the site flood another server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::rt::time::timeout;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{api_client::ApiClient, blocking_pools::BlockingPools, session_store::Sessions};
use crate::{blocking_pool::BlockingPool, entra::Provider};

/// How long an answer counts as fresh.
const FRESH: Duration = Duration::from_secs(5);
/// How long a request waits for a running probe.
const WAIT: Duration = Duration::from_secs(1);
/// How long the last answer counts while a probe gets no new one.
const STALE: Duration = Duration::from_secs(15);

/// Whether the servers that the site depends on answer.
pub struct HealthChecks {
    provider: Arc<Provider>,
    api: Arc<ApiClient>,
    sessions: Sessions,
    pools: Arc<BlockingPools>,
    /// From so many days before its expiry, the certificate is reported as expiring soon.
    pub expiry_warning_days: i64,
    entra_probe: Arc<CachedProbe>,
    api_probe: Arc<CachedProbe>,
    sessions_probe: Arc<CachedProbe>,
}

/// The last answer of a server, and when it was given.
#[derive(Default)]
struct CachedProbe {
    last: Mutex<Option<(Instant, bool)>>,
    is_running: AtomicBool,
    finished: Notify,
}

impl HealthChecks {
    /// Probes of these components, on the threads that `pools` has for them.
    pub fn new(
        provider: Arc<Provider>,
        api: Arc<ApiClient>,
        sessions: Sessions,
        pools: Arc<BlockingPools>,
        expiry_warning_days: i64,
    ) -> Self {
        Self {
            provider,
            api,
            sessions,
            pools,
            expiry_warning_days,
            entra_probe: Arc::default(),
            api_probe: Arc::default(),
            sessions_probe: Arc::default(),
        }
    }

    /// Whether Entra ID answers, or did a moment ago.
    pub async fn is_entra_up(&self) -> bool {
        let provider = Arc::clone(&self.provider);
        self.entra_probe
            .get_or_probe(&self.pools.probes, move || provider.is_reachable())
            .await
    }

    /// Whether the API answers, or did a moment ago.
    pub async fn is_api_up(&self) -> bool {
        let api = Arc::clone(&self.api);
        self.api_probe
            .get_or_probe(&self.pools.probes, move || api.is_alive())
            .await
    }

    /// Whether the session store answers, or did a moment ago. In memory it always does.
    pub async fn is_session_store_up(&self) -> bool {
        if self.sessions.is_in_memory() {
            return true;
        }
        let sessions = self.sessions.clone();
        self.sessions_probe
            .get_or_probe(&self.pools.probes, move || sessions.ping().is_ok())
            .await
    }
}

impl CachedProbe {
    /// One request probes at a time, on a thread of `pool`. All others wait briefly for its answer, then use the last
    /// one.
    async fn get_or_probe(
        self: &Arc<Self>,
        pool: &BlockingPool,
        probe: impl FnOnce() -> bool + Send + 'static,
    ) -> bool {
        if let Some(answer) = self.last(FRESH) {
            return answer;
        }
        let finished = self.finished.notified();
        tokio::pin!(finished);
        finished.as_mut().enable();
        if !self.is_running.swap(true, Ordering::AcqRel) {
            let running = RunningProbe(Arc::clone(self));
            pool.try_start(move || {
                let answer = probe();
                *running.0.last.lock() = Some((Instant::now(), answer));
            });
        }
        // The answer may have arrived in the meantime.
        if self.last(FRESH).is_none() {
            let _ = timeout(WAIT, finished).await;
        }
        self.last(STALE).unwrap_or(false)
    }

    /// The last answer, if it is not older than `max_age`.
    fn last(&self, max_age: Duration) -> Option<bool> {
        let last = *self.last.lock();
        last.filter(|(at, _)| at.elapsed() < max_age).map(|(_, answer)| answer)
    }
}

/// Marks a probe as finished when dropped: also when it panicked, or found no thread.
struct RunningProbe(Arc<CachedProbe>);

impl Drop for RunningProbe {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Release);
        self.0.finished.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn pool() -> BlockingPool {
        BlockingPool::new("a test", 4, WAIT).unwrap()
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(FRESH).unwrap()
    }

    #[actix_web::test]
    async fn a_probe_that_panics_does_not_freeze_the_answer() {
        let (probe, pool) = (Arc::<CachedProbe>::default(), pool());
        *probe.last.lock() = Some((long_ago(), false));
        assert!(!probe.get_or_probe(&pool, || panic!("while probing")).await);
        assert!(probe.get_or_probe(&pool, || true).await);
    }

    #[actix_web::test]
    async fn while_one_request_probes_the_others_get_the_last_answer_and_after_a_while_unavailable() {
        let (probe, pool) = (Arc::<CachedProbe>::default(), pool());
        *probe.last.lock() = Some((long_ago(), true));
        let (answer, hangs) = mpsc::channel::<()>();
        let hang = move || {
            let _ = hangs.recv();
            true
        };
        assert!(probe.get_or_probe(&pool, hang).await, "the last answer");
        assert!(
            probe
                .get_or_probe(&pool, || unreachable!("a probe is already running"))
                .await
        );
        *probe.last.lock() = Some((Instant::now().checked_sub(STALE).unwrap(), true));
        assert!(
            !probe
                .get_or_probe(&pool, || unreachable!("a probe is already running"))
                .await,
            "too old"
        );
        drop(answer);
        while probe.is_running.load(Ordering::Acquire) {
            actix_web::rt::task::yield_now().await;
        }
        assert!(
            probe
                .get_or_probe(&pool, || unreachable!("it was probed a moment ago"))
                .await
        );
    }

    #[actix_web::test]
    async fn without_a_free_thread_no_request_waits_forever() {
        let (probe, pool) = (
            Arc::<CachedProbe>::default(),
            BlockingPool::new("a test", 1, WAIT).unwrap(),
        );
        let (_end, hangs) = mpsc::channel::<()>();
        assert!(pool.try_start(move || {
            let _ = hangs.recv();
        }));
        assert!(!probe.get_or_probe(&pool, || true).await);
        assert!(!probe.is_running.load(Ordering::Acquire), "the next request may probe");
    }
}
