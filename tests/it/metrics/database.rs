//! The database: lanes, batches, failures and connections.

use std::fs;

use crate::support::{database::PostgresDatabase, metrics::Scrape, needs, role::RoleProcess};

#[test]
fn a_write_is_in_a_batch_and_has_waited_for_it() {
    let api = RoleProcess::api(&[]);
    let alice = api.alice();
    let before = api.scrape();
    for n in 0..3 {
        alice.write(&format!("Post {n}"), "Some text");
    }
    assert_eq!(alice.get("/v1/posts?q=text").status, 200);
    // A response can arrive before its work has left the lane.
    let after = api.scrape_until("idle", |scrape| {
        scrape.value("blogctl_db_running", &[("lane", "searches")]) == 0.0
    });
    let moved = |name, labels: &[_]| after.value(name, labels) - before.value(name, labels);
    assert!(moved("blogctl_db_write_batch_size_sum", &[]) >= 3.0, "{}", after.text);
    assert!(moved("blogctl_db_write_batch_size_count", &[]) >= 1.0, "{}", after.text);
    assert!(
        moved("blogctl_db_write_batch_duration_seconds_sum", &[]) > 0.0,
        "{}",
        after.text
    );
    assert!(
        moved("blogctl_db_wait_seconds_count", &[("lane", "writes")]) >= 3.0,
        "{}",
        after.text
    );
    assert_eq!(
        moved("blogctl_db_wait_seconds_count", &[("lane", "searches")]),
        1.0,
        "{}",
        after.text
    );
    for (name, lane, value) in [
        ("blogctl_db_waiting", "writes", 0.0),
        ("blogctl_db_waiting_limit", "writes", 1024.0),
        ("blogctl_db_running", "searches", 0.0),
        ("blogctl_db_running_limit", "long_reads", 4.0),
    ] {
        assert_eq!(after.count(name, &[("lane", lane)]), 1, "{name} {lane}: {}", after.text);
        assert_eq!(after.value(name, &[("lane", lane)]), value, "{name} {lane}");
    }
}

#[test]
fn a_database_that_is_gone_is_a_failure() {
    let api = RoleProcess::api(&[]);
    let alice = api.alice();
    alice.write("A title", "Some text");
    let unavailable = [("reason", "unavailable")];
    assert_eq!(api.scrape().value("blogctl_db_failures_total", &unavailable), 0.0);
    for file in ["blog.db", "blog.db-wal", "blog.db-shm"] {
        fs::remove_file(api.folder.path().join(file)).expect("it exists");
    }
    // By readiness alone, without any user.
    alice.get_until("/health/ready", 503);
    let after_probe = api.scrape().value("blogctl_db_failures_total", &unavailable);
    assert!(after_probe >= 1.0);
    let draft = serde_json::json!({ "title": "Another", "content": "text" });
    assert_eq!(alice.post("/v1/posts", &draft).status, 503);
    assert!(api.scrape().value("blogctl_db_failures_total", &unavailable) > after_probe);
}

#[test]
fn connections_to_postgresql_are_used_or_idle() {
    let Some(admin_url) = needs("BLOGCTL_TEST_POSTGRES_URL") else {
        return;
    };
    let database = PostgresDatabase::create(&admin_url);
    let url = format!("database.url={}", database.settings.url);
    let api = RoleProcess::api(&[&url, "database.migrate_at_start=true", "database.pool_size=8"]);
    let alice = api.alice();
    let id = alice.write("A title", "Some text");
    assert_eq!(alice.get(&format!("/v1/posts/{id}")).status, 200);
    let connections =
        |scrape: &Scrape, state| scrape.value("blogctl_db_connections", &[("pool", "requests"), ("state", state)]);
    let scrape = api.scrape_until("idle connections only", |scrape| {
        connections(scrape, "idle") >= 1.0 && connections(scrape, "used") == 0.0
    });
    for (lane, limit) in [("short_reads", 2.0), ("writes", 2.0), ("shared", 2.0), ("probe", 1.0)] {
        assert_eq!(
            scrape.value("blogctl_db_running_limit", &[("lane", lane)]),
            limit,
            "{}",
            scrape.text
        );
    }
    for lane in ["short_reads", "writes"] {
        assert!(
            scrape.value("blogctl_db_wait_seconds_count", &[("lane", lane)]) >= 1.0,
            "{}",
            scrape.text
        );
    }
}
