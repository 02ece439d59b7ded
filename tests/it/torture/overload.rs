//! Ten times as many requests arrive as the database can take. Those that are accepted have a bounded latency, the others get
//! 429 or 503, and afterwards the API is as fast as before.

use std::{
    collections::{BTreeMap, HashSet},
    thread,
    time::{Duration, Instant},
};

use diesel::{Connection as _, PgConnection, connection::SimpleConnection as _};
use parking_lot::Mutex;
use serde_json::json;
use uuid::Uuid;

use super::{
    either,
    report::{Row, counts},
    stage::{Stage, Store},
};
use crate::{
    hostile::{Connection, status_in},
    support::{api::Client, postgres_server::PostgresServer},
};

/// Each new post keeps a connection to PostgreSQL busy for this time.
const WRITE_SECONDS: f64 = 0.05;
const POOL: u32 = 2;
/// Clients with a separate user each, which send two requests per second each.
const CLIENTS: usize = 300;
/// Clients that share one user, and so exceed the rate limit.
const GREEDY: usize = 100;
/// Only a hanging API reaches it.
const MAX_LATENCY: Duration = Duration::from_mins(1);

#[derive(Default)]
struct Seen {
    /// Seconds of each accepted request.
    accepted: Mutex<Vec<f64>>,
    /// Seconds of each refused request.
    refused: Mutex<Vec<f64>>,
    refusals: Mutex<BTreeMap<String, usize>>,
    titles: Mutex<HashSet<String>>,
}

/// Sends two requests per second, and repeats a refused one under its key.
fn client(url: &str, token: &str, name: &str, end: Instant, seen: &Seen) {
    let mut connection = Connection::to(url);
    let mut n = 0;
    // Not all at the same time.
    let mut next = Instant::now() + Duration::from_millis(u64::from(Uuid::new_v4().as_fields().1) % 500);
    while next < end {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let title = format!("{name}, post {n}");
        let body = json!({ "title": title, "content": "One of many." }).to_string();
        let start = Instant::now();
        let request = format!(
            "POST /v1/posts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            title.replace([' ', ','], "-"),
            body.len()
        );
        connection.send(request.as_bytes());
        let head = connection.head();
        let seconds = start.elapsed().as_secs_f64();
        connection.skip_body(&head);
        let lower = head.to_ascii_lowercase();
        let status = status_in(&head);
        if status == 201 {
            seen.accepted.lock().push(seconds);
            seen.titles.lock().insert(title);
            n += 1;
        } else {
            let has_time = lower.contains("\r\nretry-after: ");
            assert!(has_time || !matches!(status, 429 | 503), "{head}");
            seen.refused.lock().push(seconds);
            *seen.refusals.lock().entry(status.to_string()).or_default() += 1;
        }
        if lower.contains("\r\nconnection: close\r\n") {
            connection = Connection::to(url);
        }
        next = (next + Duration::from_millis(500)).max(Instant::now());
    }
}

#[test]
fn overload_is_refused_and_leaves_no_trace() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(store) = Store::postgres_in(folder.path()) else {
        return;
    };
    let settings = [
        &*format!("database.pool_size={POOL}"),
        "database.deadline_seconds=1",
        "api.rate_limits=true",
        "api.limit_writes_per_second=5",
        "api.limit_writes_burst=10",
    ];
    let mut stage = Stage::with(folder, store, &settings, &[]);
    slow_down(&mut stage);

    let user = |n: usize| {
        let oid = Uuid::from_u128(n as u128 + 1).to_string();
        stage.control().token().oid(&oid).mint()
    };
    let capacity = capacity(&stage, &user(100_000), &user(100_001));
    let greedy = user(200_000);
    let (seen, start) = (Seen::default(), Instant::now());
    let end = start + Duration::from_secs(either(5, 60));
    let url = stage.url();
    thread::scope(|scope| {
        for n in 0..CLIENTS + GREEDY {
            let token = if n < CLIENTS { user(n) } else { greedy.clone() };
            let (url, seen) = (&url, &seen);
            let run = move || client(url, &token, &format!("Client {n}"), end, seen);
            let small = thread::Builder::new().stack_size(256 * 1024);
            small.spawn_scoped(scope, run).expect("a thread");
        }
        // Probes pass.
        while Instant::now() < end {
            let mut probe = Connection::to(&url);
            probe.get("/health/live");
            assert_eq!(probe.status(), 200);
            thread::sleep(Duration::from_millis(200));
        }
    });
    let seconds = start.elapsed().as_secs_f64();

    // A new client is served at once.
    let healed = Instant::now();
    let calm = Client::at(&url, &user(300_000));
    let deadline = healed + Duration::from_mins(1);
    while calm
        .post("/v1/posts", &json!({ "title": "Calm", "content": "Again." }))
        .status
        != 201
    {
        assert!(Instant::now() < deadline, "the API does not recover");
    }
    let recovered_in = healed.elapsed();

    let errors = stage.api.terminate();
    let stored: Vec<_> = stage.store.posts().into_values().map(|text| text.title).collect();
    let distinct: HashSet<_> = stored.iter().collect();
    let titles = seen.titles.into_inner();
    let lost = titles.iter().filter(|title| !distinct.contains(title)).count();
    let doubled = stored.len() - distinct.len();
    let (mut accepted, mut refused) = (seen.accepted.into_inner(), seen.refused.into_inner());
    let refusals = seen.refusals.into_inner();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let offered = (accepted.len() + refused.len()) as f64 / seconds;
    Row {
        scenario: "overload",
        database: "PostgreSQL",
        acknowledged: accepted.len(),
        lost,
        doubled,
        recovered_in: Some(recovered_in),
        remarks: format!(
            "{}, offered {:.1} times the capacity, accepted within {}, refused within {}",
            counts(&refusals),
            offered / capacity,
            percentiles(&mut accepted),
            percentiles(&mut refused),
        ),
    }
    .record();
    assert_eq!((lost, doubled), (0, 0));
    assert!(!accepted.is_empty());
    assert_eq!(
        refusals.keys().collect::<Vec<_>>(),
        ["429", "503"],
        "{refusals:?}\n{errors}"
    );
    assert!(accepted.iter().all(|seconds| *seconds < MAX_LATENCY.as_secs_f64()));
}

/// Makes each new post take its time.
fn slow_down(stage: &mut Stage) {
    let url = PostgresServer::url_at(stage.store.postgres().0.port);
    let mut connection = PgConnection::establish(&url).expect("the server");
    connection
        .batch_execute(&format!(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_sleep({WRITE_SECONDS}); RETURN NEW; END $$;
             CREATE TRIGGER slow BEFORE INSERT ON blog_posts FOR EACH ROW EXECUTE FUNCTION slow()"
        ))
        .expect("a trigger");
}

/// Posts per second that the database takes: two clients write ten posts each, the burst of their limit.
fn capacity(stage: &Stage, first: &str, second: &str) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for token in [first, second] {
            let client = Client::at(&stage.url(), token);
            scope.spawn(move || {
                for n in 0..10 {
                    client.write(&format!("Capacity {n} {}", Uuid::new_v4()), "Measured.");
                }
            });
        }
    });
    20.0 / start.elapsed().as_secs_f64()
}

/// Median and 99th percentile.
fn percentiles(seconds: &mut [f64]) -> String {
    seconds.sort_by(f64::total_cmp);
    let at = |part: usize| seconds.get(seconds.len() * part / 100).copied().unwrap_or_default();
    format!("{:.2} s (p99 {:.2} s)", at(50), at(99))
}
