//! How often each route waits for PostgreSQL: a statement more costs as much as the statement itself.

use serde_json::json;

use crate::support::{
    api::{Call, Client, TestApi},
    database::PostgresDatabase,
    pgbouncer::PgBouncer,
    postgres_proxy::PostgresProxy,
};

/// Number of times that each request is sent: the fewest round trips count, because names are compared in the background,
/// and connections are checked after a pause.
const TIMES: usize = 6;

/// Round trips: direct, and through a pooler in transaction mode, where some time limits need a transaction.
struct Expected {
    direct: usize,
    pooled: usize,
}

const fn expect(direct: usize, pooled: usize) -> Expected {
    Expected { direct, pooled }
}

#[test]
fn statements_per_route_on_a_direct_connection() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let (proxy, settings) = PostgresProxy::before(&postgres.settings);
    let api = TestApi::on(&settings);
    each_route(&api, &proxy, |expected| expected.direct);
}

#[test]
fn statements_per_route_through_a_pooler() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let Some(pooler) = PgBouncer::start(&postgres.settings.url, "transaction") else {
        return;
    };
    let mut settings = postgres.settings.clone();
    settings.url = pooler.url(&settings.url);
    let (proxy, settings) = PostgresProxy::before(&settings);
    let api = TestApi::on(&settings);
    each_route(&api, &proxy, |expected| expected.pooled);
}

fn each_route(api: &TestApi, proxy: &PostgresProxy, round_trips: impl Fn(&Expected) -> usize) {
    let (alice, bob) = (api.alice(), api.bob());
    let posts: Vec<i64> = (0..40)
        .map(|number| alice.write(&format!("Post {number}"), "Some words"))
        .collect();
    let mut ids = posts.into_iter().rev();
    let mut next_id = || ids.next().expect("enough posts");
    let id = next_id();
    bob.write("Another", "Of another author");
    let own = alice.get(&format!("/v1/posts/{id}"));
    let (tag, author) = (own.header("ETag").to_owned(), own.value("author_id"));
    let cursor = alice.get("/v1/posts?limit=5").next_page().expect("a next page");
    let mut key = 0;

    let reads = [
        (format!("/v1/posts/{id}"), 200, expect(1, 1)),
        ("/v1/posts/987654321".to_owned(), 404, expect(1, 1)),
        ("/v1/posts".to_owned(), 200, expect(1, 1)),
        ("/v1/posts?limit=20&excerpt=100".to_owned(), 200, expect(1, 1)),
        (cursor, 200, expect(1, 1)),
        // A large page is a long read.
        ("/v1/posts?limit=1000".to_owned(), 200, expect(1, 3)),
        ("/v1/posts?author=me".to_owned(), 200, expect(1, 3)),
        (format!("/v1/posts?author={author}&limit=5"), 200, expect(1, 3)),
        // The position first.
        ("/v1/posts?skip=5&limit=5".to_owned(), 200, expect(2, 2)),
        // The position, and the total without rows.
        ("/v1/posts?skip=500".to_owned(), 200, expect(2, 2)),
        ("/v1/posts?q=words".to_owned(), 200, expect(2, 4)),
        ("/v1/posts?q=words&author=me".to_owned(), 200, expect(2, 4)),
        ("/v1/profile".to_owned(), 200, expect(1, 1)),
    ];
    for (path, status, expected) in reads {
        let fewest = fewest(proxy, status, || alice.call("GET", &path));
        assert_eq!(fewest.0, round_trips(&expected), "GET {path}: {:#?}", fewest.1);
    }

    let post = |client: &Client| {
        client
            .call("POST", "/v1/posts")
            .json(&json!({ "title": "New", "content": "Text" }))
    };
    let change = |client: &Client, id: i64| {
        let path = format!("/v1/posts/{id}");
        client.call("PUT", &path).json(&json!({ "title": "Changed" }))
    };
    let check = |what: &str, status: u16, expected: Expected, request: &mut dyn FnMut() -> Call| {
        let fewest = fewest(proxy, status, request);
        assert_eq!(fewest.0, round_trips(&expected), "{what}: {:#?}", fewest.1);
    };
    check("POST /v1/users/me", 200, expect(1, 1), &mut || {
        alice.call("POST", "/v1/users/me")
    });
    check("POST", 201, expect(1, 3), &mut || post(&alice));
    check("POST with a key", 201, expect(4, 4), &mut || {
        key += 1;
        post(&alice).header("Idempotency-Key", &format!("key-{key}"))
    });
    // The attempt, the user, and the transaction that finds the response.
    check("POST with a used key", 201, expect(8, 8), &mut || {
        post(&alice).header("Idempotency-Key", "key-1")
    });
    check("PUT", 200, expect(2, 4), &mut || change(&alice, id));
    check("PUT of another's post", 403, expect(1, 3), &mut || change(&bob, id));
    check("PUT of no post", 404, expect(1, 3), &mut || change(&alice, 987_654_321));
    check("PUT of a stale version", 412, expect(1, 3), &mut || {
        change(&alice, id).header("If-Match", &tag)
    });
    check("DELETE of another's post", 403, expect(1, 3), &mut || {
        bob.call("DELETE", &format!("/v1/posts/{id}"))
    });
    check("DELETE", 204, expect(2, 4), &mut || {
        alice.call("DELETE", &format!("/v1/posts/{}", next_id()))
    });
}

/// Sends requests, and returns the fewest round trips of one, with its statements.
fn fewest(proxy: &PostgresProxy, status: u16, mut request: impl FnMut() -> Call) -> (usize, Vec<String>) {
    let count = |_| {
        proxy.take_statements();
        let before = proxy.round_trips();
        let answer = request().send();
        assert_eq!(answer.status, status, "{answer:?}");
        (proxy.round_trips() - before, proxy.take_statements())
    };
    (0..TIMES).map(count).min_by_key(|(count, _)| *count).expect("some")
}
