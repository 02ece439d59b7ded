//! Two replicas of the API behind a real PgBouncer under mixed load: no 500, and every row is as its writer left it.

use std::{collections::BTreeMap, thread};

use blogctl::config::DatabaseSettings;
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Text},
};
use serde_json::json;

use crate::support::{
    api::{Client, TestApi},
    database::PostgresDatabase,
    pgbouncer::PgBouncer,
};

/// Number of posts that are only read.
const ONLY_READ: usize = 40;
/// Clients of each replica.
const CLIENTS: usize = 6;
const ROUNDS: usize = 25;

/// Title and content of posts, by id.
type Posts = BTreeMap<i64, (String, String)>;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    title: String,
    #[diesel(sql_type = Text)]
    content: String,
}

#[test]
fn two_replicas_behind_a_transaction_pooler_mix_up_no_rows() {
    mixed_load("transaction");
}

#[test]
fn two_replicas_behind_a_session_pooler_mix_up_no_rows() {
    mixed_load("session");
}

fn mixed_load(pool_mode: &str) {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    // In session mode, each client keeps its server connection.
    let server_connections = if pool_mode == "session" { 60 } else { 3 };
    let Some(pooler) = PgBouncer::with(&postgres.settings.url, pool_mode, server_connections, "") else {
        return;
    };
    let replica = || {
        TestApi::with(|settings| {
            settings.api.rate_limits = false;
            settings.database = DatabaseSettings {
                url: pooler.url(&postgres.settings.url),
                migrate_at_start: Some(true),
                pool_size: 10,
                ..DatabaseSettings::default()
            };
        })
    };
    let replicas = [replica(), replica()];
    // Each replica has its own identity provider, so a token works for one replica; the user is the same.
    let alice = || replicas.iter().map(TestApi::alice).collect::<Vec<_>>();
    let [writer, ..] = &*alice() else {
        panic!("two replicas")
    };
    let mut expected: Posts = (0..ONLY_READ)
        .map(|number| {
            let (title, content) = (format!("Only read {number}"), format!("Not changed: {number}"));
            (writer.write(&title, &content), (title, content))
        })
        .collect();
    let only_read: Vec<i64> = expected.keys().copied().collect();

    let left: Vec<Posts> = thread::scope(|scope| {
        let clients = alice();
        let running: Vec<_> = (0..CLIENTS * clients.len())
            .filter_map(|number| Some((number, clients.get(number % clients.len())?.clone())))
            .map(|(number, client)| {
                let only_read = &only_read;
                scope.spawn(move || one_client(&client, number, only_read))
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("no client fails"))
            .collect()
    });
    for posts in left {
        expected.extend(posts);
    }

    let rows: Vec<Row> = diesel::sql_query("SELECT id, title, content FROM blog_posts")
        .load(&mut postgres.connection())
        .expect("the rows");
    let found: Posts = rows.into_iter().map(|row| (row.id, (row.title, row.content))).collect();
    assert_eq!(found, expected);
}

/// Reads shared posts, and creates, changes and deletes its own; returns those that remain.
fn one_client(client: &Client, number: usize, only_read: &[i64]) -> Posts {
    let mut own = Posts::new();
    for round in 0..ROUNDS {
        let id = only_read.get((number * 7 + round) % only_read.len()).expect("an id");
        let answer = client.get(&format!("/v1/posts/{id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.value("id"), *id, "another post than was asked for");

        let (title, content) = (
            format!("Post {number}/{round}"),
            format!("Round {round} of client {number}"),
        );
        let created = client.write(&title, &content);
        own.insert(created, (title, content));

        let path = match round % 3 {
            0 => "/v1/posts?limit=5",
            1 => "/v1/posts?author=me&limit=3",
            _ => "/v1/posts?q=round&limit=3",
        };
        let answer = client.get(path);
        assert_eq!(answer.status, 200, "{path} {answer:?}");

        if round % 2 == 1 {
            let (&id, _) = own.first_key_value().expect("a post");
            let title = format!("Changed {number}/{round}");
            let answer = client.put(&format!("/v1/posts/{id}"), &json!({ "title": title }));
            assert_eq!(answer.status, 200, "{answer:?}");
            own.entry(id).and_modify(|(old, _)| *old = title);
        }
        if round % 5 == 4 {
            let (id, _) = own.pop_last().expect("a post");
            assert_eq!(client.delete(&format!("/v1/posts/{id}")).status, 204);
        }
    }
    own
}
