//! Redis, for what replicas of the site share: records that end by themselves, and turns that one replica at a time takes.
//! Calls block.
//!
//! Who reads Redis learns little: records are sealed by the cookie key, and their names are digests of what names them
//! here, so that nobody can take a session id out of a name. Every command is of Redis 2.6, and of one key at a time.

mod circuit_breaker;
pub mod time_budget;

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ::redis::{
    Client, Cmd, Commands as _, Connection, ConnectionLike as _, ErrorKind, RedisError, RedisResult, Script,
    TlsCertificates, cmd,
};
use actix_web::rt::time::timeout;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use openssl::sha::sha256;
use zeroize::Zeroizing;

use self::circuit_breaker::Breaker;
use super::{key_ring::KeyRing, random_id::random_id};
use crate::config::RedisSettings;
use crate::web::blocking_pools::{BlockingPool, PoolError};

/// Most connections at once; each is held for the time of one command.
const MAX_CONNECTIONS: u32 = 24;
/// Threads for requests that wait for Redis; refreshes of tokens have threads of their own.
const THREADS: usize = 16;
/// Why a connection is not used again that was made before Redis was away.
const FROM_BEFORE: &str = "it is of a time before Redis was away";
/// How often to ask whether it is one's turn.
const ASK_FOR_TURN: Duration = Duration::from_millis(25);

// Scripts, where several commands belong together: a transaction would have an answer for each of them, and where Redis hangs the client
// waits for one after the other. Each has one key.

/// Reads a record, and prolongs it.
const GET: &str = "local v=redis.call('get',KEYS[1]) if v then redis.call('pexpire',KEYS[1],ARGV[1]) end return v";
/// Reads a record, and removes it.
const TAKE: &str = "local v=redis.call('get',KEYS[1]) redis.call('del',KEYS[1]) return v";
/// Adds entries to a list, forgets those that have ended and the oldest beyond the most, prolongs the list, and gives its length.
/// Arguments: the time of those that have ended, the life, the most, the time of the entries, the entries.
const NOTE: &str = "for i=5,#ARGV do redis.call('zadd',KEYS[1],ARGV[4],ARGV[i]) end \
                    redis.call('zremrangebyscore',KEYS[1],'-inf',ARGV[1]) redis.call('pexpire',KEYS[1],ARGV[2]) \
                    local n=redis.call('zcard',KEYS[1]) local m=tonumber(ARGV[3]) \
                    if n>m then redis.call('zremrangebyrank',KEYS[1],0,n-m-1) return m end return n";
/// The times of two entries of a list.
const NOTED: &str = "return {redis.call('zscore',KEYS[1],ARGV[1]),redis.call('zscore',KEYS[1],ARGV[2])}";

/// Redis did not do what was asked: nobody knows who is signed in.
#[derive(Debug, Clone, thiserror::Error)]
#[error("sessions are out of reach: {0}")]
pub struct StoreError(String);

impl StoreError {
    fn of_lane(error: PoolError) -> Self {
        Self(error.to_string())
    }

    fn too_slow() -> Self {
        Self("it does not answer in time".to_owned())
    }
}

/// Why Redis cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum RedisSetupError {
    /// The CA file cannot be read.
    #[error("redis.ca_file {path} cannot be read: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// There can be no threads.
    #[error("no threads for requests to Redis: {0}")]
    Threads(io::Error),
    /// The client cannot be made.
    #[error("redis.url cannot be used: {0}")]
    Client(RedisError),
}

/// A kind of record.
#[derive(Debug, Clone, Copy)]
pub struct RecordKind(pub &'static str);

/// The name of one record of a kind: a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordName(String);

impl RecordName {
    /// Of what names the record here, which must not be guessed or is of any form.
    pub fn of(text: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(sha256(text.as_bytes())))
    }

    /// A name that a list holds.
    pub fn from_digest(digest: String) -> Self {
        Self(digest)
    }

    /// The digest.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One Redis. A clone is another handle to the same connections.
#[derive(Clone)]
pub struct RedisStore(Arc<Shared>);

struct Shared {
    pool: r2d2::Pool<Manager>,
    /// One connection, for those who ask whether Redis answers: they do not wait behind requests.
    for_probes: r2d2::Pool<Manager>,
    /// Of connections that may be used.
    generation: Arc<AtomicUsize>,
    breaker: Breaker,
    lane: BlockingPool,
    /// Longest time for a command, and for all of one request.
    timeout: Duration,
    /// Who gives Redis less time than this, because a request has used up its own, learns nothing of Redis by its silence.
    fair: Duration,
    keys: KeyRing,
    prefix: String,
}

impl RedisStore {
    /// The Redis of the settings, if they name one. No network: a site starts while Redis is down.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn from_settings(settings: &RedisSettings, keys: &KeyRing) -> Result<Option<Self>, RedisSetupError> {
        let generation = Arc::default();
        let pool = |size| -> Result<_, RedisSetupError> {
            let Some(manager) = Manager::of(settings, &generation)? else {
                return Ok(None);
            };
            let pool = r2d2::Pool::builder()
                .max_size(size)
                .min_idle(Some(0))
                .connection_timeout(settings.timeout)
                // Asks nothing of Redis: see `Manager::is_valid`.
                .test_on_check_out(true)
                .error_handler(Box::new(r2d2::NopErrorHandler))
                .build_unchecked(manager);
            Ok(Some(pool))
        };
        let (Some(pool), Some(for_probes)) = (pool(MAX_CONNECTIONS)?, pool(1)?) else {
            return Ok(None);
        };
        let lane = BlockingPool::new("Redis", THREADS, settings.timeout).map_err(RedisSetupError::Threads)?;
        let (keys, prefix, timeout) = (keys.clone(), settings.key_prefix.clone(), settings.timeout);
        let (breaker, fair) = (Breaker::default(), timeout / 4);
        Ok(Some(Self(Arc::new(Shared {
            pool,
            for_probes,
            generation,
            breaker,
            lane,
            timeout,
            fair,
            keys,
            prefix,
        }))))
    }

    /// Does `work`, which may use this store, on a thread of its lane. All that one request does so takes `redis.timeout_seconds` at
    /// most.
    ///
    /// # Errors
    /// When the time is over, or too many others wait.
    pub async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let left = time_budget::left(self.0.timeout);
        if left.is_zero() {
            return Err(StoreError::too_slow());
        }
        let begun = Instant::now();
        // A little earlier than here: the next request must not meet a connection that this one has found silent.
        let deadline = begun + left.mul_f64(0.9);
        let outcome = timeout(left, self.0.lane.run(move || time_budget::until(deadline, work))).await;
        time_budget::spend(begun.elapsed());
        outcome
            .map_err(|_| StoreError::too_slow())?
            .map_err(StoreError::of_lane)
    }

    /// Keeps a record, new or in place of another, for `life`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn put(&self, kind: RecordKind, name: &RecordName, plain: &[u8], life: Duration) -> Result<(), StoreError> {
        let sealed = self.seal(kind, name, plain)?;
        self.run(|redis| {
            cmd("SET")
                .arg(self.key(kind, name))
                .arg(&sealed)
                .arg("PX")
                .arg(millis(life))
                .exec(redis)
        })
    }

    /// Replaces a record that is still there; one that has ended stays so. `false` then.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn replace(
        &self,
        kind: RecordKind,
        name: &RecordName,
        plain: &[u8],
        life: Duration,
    ) -> Result<bool, StoreError> {
        let sealed = self.seal(kind, name, plain)?;
        let key = self.key(kind, name);
        let replaced: Option<String> = self.run(|redis| {
            cmd("SET")
                .arg(&key)
                .arg(&sealed)
                .arg("PX")
                .arg(millis(life))
                .arg("XX")
                .query(redis)
        })?;
        Ok(replaced.is_some())
    }

    /// A record, which goes on for `life` from now. One that no key opens any more counts as ended.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn get_and_extend(
        &self,
        kind: RecordKind,
        name: &RecordName,
        life: Duration,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let key = self.key(kind, name);
        let sealed: Option<Vec<u8>> = self.run(|redis| eval(GET, &key).arg(millis(life)).query(redis))?;
        Ok(sealed.and_then(|sealed| self.open(kind, name, &sealed)))
    }

    /// A record, whose life goes on as it is.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn get(&self, kind: RecordKind, name: &RecordName) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed: Option<Vec<u8>> = self.run(|redis| redis.get(self.key(kind, name)))?;
        Ok(sealed.and_then(|sealed| self.open(kind, name, &sealed)))
    }

    /// Takes a record away, and gives it to who was first.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn take(&self, kind: RecordKind, name: &RecordName) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let key = self.key(kind, name);
        let sealed: Option<Vec<u8>> = self.run(|redis| eval(TAKE, &key).query(redis))?;
        Ok(sealed.and_then(|sealed| self.open(kind, name, &sealed)))
    }

    /// Ends a record; `false` when there was none.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn remove(&self, kind: RecordKind, name: &RecordName) -> Result<bool, StoreError> {
        let removed: u64 = self.run(|redis| cmd("DEL").arg(self.key(kind, name)).query(redis))?;
        Ok(removed > 0)
    }

    /// Adds a record's name to a list of such, each of which is in it for `life`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn enlist(
        &self,
        kind: RecordKind,
        list: &RecordName,
        member: &RecordName,
        life: Duration,
    ) -> Result<(), StoreError> {
        let (key, life, now) = (self.key(kind, list), millis(life), Utc::now().timestamp_millis());
        self.run(|redis| {
            eval(NOTE, &key)
                .arg(before(now, life))
                .arg(life)
                .arg(i64::MAX)
                .arg(now)
                .arg(&member.0)
                .exec(redis)
        })
    }

    /// The names in a list; some of their records may have ended.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn members(&self, kind: RecordKind, list: &RecordName) -> Result<Vec<RecordName>, StoreError> {
        let key = self.key(kind, list);
        let members: Vec<String> = self.run(|redis| redis.zrange(&key, 0, -1))?;
        Ok(members.into_iter().map(RecordName).collect())
    }

    /// Takes a name out of a list.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn strike(&self, kind: RecordKind, list: &RecordName, member: &RecordName) -> Result<(), StoreError> {
        self.run(|redis| cmd("ZREM").arg(self.key(kind, list)).arg(&member.0).exec(redis))
    }

    /// How long a record goes on without use; `None` when there is none.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn life_left(&self, kind: RecordKind, name: &RecordName) -> Result<Option<Duration>, StoreError> {
        let left: i64 = self.run(|redis| cmd("PTTL").arg(self.key(kind, name)).query(redis))?;
        // Negative without a record, and of one that does not end, which this store never writes.
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    /// Adds entries to a list, each of which is in it for `life`. Gives its length.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn list(
        &self,
        kind: RecordKind,
        list: &RecordName,
        entries: &[String],
        life: Duration,
    ) -> Result<usize, StoreError> {
        let (key, life, now) = (self.key(kind, list), millis(life), Utc::now().timestamp_millis());
        self.run(|redis| {
            eval(NOTE, &key)
                .arg(before(now, life))
                .arg(life)
                .arg(i64::MAX)
                .arg(now)
                .arg(entries)
                .query(redis)
        })
    }

    /// Takes entries out of a list.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn unlist(&self, kind: RecordKind, list: &RecordName, entries: &[String]) -> Result<(), StoreError> {
        self.run(|redis| cmd("ZREM").arg(self.key(kind, list)).arg(entries).exec(redis))
    }

    /// Notes `entry` with a time, for `life`; of more than `most` entries the oldest are forgotten.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn note(
        &self,
        kind: RecordKind,
        list: &RecordName,
        entry: &str,
        at_millis: i64,
        life: Duration,
        most: isize,
    ) -> Result<(), StoreError> {
        let (key, life) = (self.key(kind, list), millis(life));
        let ended = before(at_millis, life);
        self.run(|redis| {
            eval(NOTE, &key)
                .arg(ended)
                .arg(life)
                .arg(most)
                .arg(at_millis)
                .arg(entry)
                .exec(redis)
        })
    }

    /// The times that were noted with two entries.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn noted(
        &self,
        kind: RecordKind,
        list: &RecordName,
        entries: [&str; 2],
    ) -> Result<[Option<i64>; 2], StoreError> {
        let key = self.key(kind, list);
        let noted: (Option<f64>, Option<f64>) = self.run(|redis| eval(NOTED, &key).arg(&entries).query(redis))?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds since 1970 are whole, and fit"
        )]
        let millis = |score: f64| score as i64;
        Ok([noted.0.map(millis), noted.1.map(millis)])
    }

    /// Waits for one's turn, which ends when it is dropped, or after `life` when its owner is gone. `None` after `patience`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn lock(
        &self,
        kind: RecordKind,
        name: &RecordName,
        life: Duration,
        patience: Duration,
    ) -> Result<Option<Lock>, StoreError> {
        let (key, owner) = (self.key(kind, name), random_id());
        let deadline = Instant::now() + patience;
        loop {
            let mine: Option<String> = self.run(|redis| {
                cmd("SET")
                    .arg(&key)
                    .arg(&owner)
                    .arg("PX")
                    .arg(millis(life))
                    .arg("NX")
                    .query(redis)
            })?;
            // When the answer was lost, the command was sent again, and met its own work.
            let is_mine =
                mine.is_some() || self.run(|redis| redis.get::<_, Option<String>>(&key))?.as_ref() == Some(&owner);
            if is_mine {
                return Ok(Some(Lock {
                    store: self.clone(),
                    key,
                    owner,
                }));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(ASK_FOR_TURN);
        }
    }

    /// Whether Redis takes writes, on a connection for this alone. Every request with a session writes, so a replica that only
    /// reads, as after a failover, is of no use. Without memory it still serves those who are signed in.
    ///
    /// # Errors
    /// When it does not.
    pub fn ping(&self) -> Result<(), StoreError> {
        const LIFE: Duration = Duration::from_mins(1);
        let key = self.key(Kind("probe"), &Name::of("health"));
        let ping = || -> Result<(), StoreError> {
            let mut live = self.0.for_probes.get().map_err(|error| StoreError(error.to_string()))?;
            let written = cmd("SET")
                .arg(&key)
                .arg("")
                .arg("PX")
                .arg(millis(LIFE))
                .exec(&mut live.connection);
            match written {
                Err(error) if error.code() != Some("OOM") => Err(StoreError(error.to_string())),
                _ => Ok(()),
            }
        };
        // The connection may have ended with the Redis of before.
        ping().or_else(|_| ping())
    }

    /// Writes a record, reads it back and removes it. Gives the version of Redis where it may be asked.
    ///
    /// # Errors
    /// When any of that fails.
    pub fn probe(&self) -> Result<Option<String>, StoreError> {
        const LIFE: Duration = Duration::from_mins(1);
        let (kind, name) = (RecordKind("probe"), RecordName::of(&random_id()));
        self.put(kind, &name, b"probe", LIFE)?;
        if self.take(kind, &name)?.is_none() {
            return Err(StoreError("a record that was just written is not there".to_owned()));
        }
        let info: Option<String> = self.run(|redis| cmd("INFO").arg("server").query(redis)).ok();
        let version = |info: String| {
            info.lines()
                .find_map(|line| line.strip_prefix("redis_version:"))
                .map(|version| version.trim().to_owned())
        };
        Ok(info.and_then(version))
    }

    /// With a connection; with a fresh one when that has ended while nobody used it, as after a restart of Redis. One that has
    /// failed is not used again, nor are those made before it did: where a Redis has gone without a word, they are dead, too. But a
    /// request that has little of its time left says nothing of the others' connections when that ends.
    fn run<T>(&self, command: impl Fn(&mut Connection) -> RedisResult<T>) -> Result<T, StoreError> {
        let attempt = || -> Result<RedisResult<T>, StoreError> {
            let mut live = self.connection()?;
            let left = Some(time_budget::left_here(self.0.timeout)).filter(|left| !left.is_zero());
            let left = left.ok_or_else(StoreError::too_slow)?;
            let set = live.connection.set_read_timeout(Some(left));
            set.and_then(|()| live.connection.set_write_timeout(Some(left)))
                .map_err(|error| StoreError(error.to_string()))?;
            let outcome = command(&mut live.connection);
            if let Err(error) = &outcome
                && (error.is_io_error() || error.is_timeout() || error.is_connection_dropped())
            {
                if error.is_timeout() && left < self.0.fair {
                    live.is_spent = true;
                } else {
                    live.generation.end(&self.0.generation);
                }
            }
            Ok(outcome)
        };
        match attempt()? {
            Err(error) if error.is_connection_dropped() => attempt()?,
            outcome => outcome,
        }
        .map_err(|error| StoreError(error.to_string()))
    }

    fn connection(&self) -> Result<r2d2::PooledConnection<Manager>, StoreError> {
        let left = time_budget::left_here(self.0.timeout);
        if left.is_zero() {
            return Err(StoreError::too_slow());
        }
        let Some(attempt) = self.0.breaker.attempt() else {
            return Err(StoreError("it was not there a moment ago".to_owned()));
        };
        let connection = self.0.pool.get_timeout(left).map_err(|error| error.to_string());
        match &connection {
            Ok(_) => attempt.succeed(),
            // With a reason, a connection was refused.
            Err(error) if error.contains(": ") && !error.contains(FROM_BEFORE) => drop(attempt),
            // While there are as many connections as there may be, all of them were in use; Redis itself may be well.
            Err(_) if left >= self.0.fair && self.0.pool.state().connections < MAX_CONNECTIONS => drop(attempt),
            Err(_) => attempt.leave(),
        }
        connection.map_err(StoreError)
    }

    fn key(&self, RecordKind(kind): RecordKind, RecordName(name): &RecordName) -> String {
        format!("{}:{kind}:{name}", self.0.prefix)
    }

    /// To its own place, so that nobody can put one record in another's.
    fn seal(
        &self,
        RecordKind(kind): RecordKind,
        RecordName(name): &RecordName,
        plain: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let sealed = self.0.keys.seal(&format!("{kind}:{name}"), plain);
        sealed.ok_or_else(|| StoreError("a record cannot be sealed".to_owned()))
    }

    fn open(
        &self,
        RecordKind(kind): RecordKind,
        RecordName(name): &RecordName,
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        self.0.keys.open(&format!("{kind}:{name}"), sealed)
    }
}

/// One's turn. Dropped, it is the next one's.
pub struct Lock {
    store: RedisStore,
    key: String,
    owner: String,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only one's own: it may have run out meanwhile, and be somebody else's.
        let script =
            Script::new("if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0");
        let ended = self
            .store
            .run(|redis| script.key(&self.key).arg(&self.owner).invoke::<u64>(redis));
        if let Err(error) = ended {
            log::warn!("a turn to refresh is not given back and ends by itself: {error}");
        }
    }
}

/// Makes connections.
struct Manager {
    client: Client,
    timeout: Duration,
    generation: Arc<AtomicUsize>,
}

/// A connection, and when it was made.
struct Live {
    connection: Connection,
    generation: Generation,
    /// An answer to it may still be under way: it must not be used again.
    is_spent: bool,
}

#[derive(Clone, Copy)]
struct Generation(usize);

impl Generation {
    fn is(self, now: &AtomicUsize) -> bool {
        self.0 == now.load(Ordering::Acquire)
    }

    /// So that the next one begins; once, however many connections of it fail.
    fn end(self, now: &AtomicUsize) {
        // Somebody else's has ended it.
        let _ = now.compare_exchange(self.0, self.0.wrapping_add(1), Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Manager {
    fn of(settings: &RedisSettings, generation: &Arc<AtomicUsize>) -> Result<Option<Self>, RedisSetupError> {
        let Some(url) = &settings.url else { return Ok(None) };
        let client = match &settings.ca_file {
            None => Client::open(url.expose()),
            Some(path) => {
                let pem = fs::read(path).map_err(|reason| RedisSetupError::CaFile {
                    path: path.clone(),
                    reason,
                })?;
                Client::build_with_tls(
                    url.expose(),
                    TlsCertificates {
                        client_tls: None,
                        root_cert: Some(pem),
                    },
                )
            }
        };
        let client = client.map_err(RedisSetupError::Client)?;
        Ok(Some(Self {
            client,
            timeout: settings.timeout,
            generation: Arc::clone(generation),
        }))
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Live;
    type Error = RedisError;

    fn connect(&self) -> RedisResult<Live> {
        let generation = Generation(self.generation.load(Ordering::Acquire));
        let connection = self.client.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        Ok(Live {
            connection,
            generation,
            is_spent: false,
        })
    }

    fn is_valid(&self, live: &mut Live) -> RedisResult<()> {
        if live.generation.is(&self.generation) {
            return Ok(());
        }
        Err((ErrorKind::Io, FROM_BEFORE).into())
    }

    fn has_broken(&self, live: &mut Live) -> bool {
        live.is_spent || !(live.connection.is_open() && live.generation.is(&self.generation))
    }
}

/// A script for one key.
fn eval(script: &str, key: &str) -> Cmd {
    let mut eval = cmd("EVAL");
    eval.arg(script).arg(1).arg(key);
    eval
}

/// The time of entries of a list that have ended.
fn before(now: i64, life: u64) -> i64 {
    now.saturating_sub(i64::try_from(life).unwrap_or(i64::MAX))
}

fn millis(duration: Duration) -> u64 {
    // Redis refuses a life of nothing.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        sync::atomic::AtomicBool,
    };

    use secrecy::SecretString;

    use super::*;
    use crate::config::RedisUrl;

    const KIND: RecordKind = RecordKind("test");
    const LIFE: Duration = Duration::from_mins(1);

    /// Says `OK` to every command, or nothing while it is silent; counts connections.
    #[derive(Default)]
    struct PlayedRedis {
        is_silent: AtomicBool,
        connections: AtomicUsize,
    }

    impl PlayedRedis {
        fn start() -> (Arc<Self>, u16) {
            let (redis, listener) = (Arc::<Self>::default(), TcpListener::bind("127.0.0.1:0").unwrap());
            let (port, played) = (listener.local_addr().unwrap().port(), Arc::clone(&redis));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    played.connections.fetch_add(1, Ordering::SeqCst);
                    let played = Arc::clone(&played);
                    thread::spawn(move || played.serve(stream));
                }
            });
            (redis, port)
        }

        fn serve(&self, mut stream: TcpStream) {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                // Each command begins with the number of its parts.
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

    fn store(port: u16, timeout: Duration) -> RedisStore {
        let url = Some(RedisUrl::of_test(&format!("redis://127.0.0.1:{port}")));
        let settings = RedisSettings {
            url,
            ca_file: None,
            timeout,
            key_prefix: "test".to_owned(),
        };
        RedisStore::from_settings(
            &settings,
            &KeyRing::new(&[SecretString::from("a key of 32 bytes or more, for this")]),
        )
        .unwrap()
        .unwrap()
    }

    fn put(store: &RedisStore) -> Result<(), StoreError> {
        store.put(KIND, &RecordName::of("a record"), b"", LIFE)
    }

    #[test]
    fn a_request_that_has_used_up_its_own_time_takes_no_connection_from_others() {
        let (redis, port) = PlayedRedis::start();
        let store = store(port, Duration::from_secs(20));
        put(&store).unwrap();
        let generation = || store.0.generation.load(Ordering::SeqCst);
        let (before, made) = (generation(), redis.connections());
        // Nothing is left: nobody is asked.
        assert!(time_budget::until(Instant::now(), || put(&store)).is_err());
        put(&store).unwrap();
        assert_eq!((generation(), redis.connections()), (before, made));
        // Little is left, and Redis is slower than that.
        redis.is_silent.store(true, Ordering::SeqCst);
        let soon = Instant::now() + Duration::from_millis(500);
        assert!(time_budget::until(soon, || put(&store)).is_err());
        redis.is_silent.store(false, Ordering::SeqCst);
        assert_eq!(generation(), before, "the others' connections are as good as before");
        put(&store).unwrap();
        assert_eq!(
            redis.connections(),
            made + 1,
            "the answer that was late is nobody else's"
        );
    }

    #[test]
    fn a_redis_that_lets_a_fair_time_pass_is_gone() {
        let (redis, port) = PlayedRedis::start();
        let store = store(port, Duration::from_secs(2));
        put(&store).unwrap();
        redis.is_silent.store(true, Ordering::SeqCst);
        assert!(put(&store).is_err());
        assert_eq!(store.0.generation.load(Ordering::SeqCst), 1);
        // New connections are not answered either.
        assert!(put(&store).is_err());
        assert!(store.0.breaker.attempt().is_none());
    }

    #[test]
    fn a_redis_that_refuses_is_gone_however_little_time_is_left() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let store = store(port, Duration::from_secs(20));
        assert!(time_budget::until(Instant::now() + Duration::from_secs(2), || put(&store)).is_err());
        assert!(store.0.breaker.attempt().is_none());
    }
}
