//! The budget of each key, in Redis.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use tokio::{runtime::Handle, time::timeout};
use uuid::Uuid;

use crate::{
    metrics::limits::{self, SharedOutcome},
    redis::{RedisClient, eval},
    serve::Source,
    user_key::UserKey,
};

/// Longest time that a request waits for a shared limit. Afterwards the limits of this process apply.
const WAIT: Duration = Duration::from_millis(250);
/// After a failure, Redis is left alone for this long.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes up to ARGV[3] requests from a budget of ARGV[2] that regains one each ARGV[1] microseconds. The value is the time in
/// microseconds at which the budget is full again. Answers with what was granted, what is left, and if nothing was granted,
/// the microseconds until one request is.
///
/// A value further ahead than an empty budget comes from a clock that was set back, or from other settings.
const TAKE: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local one, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = tonumber(redis.call('GET', KEYS[1]) or '0')
full_at = math.min(math.max(full_at, now), now + one * burst)
local free = math.floor((now + one * burst - full_at) / one)
local granted = math.min(free, wanted)
if granted > 0 then
  full_at = full_at + granted * one
  redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
end
local wait = 0
if granted == 0 then wait = full_at + one - now - one * burst end
return {granted, free - granted, wait}
";

/// Returns one request of ARGV[1] microseconds to a budget.
const GIVE_BACK: &str = "
local full_at = tonumber(redis.call('GET', KEYS[1]) or '0')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
full_at = full_at - tonumber(ARGV[1])
if full_at > now then
  redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
else
  redis.call('DEL', KEYS[1])
end
return 0
";

/// What a budget belongs to.
pub trait QuotaKey {
    /// Its name in Redis: short, and the same in every replica.
    fn quota_name(&self) -> String;
}

impl QuotaKey for Source {
    fn quota_name(&self) -> String {
        match self {
            Self::V4(address) => format!("{address:08x}"),
            Self::V6(network) => format!("{network:016x}"),
        }
    }
}

impl QuotaKey for UserKey {
    fn quota_name(&self) -> String {
        let text = |id: Uuid| URL_SAFE_NO_PAD.encode(id.as_bytes());
        format!("{}.{}", text(self.tenant_id), text(self.object_id))
    }
}

/// One limit for each key, shared by all replicas. A clone is another handle to the same limit.
#[derive(Clone)]
pub struct SharedQuota {
    client: RedisClient,
    /// The kind of the keys in Redis.
    kind: Arc<str>,
    interval: Duration,
    burst: u32,
    paused_until: Arc<Mutex<Option<Instant>>>,
}

/// What a request took from a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// How many requests were granted: at most as many as wanted.
    pub granted: u32,
    /// How many more would be granted now.
    pub remaining: u32,
    /// If none was granted, how long until one is.
    pub wait: Duration,
}

/// Redis does not answer, so nothing is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

impl SharedQuota {
    /// A limit that allows `burst` requests at once, and then one per `interval`. `name` is the same in every replica.
    pub fn new(client: RedisClient, name: &str, interval: Duration, burst: u32) -> Self {
        Self {
            client,
            kind: format!("limit:{name}").into(),
            // Redis counts in microseconds.
            interval: interval.max(Duration::from_micros(1)),
            burst: burst.max(1),
            paused_until: Arc::default(),
        }
    }

    /// Requests that are allowed at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The time in which an empty budget is full again.
    pub fn window(&self) -> Duration {
        self.interval.saturating_mul(self.burst)
    }

    /// Takes up to `wanted` requests from the budget of a key. Waits at most a quarter of a second.
    ///
    /// # Errors
    /// When Redis does not answer in that time, or has failed within the last second.
    pub async fn take(&self, key: &impl QuotaKey, wanted: u32) -> Result<Taken, Unavailable> {
        if self.is_paused() {
            return Err(Unavailable);
        }
        let (client, name) = (self.client.clone(), self.client.key(&self.kind, &key.quota_name()));
        let (interval, burst) = (micros(self.interval), self.burst);
        let script = move || {
            client.run("EVAL", |redis| {
                eval(TAKE, &name)
                    .arg(interval)
                    .arg(burst)
                    .arg(wanted)
                    .query::<(u32, u32, u64)>(redis)
            })
        };
        let answered = timeout(WAIT, self.client.run_blocking(script)).await;
        let Ok(Ok(Ok((granted, remaining, wait)))) = answered else {
            self.pause();
            limits::shared(SharedOutcome::Unavailable);
            return Err(Unavailable);
        };
        limits::shared(if granted > 0 {
            SharedOutcome::Granted
        } else {
            SharedOutcome::Refused
        });
        Ok(Taken {
            granted,
            remaining,
            wait: Duration::from_micros(wait),
        })
    }

    /// Returns one request to the budget of a key, in the background, as a task of `runtime`. If that fails, the budget regains
    /// it with time.
    pub fn give_back(&self, key: &impl QuotaKey, runtime: &Handle) {
        let (client, name) = (self.client.clone(), self.client.key(&self.kind, &key.quota_name()));
        let interval = micros(self.interval);
        runtime.spawn(async move {
            let script = {
                let client = client.clone();
                move || client.run("EVAL", |redis| eval(GIVE_BACK, &name).arg(interval).query::<i64>(redis))
            };
            if !matches!(client.run_blocking(script).await, Ok(Ok(_))) {
                log::debug!("a request could not be returned to a shared limit");
            }
        });
    }

    fn is_paused(&self) -> bool {
        self.paused_until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn pause(&self) {
        let mut paused_until = self.paused_until.lock();
        let was_paused = paused_until.is_some_and(|until| Instant::now() < until + PAUSE);
        *paused_until = Some(Instant::now() + PAUSE);
        if !was_paused {
            log::warn!("Redis does not answer: rate limits are those of each replica alone until it does");
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
