//! Responses of the API while PostgreSQL has problems: 503 `database_unavailable` with `Retry-After`, and never 500.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use blogctl::config::DatabaseSettings;
use diesel::{RunQueryDsl, connection::SimpleConnection};
use serde_json::json;

use crate::support::{
    api::{ApiResponse, TestApi},
    database::PostgresDatabase,
};

fn api_on(postgres: &PostgresDatabase) -> TestApi {
    TestApi::with(|settings| {
        settings.api.rate_limits = false;
        settings.database = DatabaseSettings {
            migrate_at_start: Some(true),
            statement_timeout: Duration::from_secs(1),
            lock_timeout: Duration::from_secs(1),
            ..postgres.settings.clone()
        };
    })
}

#[track_caller]
fn is_unavailable(answer: &ApiResponse) {
    answer.problem(503, "database_unavailable");
    assert!(
        answer
            .header("Retry-After")
            .parse::<u32>()
            .is_ok_and(|seconds| seconds > 0),
        "{answer:?}"
    );
}

#[test]
fn connections_that_the_database_closes_cause_no_500() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let api = api_on(&postgres);
    let id = api.alice().write("A post", "A content");
    let is_over = AtomicBool::new(false);
    let (mut done, mut turned_away) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut admin = postgres.connection();
            while !is_over.load(Ordering::SeqCst) {
                diesel::sql_query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                     AND pid <> pg_backend_pid()",
                )
                .execute(&mut admin)
                .expect("closed");
                thread::sleep(Duration::from_millis(5));
            }
        });
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let alice = api.alice();
                scope.spawn(move || {
                    let mut answers = Vec::new();
                    for round in 0..30 {
                        answers.push((200, alice.get(&format!("/v1/posts/{id}"))));
                        answers.push((
                            201,
                            alice.post(
                                "/v1/posts",
                                &json!({ "title": format!("{number}/{round}"), "content": "x" }),
                            ),
                        ));
                        answers.push((
                            200,
                            alice.put(&format!("/v1/posts/{id}"), &json!({ "title": "Changed" })),
                        ));
                        answers.push((200, alice.get("/v1/posts?author=me&limit=2")));
                        answers.push((200, alice.get("/v1/posts?q=post&limit=2")));
                    }
                    answers
                })
            })
            .collect();
        let answers: Vec<_> = clients
            .into_iter()
            .map(|client| client.join().expect("no client fails"))
            .collect();
        is_over.store(true, Ordering::SeqCst);
        for (expected, answer) in answers.into_iter().flatten() {
            if answer.status == expected {
                done += 1;
            } else {
                is_unavailable(&answer);
                turned_away += 1;
            }
        }
    });
    assert!(
        done > 0 && done + turned_away == 600,
        "{done} done, {turned_away} turned away"
    );
    api.alice().get_until("/health/ready", 200);
    assert_eq!(api.alice().get(&format!("/v1/posts/{id}")).status, 200);
}

#[test]
fn a_read_only_database_is_unavailable_for_writes_until_it_recovers() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let api = api_on(&postgres);
    let alice = api.alice();
    let id = alice.write("A post", "A content");
    let mut admin = postgres.connection();
    let mut read_only = |setting: &str| {
        let name = &postgres.name;
        admin
            .batch_execute(&format!(
                "ALTER DATABASE {name} SET default_transaction_read_only = {setting}; SELECT pg_terminate_backend(pid) \
                 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ))
            .expect("set");
    };
    let post = json!({ "title": "Another", "content": "x" });
    read_only("on");
    is_unavailable(&alice.post("/v1/posts", &post));
    is_unavailable(&alice.delete(&format!("/v1/posts/{id}")));
    assert_eq!(alice.get(&format!("/v1/posts/{id}")).status, 200);
    // Connections stay open, as after a failover: the old connections are still read-only.
    let mut admin = postgres.connection();
    admin
        .batch_execute("SET default_transaction_read_only = off")
        .expect("set");
    admin
        .batch_execute(&format!(
            "ALTER DATABASE {} RESET default_transaction_read_only",
            postgres.name
        ))
        .expect("reset");
    assert_eq!(alice.post("/v1/posts", &post).status, 201);
}

#[test]
fn a_lasting_lock_causes_503_and_not_500() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let api = api_on(&postgres);
    let alice = api.alice();
    let id = alice.write("A post", "A content");
    let mut other = postgres.connection();
    other
        .batch_execute("BEGIN; LOCK TABLE blog_posts IN ACCESS EXCLUSIVE MODE")
        .expect("locked");
    is_unavailable(&alice.get(&format!("/v1/posts/{id}")));
    is_unavailable(&alice.put(&format!("/v1/posts/{id}"), &json!({ "title": "Changed" })));
    other.batch_execute("ROLLBACK").expect("unlocked");
    assert_eq!(alice.get(&format!("/v1/posts/{id}")).status, 200);
}
