//! Redis on several servers: sessions survive a failover, and slots of a cluster move, while users sign in and read pages.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use blogctl::config::RedisSettings;
use parking_lot::Mutex;

use super::is_signed_in;
use crate::support::{
    redis_nodes::{RedisCluster, RedisSentinels},
    system::TestSystem,
    web::{ALICE, BOB, Browser},
};

/// Browsers that read pages during the whole test.
const READERS: usize = 6;
/// `redis.timeout_seconds` is 2. A page also waits for other servers, and for this machine.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Responses that users got.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) pages: usize,
    pub(super) sign_ins: usize,
    pub(super) unavailable: usize,
    /// When the last page with status 503 came.
    last_unavailable: Option<Instant>,
    longest: Duration,
    /// Every other response.
    pub(super) wrong: Vec<String>,
}

/// Users of a site who read pages and sign in until they are stopped.
pub(super) struct Load {
    system: TestSystem,
    readers: Vec<Browser>,
    seen: Mutex<Seen>,
    stop: AtomicBool,
}

impl Load {
    pub(super) fn new(redis: RedisSettings) -> Self {
        let system = TestSystem::with(|settings| settings.redis = redis);
        let sign_in = |n: usize| {
            let browser = Browser::new();
            let page = browser.sign_in(&system, [ALICE, BOB][n % 2], "/profile");
            assert_eq!(page.status, 200, "{}", page.body);
            browser
        };
        let readers = (0..READERS).map(sign_in).collect();
        Self {
            system,
            readers,
            seen: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Runs `meanwhile` while users read pages and sign in. Returns what they saw.
    pub(super) fn run(&self, meanwhile: impl FnOnce()) -> Seen {
        /// Stops the users even when `meanwhile` panics.
        struct Stop<'l>(&'l AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        thread::scope(|scope| {
            let _stop = Stop(&self.stop);
            for browser in &self.readers {
                scope.spawn(|| self.repeat(|| self.read(browser)));
            }
            scope.spawn(|| self.repeat(|| self.sign_in()));
            meanwhile();
        });
        std::mem::take(&mut self.seen.lock())
    }

    fn repeat(&self, act: impl Fn()) {
        while !self.stop.load(Ordering::Acquire) {
            act();
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn read(&self, browser: &Browser) {
        let begun = Instant::now();
        let page = browser.get_once(&self.system.web.url("/profile"));
        let took = begun.elapsed();
        let mut seen = self.seen.lock();
        seen.longest = seen.longest.max(took);
        match page.status {
            200 => seen.pages += 1,
            503 => {
                seen.unavailable += 1;
                seen.last_unavailable = Some(Instant::now());
            }
            status => seen.wrong.push(format!("{status} {}", page.header("location"))),
        }
    }

    fn sign_in(&self) {
        let browser = Browser::new();
        let page = browser.sign_in(&self.system, ALICE, "/profile");
        let mut seen = self.seen.lock();
        match page.status {
            200 => seen.sign_ins += 1,
            503 => seen.unavailable += 1,
            status => seen.wrong.push(format!("sign-in: {status} {}", page.url)),
        }
    }

    /// Waits until every user sees a page again, three times in a row.
    fn wait_until_all_served(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        let mut in_a_row = 0;
        while in_a_row < 3 {
            let is_served = |browser: &Browser| is_signed_in(browser, &self.system.web);
            in_a_row = if self.readers.iter().all(is_served) {
                in_a_row + 1
            } else {
                0
            };
            assert!(Instant::now() < deadline, "not all users are served again");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until some more pages were read and users signed in.
    pub(super) fn wait_for_more(&self) {
        let before = {
            let seen = self.seen.lock();
            (seen.pages, seen.sign_ins)
        };
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let seen = self.seen.lock();
            if seen.pages > before.0 + 20 && seen.sign_ins > before.1 {
                return;
            }
            drop(seen);
            assert!(Instant::now() < deadline, "users wait too long");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Seen {
    fn assert_failover(&self, killed: Instant) {
        assert!(self.wrong.is_empty(), "a user was signed out: {self:?}");
        assert!(self.longest < LONGEST_WAIT, "{self:?}");
        // A primary is replaced after about three seconds.
        let outage = self.last_unavailable.map_or(Duration::ZERO, |last| last - killed);
        assert!(outage < Duration::from_secs(40), "{outage:?} {self:?}");
    }
}

#[test]
fn sessions_survive_the_failover_of_a_node_of_a_cluster_under_load() {
    let Some(mut cluster) = RedisCluster::start(false) else {
        return;
    };
    let load = Load::new(cluster.settings());
    for primary in 0..3 {
        cluster.wait_until_replicated(primary);
    }
    let mut killed = Instant::now();
    let seen = load.run(|| {
        load.wait_for_more();
        killed = Instant::now();
        // One of the addresses in the settings, too.
        cluster.nodes[1].kill();
        cluster.wait_until_failed_over(1);
        load.wait_until_all_served();
        load.wait_for_more();
    });
    seen.assert_failover(killed);
}

#[test]
fn moved_slots_of_a_cluster_fail_no_request() {
    let Some(cluster) = RedisCluster::start(true) else {
        return;
    };
    let load = Load::new(cluster.settings());
    let mut moved = 0;
    let seen = load.run(|| {
        load.wait_for_more();
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            moved += cluster.move_slots(from, to);
            load.wait_for_more();
        }
    });
    assert!(moved > READERS, "only {moved} slots were in use");
    assert!(seen.wrong.is_empty() && seen.unavailable == 0, "{seen:?}");
}

#[test]
fn sessions_survive_a_failover_by_sentinels_under_load() {
    let Some(mut redis) = RedisSentinels::start(false) else {
        return;
    };
    let load = Load::new(redis.settings());
    redis.wait_until_replicated();
    let mut killed = Instant::now();
    let seen = load.run(|| {
        load.wait_for_more();
        killed = Instant::now();
        redis.servers[0].kill();
        redis.sentinels[0].kill();
        load.wait_until_all_served();
        load.wait_for_more();
    });
    assert_eq!(redis.primary(1), redis.servers[1].port);
    seen.assert_failover(killed);
}

#[test]
fn a_primary_that_becomes_a_replica_is_left_at_once() {
    let Some(redis) = RedisSentinels::start(true) else {
        return;
    };
    let load = Load::new(redis.settings());
    redis.wait_until_replicated();
    let begun = Instant::now();
    let seen = load.run(|| {
        load.wait_for_more();
        redis.sentinels[0].run::<()>(&format!("SENTINEL FAILOVER {}", crate::support::redis_nodes::PRIMARY));
        let deadline = Instant::now() + Duration::from_secs(30);
        while redis.primary(0) != redis.servers[1].port {
            assert!(Instant::now() < deadline, "no failover");
            thread::sleep(Duration::from_millis(20));
        }
        load.wait_until_all_served();
        load.wait_for_more();
    });
    seen.assert_failover(begun);
}
