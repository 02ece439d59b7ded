//! The connections of one server: how many there may be, which one makes room when there are too many, and which one has
//! run out of time. Each connection records what it does in atomics that any thread may read. To close a connection, the
//! registry sets its close mode and wakes it.

mod connection_state;
mod connections;
mod limits;

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use actix_web::http::header::HeaderMap;
use parking_lot::Mutex;

pub use self::{
    connection_state::{CloseMode, ConnectionState},
    limits::Limits,
};
use self::{connections::Connections, limits::PROBE_RESERVE};
use super::{Source, TrustedProxies, byte_budget::ByteBudget, descriptors, tls::Tls};
use crate::{
    config::ServerSettings,
    loopback::is_loopback_address,
    metrics::{self, Observation},
};

/// Resolution of the registry's clock.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two checks of all connections.
const TICKS_PER_SWEEP: u32 = 5;
/// A connection that has been idle for less may have a request on its way.
const MIN_IDLE_MS: u64 = 200;
/// An idle connection is closed after this time: a little later than by the web server, where that keeps the time itself.
const MAX_IDLE_MS: u64 = 80_000;
/// The web server answers the first head of a connection with 408 when it is late. This margin leaves it time to do so.
const HEAD_MARGIN_MS: u64 = 500;

/// Connections of all servers in this process, which share its file descriptors.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// See the module.
#[derive(Debug)]
pub struct Registry {
    /// The server in the metrics: `api`, `client`, …
    pub role: &'static str,
    _observation: Observation,
    limits: Limits,
    trusted: TrustedProxies,
    connections: Mutex<Connections>,
    /// Milliseconds since the start, never 0.
    clock: AtomicU64,
    is_draining: AtomicBool,
    tls: Option<Tls>,
    /// Bytes of bodies and unfinished heads that are being received.
    pub received: Arc<ByteBudget>,
    /// Bytes of large responses that are being sent.
    pub sent: Arc<ByteBudget>,
}

/// The entry of one connection in the registry, until dropped.
#[derive(Debug)]
pub struct ConnectionGuard {
    /// What the connection does.
    pub state: Arc<ConnectionState>,
    /// The registry with the entry.
    pub registry: Arc<Registry>,
    /// Whether the client lacks the certificate that the server requires of all but probes.
    pub may_only_probe: bool,
    id: u64,
}

impl Registry {
    /// A registry with a thread that runs its clock until the registry is dropped.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn start(
        role: &'static str,
        settings: &ServerSettings,
        limits: Limits,
        tls: Option<Tls>,
    ) -> std::io::Result<Arc<Self>> {
        let mib = |mib: usize| mib.saturating_mul(1024 * 1024);
        let registry = Arc::new_cyclic(|registry: &Weak<Self>| Self {
            role,
            _observation: metrics::http::observe_connections(role, {
                let registry = registry.clone();
                move || Some(registry.upgrade()?.connection_counts())
            }),
            limits,
            trusted: TrustedProxies::new(&settings.trusted_proxies),
            connections: Mutex::default(),
            clock: AtomicU64::new(1),
            is_draining: AtomicBool::new(false),
            tls,
            received: Arc::new(ByteBudget::new(
                mib(settings.request_mib),
                mib(settings.request_mib_per_address),
            )),
            sent: Arc::new(ByteBudget::new(
                mib(settings.response_mib),
                mib(settings.response_mib_per_address),
            )),
        });
        let weak = Arc::downgrade(&registry);
        thread::Builder::new()
            .name("connections".to_owned())
            .spawn(move || run_clock(&weak))?;
        Ok(registry)
    }

    /// Milliseconds since the start, in steps of [`TICK`].
    pub fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Whether clients can trust the server's certificate, if it speaks TLS.
    pub fn has_certificate(&self) -> bool {
        self.tls.as_ref().is_none_or(Tls::is_ready)
    }

    /// The TLS configuration; `None` for plain HTTP.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The client that a request counts for: the one that a trusted proxy names, or the peer.
    /// `None` is a Unix socket without such a proxy: all its clients together, which no limit per address applies to.
    pub fn source(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<Source> {
        self.trusted.source(peer, headers)
    }

    /// Adds a new connection; `None` when there is no room for it. `peer` is `None` for a Unix socket.
    pub fn admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<ConnectionGuard> {
        let source = peer.map(Source::from);
        let mut connections = self.connections.lock();
        let is_over = |source| connections.of_source(source) >= self.limits.per_source;
        let limited = source.filter(|source| !self.trusted.is_trusted_peer(peer) && is_over(*source));
        let is_over = limited.is_some_and(|source| !connections.close_longest_idle_of(source));
        // Otherwise a proxy on this machine, if it is not trusted, would crowd out the probe that systemd's watchdog needs.
        if is_over && !peer.is_some_and(is_loopback_address) {
            metrics::http::connection_refused(self.role);
            return None;
        }
        let is_full = connections.counted() >= self.limits.connections() || !has_descriptors();
        let is_reserve = is_over || (is_full && !connections.close_longest_idle(self.now()));
        if is_reserve && connections.reserve() >= PROBE_RESERVE && !connections.close_oldest_reserve() {
            metrics::http::connection_refused(self.role);
            return None;
        }
        let state = Arc::new(ConnectionState::new(source, is_reserve, self.now()));
        let id = connections.insert(&state);
        OPEN.fetch_add(1, Ordering::Relaxed);
        Some(ConnectionGuard {
            state,
            registry: Arc::clone(self),
            may_only_probe: false,
            id,
        })
    }

    /// From now on, every response closes its connection, and readiness is 503.
    pub fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Closes the connections that have been idle for [`MIN_IDLE_MS`].
    pub fn close_idle(&self) {
        let now = self.now();
        for state in self.connections.lock().all.values() {
            if age_ms(state.idle_since(), now) >= MIN_IDLE_MS {
                state.close(CloseMode::WhenIdle);
            }
        }
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.connections.lock().all.len()
    }

    fn connection_counts(&self) -> metrics::http::Connections {
        let connections = self.connections.lock();
        metrics::http::Connections {
            open: connections.all.len(),
            limit: self.limits.connections(),
            active_requests: connections.all.values().filter(|state| state.is_active()).count(),
        }
    }

    fn sweep(&self, now: u64) {
        let head_ms = self.limits.head_ms.saturating_add(HEAD_MARGIN_MS);
        for state in self.connections.lock().all.values() {
            if age_ms(state.head_since(), now) > head_ms {
                state.close(CloseMode::HeadTimeout);
            }
            if state.reads_too_slowly(now, self.limits.send_ms) {
                state.close(CloseMode::Abort);
            }
            // The web server keeps this time too, but not while it still receives the body of an answered request.
            if age_ms(state.idle_since(), now) > MAX_IDLE_MS {
                state.close(CloseMode::WhenIdle);
            }
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
        self.registry.connections.lock().remove(self.id, &self.state);
    }
}

fn age_ms(since: Option<u64>, now: u64) -> u64 {
    since.map_or(0, |since| now.saturating_sub(since))
}

fn has_descriptors() -> bool {
    // Read once: the program raises the limit before any server starts, and nothing lowers it.
    static ROOM: OnceLock<usize> = OnceLock::new();
    let room = *ROOM.get_or_init(|| descriptors::room_for_connections().unwrap_or(usize::MAX));
    OPEN.load(Ordering::Relaxed) < room
}

fn run_clock(registry: &Weak<Registry>) {
    let start = Instant::now();
    let mut ticks: u32 = 0;
    loop {
        thread::sleep(TICK);
        let Some(registry) = registry.upgrade() else { return };
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
        Registry::start("test", &settings, Limits::new(&settings), None).expect("a registry")
    }

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn when_full_the_longest_idle_makes_room_and_a_busy_one_never_does() {
        let registry = registry(3, 100);
        let guards: Vec<_> = (0..3).map(|_| registry.admit(Some(peer(1))).expect("room")).collect();
        guards[0].state.begin_request();
        guards[1].state.set_idle_since(7);
        guards[2].state.set_idle_since(5);
        registry.clock.store(10, Ordering::Relaxed);
        let fourth = registry.admit(Some(peer(1))).expect("room was made");
        assert!(!fourth.state.is_reserve);
        let modes: Vec<_> = guards.iter().map(|guard| guard.state.close_mode()).collect();
        assert_eq!(modes, [CloseMode::None, CloseMode::None, CloseMode::WhenIdle]);
    }

    #[test]
    fn when_all_are_busy_the_reserve_is_for_probes_and_the_oldest_that_sends_nothing_makes_room_there() {
        let registry = registry(1, 1000);
        let busy = registry.admit(Some(peer(1))).expect("room");
        busy.state.begin_request();
        let reserve: Vec<_> = (0..PROBE_RESERVE)
            .map(|_| registry.admit(Some(peer(1))).expect("the reserve"))
            .collect();
        assert!(reserve.iter().all(|guard| guard.state.is_reserve));
        reserve[0].state.begin_request();
        let probe = registry.admit(Some(peer(2))).expect("room was made");
        assert!(probe.state.is_reserve);
        assert_eq!(reserve[1].state.close_mode(), CloseMode::Abort);
        assert!(
            [0, 2, 3]
                .iter()
                .all(|n| reserve[*n].state.close_mode() == CloseMode::None)
        );
        drop((busy, reserve, probe));
        assert_eq!(registry.open_connections(), 0);
        assert!(!registry.admit(Some(peer(1))).expect("room").state.is_reserve);
    }

    #[test]
    fn an_address_has_its_own_limit() {
        let registry = registry(100, 2);
        let guards = [registry.admit(Some(peer(1))), registry.admit(Some(peer(1)))].map(|guard| guard.expect("room"));
        guards[0].state.begin_request();
        let third = registry.admit(Some(peer(1))).expect("room was made");
        assert_eq!(guards[1].state.close_mode(), CloseMode::WhenIdle);
        third.state.begin_request();
        assert!(
            registry.admit(Some(peer(1))).is_none(),
            "its connections are all busy, or on their way out"
        );
        assert!(registry.admit(Some(peer(2))).is_some(), "others are not concerned");
    }

    #[test]
    fn on_this_machine_a_probe_gets_through_the_limit_of_the_address() {
        let registry = registry(100, 2);
        let local = Some(IpAddr::from([127, 0, 0, 1]));
        let guards = [registry.admit(local), registry.admit(local)].map(|guard| guard.expect("room"));
        for guard in &guards {
            guard.state.begin_request();
        }
        let probe = registry.admit(local).expect("the reserve");
        assert!(probe.state.is_reserve, "it serves nothing but /health");
    }

    #[test]
    fn the_limit_of_an_address_does_not_apply_to_unix_sockets() {
        let registry = registry(100, 2);
        let guards: Vec<_> = (0..10).map(|_| registry.admit(None).expect("room")).collect();
        for guard in &guards {
            guard.state.begin_request();
        }
        assert!(registry.admit(None).is_some_and(|guard| !guard.state.is_reserve));
        drop(guards);
        assert_eq!(registry.open_connections(), 0);
    }
}
