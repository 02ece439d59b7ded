//! The connections of one server: how many there may be, which of them makes room when there are too many, and which has had
//! its time. What a connection does is written down in atomics that any thread may read; a connection is ended by an order
//! that it finds when it is woken.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};

use super::{Source, TrustedProxies, byte_budget::Budget, descriptors};
use crate::config::ServerSettings;

/// Connections beyond the most that there may be, for probes: they get `/health…` and nothing else.
const RESERVE: usize = 32;
/// Slowest that a client may take a response, once it has taken nothing for a while.
const SLOWEST_BYTES_PER_SECOND: u64 = 2048;
/// How exactly the clock of the connections goes.
const TICK: Duration = Duration::from_millis(100);
/// How many ticks pass between two looks at all connections.
const TICKS_PER_SWEEP: u32 = 5;
/// How many connections are found at once when room is needed: finding them means looking at all.
const CANDIDATES: usize = 64;
/// An idle connection that is younger may have a request on its way.
const LEAST_IDLE_MS: u64 = 200;
/// An idle connection is ended after this time: a little later than the web server does where it keeps the time itself.
const LONGEST_IDLE_MS: u64 = 80_000;

/// Connections of all servers of this process: they share its descriptors.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// What a connection is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Order {
    /// Go on.
    Serve = 0,
    /// End between two requests.
    EndWhenIdle = 1,
    /// End: the head of its request takes too long.
    EndHead = 2,
    /// End at once.
    Abort = 3,
}

/// What is known of one connection.
#[derive(Debug)]
pub struct Shared {
    source: Source,
    /// Whether it came when there were enough already.
    pub is_reserve: bool,
    order: AtomicU8,
    waker: AtomicWaker,
    /// Requests that are being served.
    active: AtomicU32,
    /// When the last request ended, or the connection began; 0 while there is one.
    idle_since: AtomicU64,
    /// When the first byte of an unfinished head came; 0 when there is none.
    head_since: AtomicU64,
    /// When the client first took nothing of the response under way; 0 when it takes what it gets.
    stalled_since: AtomicU64,
    /// What it has taken since.
    taken: AtomicU64,
}

impl Shared {
    /// What to do.
    pub fn order(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            0 => Order::Serve,
            1 => Order::EndWhenIdle,
            2 => Order::EndHead,
            _ => Order::Abort,
        }
    }

    /// Whose task to wake when there is an order.
    pub fn wake_for_orders(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        self.waker.wake();
    }

    /// The first byte of a head has come.
    pub fn begin_head(&self, now: u64) {
        self.head_since.store(now, Ordering::Relaxed);
        self.idle_since.store(0, Ordering::Relaxed);
    }

    /// The head is whole.
    pub fn end_head(&self) {
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// Whose connection it is.
    pub fn source(&self) -> Source {
        self.source
    }

    /// A request is being served.
    pub fn begin_request(&self) {
        // A stall that goes on is noted again by the next write.
        self.stalled_since.store(0, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        self.idle_since.store(0, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// Its response is complete.
    pub fn end_request(&self, now: u64) {
        if self.active.fetch_sub(1, Ordering::Relaxed) == 1 && self.head_since.load(Ordering::Relaxed) == 0 {
            self.idle_since.store(now, Ordering::Relaxed);
        }
    }

    /// Whether a request is being served.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed) > 0
    }

    /// The client takes nothing.
    pub fn stall(&self, now: u64) {
        if self.stalled_since.load(Ordering::Relaxed) == 0 {
            self.taken.store(0, Ordering::Relaxed);
            self.stalled_since.store(now, Ordering::Relaxed);
        }
    }

    /// The client took bytes of a response that had stalled.
    pub fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The client has taken everything.
    pub fn flow(&self) {
        self.stalled_since.store(0, Ordering::Relaxed);
    }

    fn takes_too_little(&self, now: u64, patience: u64) -> bool {
        let since = self.stalled_since.load(Ordering::Relaxed);
        let ms = now.saturating_sub(since);
        let least = ms.saturating_mul(SLOWEST_BYTES_PER_SECOND) / 1000;
        since != 0 && ms >= patience && self.taken.load(Ordering::Relaxed) < least
    }
}

/// How many connections and bytes a server takes.
#[derive(Debug, Clone)]
pub struct Limits {
    connections: usize,
    per_source: usize,
    head_ms: u64,
    stall_ms: u64,
}

impl Limits {
    /// Those of the settings, as far as the descriptors of this process allow.
    pub fn new(settings: &ServerSettings) -> Self {
        let room = descriptors::room_for_connections().unwrap_or(usize::MAX);
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            connections: settings.max_connections.min(room.saturating_sub(RESERVE).max(1)),
            per_source: settings.max_connections_per_address,
            head_ms: ms(settings.head_timeout),
            stall_ms: ms(settings.send_timeout),
        }
    }

    /// The most connections, those for probes left out.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// The most connections of each of so many workers: enough for an uneven share, few enough that a flood waits in the
    /// system's queue instead of taking all descriptors.
    pub fn per_worker(&self, workers: usize) -> usize {
        (self.connections + RESERVE).div_ceil(workers).saturating_add(64)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Registry {
    limits: Limits,
    trusted: TrustedProxies,
    connections: Mutex<Connections>,
    /// Milliseconds since the start, never 0.
    clock: AtomicU64,
    is_draining: AtomicBool,
    /// Bytes of bodies and unfinished heads that are being received.
    pub received: Arc<Budget>,
    /// Bytes of large responses that are being sent.
    pub sent: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Connections {
    all: HashMap<u64, Arc<Shared>>,
    next: u64,
    /// Those that count: neither in reserve nor told to make room.
    counted: HashSet<u64>,
    reserve: usize,
    per_source: HashMap<Source, usize>,
    /// Idle connections and since when, the longest idle last.
    candidates: Vec<(u64, u64)>,
}

/// A connection's place among the others, until dropped.
#[derive(Debug)]
pub struct Place {
    /// What is known of it.
    pub shared: Arc<Shared>,
    /// Where it belongs.
    pub registry: Arc<Registry>,
    id: u64,
}

impl Registry {
    /// With a thread that keeps the time until the registry is dropped.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(settings: &ServerSettings, limits: Limits) -> std::io::Result<Arc<Self>> {
        let mib = |mib: usize| mib.saturating_mul(1024 * 1024);
        let registry = Arc::new(Self {
            limits,
            trusted: TrustedProxies::new(&settings.trusted_proxies),
            connections: Mutex::default(),
            clock: AtomicU64::new(1),
            is_draining: AtomicBool::new(false),
            received: Arc::new(Budget::new(
                mib(settings.request_mib),
                mib(settings.request_mib_per_address),
            )),
            sent: Arc::new(Budget::new(
                mib(settings.response_mib),
                mib(settings.response_mib_per_address),
            )),
        });
        let watched = Arc::downgrade(&registry);
        thread::Builder::new()
            .name("connections".to_owned())
            .spawn(move || keep_time(&watched))?;
        Ok(registry)
    }

    /// Milliseconds since the start, as exactly as [`TICK`].
    pub fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Whom a request counts for: the client that a trusted proxy names, or who is at the other end.
    pub fn source(&self, peer: IpAddr, headers: &actix_web::http::header::HeaderMap) -> Source {
        self.trusted.client(peer, headers).into()
    }

    /// Gives a new connection its place; `None` when there is none to be had.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let source = Source::from(peer);
        let mut connections = self.connections();
        let own = connections.per_source.get(&source).copied().unwrap_or(0);
        let is_over = own >= self.limits.per_source && !self.trusted.is_trusted(peer);
        if is_over && !connections.end_longest_idle_of(source) {
            return None;
        }
        let has_descriptors = descriptors_left();
        let is_full = connections.counted.len() >= self.limits.connections || !has_descriptors;
        let is_reserve = is_full && !connections.end_longest_idle(self.now());
        if is_reserve && connections.reserve >= RESERVE && !connections.end_oldest_reserve() {
            return None;
        }
        let id = connections.next;
        connections.next = id.wrapping_add(1);
        let shared = Arc::new(Shared {
            source,
            is_reserve,
            order: AtomicU8::new(Order::Serve as u8),
            waker: AtomicWaker::new(),
            active: AtomicU32::new(0),
            idle_since: AtomicU64::new(self.now()),
            head_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        });
        connections.all.insert(id, Arc::clone(&shared));
        if is_reserve {
            connections.reserve += 1;
        } else {
            connections.counted.insert(id);
        }
        *connections.per_source.entry(source).or_default() += 1;
        OPEN.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            shared,
            registry: Arc::clone(self),
            id,
        })
    }

    /// From now on, every response says that its connection ends, and readiness is 503.
    pub fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Ends the connections that are idle, but for those that have just become so.
    pub fn end_idle(&self) {
        let now = self.now();
        for shared in self.connections().all.values() {
            let since = shared.idle_since.load(Ordering::Relaxed);
            if since != 0 && now.saturating_sub(since) >= LEAST_IDLE_MS {
                shared.give(Order::EndWhenIdle);
            }
        }
    }

    /// How many connections there are.
    pub fn open(&self) -> usize {
        self.connections().all.len()
    }

    fn sweep(&self, now: u64) {
        for shared in self.connections().all.values() {
            let head_since = shared.head_since.load(Ordering::Relaxed);
            // A little later than the web server itself, which answers the first head of a connection with 408.
            if head_since != 0 && now.saturating_sub(head_since) > self.limits.head_ms.saturating_add(500) {
                shared.give(Order::EndHead);
            }
            if shared.takes_too_little(now, self.limits.stall_ms) {
                shared.give(Order::Abort);
            }
            // The web server keeps this time itself, but not while the body of a request that it has answered is not whole.
            let idle_since = shared.idle_since.load(Ordering::Relaxed);
            if idle_since != 0 && now.saturating_sub(idle_since) > LONGEST_IDLE_MS {
                shared.give(Order::EndWhenIdle);
            }
        }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        // Nothing that holds the lock can leave it half changed.
        self.connections.lock()
    }
}

impl Connections {
    /// Tells the connection that has been idle longest to end; says whether there is one. The caller's takes its place.
    fn end_longest_idle(&mut self, now: u64) -> bool {
        if self.pop_candidate() {
            return true;
        }
        let counted = self.counted.iter().filter_map(|id| Some((self.all.get(id)?, *id)));
        let mut idle: Vec<_> = counted
            .map(|(shared, id)| (shared.idle_since.load(Ordering::Relaxed), id))
            .filter(|(since, _)| *since != 0 && *since <= now)
            .collect();
        idle.sort_unstable();
        idle.truncate(CANDIDATES);
        idle.reverse();
        self.candidates = idle;
        self.pop_candidate()
    }

    fn pop_candidate(&mut self) -> bool {
        while let Some((since, id)) = self.candidates.pop() {
            let shared = self
                .all
                .get(&id)
                .filter(|shared| shared.idle_since.load(Ordering::Relaxed) == since);
            if let (Some(shared), true) = (shared, self.counted.contains(&id)) {
                shared.give(Order::EndWhenIdle);
                self.counted.remove(&id);
                return true;
            }
        }
        false
    }

    fn end_longest_idle_of(&mut self, source: Source) -> bool {
        let idle = self
            .all
            .iter()
            .filter(|(_, shared)| shared.source == source && shared.order() == Order::Serve);
        let idle = idle.map(|(id, shared)| (shared.idle_since.load(Ordering::Relaxed), *id, shared));
        let Some((_, id, shared)) = idle
            .filter(|(since, ..)| *since != 0)
            .min_by_key(|(since, id, _)| (*since, *id))
        else {
            return false;
        };
        shared.give(Order::EndWhenIdle);
        self.counted.remove(&id);
        true
    }

    /// Of the connections in reserve, ends the oldest that has not sent its request: a probe sends it at once.
    fn end_oldest_reserve(&mut self) -> bool {
        let waiting = self.all.iter().filter(|(_, shared)| {
            shared.is_reserve && !shared.is_active() && shared.order.load(Ordering::Relaxed) != Order::Abort as u8
        });
        let Some((_, shared)) = waiting.min_by_key(|(id, _)| **id) else {
            return false;
        };
        shared.give(Order::Abort);
        self.reserve = self.reserve.saturating_sub(1);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
        let mut connections = self.registry.connections();
        connections.all.remove(&self.id);
        connections.counted.remove(&self.id);
        if self.shared.is_reserve {
            connections.reserve = connections
                .all
                .values()
                .filter(|other| other.is_reserve && other.order() != Order::Abort)
                .count();
        }
        if let Some(count) = connections.per_source.get_mut(&self.shared.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                connections.per_source.remove(&self.shared.source);
            }
        }
    }
}

fn descriptors_left() -> bool {
    // Asked for once: the limit is raised before any server starts, and nobody lowers it.
    static ROOM: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let room = *ROOM.get_or_init(|| descriptors::room_for_connections().unwrap_or(usize::MAX));
    OPEN.load(Ordering::Relaxed) < room
}

fn keep_time(watched: &Weak<Registry>) {
    let start = Instant::now();
    let mut ticks: u32 = 0;
    loop {
        thread::sleep(TICK);
        let Some(registry) = watched.upgrade() else { return };
        let now = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        registry.clock.store(now, Ordering::Relaxed);
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(TICKS_PER_SWEEP) {
            registry.sweep(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(connections: usize, per_source: usize) -> Arc<Registry> {
        let settings = ServerSettings {
            max_connections: connections,
            max_connections_per_address: per_source,
            ..ServerSettings::default()
        };
        Registry::start(&settings, Limits::new(&settings)).expect("a registry")
    }

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn idle_since(place: &Place, since: u64) {
        place.shared.idle_since.store(since, Ordering::Relaxed);
    }

    #[test]
    fn when_full_the_longest_idle_makes_room_and_a_busy_one_never_does() {
        let registry = registry(3, 100);
        let places: Vec<_> = (0..3).map(|_| registry.admit(peer(1)).expect("room")).collect();
        places[0].shared.begin_request();
        idle_since(&places[1], 7);
        idle_since(&places[2], 5);
        registry.clock.store(10, Ordering::Relaxed);
        let fourth = registry.admit(peer(1)).expect("room was made");
        assert!(!fourth.shared.is_reserve);
        let orders: Vec<_> = places.iter().map(|place| place.shared.order()).collect();
        assert_eq!(orders, [Order::Serve, Order::Serve, Order::EndWhenIdle]);
    }

    #[test]
    fn when_all_are_busy_the_reserve_is_for_probes_and_the_oldest_that_sends_nothing_makes_room_there() {
        let registry = registry(1, 1000);
        let busy = registry.admit(peer(1)).expect("room");
        busy.shared.begin_request();
        let reserve: Vec<_> = (0..RESERVE)
            .map(|_| registry.admit(peer(1)).expect("the reserve"))
            .collect();
        assert!(reserve.iter().all(|place| place.shared.is_reserve));
        reserve[0].shared.begin_request();
        let probe = registry.admit(peer(2)).expect("room was made");
        assert!(probe.shared.is_reserve);
        assert_eq!(reserve[1].shared.order(), Order::Abort);
        assert!([0, 2, 3].iter().all(|n| reserve[*n].shared.order() == Order::Serve));
        drop((busy, reserve, probe));
        assert_eq!(registry.open(), 0);
        assert!(!registry.admit(peer(1)).expect("room").shared.is_reserve);
    }

    #[test]
    fn an_address_has_its_own_limit() {
        let registry = registry(100, 2);
        let places = [registry.admit(peer(1)), registry.admit(peer(1))].map(|place| place.expect("room"));
        places[0].shared.begin_request();
        let third = registry.admit(peer(1)).expect("room was made");
        assert_eq!(places[1].shared.order(), Order::EndWhenIdle);
        third.shared.begin_request();
        assert!(
            registry.admit(peer(1)).is_none(),
            "its connections are all busy, or on their way out"
        );
        assert!(registry.admit(peer(2)).is_some(), "others are not concerned");
    }

    #[test]
    fn a_client_must_take_something_and_not_too_little() {
        let registry = registry(1, 1);
        let place = registry.admit(peer(1)).expect("room");
        let shared = &place.shared;
        assert!(!shared.takes_too_little(40_000, 30_000), "nothing has stalled");
        shared.stall(1000);
        assert!(!shared.takes_too_little(30_000, 30_000), "29 seconds");
        assert!(shared.takes_too_little(31_000, 30_000));
        shared.take(1);
        assert!(shared.takes_too_little(31_000, 30_000), "a byte is too little");
        shared.take(100_000);
        assert!(!shared.takes_too_little(31_000, 30_000));
        assert!(shared.takes_too_little(120_000, 30_000), "it has stopped");
        shared.flow();
        assert!(!shared.takes_too_little(120_000, 30_000));
    }
}
