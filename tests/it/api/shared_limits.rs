//! Rate limits that replicas share in Redis.

use std::{thread, time::Instant};

use blogctl::{config::Settings, serve};
use redis::Commands as _;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    api::{Client, TestApi},
    attacks,
    entra::wait_until,
    redis::RedisServer,
    system::TestServer,
};

const BURST: u32 = 60;
/// A tenth of the burst.
const LEASE: u32 = BURST / 10;

/// Three replicas, each with its own database, that share their limits.
struct Replicas {
    first: TestApi,
    others: [TestServer; 2],
}

impl Replicas {
    fn start(redis: &RedisServer, change: impl Fn(&mut Settings)) -> Self {
        let first = TestApi::with(|settings| {
            settings.redis = redis.settings();
            settings.api.limit_reads_burst = BURST;
            settings.api.limit_reads_per_second = 1;
            change(settings);
        });
        let others = ["second.db", "third.db"].map(|name| {
            let mut settings = first.settings.clone();
            settings.database.url = settings.database.url.replace("blog.db", name);
            TestServer::api(serve::listen("127.0.0.1", 0).expect("a free port"), settings)
        });
        Self { first, others }
    }

    /// The same caller at each replica.
    fn clients(&self, client: &Client) -> [Client; 3] {
        let [second, third] = &self.others;
        [
            client.clone(),
            client.at_server(&second.url("")),
            client.at_server(&third.url("")),
        ]
    }
}

/// Sends `each` requests to every replica at the same time; returns how many were admitted, and the whole seconds that it took.
fn flood(clients: &[Client; 3], each: u32) -> (u32, u32) {
    let begun = Instant::now();
    let admitted = thread::scope(|scope| {
        let floods = clients.each_ref().map(|client| {
            scope.spawn(move || {
                let statuses = (0..each).map(|_| client.get("/v1/posts").status);
                statuses
                    .map(|status| {
                        assert!(status == 200 || status == 429, "{status}");
                        u32::from(status == 200)
                    })
                    .sum::<u32>()
            })
        });
        floods.map(|flood| flood.join().expect("no panic")).iter().sum()
    });
    (admitted, u32::try_from(begun.elapsed().as_secs()).expect("a while") + 1)
}

#[test]
fn three_replicas_admit_together_what_one_would() {
    let Some(redis) = RedisServer::start() else { return };
    let replicas = Replicas::start(&redis, |_| {});
    let (admitted, seconds) = flood(&replicas.clients(&replicas.first.alice()), BURST);
    let most = BURST + seconds + 3 * LEASE;
    attacks::record("API: rate limits", "a flood at three replicas", admitted <= most);
    assert!(
        (BURST..=most).contains(&admitted),
        "{admitted} admitted in {seconds} seconds"
    );
    let (bob, _) = flood(&replicas.clients(&replicas.first.bob()), 5);
    assert_eq!(bob, 15, "another caller has a separate budget");
}

#[test]
fn most_requests_need_no_round_trip() {
    let Some(redis) = RedisServer::start() else { return };
    let api = TestApi::with(|settings| settings.redis = redis.settings());
    let alice = api.alice();
    let mut connection = redis.connection();
    let scripts = |connection: &mut redis::Connection| -> usize {
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query(connection)
            .expect("statistics");
        let of_eval = stats.lines().find_map(|line| line.strip_prefix("cmdstat_eval:calls="));
        of_eval
            .and_then(|line| line.split(',').next()?.parse().ok())
            .unwrap_or_default()
    };
    let before = scripts(&mut connection);
    for _ in 0..100 {
        assert_eq!(alice.get("/v1/posts").status, 200);
    }
    let asked = scripts(&mut connection) - before;
    // Leases of 50 reads and of 200 requests of the address.
    assert!((1..=10).contains(&asked), "{asked} scripts for 100 requests");
}

#[test]
fn without_redis_each_replica_goes_on_with_its_own_limit() {
    let Some(mut redis) = RedisServer::start() else { return };
    let replicas = Replicas::start(&redis, |_| {});
    let alice = replicas.clients(&replicas.first.alice());
    for client in &alice {
        assert_eq!(client.get("/v1/posts").status, 200);
    }
    redis.stop();
    let (admitted, seconds) = flood(&alice, BURST + 20);
    attacks::record(
        "API: rate limits",
        "a flood while Redis is away",
        admitted <= 3 * (BURST + seconds),
    );
    assert!(
        (3 * (BURST - 1)..=3 * (BURST + seconds)).contains(&admitted),
        "neither open nor closed: {admitted} admitted in {seconds} seconds"
    );
    assert!(redis.restart());
    for replica in 0..3 {
        wait_until("the replica shares its limits again", || {
            let before = shared_budgets(&redis);
            let oid = Uuid::new_v4().to_string();
            let stranger = replicas.first.bearer(|token| token.oid(&oid));
            replicas.clients(&stranger)[replica].get("/v1/posts");
            shared_budgets(&redis) > before
        });
    }
    let (admitted, seconds) = flood(&replicas.clients(&replicas.first.bob()), BURST);
    assert!(
        admitted <= BURST + seconds + 3 * LEASE,
        "{admitted} admitted in {seconds} seconds"
    );
}

/// How many callers have a shared budget of reads that is not full.
fn shared_budgets(redis: &RedisServer) -> usize {
    let keys: Vec<String> = redis.connection().keys("*:limit:reads:*").expect("the keys");
    keys.len()
}

#[test]
fn a_redis_that_hangs_delays_requests_only_briefly_and_fails_none() {
    let Some(redis) = RedisServer::start() else { return };
    let replicas = Replicas::start(&redis, |_| {});
    let clients = replicas.clients(&replicas.first.alice());
    redis.pause();
    let (admitted, _) = flood(&clients, 20);
    redis.unpause();
    assert_eq!(admitted, 60);
}

#[test]
fn rejected_tokens_count_at_all_replicas_together() {
    let Some(redis) = RedisServer::start() else { return };
    let replicas = Replicas::start(&redis, |settings| settings.api.limit_failures_per_minute = 6);
    let begun = Instant::now();
    let guess = |n: u32| {
        let forged = replicas
            .first
            .bearer(|token| token.sign_with("foreign").claim("n", json!(n)));
        replicas.clients(&forged)[n as usize % 3].get("/v1/posts").status
    };
    let verified = (0..30).map(guess).filter(|status| *status == 401).count();
    // Each replica learns with one more token that nothing is left. The budget regains one in ten seconds.
    let most = 6 + 3 + usize::try_from(begun.elapsed().as_secs() / 10).expect("a while") * 3;
    attacks::record(
        "API: rate limits",
        "guessing tokens at three replicas",
        verified <= most,
    );
    assert!((6..=most).contains(&verified), "{verified} verified");
}

#[test]
fn limits_are_not_shared_if_the_settings_say_so() {
    let Some(redis) = RedisServer::start() else { return };
    let replicas = Replicas::start(&redis, |settings| settings.api.share_rate_limits = false);
    let (admitted, _) = flood(&replicas.clients(&replicas.first.alice()), BURST);
    assert_eq!(admitted, 3 * BURST);
    assert_eq!(shared_budgets(&redis), 0);
}
