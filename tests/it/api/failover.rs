//! The API in front of two PostgreSQL servers: when the primary dies or refuses writes, requests get 503 and never 500, and the
//! API uses the promoted standby within seconds.

use std::time::{Duration, Instant};

use blogctl::config::{DatabaseSettings, Settings};
use serde_json::{Value, json};

use crate::support::{
    api::{Client, TestApi},
    postgres_cluster::PostgresCluster,
};

/// Longest wait; only a failing test reaches it.
const GUARD: Duration = Duration::from_mins(1);

fn on(url: String) -> impl FnOnce(&mut Settings) {
    move |settings| {
        settings.database = DatabaseSettings {
            url,
            pool_size: 4,
            migrate_at_start: Some(true),
            ..DatabaseSettings::default()
        };
        settings.api.rate_limits = false;
    }
}

fn body() -> Value {
    json!({ "title": "A title", "content": "Some text" })
}

/// Writes until it succeeds. Until then, each write and each read is answered with 200, 201 or 503. Returns the first post.
fn write_until_it_works(client: &Client) -> i64 {
    let since = Instant::now();
    loop {
        for path in ["/v1/posts", "/v1/posts/1"] {
            let read = client.get(path);
            assert!(
                matches!(read.status, 200 | 503),
                "{path}: {} {}",
                read.status,
                read.text
            );
        }
        let answer = client.post("/v1/posts", &body());
        if answer.status == 201 {
            return answer.value("id").as_i64().expect("an id");
        }
        answer.problem(503, "database_unavailable");
        assert!(!answer.header("Retry-After").is_empty());
        assert!(since.elapsed() < GUARD, "{}", answer.text);
    }
}

#[test]
fn a_promoted_standby_replaces_a_dead_primary_with_all_its_posts() {
    let Some(cluster) = PostgresCluster::start() else {
        return;
    };
    let api = TestApi::with(on(cluster.url()));
    let alice = api.alice();
    for _ in 0..20 {
        alice.write("A title", "Some text");
    }
    cluster.wait_for_standby();
    cluster.kill_primary();
    // The standby accepts no writes yet.
    alice.post("/v1/posts", &body()).problem(503, "database_unavailable");
    cluster.promote_standby();
    write_until_it_works(&alice);
    let posts = alice.get("/v1/posts?limit=100").json();
    assert_eq!(posts.as_array().map(Vec::len), Some(21), "every post and the new one");
    let statuses: Vec<_> = (0..20).map(|_| alice.post("/v1/posts", &body()).status).collect();
    assert_eq!(statuses, [201; 20], "all connections lead to the new primary");
}

#[test]
fn a_primary_that_refuses_writes_is_unavailable_and_left_for_one_that_accepts_them() {
    let Some(cluster) = PostgresCluster::start() else {
        return;
    };
    let alone = TestApi::with(on(cluster.primary_url()));
    let both = TestApi::with(on(cluster.url()));
    for api in [&alone, &both] {
        api.alice().write("A title", "Some text");
    }
    cluster.wait_for_standby();
    cluster.set_read_only(true);
    for api in [&alone, &both] {
        for _ in 0..5 {
            let answer = api.alice().post("/v1/posts", &body());
            answer.problem(503, "database_unavailable");
        }
    }
    assert_eq!(alone.alice().get("/v1/posts/1").status, 200, "it can be read");
    cluster.promote_standby();
    write_until_it_works(&both.alice());
    cluster.set_read_only(false);
    write_until_it_works(&alone.alice());
}
