//! The client: runs commands on pooled connections, and limits how long a request waits for Redis.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry::KeyValue;
use r2d2::State;
use redis::{Cmd, ConnectionLike, RedisResult, cmd};
use tokio::time::timeout;

use super::{
    circuit_breaker::CircuitBreaker,
    connections::{ConnectionManager, CurrentEpoch, LastError, Pool, PoolFailure, is_read_only},
    error::{RedisFailure, RedisSetupError},
    servers::Servers,
    time_budget,
};
use crate::{
    blocking_pool::BlockingPool,
    config::{RedisMode, RedisSettings, RedisUrl},
    metrics::{self, Observation, redis::Outcome},
    trace::Span,
};

/// Most connections at once. A connection is in use for the time of one command.
const MAX_CONNECTIONS: u32 = 24;
/// The same for a cluster, where a connection has a socket to each node.
const MAX_CLUSTER_CONNECTIONS: u32 = 8;
/// Threads for requests that wait for Redis. Token refreshes have separate threads.
const THREADS: usize = 16;

/// One Redis. A clone is another handle to the same connections.
#[derive(Clone)]
pub struct RedisClient(Arc<Inner>);

struct Inner {
    connections: Pool,
    /// One connection for health probes, so that they do not wait behind requests.
    probe_connection: Pool,
    epoch: CurrentEpoch,
    last_error: LastError,
    breaker: CircuitBreaker,
    threads: BlockingPool,
    /// Longest time for a command, and for all commands of one request.
    timeout: Duration,
    /// A request with less time left than this, because it has used up its own, cannot judge a Redis that does not
    /// answer it.
    fair_timeout: Duration,
    prefix: String,
    /// For spans.
    host: String,
    _observation: Observation,
}

impl RedisClient {
    /// The Redis in the settings, if they name one. Does not connect: servers start while Redis is down.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn from_settings(settings: &RedisSettings) -> Result<Option<Self>, RedisSetupError> {
        let Some(servers) = Servers::from_settings(settings)?.map(Arc::new) else {
            return Ok(None);
        };
        let (epoch, last_error) = (CurrentEpoch::default(), LastError::default());
        let pool = |size, last_error: &LastError| {
            r2d2::Pool::builder()
                .max_size(size)
                .min_idle(Some(0))
                .connection_timeout(settings.timeout)
                // Sends no command unless a password expires: see `ConnectionManager::is_valid`.
                .test_on_check_out(true)
                .error_handler(Box::new(r2d2::NopErrorHandler))
                .build_unchecked(ConnectionManager::new(&servers, &epoch, last_error))
        };
        let max_connections = match settings.mode {
            RedisMode::Single | RedisMode::Sentinel => MAX_CONNECTIONS,
            RedisMode::Cluster => MAX_CLUSTER_CONNECTIONS,
        };
        let connections = pool(max_connections, &last_error);
        let probe_connection = pool(1, &LastError::default());
        let observed = connections.clone();
        let observation = metrics::redis::observe_connections(move || {
            let State {
                connections,
                idle_connections,
                ..
            } = observed.state();
            (
                connections.saturating_sub(idle_connections) as usize,
                idle_connections as usize,
            )
        });
        let threads = BlockingPool::new("Redis", THREADS, settings.timeout).map_err(RedisSetupError::Threads)?;
        Ok(Some(Self(Arc::new(Inner {
            connections,
            probe_connection,
            epoch,
            last_error,
            breaker: CircuitBreaker::default(),
            threads,
            timeout: settings.timeout,
            fair_timeout: settings.timeout / 4,
            prefix: settings.key_prefix.clone(),
            host: settings.addresses().first().map(RedisUrl::host).unwrap_or_default(),
            _observation: observation,
        }))))
    }

    /// Runs `work`, which may use this client, on a thread for Redis. All such work of one request takes at most
    /// `redis.timeout_seconds`.
    ///
    /// # Errors
    /// When the time is over, or too many other requests wait.
    pub async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RedisFailure> {
        let left = time_budget::left(self.0.timeout);
        if left.is_zero() {
            return Err(RedisFailure::too_slow());
        }
        let start = Instant::now();
        // The work ends a little earlier than this request's wait: the next request must not get a connection on which
        // Redis has not answered.
        let deadline = start + left.mul_f64(0.9);
        let outcome = timeout(left, self.0.threads.run(move || time_budget::until(deadline, work))).await;
        time_budget::spend(start.elapsed());
        Ok(outcome.map_err(|_| RedisFailure::too_slow())??)
    }

    /// Checks that Redis accepts writes, on a connection for probes only. Every request with a session writes, so a
    /// read-only replica, as after a failover, cannot serve any. A Redis that is out of memory still serves signed-in users.
    ///
    /// # Errors
    /// When it does not.
    pub fn ping(&self) -> Result<(), RedisFailure> {
        const LIFETIME: Duration = Duration::from_mins(1);
        let key = self.key("probe", "health");
        let ping = || -> Result<(), RedisFailure> {
            let mut pooled = self.0.probe_connection.get().map_err(RedisFailure::new)?;
            let mut set = cmd("SET");
            set.arg(&key).arg("").arg("PX").arg(millis(LIFETIME));
            match set.exec(pooled.connection.commands()) {
                Err(error) if error.code() != Some("OOM") => Err(error.into()),
                _ => Ok(()),
            }
        };
        let begun = Instant::now();
        // The connection may be from before a restart of Redis.
        let outcome = ping().or_else(|_| ping());
        let counted = if outcome.is_ok() {
            Outcome::Success
        } else {
            Outcome::Unreachable
        };
        metrics::redis::requested(counted, begun.elapsed());
        outcome
    }

    /// The version of Redis; `None` when the user may not ask for it. `key` chooses the node of a cluster.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn version(&self, key: &str) -> Result<Option<String>, RedisFailure> {
        // In a script, because a client of a cluster sends INFO itself to all nodes, and fails when one of them is down.
        const INFO: &str = "return redis.call('info','server')";
        let info: String = self.run("EVAL", |redis| eval(INFO, key).query(redis))?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(version.map(|version| version.trim().to_owned()))
    }

    /// Runs a command, and repeats it on a new connection when an idle one has ended, as after a restart of Redis.
    ///
    /// A connection that has failed is not used again, and neither are the others of its epoch: when Redis disappears
    /// silently, they are dead too. The exception is a request with little time left: its timeout says nothing about
    /// the other connections. A server that has become a replica counts as failed, too.
    ///
    /// `operation` is the name of the command in spans.
    ///
    /// # Errors
    /// When Redis does not answer in time, or with an error.
    pub fn run<T>(
        &self,
        operation: &'static str,
        command: impl Fn(&mut dyn ConnectionLike) -> RedisResult<T>,
    ) -> Result<T, RedisFailure> {
        let mut span = Span::client(|| {
            let attributes = vec![
                KeyValue::new("db.system.name", "redis"),
                KeyValue::new("db.operation.name", operation),
                KeyValue::new("server.address", self.0.host.clone()),
            ];
            (Cow::Borrowed(operation), attributes)
        });
        let begun = Instant::now();
        let outcome = self.try_run(command);
        metrics::redis::requested(outcome_of(&outcome), begun.elapsed());
        let outcome = outcome.and_then(|response| Ok(response?));
        if outcome.is_err() {
            span.fail("unavailable");
        }
        outcome
    }

    /// The inner result is that of Redis.
    fn try_run<T>(
        &self,
        command: impl Fn(&mut dyn ConnectionLike) -> RedisResult<T>,
    ) -> Result<RedisResult<T>, RedisFailure> {
        let attempt = || -> Result<RedisResult<T>, RedisFailure> {
            let mut pooled = self.connection()?;
            let left = time_budget::left_here(self.0.timeout);
            if left.is_zero() {
                return Err(RedisFailure::too_slow());
            }
            pooled.connection.set_timeout(left)?;
            let outcome = command(pooled.connection.commands());
            if let Err(error) = &outcome {
                pooled.failed(error, &self.0.epoch, left, self.0.fair_timeout);
            }
            Ok(outcome)
        };
        match attempt()? {
            Err(error) if error.is_connection_dropped() || is_read_only(&error) => attempt(),
            outcome => Ok(outcome),
        }
    }

    fn connection(&self) -> Result<r2d2::PooledConnection<ConnectionManager>, RedisFailure> {
        let left = time_budget::left_here(self.0.timeout);
        if left.is_zero() {
            return Err(RedisFailure::too_slow());
        }
        let Some(attempt) = self.0.breaker.attempt() else {
            return Err(RedisFailure::skipped());
        };
        let connection = self.0.connections.get_timeout(left);
        if connection.is_ok() {
            attempt.succeed();
        } else {
            // While there are as many connections as allowed, all of them are in use, and Redis itself may be up.
            let may_be_down =
                left >= self.0.fair_timeout && self.0.connections.state().connections < self.0.connections.max_size();
            match self.0.last_error.take() {
                Some(PoolFailure::NotConnected) => attempt.fail(),
                Some(PoolFailure::Outdated) | None if may_be_down => attempt.fail(),
                Some(PoolFailure::Outdated) | None => attempt.abandon(),
            }
        }
        connection.map_err(RedisFailure::new)
    }

    /// The full name of a key. `kind` is the same for all keys with the same kind of value.
    pub fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{name}", self.0.prefix)
    }
}

/// For the metrics.
fn outcome_of<T>(outcome: &Result<RedisResult<T>, RedisFailure>) -> Outcome {
    match outcome {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(error)) if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() => {
            Outcome::Unreachable
        }
        Ok(Err(_)) => Outcome::Error,
        Err(error) if error.is_skipped() => Outcome::Skipped,
        Err(_) => Outcome::Unreachable,
    }
}

/// A script for one key. It combines several commands: in a transaction each command has a response, and when Redis hangs,
/// the client waits for one after the other; and a transaction fails while a cluster moves the key to another node.
pub fn eval(script: &str, key: &str) -> Cmd {
    let mut eval = cmd("EVAL");
    eval.arg(script).arg(1).arg(key);
    eval
}

/// The argument of commands that set a lifetime: whole milliseconds, at least one, because Redis rejects zero.
pub fn millis(lifetime: Duration) -> u64 {
    u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
        thread,
    };

    use super::*;
    use crate::redis::connections::Epoch;

    /// Answers `OK` to every command, or nothing while it is silent. Counts connections.
    #[derive(Default)]
    struct FakeRedis {
        is_silent: AtomicBool,
        connections: AtomicUsize,
    }

    impl FakeRedis {
        fn start() -> (Arc<Self>, u16) {
            let (redis, listener) = (Arc::<Self>::default(), TcpListener::bind("127.0.0.1:0").unwrap());
            let (port, fake) = (listener.local_addr().unwrap().port(), Arc::clone(&redis));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    fake.connections.fetch_add(1, Ordering::SeqCst);
                    let fake = Arc::clone(&fake);
                    thread::spawn(move || fake.serve(stream));
                }
            });
            (redis, port)
        }

        fn serve(&self, mut stream: TcpStream) {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                // Each command starts with the number of its parts.
                let commands = bytes[..length]
                    .windows(2)
                    .filter(|pair| pair[0] == b'*' && pair[1].is_ascii_digit());
                let answers = "+OK\r\n".repeat(commands.count());
                if !self.is_silent.load(Ordering::SeqCst) && stream.write_all(answers.as_bytes()).is_err() {
                    break;
                }
            }
        }

        fn connections(&self) -> usize {
            self.connections.load(Ordering::SeqCst)
        }
    }

    fn client(port: u16, timeout: Duration) -> RedisClient {
        let url = Some(RedisUrl::of_test(&format!("redis://127.0.0.1:{port}")));
        let settings = RedisSettings {
            url,
            timeout,
            key_prefix: "test".to_owned(),
            ..RedisSettings::default()
        };
        RedisClient::from_settings(&settings).unwrap().unwrap()
    }

    fn put(client: &RedisClient) -> Result<(), RedisFailure> {
        client.run("SET", |redis| cmd("SET").arg("a record").arg("").exec(redis))
    }

    #[test]
    fn a_request_that_has_used_up_its_time_closes_no_connection_of_others() {
        let (redis, port) = FakeRedis::start();
        let client = client(port, Duration::from_secs(20));
        put(&client).unwrap();
        let epoch = || client.0.epoch.get();
        let (before, made) = (epoch(), redis.connections());
        // No time is left: no command is sent.
        assert!(time_budget::until(Instant::now(), || put(&client)).is_err());
        put(&client).unwrap();
        assert_eq!((epoch(), redis.connections()), (before, made));
        // Little is left, and Redis is slower than that.
        redis.is_silent.store(true, Ordering::SeqCst);
        let soon = Instant::now() + Duration::from_millis(500);
        assert!(time_budget::until(soon, || put(&client)).is_err());
        redis.is_silent.store(false, Ordering::SeqCst);
        assert_eq!(epoch(), before, "the other connections remain usable");
        put(&client).unwrap();
        assert_eq!(
            redis.connections(),
            made + 1,
            "no other command reads the late response"
        );
    }

    #[test]
    fn a_redis_that_does_not_answer_within_a_fair_time_is_down() {
        let (redis, port) = FakeRedis::start();
        let client = client(port, Duration::from_secs(2));
        put(&client).unwrap();
        redis.is_silent.store(true, Ordering::SeqCst);
        assert!(put(&client).is_err());
        assert_eq!(client.0.epoch.get(), Epoch(1));
        // New connections are not answered either.
        assert!(put(&client).is_err());
        assert!(client.0.breaker.attempt().is_none());
    }

    #[test]
    fn a_redis_that_refuses_connections_is_down_however_little_time_is_left() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = client(port, Duration::from_secs(20));
        assert!(time_budget::until(Instant::now() + Duration::from_secs(2), || put(&client)).is_err());
        assert!(client.0.breaker.attempt().is_none());
    }
}
